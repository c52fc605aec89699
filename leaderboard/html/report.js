
"use strict";
(() => {
  const PAGE = 10;
  const form = document.querySelector(".filters");
  window.addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
  if (!form) return;
  const cards = [...document.querySelectorAll(".sample")].map((card) => ({
    card,
    subset: card.dataset.subset,
    category: card.dataset.category,
    asked: [...card.querySelectorAll(":scope > .said, .reference dd, header code")]
      .map((part) => part.textContent).join("\n").toLowerCase(),
    answers: [...card.querySelectorAll(".answer[data-method]")].map((answer) => ({
      answer,
      method: answer.dataset.method,
      text: answer.querySelector("dd").textContent.toLowerCase(),
    })),
  }));
  const boxes = [...form.querySelectorAll("input[name=method]")];
  const words = form.querySelector("#words");
  const subset = form.querySelector("#subset");
  const category = form.querySelector("#category");
  const count = form.querySelector("#count");
  const more = document.querySelector("#more");
  let limit = PAGE;

  const show = () => {
    const chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const inside = (text) => wanted.every((word) => text.includes(word));
    let fitting = 0;
    for (const one of cards) {
      for (const each of one.answers) each.answer.hidden = !chosen.has(each.method);
      const fits =
        (!subset || !subset.value || one.subset === subset.value) &&
        (!category || !category.value || one.category === category.value) &&
        (inside(one.asked) || one.answers.some((each) => chosen.has(each.method) && inside(each.text)));
      fitting += fits ? 1 : 0;
      one.card.hidden = !fits || fitting > limit;
    }
    const shown = Math.min(fitting, limit);
    count.textContent =
      `${fitting} of ${cards.length} instructions fit, ${shown} shown; ${chosen.size} of ${boxes.length} methods`;
    more.hidden = fitting <= limit;
    more.textContent = `Show ${Math.min(PAGE, fitting - limit)} more`;
  };
  const again = () => { limit = PAGE; show(); };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", again);
  for (const button of form.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = button.dataset.choose === "all";
      again();
    });
  }
  more.addEventListener("click", () => { limit += PAGE; show(); });
  form.hidden = false;
  document.querySelector("#plain").hidden = true;
  show();
})();
