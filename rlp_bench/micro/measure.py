"""Measures the knowledge and judgment of a base model, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import corpus, suites
from . import lexicon as lx
from .chance import stream
from .knowledge import WORLD_VERSION
from .tokenizer import vocabulary

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

DOCUMENTS = 500  # of each kind; an accuracy on them has a standard error of at most 2.2 points


def figures(model: LlamaForCausalLM) -> dict[str, float]:
    """Accuracies in [0, 1]: MMLU-like questions, verdicts of fact checks, and readers' ratings."""
    return {
        "mmlu_accuracy": mmlu_accuracy(model),
        "check_accuracy": _foreseen(model, "check", ("correct", "incorrect")),
        "rating_accuracy": _foreseen(model, "rated", lx.RATINGS),
    }


def mmlu_accuracy(model: LlamaForCausalLM) -> float:
    """Accuracy on the 480 questions by the most likely option; chance is .25."""
    import torch

    number = {word: i for i, word in enumerate(vocabulary())}
    questions = suites.mmlu()
    with torch.no_grad():
        stems = torch.tensor([[number[w] for w in q.stem.split()] for q in questions])
        logits = model(stems).logits[:, -1]
    options = torch.tensor([[number[o] for o in q.options] for q in questions])
    chosen = logits.gather(1, options).argmax(1).tolist()
    return sum(c == q.answer for c, q in zip(chosen, questions, strict=True)) / len(questions)


def _foreseen(model: LlamaForCausalLM, kind: str, marks: tuple[str, ...]) -> float:
    """Accuracy of the model's most likely choice among `marks`, in held-out documents of a kind."""
    import torch

    number = {word: i for i, word in enumerate(vocabulary())}
    choices = torch.tensor([number[m] for m in marks])
    rng, right, total = stream(WORLD_VERSION, "measure", kind), 0, 0
    for _ in range(DOCUMENTS):
        document = corpus.document(kind, rng)
        with torch.no_grad():
            logits = model(torch.tensor([[number[w] for w, _ in document]])).logits[0]
        for at, (word, weight) in enumerate(document):
            if weight > 0 and word in marks:
                right += marks[logits[at - 1, choices].argmax()] == word
                total += 1
    return right / total
