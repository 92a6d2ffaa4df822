"""A sublayer has the bits of its parts, forward and backward; what does not fit is refused."""

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.sublayers.cases import around, maps
from tinylm.errors import ConfigError, ShapeError

B, T, D, F, H = 2, 5, 8, 12, 2


def tensors(rng, norm, bias, *shapes, dtype=np.float64):
    """x, gain, shift and the weights of maps, as leaves; None where there is none."""
    arrays = [rng.normal(size=(B, T, D)), *around(rng, D, norm), *maps(rng, *shapes, bias=bias)]
    return [None if a is None else Tensor(a.astype(dtype), requires_grad=True) for a in arrays]


def by_parts(x, gain, shift, branch, norm, eps, placement):
    """The sublayer as a block without fused halves records it."""

    def normed(h):
        if norm == "layer":
            return tl.layer_norm(h, gain, shift, eps=eps)
        return tl.rms_norm(h, gain, eps=eps)

    if placement == "pre":
        return x + branch(normed(x))
    return normed(x + branch(x))


def gradients(y, leaves, g):
    leaves = [leaf for leaf in leaves if leaf is not None]
    return [y.data, *(d.data for d in tl.grad(y, leaves, cotangent=g))]


def same_bits(fused, parts, leaves, rng, but=None):
    """All results are equal; of result `but` three terms may be added in another order."""
    g = rng.normal(size=(B, T, D)).astype(leaves[0].dtype)
    ours, theirs = gradients(fused, leaves, g), gradients(parts, leaves, g)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.dtype == b.dtype
        if i == but:
            terms = np.abs(b).max()
            np.testing.assert_allclose(a, b, rtol=0, atol=4 * np.finfo(b.dtype).eps * terms)
        else:
            np.testing.assert_array_equal(a, b)


WAYS = [
    (norm, placement, bias)
    for norm in ("layer", "rms")
    for placement in ("pre", "post")
    for bias in (True, False)
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm, placement, bias", WAYS)
def test_attention_has_the_bits_of_its_parts(rng, norm, placement, bias, dtype):
    shapes = (D, 2 * D), (D, D)  # H = 2 query heads and G = 1 of width 4
    leaves = tensors(rng, norm, bias, *shapes, dtype=dtype)
    x, gain, shift, qkv, qkv_bias, out, out_bias = leaves
    mask = rng.random((B, 1, T, T)) < 0.7
    turn = rng.normal(size=(T, 2)).astype(dtype)
    options = {"rotation": (np.cos(turn), np.sin(turn)), "mask": mask, "scale": 0.4}

    def branch(h):
        y = tl.self_attention(tl.linear(h, qkv, qkv_bias), H, 1, **options)
        return tl.linear(y, out, out_bias)

    y = tl.attention_sublayer(*leaves, norm, 1e-5, placement, H, 1, **options)
    same_bits(y, by_parts(x, gain, shift, branch, norm, 1e-5, placement), leaves, rng)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("norm, placement, bias", WAYS)
def test_feed_forward_has_the_bits_of_its_parts(rng, norm, placement, bias, activation):
    leaves = tensors(rng, norm, bias, (D, F), (F, D), dtype=np.float32)
    x, gain, shift, w, b, out, out_bias = leaves

    def branch(h):
        return tl.linear(getattr(tl, activation)(tl.linear(h, w, b)), out, out_bias)

    options = {"norm": norm, "eps": 1e-3, "placement": placement}
    y = tl.feed_forward_sublayer(*leaves, **options, activation=activation)
    same_bits(y, by_parts(x, gain, shift, branch, *options.values()), leaves, rng)


@pytest.mark.parametrize("product", ["swiglu", "geglu"])
@pytest.mark.parametrize("norm, placement, bias", WAYS)
def test_gated_feed_forward_has_the_bits_of_its_parts(rng, norm, placement, bias, product):
    leaves = tensors(rng, norm, bias, (D, F), (D, F), (F, D), dtype=np.float32)
    x, gain, shift, w, b, up, up_bias, out, out_bias = leaves

    def branch(h):
        h = getattr(tl, product)(tl.linear(h, w, b), tl.linear(h, up, up_bias))
        return tl.linear(h, out, out_bias)

    options = {"norm": norm, "eps": 1e-3, "placement": placement}
    y = tl.gated_sublayer(*leaves, **options, product=product)
    but = 1 if placement == "post" else None  # dL/dx: through gate, up and the residual path
    same_bits(y, by_parts(x, gain, shift, branch, *options.values()), leaves, rng, but)


def test_the_input_and_the_cotangent_are_left_as_they_are(rng):
    leaves = tensors(rng, "layer", True, (D, F), (F, D))
    g = rng.normal(size=(B, T, D))
    before = [leaf.data.copy() for leaf in leaves], g.copy()
    gradients(tl.feed_forward_sublayer(*leaves), leaves, g)
    for leaf, old in zip(leaves, before[0]):
        np.testing.assert_array_equal(leaf.data, old)
    np.testing.assert_array_equal(g, before[1])


def test_a_graph_that_is_kept_gives_the_same_gradients_again(rng):
    leaves = tensors(rng, "rms", True, (D, F), (F, D))
    y = tl.feed_forward_sublayer(*leaves, norm="rms")
    g = rng.normal(size=(B, T, D))
    wanted = [leaf for leaf in leaves if leaf is not None]
    first = tl.grad(y, wanted, cotangent=g, retain_graph=True)
    kept = [d.data.copy() for d in first]
    second = tl.grad(y, wanted, cotangent=g)
    for a, old, b in zip(first, kept, second):
        np.testing.assert_array_equal(a.data, old)  # the second pass wrote into none of the first
        np.testing.assert_array_equal(a.data, b.data)


def test_only_what_requires_a_gradient_gets_one(rng):
    leaves = tensors(rng, "layer", True, (D, F), (F, D))
    whole = gradients(tl.feed_forward_sublayer(*leaves), leaves, np.ones((B, T, D)))
    frozen = [Tensor(leaf.data) for leaf in leaves]
    frozen[4].requires_grad = True  # the bias of the hidden layer alone
    tl.feed_forward_sublayer(*frozen).backward(np.ones((B, T, D)))
    np.testing.assert_array_equal(frozen[4].grad.data, whole[5])
    assert all(leaf.grad is None for i, leaf in enumerate(frozen) if i != 4)


def test_what_does_not_fit_is_refused(rng):
    leaves = tensors(rng, "layer", True, (D, F), (F, D))
    with pytest.raises(ConfigError, match="norm 'batch' is not layer"):
        tl.feed_forward_sublayer(*leaves, norm="batch")
    with pytest.raises(ConfigError, match="rms without a shift"):
        tl.feed_forward_sublayer(*leaves, norm="rms")
    with pytest.raises(ConfigError, match="placement 'between' is not pre or post"):
        tl.feed_forward_sublayer(*leaves, placement="between")
    with pytest.raises(ConfigError, match="'tanh' is not one of gelu"):
        tl.feed_forward_sublayer(*leaves, activation="tanh")
    narrow = tensors(rng, "layer", True, (D, F), (F, D - 1))
    with pytest.raises(ShapeError, match=r"gives \(2, 5, 7\), which is added to \(2, 5, 8\)"):
        tl.feed_forward_sublayer(*narrow)
