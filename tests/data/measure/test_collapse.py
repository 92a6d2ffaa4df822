"""Models of models lose variety at the rate that theory says."""

from itertools import product

import numpy as np
import pytest

from tinylm.data.measure.collapse import expected_variety, generations, variety
from tinylm.errors import ConfigError

P = np.array([0.5, 0.3, 0.2])


def test_one_generation_by_enumerating_every_draw():
    n, expected = 3, 0.0
    for draws in product(range(3), repeat=n):  # 27 outcomes
        expected += np.prod(P[list(draws)]) * variety(np.bincount(draws, minlength=3) / n)
    assert expected == pytest.approx(expected_variety(P, n, 1)[1], rel=1e-12)


def test_what_is_gone_does_not_come_back():
    rows = generations(np.full(20, 0.05), 20, 40, np.random.default_rng(0))
    alive = rows > 0
    assert (
        np.all(alive[1:] <= alive[:-1]) and alive[-1].sum() < 5 and np.allclose(rows.sum(axis=1), 1)
    )


def test_real_text_keeps_variety():
    last = [
        generations(np.full(20, 0.05), 50, 60, np.random.default_rng(seed), real)[-1]
        for real in (0.0, 0.5)
        for seed in range(5)
    ]
    own, mixed = np.mean(variety(np.array(last[:5]))), np.mean(variety(np.array(last[5:])))
    assert mixed > 0.85 > own  # 0.95 at first; theory 0.28 without


def test_a_share_is_a_share():
    with pytest.raises(ConfigError, match="share 2"):
        generations(P, 3, 1, np.random.default_rng(0), real=2)
