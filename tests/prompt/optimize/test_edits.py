"""Edits are one edit apart, and a climb over them only goes up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure.answers import edit_distance
from tinylm.errors import ConfigError
from tinylm.prompt.optimize.edits import (
    OPERATORS,
    Edited,
    grips,
    phrase_parts,
    phrases,
    possible,
    random_edit,
)
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.paraphrase import Lexicon

sequences = st.lists(st.sampled_from("abc"), max_size=6)


def scored(score, **settings):
    return PromptEvaluator(lambda pairs: [score(prompt) for prompt, _ in pairs], [0], **settings)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("Translate the following text into French.", "Translate|the following text|into French."),
        (
            "First, decide whether it is of the right kind",
            "First,|decide|whether it is|of the right kind",
        ),
        ("  Add \n all  numbers ", "Add all numbers"),
        ("Yes? No! a; b: c", "Yes?|No!|a;|b:|c"),
        ("", ""),
    ],
)
def test_a_phrase_ends_at_punctuation_and_before_function_words(text, parts):
    assert phrases(text) == list(filter(None, parts.split("|")))


@given(text=st.text("a .,t\n", max_size=12).map(lambda text: text.replace("t", "the")))
def test_the_parts_of_phrases_join_to_the_text(text):
    parts = phrase_parts(text)
    assert "".join(parts) == text
    assert phrases(text) == [" ".join(part.split()) for part in parts if part.strip()]


@given(parts=st.lists(st.sampled_from("abcd"), min_size=2, max_size=6), data=st.data())
def test_each_edit_is_one_step_away(parts, data):
    before = Edited(tuple(parts), ("x", "y"))
    i, j = (data.draw(st.integers(0, len(parts) - 1)) for _ in range(2))
    removed = before.delete(i)
    assert removed.deleted == ("x", "y", parts[i])
    added = before.add(data.draw(st.integers(0, len(parts))), 0)
    assert added.deleted == ("y",) and sorted(added.phrases) == sorted([*parts, "x"])
    changed = before.paraphrase(i, "new")
    for after in (removed, added, changed):
        assert edit_distance(before.phrases, after.phrases) == 1
    swapped = before.swap(i, j)
    assert edit_distance(before.phrases, swapped.phrases) <= 2
    assert sorted(swapped.phrases) == sorted(parts) and swapped.swap(i, j) == before
    # What was deleted comes back.
    assert removed.add(i, 2) == before


def test_edits_by_hand():
    start = Edited(("a", "b", "c"), ("x", "y"))
    assert start.text == "a b c"
    assert start.delete(1) == Edited(("a", "c"), ("x", "y", "b"))
    assert start.swap(0, 2) == Edited(("c", "b", "a"), ("x", "y"))
    assert start.paraphrase(2, "d") == Edited(("a", "b", "d"), ("x", "y"))
    assert start.add(3, 1) == Edited(("a", "b", "c", "y"), ("x",))


@pytest.mark.parametrize(
    "edited, allowed",
    [
        (Edited(("a", "b"), ("x",)), OPERATORS),
        (Edited(("a", "b")), ("delete", "swap", "paraphrase")),
        (Edited(("a",), ("x",)), ("paraphrase", "add")),
        (Edited(()), ()),
    ],
)
def test_an_edit_needs_phrases_to_work_on(edited, allowed):
    assert tuple(possible(edited, OPERATORS, lambda phrase, rng: phrase)) == allowed
    without = tuple(name for name in allowed if name != "paraphrase")
    assert tuple(possible(edited, OPERATORS, None)) == without
    with pytest.raises(
        ConfigError, match="no edit 'insert'; there are delete, swap, paraphrase, add"
    ):
        possible(edited, ("insert",), None)


def test_random_edits_use_every_operator_and_place():
    rng, start = np.random.default_rng(0), Edited(("a", "b", "c"), ("x", "y"))
    seen = {
        random_edit(start, rng, OPERATORS, lambda phrase, rng: phrase.upper()) for _ in range(999)
    }
    deleted = {start.delete(i) for i in range(3)}
    swapped = {start.swap(i, j) for i in range(3) for j in range(i)}
    changed = {start.paraphrase(i, p) for i, p in enumerate("ABC")}
    added = {start.add(i, k) for i in range(4) for k in range(2)}
    assert seen == deleted | swapped | changed | added
    assert {random_edit(start, rng, ("delete",)) for _ in range(99)} == deleted
    alone = Edited(("a",))
    assert random_edit(alone, rng) == alone


def test_a_phrase_is_added_at_every_place_with_equal_chance():
    rng, start = np.random.default_rng(0), Edited(("a", "b", "c"), ("x",))
    places = [random_edit(start, rng, ("add",)).phrases.index("x") for _ in range(400)]
    counts = np.bincount(places, minlength=4)
    assert ((counts - 100) ** 2 / 100).sum() < 16.3  # chi-square of 3, once in a thousand


@given(seed=st.integers(0, 99), edits=st.integers(1, 3), budget=st.integers(1, 40))
def test_a_climb_only_goes_up_and_keeps_its_budget(seed, edits, budget):
    rng = np.random.default_rng(seed)
    scores = {}
    evaluate = scored(lambda prompt: scores.setdefault(prompt, rng.random()), budget=budget)
    found = grips(evaluate, "Sort the words, then count the letters.", edits=edits, seed=seed)
    assert found.evaluations <= budget
    assert found.score == max(trial.score for trial in found.trials) >= found.trials[0].score
    assert found.trials[0].prompt == "Sort the words, then count the letters."


def test_a_climb_finds_the_shorter_prompt_and_paraphrases():
    shorter = scored(lambda prompt: -len(prompt))
    text = "Go, if you can, to all of the numbers."
    assert grips(shorter, text, candidates=40, rounds=9, patience=9).prompt == "Go,"
    lexicon = Lexicon([("add", "sum")])
    found = grips(
        scored(lambda prompt: "sum" in prompt), "add all", lexicon.paraphrase, ["paraphrase"]
    )
    assert found.prompt == "sum all"


def test_what_was_deleted_can_come_back_elsewhere():
    start = "b, a, c, d,"
    target = {start: 0, "a, c, d,": 1, "b, c, d,": 0.5, "a, b, c, d,": 3}
    evaluate = scored(lambda prompt: target.get(prompt, -1))
    found = grips(evaluate, start, operators=("delete", "add"), candidates=60, rounds=3)
    assert found.prompt == "a, b, c, d,"


class Rounds(PromptEvaluator):
    """Counts the prompts of every round; scores are those of a function of the number of trials."""

    def __init__(self, score):
        super().__init__(
            lambda pairs: [score(len(self.trials) + i) for i in range(len(pairs))], [0]
        )
        self.sizes = []

    def __call__(self, prompts):
        self.sizes.append(len(prompts))
        return super().__call__(prompts)


@pytest.mark.parametrize(
    "score, options, sizes",
    [
        (lambda n: 0.0, {}, [1, 5, 5]),  # the prompt, and two rounds of five candidates
        (lambda n: 0.0, {"patience": 3, "candidates": 4}, [1, 4, 4, 4]),
        (lambda n: n, {}, [1] + [5] * 10),
        (lambda n: n, {"rounds": 3}, [1] + [5] * 3),
    ],
)
def test_rounds_without_a_better_prompt_end_the_climb(score, options, sizes):
    evaluate = Rounds(score)
    grips(evaluate, ", ".join("abcdefghijklmnop"), **options)
    assert evaluate.sizes == sizes


def test_the_failures_in_a_row_are_counted():
    values = iter([0, 0, 1, 1, 2, 2, 2])
    evaluate = scored(lambda prompt: next(values))
    # one candidate a round: fails, better, fails, better, fails, fails
    found = grips(evaluate, "a, b, c, d, e, f, g, h, i,", operators=("delete",), candidates=1)
    assert found.evaluations == 7 and found.score == 2


def test_an_unknown_edit_is_refused_before_anything_is_evaluated():
    evaluate = scored(len)
    with pytest.raises(ConfigError, match="no edit 'move'"):
        grips(evaluate, "a b", operators=("move",))
    assert evaluate.evaluations == 0


def test_held_out_examples_score_the_winner():
    assert grips(scored(len), "a, b,", held=[7]).held_score is not None
