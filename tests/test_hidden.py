"""What a mask hides never reaches a loss or a gradient: chosen, not multiplied by 0."""

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.finetune.compress.distill_losses import cosine_loss, mixed_loss
from tinylm.finetune.divergence import kl, reverse_kl
from tinylm.finetune.tasks.crf import LinearChain
from tinylm.finetune.tasks.spans import binary_span_loss, softmax_span_loss
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.discriminative.contrastive import mean_pool, unit
from tinylm.pretrain.discriminative.replaced import fooling_loss
from tinylm.pretrain.early.layerwise import bit_cross_entropy
from tinylm.pretrain.score import row_means

HELD = np.array([[True, True, True], [True, True, False]])
GOLD = np.array([[0, 2], [1, IGNORE]])
TAGS = np.array([[0, 1, 1], [1, 0, 0]])
TARGETS = np.array([[2, 0, 1], [1, 0, IGNORE]])
WIDTH = 3


def chain():
    crf = LinearChain(WIDTH)
    crf.transitions.data[...] = np.arange(9.0).reshape(3, 3) / 9
    crf.transitions.data[2, 0] = -np.inf
    return crf


def crf_loss(emissions):
    return chain()(emissions, TAGS, HELD).sum()


# Each takes values (2, 3, WIDTH) of which the last place of the second row is hidden.
LOSSES = {
    "softmax spans": lambda x: softmax_span_loss(x[..., :2], GOLD, HELD).sum(),
    "binary spans": lambda x: binary_span_loss(x[..., :2], GOLD, HELD).sum(),
    "a CRF": crf_loss,
    "divergence": lambda x: kl(x * 0.5, x, mask=HELD),
    "reverse divergence": lambda x: reverse_kl(x * 0.5, x, mask=HELD),
    "a mean over tokens": lambda x: mean_pool(x, HELD).sum(),
    "row means": lambda x: row_means(x[..., 0], HELD).sum(),
    "distillation": lambda x: mixed_loss(x, np.ones((2, 3, WIDTH)), TARGETS, weights=HELD / 5.0),
    "fooling the discriminator": lambda x: fooling_loss(x, TAGS, x.data[..., 0], TARGETS),
}


@pytest.mark.parametrize("hidden", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("name", LOSSES)
def test_what_is_hidden_changes_no_loss_and_no_gradient(name, hidden):
    values = np.random.default_rng(0).normal(size=(2, 3, WIDTH))
    results = []
    for there in (0.0, hidden):
        values[1, 2] = there
        x = Tensor(values.copy(), requires_grad=True)
        with np.errstate(all="ignore"):  # values nobody takes are still computed
            loss = LOSSES[name](x)
            loss.backward()
        results.append((loss.numpy(), x.grad.numpy()))
    (loss, gradient), (again, same) = results
    assert np.isfinite(loss)
    np.testing.assert_array_equal(again, loss)
    np.testing.assert_array_equal(same, gradient)
    assert not same[1, 2].any()


def test_certain_bits_cost_nothing_where_the_logit_is_infinite():
    logits = Tensor([[np.inf, -np.inf, 0.0]], requires_grad=True)
    loss = bit_cross_entropy(logits, np.array([[1.0, 0.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0, -0.5]])


def test_directions_of_large_vectors_and_of_none():
    large = np.array([[3e20, 4e20]], np.float32)
    np.testing.assert_allclose(unit(Tensor(large)).numpy(), [[0.6, 0.8]], rtol=1e-6)
    assert cosine_loss(Tensor(large), Tensor(large[:, ::-1].copy())).item() == pytest.approx(0.04)
    zero = Tensor(np.zeros((1, 2)), requires_grad=True)
    loss = cosine_loss(zero, Tensor(large.astype(float)))
    loss.backward()
    assert loss.item() == 1
    np.testing.assert_array_equal(zero.grad.numpy(), [[0, 0]])
