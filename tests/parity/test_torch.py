"""Against PyTorch in float64: values and gradients of every operation that exists there, and AdamW
over 50 steps.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf
from tinylm.nn import rotary_angles
from tinylm.optim import AdamW, FlatParameters, Momentum, clip_grad_norm

torch = pytest.importorskip("torch")
F = torch.nn.functional
# a few thousand roundings of 1e-16, and the size of the values
TOLERANCE = 1e-10


def compare(ours, theirs, *arrays):
    """Assert equal outputs and equal gradients, contracted with one random cotangent."""
    mine = [leaf(a) for a in arrays]
    other = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*other)
    cotangent = np.random.default_rng(9).normal(size=y.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    for a, b in zip(mine, other):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


UNARY = {
    "exp": (tl.exp, torch.exp),
    "log": (tl.log, torch.log),
    "log1p": (tl.log1p, torch.log1p),
    "expm1": (tl.expm1, torch.expm1),
    "sqrt": (tl.sqrt, torch.sqrt),
    "tanh": (tl.tanh, torch.tanh),
    "sigmoid": (tl.sigmoid, torch.sigmoid),
    "erf": (tl.erf, torch.erf),
    "sin": (tl.sin, torch.sin),
    "cos": (tl.cos, torch.cos),
    "abs": (tl.abs, torch.abs),
    "relu": (tl.relu, torch.relu),
    "gelu": (tl.gelu, F.gelu),
    "silu": (tl.silu, F.silu),
    "gelu_tanh": (tl.gelu_tanh, lambda a: F.gelu(a, approximate="tanh")),
    "softmax": (tl.softmax, lambda a: F.softmax(a, -1)),
    "log_softmax": (lambda a: tl.log_softmax(a, axis=0), lambda a: F.log_softmax(a, 0)),
    "cube": (lambda a: a**3, lambda a: a**3),
    "logsumexp": (lambda a: tl.logsumexp(a, axis=1), lambda a: torch.logsumexp(a, 1)),
    "mean": (lambda a: a.mean(axis=(0, 1)), torch.mean),
    "max": (lambda a: a.max(axis=1), lambda a: torch.amax(a, 1)),
    "cumsum": (lambda a: a.cumsum(1), lambda a: torch.cumsum(a, 1)),
    "sort": (tl.sort, lambda a: torch.sort(a)[0]),
    "topk": (lambda a: tl.topk(a, 2)[0], lambda a: torch.topk(a, 2)[0]),
    "flip": (lambda a: tl.flip(a, axis=1), lambda a: torch.flip(a, (1,))),
    "roll": (lambda a: tl.roll(a, 2, axis=1), lambda a: torch.roll(a, 2, 1)),
    "index": (lambda a: a[np.array([2, 0, 2])], lambda a: a[[2, 0, 2]]),
    "clip": (lambda a: tl.clip(a, 0.5, 1.0), lambda a: torch.clamp(a, 0.5, 1.0)),
    "pad": (lambda a: tl.pad(a, [(1, 2), (0, 1)]), lambda a: F.pad(a, (0, 1, 1, 2))),
    "two to the": (lambda a: 2.0**a, lambda a: 2.0**a),
}
BINARY = {
    "add": (tl.add, torch.add),
    "mul": (tl.mul, torch.mul),
    "div": (tl.div, torch.div),
    "pow": (tl.power, torch.pow),
    "maximum": (tl.maximum, torch.maximum),
    "minimum": (tl.minimum, torch.minimum),
    "matmul": (lambda a, b: a @ b.T, lambda a, b: a @ b.T),
    "einsum": (
        lambda a, b: tl.einsum("ij,kj->ik", a, b),
        lambda a, b: torch.einsum("ij,kj->ik", a, b),
    ),
    "stack": (lambda a, b: tl.stack([a, b], 1), lambda a, b: torch.stack([a, b], 1)),
    "swiglu": (tl.swiglu, lambda a, b: F.silu(a) * b),
    "geglu": (tl.geglu, lambda a, b: F.gelu(a) * b),
}


@pytest.mark.parametrize("ours, theirs", UNARY.values(), ids=UNARY)
def test_functions_of_one_array_agree(rng, ours, theirs):
    compare(ours, theirs, rng.uniform(0.3, 2, size=(3, 5)))


@pytest.mark.parametrize("ours, theirs", BINARY.values(), ids=BINARY)
def test_functions_of_two_arrays_agree(rng, ours, theirs):
    compare(ours, theirs, rng.uniform(0.3, 2, size=(3, 5)), rng.uniform(0.3, 2, size=(3, 5)))


def test_linear_maps_and_embeddings_agree(rng):
    compare(
        tl.linear,
        lambda x, w, b: F.linear(x, w.T, b),
        rng.normal(size=(2, 3, 4)),
        rng.normal(size=(4, 5)),
        rng.normal(size=5),
    )
    compare(tl.unembedding, F.linear, rng.normal(size=(2, 3, 4)), rng.normal(size=(6, 4)))
    ids = rng.integers(0, 6, (2, 7))
    compare(
        lambda w: tl.embedding(ids, w),
        lambda w: F.embedding(torch.tensor(ids), w),
        rng.normal(size=(6, 4)),
    )


def test_norms_agree(rng):
    x, gain, bias = rng.normal(size=(2, 3, 8)), rng.normal(size=8), rng.normal(size=8)
    compare(tl.layer_norm, lambda x, g, b: F.layer_norm(x, (8,), g, b, 1e-5), x, gain, bias)
    compare(tl.rms_norm, lambda x, g: F.rms_norm(x, (8,), g, 1e-6), x, gain)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_agrees(rng, reduction, smoothing):
    targets = rng.integers(0, 7, 6)
    targets[2] = -100
    compare(
        lambda x: tl.cross_entropy(x, targets, reduction=reduction, label_smoothing=smoothing),
        lambda x: F.cross_entropy(
            x, torch.tensor(targets), reduction=reduction, label_smoothing=smoothing
        ),
        rng.normal(size=(6, 7)) * 3,
    )


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_agrees(rng, kv_heads, causal):
    B, H, T, K = 2, 4, 5, 6

    def theirs(q, k, v):
        k, v = (x.repeat_interleave(H // kv_heads, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    compare(
        lambda q, k, v: tl.attention(q, k, v, causal=causal),
        theirs,
        *(rng.normal(size=(B, n, T, K)) for n in (H, kv_heads, kv_heads)),
    )


def test_attention_with_a_differentiated_bias_agrees(rng):
    compare(
        lambda q, k, v, b: tl.attention(q, k, v, bias=b),
        lambda q, k, v, b: F.scaled_dot_product_attention(q, k, v, attn_mask=b),
        *(rng.normal(size=(2, 3, t, 4)) for t in (5, 6, 6)),
        rng.normal(size=(5, 6)),
    )


def test_rotary_agrees_with_complex_multiplication(rng):
    cos, sin = rotary_angles(np.arange(5), 6, dtype=np.float64)
    turn = torch.complex(torch.tensor(cos), torch.tensor(sin))

    def theirs(x):
        turned = torch.complex(x[..., :3], x[..., 3:]) * turn
        return torch.cat([turned.real, turned.imag], -1)

    compare(lambda x: tl.rotary(x, cos=cos, sin=sin), theirs, rng.normal(size=(2, 3, 5, 6)))


def test_a_second_derivative_agrees(rng):
    values = rng.normal(size=(3, 4))
    x, z = leaf(values), torch.tensor(values, requires_grad=True)
    (g,) = tl.grad((tl.softmax(tl.gelu(x)) ** 2).sum(), [x], create_graph=True)
    (h,) = torch.autograd.grad((F.softmax(F.gelu(z), -1) ** 2).sum(), [z], create_graph=True)
    np.testing.assert_allclose(
        tl.grad((g * g).sum(), [x])[0].numpy(),
        torch.autograd.grad((h * h).sum(), [z])[0].numpy(),
        rtol=TOLERANCE,
        atol=TOLERANCE,
    )


def twins(rng):
    """A matrix and a vector, ours in flat buffers and theirs, and 50 gradients for each."""
    shapes = {"w": (5, 3), "b": (3,)}
    values = {n: rng.normal(size=s) for n, s in shapes.items()}
    flat = FlatParameters({n: leaf(v) for n, v in values.items()})
    theirs = {n: torch.tensor(v, requires_grad=True) for n, v in values.items()}
    return (
        flat,
        theirs,
        [
            {n: rng.normal(size=s) * 10.0 ** rng.uniform(-6, 2) for n, s in shapes.items()}
            for _ in range(50)
        ],
    )


def run(flat, theirs, steps, ours, other):
    for gradients in steps:
        for p, name in zip(flat.tensors, flat.names):
            p.slot[...] = gradients[name]
            p.grad = tl.Tensor(p.slot)
            theirs[name].grad = torch.tensor(gradients[name])
        ours.step()
        other.step()
    for p, name in zip(flat.tensors, flat.names):
        np.testing.assert_allclose(
            p.numpy(), theirs[name].detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE
        )


def test_adamw_agrees_over_50_steps(rng):
    flat, theirs, steps = twins(rng)
    options = dict(lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    other = torch.optim.AdamW(
        [
            dict(params=[theirs["w"]], weight_decay=0.1),
            dict(params=[theirs["b"]], weight_decay=0.0),
        ],
        **options,
    )
    run(flat, theirs, steps, AdamW(flat, weight_decay=0.1, **options), other)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_agrees_over_50_steps(rng, nesterov):
    flat, theirs, steps = twins(rng)
    other = torch.optim.SGD(theirs.values(), lr=0.01, momentum=0.9, nesterov=nesterov)
    run(flat, theirs, steps, Momentum(flat, lr=0.01, momentum=0.9, nesterov=nesterov), other)


@pytest.mark.parametrize("norm", [0.5, 3.0])
def test_clipping_to_a_norm_agrees(rng, norm):
    values = {n: rng.normal(size=s) for n, s in {"w": (5, 3), "b": (3,)}.items()}
    flat = FlatParameters({n: leaf(v) for n, v in values.items()})
    theirs = [torch.tensor(values[n], requires_grad=True) for n in flat.names]
    for p, other, n in zip(flat.tensors, theirs, flat.names):
        p.slot[...] = values[n]
        p.grad, other.grad = tl.Tensor(p.slot), torch.tensor(values[n])
    before = float(torch.nn.utils.clip_grad_norm_(theirs, norm))
    assert clip_grad_norm(flat, norm) == pytest.approx(before, rel=1e-12)
    for p, other in zip(flat.tensors, theirs):  # torch adds 1e-6 to the norm it divides by
        np.testing.assert_allclose(
            p.grad.numpy(), other.grad.numpy() * (before + 1e-6) / before, rtol=TOLERANCE
        )
