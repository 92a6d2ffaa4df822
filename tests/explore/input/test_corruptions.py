"""The figure shows what `tinylm corrupt` shows, with a letter for what happened to each word."""

import pytest

from tests.explore.models import at_hand
from tinylm.errors import DataError
from tinylm.explore import AtHand, Unsuitable, page
from tinylm.explore.input.corruptions import corruptions, figures
from tinylm.pretrain.example import PAIR, TEXT, example
from tinylm.pretrain.objectives import OBJECTIVES


@pytest.fixture(scope="module")
def found():
    return {one["name"]: one for one in corruptions(TEXT, seeds=4)["objectives"]}


def row(entry, wanted):
    return next((words, letters) for name, words, letters in entry["rows"] if name == wanted)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_words_are_those_of_the_objective_for_every_seed(found, name):
    one = found[name]
    assert len(one["drawn"]) == 4
    for seed, entry in enumerate(one["drawn"]):
        made = example(name, one["text"], seed)
        rows = [(which, words) for which, words in made.rows if which != "mask"]
        assert [(which, words) for which, words, _ in entry["rows"]] == rows
        assert all(len(words) == len(letters) for _, words, letters in entry["rows"])


def test_a_target_counts_where_the_loss_counts_it(found):
    for entry in found["masked"]["drawn"]:
        words, letters = row(entry, "target")
        assert [word != "_" for word in words] == [letter == "c" for letter in letters]
        read, marks = row(entry, "input")
        # BERT's three kinds: hidden, replaced, and left as it is; all of them are predicted.
        for word, mark, target, letter in zip(read, marks, words, letters):
            if mark == "h":
                assert word == "[MASK]" and letter == "c"
            if mark == "r":
                assert word != target and letter == "c"
            if mark == "k" and letter == "c":
                assert word == target


def test_replaced_and_moved_words_are_told_apart(found):
    for name, mark in (("token-replacement", "r"), ("token-permutation", "m")):
        marks = {letter for entry in found[name]["drawn"] for letter in row(entry, "source")[1]}
        assert mark in marks and marks <= {"k", "s", mark}
    # What is only missing, or split off, has neither changed nor moved.
    for name in ("token-deletion", "prefix-seq2seq", "mass"):
        marks = {letter for entry in found[name]["drawn"] for letter in row(entry, "source")[1]}
        assert marks <= {"k", "s", "h"}


def test_a_generator_s_words_are_replaced_where_they_differ(found):
    for entry in found["replaced"]["drawn"]:
        _, letters = row(entry, "generated")
        labels, _ = row(entry, "label")
        assert [letter == "r" for letter in letters[1:]] == [label == "1" for label in labels[1:]]


def test_patterns_are_those_of_the_batch():
    data = corruptions(TEXT, seeds=2)
    for one in data["objectives"]:
        for seed, entry in enumerate(one["drawn"]):
            for numbered, pattern in zip(
                entry["patterns"], example(one["name"], one["text"], seed).patterns
            ):
                name, number, queries, keys = numbered
                cells = data["patterns"][number]
                assert [[c == "1" for c in line] for line in cells] == pattern[1].tolist()
                assert row(entry, queries)[0] == pattern[2] and row(entry, keys)[0] == pattern[3]


def test_the_user_s_sentence_is_used_and_a_long_one_is_cut():
    data = corruptions("Call me Ishmael", seeds=1)
    assert data["text"] == "Call me Ishmael" and not data["cut"]
    for one in data["objectives"]:
        assert one["text"] == (PAIR if one["name"] == "translation" else "Call me Ishmael")
    long = corruptions("word " * 100, seeds=1)
    assert long["cut"] and len(long["text"].split()) == 40
    with pytest.raises(DataError, match="fewer than two"):
        corruptions("Call")
    with pytest.raises(Unsuitable, match="one word"):
        figures(AtHand(prompt="Call"))


# In the browser.


def test_seeds_draw_again_and_going_back_restores(open_page):
    figure = figures(at_hand(prompt=TEXT))[0]
    opened = open_page(page("corruptions", [figure])).drawn()
    opened.page.get_by_text("masked LM", exact=True).click()
    card = opened.page.locator("article[data-name=masked]")
    assert card.is_visible() and not opened.page.locator("article[data-name=causal]").is_visible()
    seed = opened.page.get_by_role("slider")
    pictures = [card.inner_html()]
    for _ in range(figure.data["seeds"] - 1):
        seed.press("ArrowRight")
        pictures.append(card.inner_html())
    assert len(set(pictures)) > 1
    for before in pictures[-2::-1]:
        seed.press("ArrowLeft")
        assert card.inner_html() == before
    assert opened.complaints == [] and opened.requests == []


def test_words_of_the_page_are_the_words_and_markup_stays_text(open_page):
    text = "<b> & </script> mice"
    figure = figures(AtHand(prompt=text))[0]
    opened = open_page(page("corruptions", [figure])).drawn()
    one = next(one for one in figure.data["objectives"] if one["name"] == "causal")
    cells = opened.page.locator("article[data-name=causal] td").all_inner_texts()
    assert cells == [word for _, words, _ in one["drawn"][0]["rows"] for word in words]
    card = opened.page.locator("article[data-name=causal]")
    card.locator("summary").click()
    card.locator("svg").wait_for()
    seen = card.locator("svg rect").count()
    assert seen == len(one["drawn"][0]["rows"][0][1]) ** 2
    assert opened.complaints == []


def test_marks_of_direction_are_shown_and_do_not_turn_the_line(open_page):
    figure = figures(AtHand(prompt="one \u202e two \x1b three"))[0]
    opened = open_page(page("corruptions", [figure]), width=360, dark=True).drawn()
    shown = opened.page.locator(".stage").inner_text()
    assert "U+202E" in shown and "U+001B" in shown and not {"\u202e", "\x1b"} & set(shown)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == []
