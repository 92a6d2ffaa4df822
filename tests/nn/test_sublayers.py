"""A block of the usual parts runs as two operations; whatever is not usual runs part by part."""

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn
from tinylm.autograd.engine.rounding import Rounding, rounding
from tinylm.backend import Random
from tinylm.models import GPT, GPTConfig

D, H, T = 8, 2, 4


def block(norm=nn.LayerNorm, placement=nn.pre_norm, activation="gelu_tanh", dropout=0.0, **options):
    rng = Random(0)
    made = nn.Block(
        nn.SelfAttention(D, H, rng, **options),
        nn.feed_forward(activation)(D, 2 * D, rng, activation),
        [norm(D), norm(D)],
        placement,
        rng,
        dropout,
    )
    for p in made.parameters():  # gains and biases as well: each must reach the result
        p.data += Random(1).normal(p.shape, np.float32) * 0.3
    return made


def stream():
    return tl.Tensor(Random(2).normal((2, T, D), np.float32), requires_grad=True)


def operations(y):
    """Names of the operations that made a Tensor."""
    found, waiting = {}, [y._node]
    while waiting:
        node = waiting.pop()
        if node not in found and hasattr(node, "op"):
            found[node] = node.op
            waiting += [edge for edge in node.inputs if edge is not None]
    return sorted(found.values())


def results(made, **options):
    """The result and all gradients."""
    x = stream()
    made.zero_grad()
    y = made(x, **options)
    ops = operations(y)
    y.backward(Random(3).normal(y.shape, np.float32))
    return ops, [y.data, x.grad.data, *(p.grad.data for p in made.parameters())]


FUSED = {"gelu_tanh": "feed_forward_sublayer", "gelu": "feed_forward_sublayer"}
FUSED |= {"silu": "feed_forward_sublayer", "swiglu": "gated_sublayer", "geglu": "gated_sublayer"}


@pytest.mark.parametrize("activation", FUSED)
@pytest.mark.parametrize("placement", [nn.pre_norm, nn.post_norm])
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_a_usual_block_is_two_operations_with_the_result_of_its_parts(norm, placement, activation):
    made = block(norm, placement, activation)
    ops, ours = results(made)
    assert ops == sorted(["attention_sublayer", FUSED[activation]])

    def same_placement(x, branch, n):  # another function: the parts run
        return placement(x, branch, n)

    made.placement = same_placement
    ops, parts = results(made)
    assert len(ops) >= 9
    for a, b in zip(ours, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)  # float32


def test_masks_and_rotations_are_the_usual_case_too():
    made = block(causal=False, kv_heads=1)
    mask = np.ones((2, 1, 1, T), bool)
    mask[0, ..., -1] = False
    turns = nn.rotary_angles(np.arange(T), D // H)
    fused, ours = results(made, mask=mask, rotation=turns, layer=3, bias=None, cache=None)
    assert fused == ["attention_sublayer", "feed_forward_sublayer"]
    made.placement = lambda x, branch, n: nn.pre_norm(x, branch, n)
    _, parts = results(made, mask=mask, rotation=turns, layer=3)
    for a, b in zip(ours, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)  # float32


class OtherLinear(nn.Linear):
    """As an adapter: the same weights, something else computed from them."""

    def __call__(self, x):
        return super().__call__(x) * 2.0


def with_other_map(made, name):
    module = made.attention if name == "qkv" else made.feed_forward
    old = getattr(module, name)
    other = OtherLinear(*old.weight.shape, Random(0))
    other.weight, other.bias = old.weight, old.bias
    setattr(module, name, other)
    return made


UNUSUAL = {
    "a cap": (lambda: block(cap=5.0), "attention_sublayer"),
    "normed queries": (lambda: block(qk_norm="head"), "attention_sublayer"),
    "another map of attention": (lambda: with_other_map(block(), "qkv"), "attention_sublayer"),
    "another hidden map": (lambda: with_other_map(block(), "hidden"), "feed_forward_sublayer"),
    "relu": (lambda: block(activation="relu"), "feed_forward_sublayer"),
    "a gate without a kernel": (lambda: block(activation="glu"), "gated_sublayer"),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_an_unusual_half_runs_part_by_part_and_the_other_does_not(what):
    make, op = UNUSUAL[what]
    ops, _ = results(make())
    assert op not in ops
    assert sum(name.endswith("_sublayer") for name in ops) == 1


def test_another_class_of_norm_or_block_part_is_never_taken_for_the_usual_one():
    class Loud(nn.LayerNorm):
        def __call__(self, x):
            return super().__call__(x) * 3.0

    made = block()
    _, usual = results(made)
    loud = Loud(D)
    loud.gain, loud.bias = made.norms[1].gain, made.norms[1].bias
    made.norms[1] = loud
    ops, other = results(made)
    assert ops.count("feed_forward_sublayer") == 0 and "layer_norm" in ops
    assert np.abs(other[0] - usual[0]).max() > 0.1


def test_dropout_is_drawn_by_the_parts_in_training_alone():
    made = block(dropout=0.5)
    made.attention.dropout = 0.5
    assert not [op for op in results(made.train())[0] if op.endswith("_sublayer")]
    assert results(made.eval())[0] == ["attention_sublayer", "feed_forward_sublayer"]
    made.dropout = 0.0
    made.train()  # weights of attention are dropped, branches are not
    assert [op for op in results(made)[0] if op.endswith("_sublayer")] == ["feed_forward_sublayer"]


def test_observers_see_the_parts():
    made = block()
    with tl.autograd.count_operations() as counts:
        made(stream())
    assert counts.calls["linear"] == 4 and counts.calls["layer_norm"] == 2
    assert not any(name.endswith("_sublayer") for name in counts.calls)


def test_results_of_fewer_digits_are_rounded_part_by_part():
    made = block()
    coarse = Rounding(lambda a: np.round(a, 1), lambda g: g)
    with rounding(coarse):
        ops, _ = results(made)
    assert not [op for op in ops if op.endswith("_sublayer")]


def test_float16_runs_part_by_part():
    made = block()
    for p in made.parameters():
        p.data = p.data.astype(np.float16)
    y = made(tl.Tensor(stream().data.astype(np.float16)))
    assert y.dtype == np.float16
    x = tl.Tensor(stream().data.astype(np.float16), requires_grad=True)
    assert not [op for op in operations(made(x)) if op.endswith("_sublayer")]


def test_a_cache_runs_part_by_part_and_decodes_what_the_whole_sequence_says():
    from tinylm.generate import KeyValueCache

    model = GPT(GPTConfig(11, 8, 2, 2, 8), seed=0).eval()
    ids = np.array([[1, 5, 2, 7]])
    with tl.no_grad():
        whole = model(ids).data
        cache = KeyValueCache(2, 1, 2, 4)  # layers, batch, heads of keys, width
        pieces = [model(ids[:, t : t + 1], cache=cache).data for t in range(4)]
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, rtol=1e-4, atol=1e-6)


def test_recomputation_gives_the_same_gradients():
    made = block()
    _, plain = results(made)
    x = stream()
    made.zero_grad()
    y = tl.autograd.checkpoint(made, x)
    y.backward(Random(3).normal(y.shape, np.float32))
    again = [y.data, x.grad.data, *(p.grad.data for p in made.parameters())]
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)  # float32


def test_second_derivatives_go_through_the_twins():
    made = block()
    for p in made.parameters():
        p.data = p.data.astype(np.float64)
    x = tl.Tensor(stream().data.astype(np.float64), requires_grad=True)
    (g,) = tl.grad((made(x) * made(x)).sum(), [x], create_graph=True)
    (second,) = tl.grad((g * g).sum(), [x])
    made.placement = lambda x, branch, n: nn.pre_norm(x, branch, n)
    (g,) = tl.grad((made(x) * made(x)).sum(), [x], create_graph=True)
    (parts,) = tl.grad((g * g).sum(), [x])
    np.testing.assert_allclose(second.data, parts.data, rtol=1e-8)
