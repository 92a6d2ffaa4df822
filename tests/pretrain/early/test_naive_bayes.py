"""Naive Bayes, by hand."""

import numpy as np
import pytest

from tinylm.errors import DataError
from tinylm.pretrain.early.naive_bayes import naive_bayes


def test_naive_bayes_counts():
    p = naive_bayes(2, 2)([([0, 0, 1], 0), ([1], 1)])([[0], []])
    # Pr(0 | class 0) = 3/5, Pr(0 | class 1) = 1/3 with one added to every count; both classes are
    # as frequent
    np.testing.assert_allclose(p, [[0.6 / (0.6 + 1 / 3), (1 / 3) / (0.6 + 1 / 3)], [0.5, 0.5]])
    assert naive_bayes(2, 2)([([0], 0)])([]).shape == (0, 2)
    with pytest.raises(DataError, match="no examples"):
        naive_bayes(2, 2)([])


def test_ten_times_the_text_is_surer_and_no_text_is_too_long():
    p = naive_bayes(2, 2)([([0, 0, 1], 0), ([1], 1)])([[0], [0] * 10, [0] * 5000])
    assert (
        p[0, 0] < p[1, 0] < 1 and p[2, 0] == 1
    )  # 0.36^5000 is less than any float, and does not become 0 / 0
    np.testing.assert_allclose(p.sum(axis=1), 1)
