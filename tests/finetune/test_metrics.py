import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError, ShapeError
from tinylm.finetune.metrics import (
    accuracy,
    answer_scores,
    auc,
    confusion,
    entity_f1,
    f1,
    matthews,
    pearson,
    ranks,
    spearman,
)

NUMBERS = st.lists(st.integers(-20, 20), min_size=2, max_size=12)


def test_accuracy_is_the_share_that_is_right():
    assert accuracy(["a", "b", "a", "a"], ["a", "b", "b", "b"]) == 0.5
    assert accuracy([1, 1, 1, 0], [1, 1, 1, 1]) == 0.75  # of four, three
    with pytest.raises(ShapeError, match="1 answers for 2"):
        accuracy([1], [1, 2])


def test_matthews_is_1_for_right_minus_1_for_reversed_0_for_one_answer():
    gold = [1, 0, 1, 0]
    assert matthews(gold, gold) == 1
    assert matthews([0, 1, 0, 1], gold) == -1
    assert matthews([1, 1, 1, 1], gold) == 0
    assert matthews([1, 0, 0, 1], gold) == 0  # right half of the time in both classes


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=20))
def test_matthews_of_two_classes_is_pearsons_correlation(pairs):
    answers, gold = zip(*pairs)
    assert matthews(answers, gold) == pytest.approx(pearson(answers, gold), abs=1e-12)


def test_matthews_of_three_classes_by_hand():
    # 5 of 6 right; answers (2, 3, 1), truth (2, 2, 2): (5 * 6 - 12) / sqrt((36 - 14) (36 - 12))
    assert matthews([0, 0, 1, 1, 2, 1], [0, 0, 1, 2, 2, 1]) == pytest.approx(
        18 / (22 * 24) ** 0.5, abs=1e-12
    )


def test_the_confusion_has_the_truth_in_rows():
    assert confusion(["b", "a", "a"], ["a", "a", "b"]).tolist() == [[1, 1], [1, 0]]


def test_f1_by_hand():
    assert f1([1, 1, 0, 0], [1, 0, 1, 0]) == 0.5  # precision 1/2, recall 1/2
    assert f1([0], [0]) == 1.0


def test_correlations_by_hand():
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1, abs=1e-15)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1, abs=1e-15)
    assert pearson([1, 2, 3], [5, 5, 5]) == 0
    assert (
        pearson([0.1] * 3, [0.1] * 3) == 0
    )  # whose mean is 0.10000000000000002: rounding is no variation
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1, abs=1e-15)
    assert pearson([1, 2, 3, 4], [1, 10, 100, 1000]) < 0.9
    x = np.array([0.1 * 3, 0.7, 0.2])  # rounding alone would give 1 + 2e-16
    assert pearson(x, x) == 1 and pearson(x, -x) == -1
    assert pearson([0, 1], [1, 0]) == pytest.approx(-1, abs=1e-15)  # a range of 1 is a range
    assert ranks([30, 10, 30, 20]).tolist() == [2.5, 0, 2.5, 1]


@given(NUMBERS, st.integers(1, 9), st.integers(-9, 9))
def test_correlations_do_not_change_with_scale(x, a, b):
    y = [i * i for i in x]
    assert pearson([a * i + b for i in x], y) == pytest.approx(pearson(x, y), abs=1e-10)
    assert spearman([i**3 for i in x], y) == pytest.approx(spearman(x, y), abs=1e-12)


def test_an_entity_counts_only_whole():
    gold = [[("ORG", 0, 2), ("PER", 3, 4)], []]
    found = entity_f1([[("ORG", 0, 1), ("PER", 3, 4)], []], gold)
    assert found == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert entity_f1([[("PER", 0, 2)], []], gold)["f1"] == 0  # of another type
    assert entity_f1(gold, gold) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert entity_f1([[]], [[]]) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert entity_f1([[("A", 0, 1)]], [[]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_answers_are_compared_with_the_reference_that_fits_best():
    scores = answer_scores(["The red car", "no"], [["a blue car", "red car"], "yes"])
    assert scores == {"exact": 0.5, "f1": 0.5}


def test_auc_is_the_chance_that_a_positive_scores_above_a_negative():
    # pairs (positive, negative): (.8, .3) above, (.8, .8) equal, (.5, .3) above, (.5, .8) below
    scores, positive = [0.8, 0.3, 0.5, 0.8], [True, False, True, False]
    assert auc(scores, positive) == pytest.approx((1 + 0.5 + 1 + 0) / 4, abs=1e-15)
    assert auc([3, 2, 1], [1, 1, 0]) == 1 and auc([1, 2, 3], [1, 1, 0]) == 0
    assert auc([7, 7], [0, 1]) == 0.5


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=9))
def test_auc_counts_all_pairs(examples):
    above = [(a > b) + 0.5 * (a == b) for a, p in examples if p for b, q in examples if not q]
    scores, positive = zip(*examples)
    if above:
        assert auc(scores, positive) == pytest.approx(np.mean(above), abs=1e-12)
    else:
        with pytest.raises(DataError, match="one of each"):
            auc(scores, positive)
