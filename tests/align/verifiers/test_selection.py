import itertools

import numpy as np
import pytest

from tinylm.align.verifiers.selection import best_is_right, vote_is_right
from tinylm.errors import ShapeError
from tinylm.prompt.ensemble.outputs import verified_law


def test_the_path_with_the_greatest_score_is_taken():
    found = best_is_right(
        [[0.1, 0.9, 0.3], [0.5, 0.2, 0.1]], [[True, False, True], [True, False, 0]]
    )
    assert found.tolist() == [0, 1]
    assert float(best_is_right([2.0, 1.0], [1, 0])) == 1


def test_equal_scores_are_drawn_at_random():
    assert best_is_right([[1, 1, 0]], [[1, 0, 1]]).tolist() == [0.5]
    assert best_is_right(np.zeros((1, 4)), [[1, 0, 0, 0]]).tolist() == [0.25]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_perfect_verifier_reaches_pass_at_n_and_one_that_knows_nothing_q(n):
    # all sets of n paths that are right with probability q, listed
    q, perfect, nothing = 0.3, 0.0, 0.0
    for right in itertools.product([0, 1], repeat=n):
        chance = q ** sum(right) * (1 - q) ** (n - sum(right))
        perfect += chance * float(best_is_right(right, right))
        nothing += chance * float(best_is_right(np.zeros(n), right))
    assert perfect == pytest.approx(1 - (1 - q) ** n) == verified_law(q, n)
    assert nothing == pytest.approx(q)


def test_the_most_frequent_answer_wins_by_its_value():
    assert vote_is_right(["1", "3/8", "0.375"], [0, 1, 1]) == 1
    assert vote_is_right(["1", None, "2", "1"], [1, 0, 0, 1]) == 1
    assert vote_is_right(["1", "1.0", "2"], [0, 0, 1], key=lambda value: value) == pytest.approx(
        1 / 3
    )


def test_equal_counts_are_drawn_at_random():
    assert vote_is_right(["1", "2", "2", "1"], [1, 0, 0, 1]) == 0.5
    assert vote_is_right(["1", "2", "3", None], [0, 0, 1, 0]) == pytest.approx(1 / 3)
    assert vote_is_right([None, None], [0, 0]) == 0


def test_weights_decide_a_vote():
    answers, right = ["1", "2", "2"], [1, 0, 0]
    assert vote_is_right(answers, right, [0.9, 0.3, 0.3]) == 1
    assert vote_is_right(answers, right, [0.5, 0.3, 0.3]) == 0
    # 0.1 + 0.2 is 0.3: a tie, though not in floating point
    assert vote_is_right(["1", "2", "2"], right, [0.3, 0.1, 0.2]) == 0.5


def test_a_weight_and_a_label_for_each_path():
    with pytest.raises(ShapeError, match="2 answers, 1 labels, 2 weights"):
        vote_is_right(["1", "2"], [1])
    with pytest.raises(ShapeError, match="2 answers, 2 labels, 1 weights"):
        vote_is_right(["1", "2"], [1, 0], [1])
    with pytest.raises(ShapeError, match="scores for"):
        best_is_right([1, 2], [[1, 0]])
