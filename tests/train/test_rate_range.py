"""The range test finds the span of rates in which a training learns, and where it diverges."""

import numpy as np
import pytest

from tests.train.tiny import tiny_model, tiny_trainer
from tinylm.errors import ConfigError, TrainingError
from tinylm.optim import SGD, FlatParameters
from tinylm.train.rate_range import range_test, running_mean, suggestion
from tinylm.train.step import Step


class Scripted:
    """A trainer whose losses are a function of its rate."""

    def __init__(self, loss):
        self.loss, self.step = loss, 0

    def advance(self):
        value = self.loss(self.learning_rate(self.step))
        self.step += 1
        if not np.isfinite(value):
            raise TrainingError("the loss is inf")
        return Step(value, 1.0, 1, None, True)


def test_rates_rise_by_the_same_factor():
    seen = []
    found = range_test(Scripted(lambda rate: seen.append(rate) or 1.0), 1e-3, 10.0, 5)
    np.testing.assert_allclose(found.rates, [1e-3, 1e-2, 0.1, 1.0, 10.0])
    assert seen == found.rates.tolist() and found.ended == ""


def test_the_suggestion_is_a_tenth_of_the_rate_at_the_lowest_mean():
    # A valley in the logarithm of the rate, its bottom at 0.1. The mean lags behind by at most the
    # ten steps it looks back, a third of a power of ten at thirty steps a power.
    found = range_test(Scripted(lambda rate: 5 + np.log10(rate / 0.1) ** 2 / 9), 1e-4, 1.0, 120)
    assert 0.1 <= found.lowest <= 0.1 * 10 ** (10 / 29.75)
    assert found.suggested == pytest.approx(found.lowest / 10)


def test_a_loss_that_rises_to_one_and_a_half_times_the_first_ends_the_test():
    found = range_test(Scripted(lambda rate: 4.0 if rate < 0.1 else 400.0), 1e-3, 10.0, 41)
    assert found.ended.startswith("at a rate of 0.1 the loss was 1.5 times the first")
    assert len(found.rates) == len(found.losses) == len(found.smooth) == 21


def test_a_loss_that_is_not_finite_ends_the_test_and_is_left_out():
    found = range_test(Scripted(lambda rate: 4.0 - rate if rate < 1 else np.inf), 1e-3, 10.0, 41)
    assert "no longer finite (the loss is inf)" in found.ended
    assert np.isfinite(found.losses).all() and found.rates[-1] < 1
    with pytest.raises(TrainingError):  # nothing was learnt of any rate
        range_test(Scripted(lambda rate: np.inf), 1e-3, 1.0, 10)


def test_a_loss_that_does_not_fall_suggests_nothing():
    assert range_test(Scripted(lambda rate: 4.0), 1e-3, 1.0, 10).suggested is None
    assert suggestion(np.array([1.0, 2.0]), np.array([4.0, 3.97]))[1] is None  # less than 1 %
    assert suggestion(np.array([1.0, 2.0]), np.array([4.0, 3.0])) == (2.0, 0.2)


def test_the_running_mean_begins_at_the_first_loss():
    assert running_mean([3.0]) == 3.0
    assert running_mean([3.0, 5.0]) == pytest.approx((0.9 * 3 + 5) / 1.9)


@pytest.mark.parametrize("low, high, steps", [(0.0, 1.0, 5), (1.0, 1.0, 5), (0.1, 1.0, 1)])
def test_a_range_that_does_not_rise_is_refused(low, high, steps):
    with pytest.raises(ConfigError, match="range test: rates from"):
        range_test(Scripted(lambda rate: 1.0), low, high, steps)


def test_a_model_learns_inside_of_the_range_and_diverges_at_its_end():
    calls = []
    trainer = tiny_trainer()
    found = range_test(trainer, 1e-5, 100.0, 60, lambda *state: calls.append(state))
    assert found.suggested is not None and 1e-4 < found.suggested < 1.0
    assert "times the first" in found.ended or "finite" in found.ended
    assert [state[0] for state in calls][:3] == [1, 2, 3]


def test_any_optimizer_and_no_optimizer_state_is_needed():
    trainer = tiny_trainer()
    model = tiny_model()
    trainer.model, trainer.optimizer = model, SGD(FlatParameters(model.named_parameters()))
    found = range_test(trainer, 1e-3, 10.0, 30)
    assert found.smooth.min() < found.smooth[0]
