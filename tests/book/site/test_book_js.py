"""The pages in a browser: search as in the terminal, keys, narrow screens, paper, no complaint."""

import json

import pytest

from tests.book.site.conftest import small_rows
from tests.book.test_search import FIRST
from tinylm import book
from tinylm.book import contents
from tinylm.book.site import frame, lookup


@pytest.fixture
def opened(chromium, site):
    """opened(file, width, dark): a page whose complaints are counted when the test ends."""
    pages, complaints = [], []

    def one(file, width=1200, dark=False, heard=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        page = context.new_page()
        pages.append(context)
        if heard:
            page.on("console", lambda line: complaints.append(line.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "request", lambda asked: complaints.append(asked.url) if outside(asked) else None
            )
        page.goto((site / file).as_uri())
        return page

    def outside(asked):
        return not asked.url.startswith(site.as_uri())

    yield one
    for context in pages:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("file", ["index.html", "2.3.4.html", "4.4.2.html", "d2l-11.9.4.html"])
def test_no_page_is_wider_than_a_phone(opened, file):
    page = opened(file, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_abbreviation_leads_to_its_concept(opened):
    page = opened("index.html")
    page.keyboard.press("/")
    page.keyboard.type("gqa")
    assert page.locator("#hits a").first.inner_text().startswith("Grouped-query attention")
    assert page.locator("#query").get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    page.wait_for_url("**/2.3.4.html#C2b-55")
    assert page.locator("#C2b-55 h2").is_visible()


def test_the_list_is_walked_with_keys_and_closed_with_one(opened):
    page = opened("2.3.4.html")
    page.locator("#query").fill("cache")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator("#query").get_attribute("aria-activedescendant") == "hit1"
    assert page.locator("#hit1").get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert page.locator("#hits").is_hidden()


def test_what_is_typed_is_never_markup(opened):
    page = opened("index.html")
    page.locator("#query").fill("<img src=x onerror=alert(1)>")
    assert page.locator("#hits img").count() == 0
    assert "Nothing found." in page.locator("#hits").inner_text()


def test_search_finds_what_the_terminal_finds(opened):
    page = opened("index.html")
    rows = book.rows()
    files = {n: frame.file_of(n) for n in {contents.page_of(n) for n in contents.titles()}}
    page.evaluate("data => { Object.assign(window.BOOK, data); }", lookup.data(rows, files))
    queries = [line.rsplit(None, 1) for line in FIRST]
    found = page.evaluate(
        "queries => queries.map(q => (window.searchBook(q)[0] || {}).id)",
        [query.strip() for query, _ in queries],
    )
    wrong = [(q, want, got) for (q, want), got in zip(queries, found) if want != got]
    assert wrong == []


def test_formulas_are_drawn(opened):
    page = opened("2.3.4.html")
    box = page.locator("math").first.bounding_box()
    assert box["width"] > 20 and box["height"] > 10
    assert "\\" not in page.evaluate("document.querySelector('math').textContent")


def test_the_dark_has_light_text(opened):
    def brightness(page):
        color = page.evaluate("getComputedStyle(document.body).color")
        return sum(map(int, color[4:-1].split(",")))

    assert brightness(opened("2.3.4.html", dark=True)) > 2 * brightness(opened("2.3.4.html"))


def test_code_that_is_folded_up_is_printed(opened):
    page = opened("2.3.4.html")
    closed = page.locator("details:not([open])").count()
    assert closed > 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == closed


def test_lines_have_numbers_that_a_copy_does_not_have(opened):
    page = opened("2.3.4.html")
    text = page.locator("#C2b-52 pre").inner_text()
    assert text.startswith("def cache_bytes(")
    number = page.evaluate(
        "getComputedStyle(document.querySelector('#C2b-52 .l'), '::before').content"
    )
    assert "counter(line)" in number


def test_every_part_can_be_named_by_a_screen_reader(opened):
    # axe asks for the style by a request of its own, which a file cannot have.
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for file in ("index.html", "2.3.4.html"):
        for dark in (False, True):
            found = axe.run(opened(file, dark=dark, heard=False)).response["violations"]
            serious = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
            assert serious == [], json.dumps(found)[:2000]


def test_the_small_site_has_all_its_rows():
    assert len(small_rows()) > 15
