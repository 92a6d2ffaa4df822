"""A running mean of the weights: what it is the mean of, and that training does not notice it."""

import numpy as np
import pytest

from tests.numeric import leaf
from tests.optim.test_muon import give
from tinylm.errors import ConfigError
from tinylm.optim import AdamW, Averaged, FlatParameters


def made(decay=0.8):
    return Averaged(AdamW(FlatParameters([leaf([[1.0, -2.0]]), leaf([3.0])]), lr=0.1), decay)


def weights_of(steps, optimizer, seed=1):
    """The weights after each of `steps` steps on random gradients."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(steps):
        give(optimizer.flat, draw.normal(size=3))
        optimizer.step()
        found.append(optimizer.flat.data.copy())
    return found


def test_the_mean_is_that_of_the_weights_after_each_step():
    averaged = made()
    mean = averaged.flat.data.copy()
    for t, weights in enumerate(weights_of(60, averaged), 1):
        d = min(0.8, t / (t + 10))  # reached in step 40
        mean = d * mean + (1 - d) * weights
    np.testing.assert_allclose(averaged.mean, mean, rtol=1e-12)


def test_training_does_not_notice_the_mean():
    alone = AdamW(made().flat, lr=0.1)
    np.testing.assert_array_equal(weights_of(5, made()), weights_of(5, alone))


def test_the_mean_stands_in_the_place_of_the_weights_for_a_while():
    averaged = made()
    last = weights_of(5, averaged)[-1]
    with averaged.in_place():
        np.testing.assert_array_equal(averaged.flat.data, averaged.mean)
        assert np.abs(averaged.flat.data - last).min() > 0
    np.testing.assert_array_equal(averaged.flat.data, last)


def test_steps_of_parts_are_a_step_of_the_whole():
    whole, shared = made(), made()
    for g in np.random.default_rng(2).normal(size=(4, 3)):
        give(whole.flat, g)
        whole.step()
        give(shared.flat, g)
        for start, stop in ((0, 1), (1, 3)):  # two workers, each of which counts the step once
            counts = shared.t, shared.optimizer.t
            shared.step(start=start, stop=stop)
            if not start:
                shared.t, shared.optimizer.t = counts
    np.testing.assert_array_equal(shared.mean, whole.mean)


def test_going_on_from_a_state_gives_the_same_bits():
    whole, first, second = made(), made(), made()
    weights_of(8, whole)
    draw = np.random.default_rng(1).normal(size=(8, 3))
    for g in draw[:4]:
        give(first.flat, g)
        first.step()
    state = {name: np.copy(value) for name, value in first.state().items()}
    with first.in_place():  # as a checkpoint has the model
        second.flat.data[...] = first.flat.data
    second.load_state(state)
    for g in draw[4:]:
        give(second.flat, g)
        second.step()
    np.testing.assert_array_equal(second.flat.data, whole.flat.data)
    np.testing.assert_array_equal(second.mean, whole.mean)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, np.nan])
def test_a_decay_that_forgets_all_or_nothing_is_refused(decay):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        made(decay)
