"""The compute-optimal size: closed form against search, and the three approaches against a law that
is known.
"""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.train.scaling.chinchilla import (
    compute_optimal,
    envelope,
    exponent,
    fit_parametric,
    isoflop,
    minimal_compute,
    tokens_to_reach,
)
from tinylm.train.scaling.laws import CHINCHILLA, Parametric

BUDGETS = np.geomspace(1e18, 1e22, 9)


def test_chinchillas_own_compute():
    # G = (0.34 * 406.4 / (0.28 * 410.7))^(1/0.62) = 1.3447106. The rounded constants do not give 20
    # tokens a parameter.
    N, D, loss = compute_optimal(5.76e23)
    assert N == pytest.approx(32.19e9, rel=5e-4) and D == pytest.approx(2.982e12, rel=5e-4)
    assert D / N == pytest.approx(92.6, abs=0.06) and loss == pytest.approx(1.930748, abs=5e-7)
    assert compute_optimal(1e21)[:2] == pytest.approx((1.824e9, 91.36e9), rel=5e-4)
    assert N / (5.76e23 / 6) ** (0.28 / 0.62) == pytest.approx(1.3447106, abs=5e-8)


@pytest.mark.parametrize(
    "law", [CHINCHILLA, Parametric(20, 0.5, 3, 0.2, 0.4), Parametric(1, 0.1, 50, 0.6)]
)
def test_no_size_on_a_fine_grid_is_better_than_the_closed_form(law):
    for C in (1e12, 1e20):
        N, D, loss = compute_optimal(C, law)
        assert 6 * N * D == pytest.approx(C)
        grid = N * np.geomspace(1e-3, 1e3, 20001)  # a step is 0.07 %
        losses = law(grid, C / 6 / grid)
        assert (
            losses.min() >= loss * (1 - 1e-14) and abs(np.log(grid[np.argmin(losses)] / N)) < 1e-3
        )


def test_the_least_compute_for_a_loss_is_the_inverse_of_the_best_loss_for_a_compute():
    for C in (1e18, 1e23):
        assert minimal_compute(compute_optimal(C)[2]) == pytest.approx(C, rel=1e-9)
    with pytest.raises(ConfigError, match="not above the irreducible 1.69"):
        minimal_compute(1.69)
    with pytest.raises(ConfigError, match="must be positive"):
        compute_optimal(1e20, Parametric(1, -0.1, 1, 0.3))


def test_larger_models_reach_a_loss_with_fewer_tokens_and_small_ones_never():
    needed = tokens_to_reach(2.2, np.array([1e8, 1e9, 1e10, 1e11]))
    # 406.4 / (1e8)^0.34 = 0.775 > 2.2 - 1.69: no number of tokens makes up for that
    assert np.isinf(needed[0]) and np.all(np.diff(needed[1:]) < 0)
    assert CHINCHILLA(1e10, needed[2]) == pytest.approx(2.2)


def test_the_law_with_equal_exponents_scales_both_equally():
    small, large = (compute_optimal(C, Parametric(400, 0.3, 400, 0.3, 1.7)) for C in (1e20, 1e22))
    assert large[0] / small[0] == pytest.approx(10) and large[1] / small[1] == pytest.approx(
        10
    )  # sqrt(100) each


def test_approach_1_finds_the_exponent_from_curves():
    sizes = np.geomspace(1e7, 1e11, 81)
    tokens = np.geomspace(1e8, 1e14, 300)
    C, N, D, loss = envelope([(size, tokens, CHINCHILLA(size, tokens)) for size in sizes], BUDGETS)
    assert len(C) == len(BUDGETS)
    np.testing.assert_allclose(6 * N * D, C)
    np.testing.assert_allclose(
        loss, compute_optimal(C)[2], rtol=1e-4
    )  # sizes are 12 % apart, the bottom is flat
    assert exponent(C, N)[1] == pytest.approx(0.28 / 0.62, abs=0.02)  # beta / (alpha + beta)
    assert exponent(C, D)[1] == pytest.approx(0.34 / 0.62, abs=0.02)


def test_approach_1_does_not_take_the_end_of_the_row_for_the_optimum():
    tokens = np.geomspace(1e8, 1e14, 50)
    best = compute_optimal(1e20)[0]
    too_small = [
        (size, tokens, CHINCHILLA(size, tokens)) for size in best * np.array([0.01, 0.02, 0.03])
    ]
    assert len(envelope(too_small, [1e20])[0]) == 0


def test_approach_2_finds_the_exponent_from_parabolas():
    runs = []
    for C in BUDGETS:
        N = compute_optimal(C)[0] * np.geomspace(1 / 4, 4, 9)
        runs.append((C, N, CHINCHILLA(N, C / 6 / N)))
    C, N, loss = isoflop(runs)
    assert exponent(C, N)[1] == pytest.approx(0.28 / 0.62, abs=1e-3)
    np.testing.assert_allclose(
        loss, compute_optimal(C)[2], rtol=1e-3
    )  # the bottom is no exact parabola
    np.testing.assert_allclose(N, compute_optimal(C)[0], rtol=0.1)


def test_a_parabola_without_a_bottom_between_its_runs_says_nothing():
    N = compute_optimal(1e20)[0] * np.array([0.01, 0.02, 0.04])
    assert len(isoflop([(1e20, N, CHINCHILLA(N, 1e20 / 6 / N))])[0]) == 0
    with pytest.raises(ConfigError, match="at least 3"):
        isoflop([(1e20, N[:2], np.ones(2))])


def test_approach_3_finds_the_law_and_all_three_agree():
    rng = np.random.default_rng(0)
    N = np.repeat(np.geomspace(1e7, 1e10, 8), 8)
    D = np.tile(np.geomspace(1e9, 1e12, 8), 8)
    law, fit = fit_parametric(N, D, CHINCHILLA(N, D) * np.exp(0.002 * rng.normal(size=64)))
    assert law.beta / (law.alpha + law.beta) == pytest.approx(0.28 / 0.62, abs=0.02)
    assert law.E == pytest.approx(1.69, abs=0.05)
    assert compute_optimal(1e21, law)[2] == pytest.approx(compute_optimal(1e21)[2], rel=2e-3)
    np.testing.assert_allclose(fit(N, D), law(N, D))
