"""Three means of tokens, what each is a mean of, and that parts add up to the whole."""

import numpy as np
import pytest

from tinylm.align.aggregation import AGGREGATIONS, aggregate
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError, ShapeError

# Two responses: 1 and 2, 3, 4; what does not count must never be read
VALUES = np.array([[np.nan, 1.0, np.inf], [2.0, 3.0, 4.0]])
COUNTED = np.array([[False, True, False], [True, True, True]])


@pytest.mark.parametrize(
    "how, total, wanted",
    [
        ("token", None, 10 / 4),
        ("sequence", None, (1 + 3) / 2),
        ("fixed", 5, 10 / 5),
        ("token", 8, 10 / 8),
        ("sequence", 4, (1 + 3) / 4),
    ],
)
def test_what_each_mean_is_a_mean_of(how, total, wanted):
    assert aggregate(Tensor(VALUES), COUNTED, how, total).item() == wanted


def test_the_default_is_the_mean_over_all_tokens():
    assert aggregate(Tensor(VALUES), COUNTED).item() == 10 / 4


@pytest.mark.parametrize(
    "how, weights",
    [("token", [1 / 4, 1 / 4]), ("sequence", [1 / 2, 1 / 6]), ("fixed", [1 / 5, 1 / 5])],
)
def test_the_weight_of_each_token(how, weights):
    """Row 0 has one token, row 1 three; nothing else gets a gradient."""
    x = Tensor(VALUES, requires_grad=True)
    total = 5 if how == "fixed" else None
    (g,) = grad(aggregate(x, COUNTED, how, total), [x])
    np.testing.assert_allclose(g.data, COUNTED * np.array(weights)[:, None], rtol=1e-15)


@pytest.mark.parametrize("how, total", [("token", 4), ("sequence", 2), ("fixed", 5)])
def test_parts_add_up_to_the_whole_when_they_divide_by_its_count(how, total):
    whole = aggregate(Tensor(VALUES), COUNTED, how, total).item()
    parts = [aggregate(Tensor(VALUES[b : b + 1]), COUNTED[b : b + 1], how, total) for b in (0, 1)]
    assert sum(part.item() for part in parts) == pytest.approx(whole, rel=1e-15)
    if how == "token":  # the mean of the means of parts is another number: 2, not 2.5
        means = [aggregate(Tensor(VALUES[b : b + 1]), COUNTED[b : b + 1]).item() for b in (0, 1)]
        assert np.mean(means) == 2


def test_a_sequence_without_a_token_is_still_a_sequence():
    counted = COUNTED.copy()
    counted[0] = False
    assert aggregate(Tensor(VALUES), counted, "sequence").item() == 3 / 2
    assert aggregate(Tensor(VALUES), counted, "token").item() == 3
    # a part without any adds 0 to the whole
    assert aggregate(Tensor(VALUES[:1]), counted[:1], "token", 3).item() == 0


def test_what_has_no_mean_is_refused():
    values = Tensor(np.ones((1, 2)))
    counted = np.ones((1, 2), bool)
    with pytest.raises(DataError, match="no token counts"):
        aggregate(values, ~counted)
    with pytest.raises(ConfigError, match="token, sequence, fixed"):
        aggregate(values, counted, "mean")
    with pytest.raises(ConfigError, match="constant"):
        aggregate(values, counted, "fixed")
    for how in AGGREGATIONS:
        with pytest.raises(ConfigError, match="total is 0"):
            aggregate(values, counted, how, 0)
    with pytest.raises(ShapeError, match="aggregate"):
        aggregate(values, counted[:, :1])
    with pytest.raises(ShapeError, match="aggregate"):
        aggregate(Tensor(np.ones(2)), np.ones(2, bool))
