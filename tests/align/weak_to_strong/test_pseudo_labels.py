"""A strong model that learns from a weak one's labels."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.weak_to_strong import imitation, pseudo_label, weak_to_strong
from tinylm.errors import DataError, ShapeError

TEST = list(range(8))
GOLD = [x % 2 for x in TEST]


def by_rule(inputs, labels):
    """A strong model that knows parity, and learns only which name each side has: by majority."""
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    names = [np.bincount(labels[inputs % 2 == side], minlength=2).argmax() for side in (0, 1)]
    return lambda test: [int(names[x % 2]) for x in test]


def by_heart(inputs, labels):
    """A strong model that learns every label, and answers 0 to what it has not seen."""
    known = dict(zip(inputs, labels))
    return lambda test: [known.get(x, 0) for x in test]


def weak(inputs):
    """Parity, but wrong for 2 and 3."""
    return [1 - x % 2 if x in (2, 3) else x % 2 for x in inputs]


def test_the_label_is_the_most_probable_one_and_the_first_of_equals():
    assert pseudo_label([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]).tolist() == [1, 0, 0]
    for odd in ([0.5, 0.5], np.zeros((2, 0))):
        with pytest.raises(ShapeError, match="need"):
            pseudo_label(odd)


def test_a_model_with_knowledge_of_its_own_corrects_its_teacher():
    found = weak_to_strong(weak, by_rule, TEST, GOLD, TEST, GOLD)
    assert (found.weak, found.strong, found.ceiling) == (6 / 8, 1.0, 1.0)
    assert found.recovered == 1.0
    assert found.imitation == imitation(weak(TEST), GOLD, GOLD)
    assert (found.imitation.repeated, found.imitation.corrected) == (0.0, 1.0)
    assert found.imitation.agreement == 6 / 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.weak = 1.0


def test_a_model_that_only_imitates_repeats_every_error():
    found = weak_to_strong(weak, by_heart, TEST, GOLD, TEST, GOLD)
    assert (found.weak, found.strong, found.ceiling) == (6 / 8, 6 / 8, 1.0)
    assert found.recovered == 0.0
    assert (found.imitation.repeated, found.imitation.corrected) == (1.0, 0.0)


def test_with_a_perfect_teacher_it_is_ordinary_fine_tuning():
    calls = []

    def learn(inputs, labels):
        calls.append((list(inputs), list(labels)))
        return by_heart(inputs, labels)

    inputs = TEST[:6]
    with pytest.raises(DataError, match="no gap"):  # 0 to the last two: both have 7 of 8
        weak_to_strong(
            lambda xs: [(x % 2) * (x < 6) for x in xs], learn, inputs, GOLD[:6], TEST, GOLD
        )
    assert calls[0] == calls[1] == (inputs, GOLD[:6])


def test_an_error_may_become_another_error():
    found = imitation(weak=[0, 1, 2], strong=[1, 1, 0], gold=[2, 1, 0])
    assert (found.agreement, found.repeated, found.corrected) == (1 / 3, 0.0, 1 / 2)
    assert np.isnan(imitation([1], [0], [1]).repeated)
    assert np.isnan(imitation([1], [0], [1]).corrected)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.agreement = 1.0


def test_labels_are_compared_one_by_one():
    with pytest.raises(DataError, match=r"labels \(1,\), \(2,\)"):
        imitation([1], [1, 0], [1, 0])
    with pytest.raises(DataError, match="labels"):
        imitation([], [], [])
