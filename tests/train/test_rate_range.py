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


def falling(rate):
    """A loss that falls by 2 around a rate of 0.01, and rises by 1 from 0.3 on."""
    return 5 - np.tanh(3 * np.log10(rate / 0.01)) + (rate > 0.3)


# Seven tenths of a step down reach the mean after twelve steps, 0.9^12 = 0.28, of thirty a power.
LAG = 10 ** (12 / 29.75)


def test_the_suggestion_is_the_rate_at_which_most_of_the_fall_is_done():
    found = range_test(Scripted(falling), 1e-4, 1.0, 120)
    # tanh(3 x) = 0.4 where 0.7 of the way from -1 to 1 is done: x = 0.141
    assert 10**0.141 * 0.01 <= found.suggested <= 10**0.141 * 0.01 * LAG
    assert found.suggested < found.lowest <= 0.3 * LAG


def test_noise_of_single_batches_does_not_choose_the_rate():
    rng = np.random.default_rng(0)
    noisy = Scripted(lambda rate: falling(rate) + rng.normal(scale=0.3))
    for _ in range(5):
        noisy.step = 0
        assert 0.005 < range_test(noisy, 1e-4, 1.0, 120).suggested < 0.05


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
    assert suggestion(np.array([1.0, 2.0, 4.0]), np.array([4.0, 3.2, 3.0])) == (4.0, 2.0)


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
