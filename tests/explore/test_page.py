"""One file, no network: the page allows its own scripts and style, and nothing else."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.explore.models import at_hand
from tinylm.cli.look.explore import made
from tinylm.errors import ConfigError
from tinylm.explore import AtHand, Figure, page, source_of
from tinylm.explore.expression import figures
from tinylm.explore.formula import Formula
from tinylm.explore.input.positions import figures as figures_of_positions

BAD = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


def example(**fields):
    return figures(AtHand(**fields))


def test_the_policy_holds_the_hash_of_every_script_and_of_the_style():
    html = page("a page", example())
    policy = re.search(r'Security-Policy" content="(.+?)"', html)[1].replace("&#x27;", "'")
    run = re.findall(r"<(script|style)>(.*?)</\1>", html, re.DOTALL)
    assert len(run) == 5  # the style, the runtime's three files, one kind
    for kind, text in run:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy.partition(f"{kind}-src")[2].partition(";")[0]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert "form-action 'none'" in policy


def test_only_scripts_of_the_kinds_at_hand_are_put_in():
    assert '\ntinylm.figure("' not in page("nothing", [])
    assert page("two", example() + example()).count('tinylm.figure("expression"') == 1


def test_figures_of_one_kind_have_ids_of_their_own():
    html = page("two", example() + example())
    assert 'id="expression-1"' in html and 'id="expression-2"' in html
    twice = [Figure("expression", "a", "b", {}, "same")] * 2
    with pytest.raises(ConfigError, match="'same'"):
        page("two", twice)


@pytest.mark.parametrize("kind", ["nothing", "../page", ""])
def test_a_kind_without_a_script_is_refused(kind):
    with pytest.raises(ConfigError, match="no script"):
        page("a page", [Figure(kind, "a", "b", {})])


def test_no_text_of_the_reader_becomes_html():
    html = page(BAD, [Figure("expression", BAD, f"`{BAD}`", {"text": BAD})], f"{BAD} \ud83d")
    assert BAD not in html and "<img" not in html
    html.encode("utf-8")  # also halves of characters


def test_a_source_is_a_file_and_a_line():
    path, line = source_of(Formula).split(":")
    text = open(path.replace("tinylm/", str(__import__("tinylm").__path__[0]) + "/", 1)).read()
    assert text.splitlines()[int(line) - 1].startswith("class Formula")


# In the browser.


@pytest.fixture(scope="module")
def whole(runs):
    """The page of a tiny run with every figure that it allows."""
    figures, left_out = made(AtHand(runs("causal"), "To be </script> \u05e9\u05dc\u05d5\u05dd é"))
    assert "attention" not in left_out and "next_token" not in left_out
    return page("A tiny run", figures)


def test_the_page_of_a_tiny_run_is_below_a_megabyte(whole):
    assert len(whole.encode("utf-8")) < 1_000_000


SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("width, dark", [(1200, False), (360, True)])
def test_the_whole_page_is_silent_full_and_accessible(open_page, whole, width, dark):
    axe = pytest.importorskip("axe_playwright_python.base").AXE_FILE_PATH
    opened = open_page(whole, width, dark, bypass=True).drawn()
    view = opened.page
    assert opened.complaints == [] and opened.requests == []
    for section in view.locator(".figure").all():
        box = section.locator(".stage").bounding_box()
        assert box["height"] > 90 and section.locator(".stage").inner_text().strip()
    assert view.locator(".failed").count() == 0
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = view.evaluate("axe.run({ resultTypes: ['violations'], preload: false })")["violations"]
    wrong = [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in SERIOUS
    ]
    assert wrong == []


def test_on_paper_everything_is_drawn(open_page, whole):
    view = open_page(whole).page
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.locator(".figure:not([data-drawn])").count() == 0
    squares = view.locator(".heads button").count()
    assert squares > 0 and view.locator(".heads canvas").count() == squares


NAMES = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    // What is turned lies in a box that is larger than itself.
    const texts = [...svg.querySelectorAll("text:not([transform])")]
        .filter((text) => text.textContent.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const out = (a) => a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1
        || a.bottom > frame.bottom + 1;
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    return boxes.flatMap((a, i) => [
        ...(out(a) ? [`${texts[i].textContent} is cut`] : []),
        ...boxes.slice(0, i).flatMap((b, j) =>
            meet(a, b) ? [`${texts[j].textContent} meets ${texts[i].textContent}`] : [])]);
})"""


@pytest.mark.parametrize("width", [1280, 360])
def test_no_word_of_a_picture_meets_another_or_is_cut(open_page, whole, width):
    view = open_page(whole, width=width).drawn().page
    view.wait_for_timeout(100)
    assert view.evaluate("document.querySelectorAll('svg text').length") > 200
    assert view.evaluate(NAMES) == []


def test_words_of_curves_keep_their_size_on_a_phone_and_the_tape_fits(open_page, whole):
    view = open_page(whole, width=360).drawn().page
    shares = view.evaluate(
        """() => [...document.querySelectorAll("svg:has(.axis)")].map((svg) =>
        svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"""
    )
    assert len(shares) > 8 and min(shares) > 0.9
    tape = view.locator(".graph")
    assert tape.evaluate("(graph) => graph.getBoundingClientRect().right") <= 360
    assert tape.evaluate("(graph) => graph.getBoundingClientRect().left") >= 0


def test_long_numbers_of_an_axis_have_room(open_page):
    """Millions to the left of their axis, and one at the right end of the other."""
    view = open_page(page("axes", figures(AtHand())), bypass=True).drawn().page
    line = "{ series: [{ x: [0, 1e6], y: [-8e6, 8e6] }], width: 300 }"
    view.evaluate(f"() => document.querySelector('.stage').append(tinylm.tools.lines({line}))")
    assert "−5000000" in view.locator("svg text").all_text_contents()
    assert view.evaluate(NAMES) == []


def test_names_of_many_lines_are_moved_apart_and_kept_within_the_axes(open_page):
    """Eight slopes of ALiBi end close together, and forty lines have no room for all names."""
    alibi = figures_of_positions(at_hand(n_head=8, d_model=64, positions="alibi"))
    view = open_page(page("slopes", alibi), bypass=True).drawn().page
    assert view.evaluate(NAMES) == []
    for count, shown in ((40, 12), (3, 3), (1, 1)):
        ends = "Array.from({ length: %d }, (_, i) => ({ y: 100 + i / 10 }))" % count
        view.evaluate(f"() => (window.ends = {ends}, tinylm.tools.apart(window.ends, 20, 190))")
        kept = view.evaluate("() => window.ends.filter((one) => one.shown).map((one) => one.y)")
        assert len(kept) == shown and min(kept) >= 20 and max(kept) <= 190
        assert all(b - a >= 14.9 for a, b in zip(kept, kept[1:]))


def test_figures_of_the_library_stand_below_a_heading_of_their_own():
    made = figures(AtHand()) + [Figure("merges", "Merges", "of a run", {})]
    html = page("both", made, library=("expression",))
    places = [
        html.index(mark) for mark in ('id="merges-1"', '<h2 class="part"', 'id="expression-1"')
    ]
    assert places == sorted(places)
    assert 'class="part"' not in page("alone", figures(AtHand()), library=("expression",))


def test_no_picture_is_blank(open_page, whole):
    opened = open_page(whole).drawn()
    blank = opened.page.evaluate(
        """() => [...document.querySelectorAll("canvas")].filter((canvas) => {
        const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(image.data.buffer)).size < 2; }).length"""
    )
    empty = opened.page.evaluate(
        """() => [...document.querySelectorAll(".stage svg")].filter((svg) =>
        !svg.querySelector("path, line, rect, circle, text")).length"""
    )
    assert blank == 0 and empty == 0


def test_a_page_is_silent_and_asks_nobody(open_page):
    opened = open_page(page(BAD, example() + example(), f"`{BAD}`")).drawn()
    assert opened.complaints == [] and opened.requests == []
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("h1").inner_text() == BAD


def test_numbers_arrive_as_they_are(open_page):
    values = {
        "a": np.array([[0.1, np.nan], [-np.inf, 3]], np.float32),
        "h": np.array([0.1, -2, 6e-8, np.inf], np.float16),
        "i": np.array([[-3, 2**31 - 1]]),
        "n": [float("nan"), float("inf"), 0.1],
    }
    figure = Figure("expression", "a", "b", values, "mine")
    opened = open_page(page("numbers", [figure]))
    found = opened.page.evaluate(
        """() => { const d = tinylm.decode(document.getElementById("mine-data").textContent);
        return [d.a.list().flat(), d.h.list(), d.i.list().flat(), d.n,
            d.a.at(1, 0), d.a.row(1).list()] }"""
    )
    for got, sent in zip(found, values.values()):
        np.testing.assert_array_equal(np.array(got), np.ravel(np.asarray(sent, np.float64)))
    assert found[4] == -np.inf and found[5] == [-np.inf, 3]


def test_a_figure_that_cannot_be_drawn_says_so_and_the_others_are_there(open_page):
    opened = open_page(page("broken", [Figure("expression", "a", "b", {}), *example()])).drawn()
    assert "could not be drawn" in opened.page.locator(".failed").inner_text()
    assert opened.page.locator("#expression-2 .card").count() == 8
