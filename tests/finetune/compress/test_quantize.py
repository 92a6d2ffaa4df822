"""Quantization: how far a weight can move, what comes back, and learning through the rounding."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, classifier, examples, layered
from tinylm.autograd import Tensor
from tinylm.backend import to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.compress.quantize import (
    FakeQuantize,
    asymmetric,
    bytes_of,
    quantization_aware,
    quantize_weights,
    round_activations,
    symmetric,
)
from tinylm.finetune.compress.reweight import bake
from tinylm.finetune.fitting import fit

WAYS = pytest.mark.parametrize("way", [symmetric, asymmetric])
SHARES = st.sampled_from(["matrix", "output", 1, 2, 4])


@WAYS
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    bits=st.integers(2, 12),
    share=SHARES,
    seed=st.integers(0, 999),
    shift=st.sampled_from([0.0, -3.0, 3.0]),
)
def test_no_weight_moves_by_more_than_half_a_step_and_again_it_does_not_move(
    way, rows, columns, bits, share, seed, shift
):
    weight = (
        np.random.default_rng(seed).normal(size=(4 * rows, columns)) + shift
    )  # also all of one sign
    made = way(weight, bits, share)
    scale = np.broadcast_to(made.scale, made.codes.shape).reshape(weight.shape)
    assert (
        abs(weight - made.dequantize()) <= scale / 2 * (1 + 1e-9)
    ).all()  # float64: nine digits to spare
    again = way(made.dequantize(), bits, share)
    numbers = [q.codes - (0 if q.zero is None else q.zero) for q in (made, again)]
    np.testing.assert_array_equal(*numbers)
    assert abs(made.codes.astype(int)).max() <= 2 ** (bits - 1) - (way is symmetric)


@WAYS
def test_zeros_stay_zero(way):
    weight = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]])  # a column of zeros has no scale
    np.testing.assert_array_equal(way(weight, 4).dequantize() == 0, weight == 0)


@WAYS
def test_many_bits_are_the_identity_and_finer_scales_are_no_worse(way, rng):
    weight = rng.normal(size=(64, 8)) * np.exp(rng.normal(size=(64, 8)))
    error = {
        share: ((weight - way(weight, 4, share).dequantize()) ** 2).mean()
        for share in ("matrix", "output", 16)
    }
    assert error[16] < error["output"] < error["matrix"]  # outliers spoil a scale for fewer
    assert abs(weight - way(weight, 16).dequantize()).max() < 1e-3  # range about 30, 65,535 steps


def test_by_hand():
    made = symmetric(np.array([[7.0], [-3.2], [0.4]]), 4)  # step 1, codes up to 7
    np.testing.assert_array_equal(made.codes[:, :, 0], [[7, -3, 0]])
    made = asymmetric(np.array([[14.0], [-1.0], [3.4]]), 4)  # step 15 / 15, codes -8 .. 7
    np.testing.assert_array_equal(made.codes[:, :, 0], [[7, -8, -4]])  # z = -7: 3.4 is code 3 - 7
    np.testing.assert_array_equal(made.dequantize()[:, 0], [14, -1, 3])


def test_one_sided_weights_gain_from_a_zero_point(rng):
    weight = rng.uniform(1, 2, size=(32, 4))  # symmetric wastes all negative codes
    errors = [abs(weight - way(weight, 4).dequantize()).mean() for way in (symmetric, asymmetric)]
    assert errors[1] < 0.6 * errors[0]  # the step is 2/15 against 2/7: 0.47


@WAYS
@pytest.mark.parametrize(
    "bits, share", [(8, "output"), (8, 4), (4, "output"), (4, "matrix"), (4, 4), (4, 3)]
)
def test_packing_comes_back_and_multiplies_the_same(way, bits, share, rng):
    weight = rng.normal(size=(12, 5)).astype(np.float32)
    made = way(weight, bits, share)
    packed = made.packed()
    np.testing.assert_allclose(
        packed.dequantize(), made.dequantize().T, atol=1e-6
    )  # -s z is rounded to float32
    assert packed.codes.nbytes == 12 * 5 * bits // 8
    x = rng.normal(size=(3, 12)).astype(np.float32)
    np.testing.assert_allclose(packed.matmul(x), x @ made.dequantize(), atol=1e-5)
    np.testing.assert_allclose(packed.matvec(x[0]), x[0] @ made.dequantize(), atol=1e-5)


def test_what_cannot_be_is_an_error():
    weight = np.ones((5, 2))
    with pytest.raises(ConfigError, match="2 to 16"):
        symmetric(weight, 1)
    with pytest.raises(ConfigError, match="divides 5"):
        symmetric(weight, 8, 2)
    with pytest.raises(ConfigError, match="4 and 8"):
        symmetric(weight, 6).packed()
    with pytest.raises(ShapeError, match="pairs"):
        symmetric(weight, 4).packed()


def test_bytes_are_those_of_codes_and_scales():
    model = layered(1, dtype=np.float32)
    full = bytes_of(model, {})
    made = quantize_weights(model, partial(symmetric, bits=4))
    # 16 x 48, 16 x 16, 16 x 24 and 24 x 16 weights at 4 bytes become half a byte each and 4 bytes
    # for each output.
    assert full - bytes_of(model, made) == 1792 * 3.5 - 4 * (48 + 16 + 24 + 16)
    assert full == 4 * model.count_parameters()


def test_the_loss_falls_with_bits():
    wanted, errors = layered().hidden(IDS).numpy(), []
    for bits in (2, 4, 8, 12):
        model = layered()
        quantize_weights(model, partial(symmetric, bits=bits))
        errors.append(abs(model.hidden(IDS).numpy() - wanted).mean())
    assert errors == sorted(errors, reverse=True)


def test_training_aware_of_rounding_ends_in_the_rounded_model(device):
    model = layered(1).to(device)
    quantizer = partial(asymmetric, bits=3)
    quantization_aware(model, quantizer)
    ids = to_device(IDS, device)
    aware = model.hidden(ids)
    aware.sum().backward()
    assert model.blocks[0].attention.qkv.weight.grad is not None
    np.testing.assert_array_equal(bake(model).hidden(ids).numpy(), aware.numpy())
    plain = layered(1).to(device)
    quantize_weights(plain, quantizer)
    np.testing.assert_array_equal(plain.hidden(ids).numpy(), aware.numpy())


def test_the_weight_behind_the_rounding_learns():
    # From 0.3 a step of 1 always rounds to 0; gradients add up behind it until it rounds to 1.
    weight = Tensor(np.array([[0.3], [7.0]]), requires_grad=True)
    see = FakeQuantize(partial(symmetric, bits=4))  # 7 sets the step to 1
    for _ in range(10):
        weight.grad = None
        ((see(weight)[0, 0] - 1.0) ** 2).backward()
        weight.assign_(weight.data - 0.05 * weight.grad.data)
    assert (
        see(weight).numpy()[0, 0] == 1 and weight.numpy()[0, 0] < 0.7
    )  # and there the gradient stops


def test_aware_training_runs_with_fit():
    model, task = classifier()
    quantization_aware(model, partial(symmetric, bits=4), activations=8)
    losses = fit(model, task, examples(), steps=6, batch_size=12, learning_rate=3e-3, warmup=0)
    assert losses[-1] < losses[0]


def test_activations_have_a_scale_for_each_token(rng):
    x = rng.normal(size=(2, 3, 8)) * np.array([1.0, 10.0, 100.0])[:, None]
    error = abs(round_activations(Tensor(x), 8).numpy() - x).max(axis=-1)
    assert (error <= abs(x).max(axis=-1) / 127 / 2 * (1 + 1e-9)).all()


@WAYS
@pytest.mark.parametrize("bits", [8, 12])
def test_half_precision_weights_have_scales_that_keep_the_bound_too(way, bits, rng):
    weight = rng.normal(size=(64, 8)).astype(np.float16)
    made = way(weight, bits)
    assert made.scale.dtype == np.float32
    scale = np.broadcast_to(made.scale, made.codes.shape).reshape(weight.shape)
    # float32: what is subtracted is rounded by 2^-24 of a weight, far below 1e-3 of a step even
    # with 12 bits.
    assert (abs(weight.astype(np.float64) - made.dequantize()) <= scale / 2 * (1 + 1e-3)).all()
    assert FakeQuantize(partial(way, bits=bits))(Tensor(weight)).dtype == np.float16


def test_activations_in_half_precision_are_rounded_as_in_single(rng):
    x = rng.normal(size=(16, 32)).astype(np.float16)
    expected = round_activations(Tensor(x.astype(np.float32))).numpy().astype(np.float16)
    np.testing.assert_array_equal(round_activations(Tensor(x)).numpy(), expected)
