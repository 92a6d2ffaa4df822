import numpy as np

import tinylm as tl
from tinylm.autograd import Tensor, gelu, layer_norm
from tinylm.backend import Random
from tinylm.models.encoder.heads import ReplacedHead, SpanBoundaryHead, TokenHead

H = np.random.default_rng(1).normal(size=(2, 6, 8))
TABLE = Tensor(np.random.default_rng(2).normal(size=(11, 8)))


def test_the_token_head_ends_in_the_embedding_table():
    bias = np.arange(11.0)  # one number for each word
    head = TokenHead(8, 8, 11, Random(0), dtype=np.float64)
    head.bias.data[...] = bias
    x = layer_norm(gelu(head.dense(Tensor(H))), head.norm.gain, head.norm.bias, eps=1e-12)
    np.testing.assert_allclose(
        head(Tensor(H), TABLE).numpy(), x.numpy() @ TABLE.numpy().T + bias, rtol=0, atol=1e-12
    )
    plain = TokenHead(8, 8, 11, Random(0), plain=True, dtype=np.float64)
    plain.bias.data[...] = bias
    np.testing.assert_allclose(
        plain(Tensor(H), TABLE).numpy(), H @ TABLE.numpy().T + bias, rtol=0, atol=1e-12
    )


def test_the_replaced_head_gives_one_number_a_position():
    assert ReplacedHead(8, Random(0), dtype=np.float64)(Tensor(H)).shape == (2, 6)


def test_the_span_head_reads_the_two_boundaries_and_the_place_alone():
    head = SpanBoundaryHead(8, 11, Random(0), dtype=np.float64)
    h = Tensor(H, requires_grad=True)
    before, after, place = np.array([[1], [0]]), np.array([[4], [3]]), np.array([[0], [1]])
    logits = head(h, before, after, place, TABLE)
    assert logits.shape == (2, 1, 11)
    (gradient,) = tl.grad(
        logits, [h], cotangent=Tensor(np.random.default_rng(3).normal(size=(2, 1, 11)))
    )
    read = np.abs(gradient.numpy()).max(-1) > 0
    assert [np.flatnonzero(row).tolist() for row in read] == [[1, 4], [0, 3]]
    other = head(h, before, after, 1 - place, TABLE)
    assert np.abs(other.numpy() - logits.numpy()).max() > 1e-6


def test_the_span_head_is_two_normed_layers_and_the_table_by_hand():
    """Three vectors side by side, twice norm(gelu(x W + b)), then E^T and a bias for each word."""
    head = SpanBoundaryHead(8, 11, Random(0), dtype=np.float64)
    head.bias.data[...] = np.arange(11.0)
    h, (before, after, place) = H[:1], (np.array([[k]]) for k in (1, 4, 2))
    x = np.concatenate([h[0, 1], h[0, 4], head.places.weight.numpy()[2]])
    for layer, norm in zip((head.first, head.second), head.norms):
        x = gelu(Tensor(x @ layer.weight.numpy() + layer.bias.numpy())).numpy()
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-12) * norm.gain.numpy() + norm.bias.numpy()
    expected = x @ TABLE.numpy().T + np.arange(11.0)
    found = head(Tensor(h), before, after, place, TABLE).numpy()[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
