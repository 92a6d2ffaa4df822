"""Three kinds of long problems: every answer follows from its question."""

import numpy as np
import pytest

from tinylm.data.synthetic import long_kinds as k
from tinylm.errors import DataError


def marked(x):
    """The answer of summarize() by a loop."""
    return [x[i + 1] for i in range(len(x) - 1) if x[i] == k.MARK]


TASKS = [
    ("summarize", (40, 5), marked),
    ("expand", (4, 6), lambda x: list(x) * 6),
    ("translate", (30,), lambda x: [k.WORDS + k.dictionary(8)[w - k.WORDS] for w in x]),
]


@pytest.mark.parametrize("name, sizes, reference", TASKS)
def test_the_answer_is_what_a_loop_finds(name, sizes, reference):
    ids, answers = k.KINDS[name](50, *sizes)
    assert (ids[:, -answers - 1] == k.ASK).all() and (ids == k.ASK).sum() == len(ids)
    for row in ids:
        assert list(row[-answers:]) == reference(row[: -answers - 1])


@pytest.mark.parametrize("name, sizes, reference", TASKS)
def test_a_seed_decides_all_and_another_seed_differs(name, sizes, reference):
    first, again, other = (k.KINDS[name](5, *sizes, seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_kinds_are_long_in_question_answer_or_both():
    assert k.summarize(2, 40, 5)[0].shape == (2, 40 + 5 + 1 + 5) and k.summarize(2, 40, 5)[1] == 5
    assert k.expand(2, 4, 6)[0].shape == (2, 4 + 1 + 24) and k.expand(2, 4, 6)[1] == 24
    assert k.translate(2, 30)[0].shape == (2, 30 + 1 + 30) and k.translate(2, 30)[1] == 30


def test_marks_can_stand_at_every_word():
    ids, _ = k.summarize(400, 5, 1)
    assert set((ids[:, :6] == k.MARK).argmax(1)) == {
        0,
        1,
        2,
        3,
        4,
    }  # 400 rows miss one of 5 with p < 1e-37
    whole, _ = k.summarize(2, 5, 5)  # all words are marked: x is MARK word MARK word ...
    assert (whole[:, 0:10:2] == k.MARK).all() and (whole[:, 1:10:2] >= k.WORDS).all()


def test_the_dictionary_is_a_permutation():
    assert sorted(k.dictionary(8)) == list(range(8))


def test_more_marks_than_words_are_refused():
    with pytest.raises(DataError, match="6 marked words of 5"):
        k.summarize(1, 5, 6)
