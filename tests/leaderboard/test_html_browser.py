"""The one-file report in a real headless browser: quiet, alone, filterable, narrow, light and dark."""

import shutil

import pytest
from html_parts import METHODS, result
from patience import PATIENCE

from rlp_bench.api import registry

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 380, "height": 800}, "color_scheme": "light"},
}


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install rlp-bench[dev]")
    if CHROMIUM is None:
        pytest.skip("needs a browser: no chromium on the path")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1000 * PATIENCE
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(registry.load("board", "html")().render([result()], "html"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser, address):
    """Opens the page in a context of its own; what it says or asks for is in `noise`."""
    contexts, noise = [], []

    def open_page(**options):
        context = browser.new_context(**options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("dialog", lambda dialog: noise.append(dialog.message))
        page.on("request", lambda request: request.url == address or noise.append(request.url))
        page.goto(address)
        return page

    open_page.noise = noise
    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("look", LOOKS)
def test_it_opens_quietly_asks_for_nothing_and_fits_the_screen(opened, look, tmp_path):
    page = opened(**LOOKS[look])
    assert page.title() == "RLP bench: nano@0123abcd"
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    for fold in page.locator("details").all():
        fold.evaluate("fold => fold.open = true")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= LOOKS[look]["viewport"]["width"]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if look == "dark" else "rgb(255, 255, 255)")
    picture = tmp_path / f"{look}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 20_000
    assert opened.noise == []


def test_wide_tables_scroll_in_their_own_box(opened):
    page = opened(**LOOKS["phone"])
    inner, outer = page.locator("#leaderboard .scroll").evaluate("box => [box.scrollWidth, box.clientWidth]")
    assert inner > outer
    assert outer <= 380


def test_search_and_filters_change_what_is_shown(opened):
    page = opened()
    cards, count = page.locator(".sample:visible"), page.locator("#count")
    assert cards.count() == 10  # of 25: ten at a time
    assert count.text_content() == "25 of 25 instructions fit, 10 shown; 2 of 4 methods"
    page.locator("#more").click()
    assert cards.count() == 20
    page.locator("#subset").select_option("koala")
    assert count.text_content() == "13 of 25 instructions fit, 10 shown; 2 of 4 methods"
    assert all(card.get_attribute("data-subset") == "koala" for card in cards.all())
    page.locator("#words").fill("SAYS 24")
    assert cards.count() == 1
    assert page.locator(".sample:visible .answer:visible").count() == 3  # reference, ppo, rlp_spg
    page.locator("#words").fill("base says 24")
    assert cards.count() == 0  # base is not among the methods shown
    page.get_by_role("button", name="all", exact=True).click()
    assert cards.count() == 1
    assert page.locator(".sample:visible .answer[data-method]:visible").count() == len(METHODS)
    page.locator("#subset").select_option("vicuna")
    assert cards.count() == 0
    page.locator("#words").fill("")
    page.locator("#category").select_option("qa")
    assert {card.get_attribute("data-category") for card in cards.all()} == {"qa"}
    page.get_by_role("button", name="none", exact=True).click()
    assert page.locator(".sample:visible .answer[data-method]:visible").count() == 0
    assert opened.noise == []


def test_without_scripts_everything_is_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".sample:visible").count() == 25
    assert not page.locator(".filters").is_visible()
    assert page.get_by_text("Without JavaScript all instructions and methods are shown").is_visible()


def test_print_shows_what_is_folded_and_no_buttons(opened):
    page = opened()
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert not page.locator(".filters").is_visible()
    assert opened.noise == []
