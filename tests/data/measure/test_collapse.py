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


def test_variety_shrinks_by_the_same_share_every_generation():
    assert variety(P) == pytest.approx(1 - (0.25 + 0.09 + 0.04))
    # By half of 0.62 with two draws a generation; all at once with one draw.
    np.testing.assert_allclose(expected_variety(P, 2, 3), [0.62, 0.31, 0.155, 0.0775], rtol=1e-12)
    np.testing.assert_allclose(expected_variety(P, 1, 2), [0.62, 0, 0], rtol=1e-12)
    measured = [variety(generations(P, 4, 2, np.random.default_rng(seed))) for seed in range(2000)]
    # H lies in [0, 1], so a mean of 2000 has a standard error below 0.5 / sqrt(2000) = 0.011.
    np.testing.assert_allclose(np.mean(measured, 0), expected_variety(P, 4, 2), atol=4 * 0.011)


def test_without_real_text_one_word_is_left_and_a_share_of_it_keeps_both():
    half, rng = [0.5, 0.5], np.random.default_rng(0)
    # Two words of 10 draws both survive 300 generations with probability below 0.9^300 = 1e-13.
    assert generations(half, 10, 300, rng)[-1].max() == 1
    # 3 of 10 draws real: now and then a word is gone, and comes back.
    rows = generations(half, 10, 300, rng, real=0.3)
    assert (rows[200:].max(axis=1) < 1).any() and np.allclose(rows.sum(axis=1), 1)
    # All real: every generation is a sample of the text, within 5 standard deviations of it.
    rows = generations(half, 1000, 30, rng, real=1.0)
    assert (np.abs(rows[:, 0] - 0.5) < 5 * (0.25 / 1000) ** 0.5).all()


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
    for draws, real in (3, 1.1), (3, -0.1), (0, 0.0):
        with pytest.raises(ConfigError, match=f"{draws} draws with a share {real}"):
            generations(P, draws, 1, np.random.default_rng(0), real=real)
    assert generations(P, 1, 1, np.random.default_rng(0)).max() == 1  # one draw: one word is left
