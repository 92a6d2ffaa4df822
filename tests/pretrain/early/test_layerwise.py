"""Layer-wise pretraining: the error by hand, one layer at a time, and the linear case, whose
optimum is known.
"""

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.early.layerwise import (
    Autoencoder,
    StackedAutoencoder,
    bit_cross_entropy,
    identity,
    minimize,
    pretrain_layers,
    squared_error,
    train_classifier,
)


def bits(rng, n=64, d=8):
    """Rows with two hidden causes, so that there is something to compress."""
    causes = rng.integers(0, 2, (n, 2))
    return np.repeat(causes, d // 2, axis=1).astype(np.float64)


def test_the_error_of_bits_by_hand():
    a, u = np.array([[0.0, np.log(3.0)]]), np.array([[0.25, 1.0]])
    # s(0) = 1/2 costs log 2 whatever u is; s(log 3) = 3/4 for a bit that is 1 costs -log(3/4)
    np.testing.assert_allclose(bit_cross_entropy(Tensor(a), u).item(), np.log(2) - np.log(0.75))
    # A row's bits are summed, rows are averaged: four bits in doubt cost 2 log 2 a row.
    doubt = bit_cross_entropy(Tensor(np.zeros((2, 2))), np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert doubt.item() == pytest.approx(2 * np.log(2), rel=1e-12)
    sure = bit_cross_entropy(Tensor(np.array([[800.0, -800.0]])), np.array([[1.0, 0.0]]))
    assert sure.item() == 0  # and no overflow


def test_a_linear_autoencoder_finds_the_principal_components(rng):
    x = rng.normal(size=(40, 5)) * [3.0, 2.0, 1.0, 0.5, 0.2]
    x -= x.mean(axis=0)
    for tied in (True, False):
        layer = Autoencoder(5, 2, Random(0), identity, squared_error, tied=tied, dtype=np.float64)
        for lr in (3e-2, 3e-3, 3e-4):  # Adam ends within a step of the optimum: ever shorter ones
            minimize(
                lambda rows, _, layer=layer: layer.loss(x[rows]),
                layer.named_parameters(),
                40,
                250,
                40,
                lr,
            )
        discarded = np.linalg.svd(x, compute_uv=False)[2:] ** 2
        # No linear map of rank 2 does better (Eckart & Young 1936)
        np.testing.assert_allclose(layer.loss(x).item(), discarded.sum() / 40, rtol=1e-6)


def test_one_layer_learns_at_a_time_and_its_error_falls(rng):
    stack, u = StackedAutoencoder((8, 4, 2), 2, dtype=np.float64), bits(rng)
    first = [name for name in stack.named_parameters().keys() if name.startswith("layers.0.")]
    before = stack.state_dict()
    curves = pretrain_layers(stack, u, 60, lr=0.05)
    assert all(curve[-5:].mean() < curve[:5].mean() for curve in curves) and len(curves) == 2
    after = stack.state_dict()
    assert not np.array_equal(after["layers.0.weight"], before["layers.0.weight"])
    np.testing.assert_array_equal(
        after["out.weight"], before["out.weight"]
    )  # the classifier has its own phase
    alone = StackedAutoencoder((8, 4), 2, dtype=np.float64)
    alone.layers[0].load_state_dict(
        {name.removeprefix("layers.0."): before[name] for name in first}
    )
    pretrain_layers(alone, u, 60, lr=0.05)
    for name in first:  # the first layer is what it would be without a second
        np.testing.assert_array_equal(after[name], alone.state_dict()[name])


def test_noise_falls_on_what_is_read_not_on_what_is_to_be_given_back():
    layer, u = Autoencoder(6, 3, Random(0), noise=1.0, dtype=np.float64), np.ones((2, 6))
    layer.weight.data += 1.0
    silent = layer.error(layer.decode(layer.encode(Tensor(np.zeros((2, 6))))), u).item()
    assert layer.loss(u, Random(1)).item() == silent  # everything lost: as if it read zeros
    assert layer.loss(u).item() != silent  # without draws, without noise


def test_the_supervised_phase_goes_on_from_there_and_leaves_decoders_alone(rng):
    stack, u = StackedAutoencoder((8, 4, 2), 2, dtype=np.float64, tied=False), bits(rng)
    pretrain_layers(stack, u, 60, lr=0.05)
    before = stack.state_dict()
    losses = train_classifier(stack, u, u[:, 0].astype(int), 150, lr=0.05)
    assert losses[-10:].mean() < 0.1 < losses[0]  # the label is one of the two causes
    after = stack.state_dict()
    for name in before:
        assert np.array_equal(before[name], after[name]) == (".back" in name)


def test_a_stack_needs_a_layer():
    with pytest.raises(ConfigError, match="one layer at least"):
        StackedAutoencoder((3,), 2)


def test_a_batch_is_drawn_only_where_it_is_smaller_than_the_text():
    weight, seen = Tensor(np.ones(1), requires_grad=True), []

    def loss(rows, rng):
        seen.append(rows.tolist())
        return (weight * weight).sum()

    for size in (3, 4, 5):
        losses = minimize(loss, {"weight": weight}, 4, 2, size)
        assert losses.shape == (2,) and losses[0] > losses[1]
    assert [len(rows) for rows in seen] == [3, 3, 4, 4, 4, 4]
    assert seen[2:] == [[0, 1, 2, 3]] * 4 and all(0 <= row < 4 for row in sum(seen[:2], []))


def test_noise_silences_its_share_of_the_inputs():
    layer, n = Autoencoder(50, 1, Random(0), noise=0.25, dtype=np.float64), 4000
    read = []
    layer.encode = lambda u: (read.append(u.numpy()), Tensor(np.zeros((len(u), 1))))[1]
    layer.loss(np.ones((n // 50, 50)), Random(1))
    assert set(np.unique(read[0])) == {0, 1}
    assert abs((read[0] == 0).sum() - n / 4) < 4 * np.sqrt(n * 3 / 16)  # of a binomial


@pytest.mark.parametrize("tied", [True, False])
def test_outputs_start_with_the_variance_of_inputs(tied):
    """Entries of deviation d_in^-1/2, and those of a decoder of its own d_out^-1/2."""
    layer = Autoencoder(100, 400, Random(0), tied=tied, dtype=np.float64)
    maps = [layer.weight] if tied else [layer.weight, layer.back]
    for matrix in maps:  # 40,000 numbers: their mean square is within 4 sqrt(2 / 40,000)
        mean_square = np.mean(matrix.numpy() ** 2) * matrix.shape[0]
        assert mean_square == pytest.approx(1, abs=4 * np.sqrt(2 / 40_000))
    assert (layer.back is None) == tied
    assert not layer.bias.numpy().any() and not layer.back_bias.numpy().any()
