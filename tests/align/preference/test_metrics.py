"""What is reported of pairs: rewards, margins, accuracy."""

import numpy as np
import pytest

from tinylm.align.preference import implicit_accuracy, preference_metrics


def test_metrics_of_pairs():
    chosen, rejected = np.array([-1.0, -4.0]), np.array([-3.0, -2.0])
    found = preference_metrics(chosen, rejected, np.array([-2.0, -3.0]), np.array([-2.5, -2.0]))
    # rho_c = 1, -1; rho_r = -.5, 0
    expected = {
        "reward_chosen": 0.0,
        "reward_rejected": -0.025,
        "margin": 0.025,
        "accuracy": 0.5,
        "logp_chosen": -2.5,
        "logp_rejected": -2.5,
        "largest_ratio": 1.0,
    }
    assert found == pytest.approx(expected)
    equal = preference_metrics(chosen, rejected, chosen, rejected)
    assert equal["accuracy"] == 0.5 and equal["largest_ratio"] == 0  # nothing is learnt yet


def test_a_tie_is_half_right_and_rounding_is_a_tie():
    assert implicit_accuracy(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == 0.5
    assert implicit_accuracy(np.array([1.0, 1.0, 1.0]), np.array([1.1, 0.9, 0.5]), 0.2) == 2 / 3
    # float32 sums of 40 nats are known to 8 x 1.2e-7 x 41 = 4e-5
    chosen, rejected = np.full(4, -40.0, np.float32), np.full(4, -30.0, np.float32)
    for shift, share in ((2e-5, 0.5), (8e-5, 0.0), (-8e-5, 1.0)):
        found = preference_metrics(chosen, rejected, chosen + shift, rejected.astype(np.float64))
        assert found["accuracy"] == share
    # and float64 sums to 1e-13, in units of beta like the rewards
    chosen, rejected = chosen.astype(np.float64), rejected.astype(np.float64)
    assert preference_metrics(chosen, rejected, chosen + 1e-9, rejected, 100.0)["accuracy"] == 0
