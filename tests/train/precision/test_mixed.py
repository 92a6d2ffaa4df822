"""Mixed precision: what master weights and the scale of the loss are for, and that they work."""

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError, TrainingError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import SGD, AdamW
from tinylm.optim.flat import FlatParameters
from tinylm.pretrain import CausalLM
from tinylm.train.precision.mixed import LossScale, MixedPrecision
from tinylm.train.trainer import train_step

CONFIG = GPTConfig(17, 8, 2, 2, 16, dropout=0.1)


def batch(seed, rows=6):
    objective = CausalLM()
    ids = np.random.default_rng(seed).integers(0, 17, (rows, 9))
    ids[:, 1::2] = (ids[:, 0::2][:, :4] + 3) % 17  # something to learn
    return objective.make_batch(ids)


def alone(steps, lr=1e-2):
    model = GPT(CONFIG, 3)
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    return [
        train_step(model, CausalLM(), optimizer, batch(s), 0, 6, lr, 1.0) for s in range(steps)
    ], model


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_it_follows_float32_within_the_digits_of_float16(micro_batch):
    expected, model = alone(30)
    mixed = MixedPrecision(GPT(CONFIG, 3), CausalLM(), AdamW, LossScale())
    found = [mixed.step(batch(s), 1e-2, 1.0, micro_batch) for s in range(30)]
    assert mixed.skipped == 0 and all(step.updated for step in found)
    for got, right in zip(found[:5], expected):
        assert got.loss == pytest.approx(right.loss, rel=2e-3)
        assert got.grad_norm == pytest.approx(right.grad_norm, rel=2e-2)
        assert got.tokens == right.tokens
    assert found[-1].loss == pytest.approx(expected[-1].loss, abs=0.05)
    assert expected[-1].loss < expected[0].loss - 0.2
    assert all(p.dtype == np.float32 for p in mixed.model.parameters())
    assert all(p.dtype == np.float16 for p in mixed.low.parameters())


def test_updates_that_float16_would_lose_add_up_in_the_master_weights():
    """A hundred steps of 1e-5 at weights of 1: float16 steps by 1e-3 there."""
    model = GPT(CONFIG, 3)
    for parameter in model.parameters():
        parameter.data[...] = 1.0
    mixed = MixedPrecision(model, CausalLM(), lambda flat: SGD(flat, lr=1.0), LossScale())
    before = mixed.flat.data.copy()
    for _ in range(100):
        for parameter in mixed.flat.tensors:
            parameter.grad = Tensor(np.full(parameter.shape, 1e-5, np.float32))
        mixed.flat.collect()
        mixed.optimizer.step(1.0)
    np.testing.assert_allclose(mixed.flat.data, before - 1e-3, rtol=1e-5)
    assert np.float16(1) - np.float16(1e-5) == 1


def test_small_gradients_are_lost_without_a_scale_and_found_with_it():
    """The loss times 1e-7: gradients near 1e-8 are 0 in float16, and representable times 2^15."""

    class Small(CausalLM):
        def loss(self, model, batch, reduction="mean"):
            loss, metrics = super().loss(model, batch, reduction)
            return loss * np.float32(1e-4) * np.float32(1e-3), metrics

    lost = MixedPrecision(GPT(CONFIG, 3), Small(), AdamW)
    kept = MixedPrecision(GPT(CONFIG, 3), Small(), AdamW, LossScale(2.0**24))
    first, second = lost.step(batch(0), 0.0), kept.step(batch(0), 0.0)
    plain = MixedPrecision(GPT(CONFIG, 3), CausalLM(), AdamW, LossScale())
    whole = plain.step(batch(0), 0.0)
    assert second.grad_norm == pytest.approx(1e-7 * whole.grad_norm, rel=0.1)
    assert first.grad_norm < 0.7 * second.grad_norm


def test_a_step_whose_gradients_overflow_is_left_out_and_halves_the_scale():
    mixed = MixedPrecision(GPT(CONFIG, 3), CausalLM(), AdamW, LossScale(2.0**40, patience=3))
    before = mixed.flat.data.copy()
    stream = mixed.low.rng.counter
    step = mixed.step(batch(0), 1e-2)
    assert not step.updated and mixed.skipped == 1 and mixed.scale.value == 2.0**39
    np.testing.assert_array_equal(mixed.flat.data, before)
    assert mixed.low.rng.counter == stream  # the batch may be tried again
    while not step.updated:
        step = mixed.step(batch(0), 1e-2)
    # 2^15 is the largest cotangent in float16, and the scale stays there.
    assert mixed.scale.value == 2.0**15 and (mixed.flat.data != before).any()
    for seed in range(3):
        mixed.step(batch(seed), 1e-2)
    assert mixed.scale.value == 2.0**15
    mixed.scale = LossScale(2.0**10, patience=2)
    values = [mixed.step(batch(seed), 1e-2) and mixed.scale.value for seed in range(4)]
    assert values == [2.0**10, 2.0**11, 2.0**11, 2.0**12]


def test_a_loss_that_is_not_finite_is_no_matter_of_scale():
    model = GPT(CONFIG, 3)
    next(iter(model.parameters())).data[...] = 1e6  # infinite in float16
    mixed = MixedPrecision(model, CausalLM(), AdamW, LossScale())
    with pytest.raises(TrainingError, match="not finite at any scale"):
        mixed.step(batch(0), 1e-2)


def test_scales_are_powers_of_two():
    for value, patience in ((3.0, 1), (0.0, 1), (-2.0, 1), (2.0, 0), (float("nan"), 1)):
        with pytest.raises(ConfigError, match="power of two"):
            LossScale(value, patience)
    scale = LossScale(4.0, 2)
    for finite, value in ((True, 4), (True, 8), (True, 8), (False, 4), (True, 4), (True, 8)):
        scale.update(finite)
        assert scale.value == value
