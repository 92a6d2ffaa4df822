"""The published numbers come out of the published formulas."""

import numpy as np
import pytest

from tinylm.train.scaling.laws import (
    CHINCHILLA,
    PF_DAY,
    critical_batch,
    gpt3_loss_of_compute,
    kaplan_loss,
    kaplan_loss_of_compute,
    minimal_of_spent,
    power_law,
    rosenfeld_loss,
)


@pytest.mark.parametrize(
    "N, loss",
    [(1e6, 4.0158796), (1e8, 2.8299625), (1e9, 2.3756403), (1e10, 1.9942550), (8.8e13, 1.0)],
)
def test_kaplan_by_parameters(N, loss):
    assert kaplan_loss(N=N) == pytest.approx(
        loss, abs=5e-8
    )  # (N / 8.8e13)^-0.076 to the digits given


@pytest.mark.parametrize(
    "D, loss",
    [(1e8, 3.5041074), (1e9, 2.8156418), (1e10, 2.2624418), (1e11, 1.8179310), (5.4e13, 1.0)],
)
def test_kaplan_by_tokens(D, loss):
    assert kaplan_loss(D=D) == pytest.approx(loss, abs=5e-8)  # (D / 5.4e13)^-0.095


def test_doubling_the_parameters_multiplies_the_loss_by_a_constant():
    for N in (1e6, 1e9):
        assert kaplan_loss(N=2 * N) / kaplan_loss(N=N) == pytest.approx(2**-0.076)  # = 0.9487
    assert 2**-0.076 == pytest.approx(0.9487, abs=5e-5)


def test_kaplans_joint_law_has_the_two_laws_as_limits_and_lies_above_both():
    assert kaplan_loss(1e8, 1e30) == pytest.approx(kaplan_loss(N=1e8))
    assert kaplan_loss(1e30, 1e9) == pytest.approx(kaplan_loss(D=1e9))
    assert kaplan_loss(1e8, 1e9) > max(kaplan_loss(N=1e8), kaplan_loss(D=1e9))


def test_the_laws_of_compute():
    assert PF_DAY == 8.64e19  # 1e15 a second times 86,400 seconds
    days = 6 * 175e9 * 300e9 / PF_DAY  # GPT-3: 3.15e23 operations
    assert round(days) == 3646
    assert gpt3_loss_of_compute(days) == pytest.approx(1.73, abs=5e-3)
    assert kaplan_loss_of_compute(3.1e8) == 1
    assert kaplan_loss_of_compute(2.0) / kaplan_loss_of_compute(1.0) == pytest.approx(2**-0.05)


def test_the_critical_batch_grows_as_the_loss_falls_and_half_of_twice_the_compute_is_wasted_at_it():
    assert critical_batch(1.0) == 2.1e8
    assert critical_batch(2.0) == pytest.approx(2.1e8 / 2 ** (1 / 0.21))
    assert minimal_of_spent(10.0, critical_batch(3.0), 3.0) == 5.0  # C / (1 + 1)


@pytest.mark.parametrize(
    "N, D, loss",
    [
        (70e9, 1.4e12, 1.9366455),
        (280e9, 300e9, 1.9932585),
        (175e9, 300e9, 2.0022879),
        (65e9, 1.4e12, 1.9387758),
        (1e6, 1e8, 7.7597439),
    ],
)
def test_chinchilla(N, D, loss):
    assert CHINCHILLA(N, D) == pytest.approx(loss, abs=5e-8)


def test_chinchillas_terms():
    assert CHINCHILLA.terms(70e9, 1.4e12) == pytest.approx((0.0834873, 0.1631582, 1.69), abs=5e-8)


def test_what_is_left_as_one_size_grows():
    x = np.array([1e3, 1e6])
    assert power_law(1e300, 5, -0.3, 1.5) == 1.5  # 5e-90 is below the rounding of 1.5
    assert rosenfeld_loss(16, 100, 4, -0.5, 30, -0.5, 1.5) == 1 + 3 + 1.5  # 4 / 4 + 30 / 10
    assert np.array_equal(power_law(x, 5, -0.3, 0.0), power_law(x, 5, -0.3))
    np.testing.assert_allclose(
        rosenfeld_loss(x, np.inf, 5, -0.3, 7, -0.2, 1.5), power_law(x, 5, -0.3, 1.5)
    )
