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


@pytest.mark.parametrize("per_token", [1.0, 2.0, 6.0])
def test_any_price_of_a_token_gives_the_same_tradeoff(per_token):
    N, D, loss = compute_optimal(1e20, per_token=per_token)
    assert per_token * N * D == pytest.approx(1e20)
    assert minimal_compute(loss, per_token=per_token) == pytest.approx(1e20, rel=1e-9)
    # What counts is the product N D: the optimum for so many operations at 6 each.
    assert compute_optimal(6 * 1e20 / per_token)[:2] == pytest.approx((N, D))


@pytest.mark.parametrize("alpha, beta", [(0.0, 0.3), (0.3, 0.0), (-0.1, 0.3), (0.3, -0.1)])
def test_without_a_falling_term_there_is_no_optimum(alpha, beta):
    with pytest.raises(ConfigError, match="must be positive"):
        compute_optimal(1e20, Parametric(1, alpha, 1, beta))


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


def curves_of_three(losses):
    """Three models of 1, 2 and 4 parameters, each measured after 100 and 10 000 tokens."""
    ends = [1.0, 0.25]  # log-log lines: after 1000 tokens half of the first loss
    return [(N, np.array([1e2, 1e4]), loss * np.array(ends)) for N, loss in zip((1, 2, 4), losses)]


def test_the_lowest_of_three_curves_is_taken_where_it_lies_between_the_others():
    # At 12 000 operations the models have read 2000, 1000 and 500 tokens.
    C, N, D, loss = envelope(curves_of_three((4, 1, 4)), [12_000])
    assert (C, N, D) == (12_000, 2, 1000) and loss == pytest.approx(0.5)
    assert envelope(curves_of_three((4, 1, 4)), [6_000], per_token=3.0)[2] == 1000
    # Of two curves none lies between; at an end the optimum may lie outside.
    assert envelope(curves_of_three((4, 1, 4))[1:], [12_000])[0].size == 0
    for at_an_end in (1, 4, 9), (9, 4, 1):
        assert envelope(curves_of_three(at_an_end), [12_000])[0].size == 0
    # 600 operations are 50 tokens of the middle model, 1.2 million are 100 000: not measured.
    assert envelope(curves_of_three((4, 1, 4)), [600, 1.2e6])[0].size == 0
    # The middle model's own first and last measurement count, where two others have theirs.
    for C, other in (1200, 50.0), (120_000, 20_000.0):
        curves = [(N, np.sort([other, C / 6 / N]), np.full(2, 4.0)) for N in (1, 4)]
        curves.append(curves_of_three((4, 1, 4))[1])
        assert envelope(curves, [C])[1].tolist() == [2]


def test_three_runs_make_a_parabola():
    # 2 + 3 (log N - 5)^2 has its bottom at e^5, wherever the three runs lie around it.
    for z in ([4.0, 5.5, 6.0], [3.0, 4.0, 9.0]):
        N = np.exp(z)
        C, size, loss = isoflop([(7.0, N, 2 + 3 * (np.array(z) - 5) ** 2)])
        assert (C, size, loss) == (7.0, pytest.approx(np.exp(5)), pytest.approx(2))
    for z in ([5.5, 6.0, 7.0], [3.0, 4.0, 4.9]):  # the bottom is not between them
        assert isoflop([(7.0, np.exp(z), 2 + (np.array(z) - 5) ** 2)])[0].size == 0
    z = np.array([4.0, 5.0, 6.0])
    assert isoflop([(7.0, np.exp(z), 2 - (z - 5) ** 2)])[0].size == 0  # a hill has no bottom


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
