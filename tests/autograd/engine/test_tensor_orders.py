"""Derivatives of derivatives: closed forms, fused operations through their twins, and a whole
transformer.
"""

import math

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import differences, host, leaf, plain
from tinylm.autograd import checkpoint, fused, primitive
from tinylm.autograd.engine.operation import fused_operations
from tinylm.autograd.kernels import composed
from tinylm.errors import GraphError
from tinylm.models import GPT, GPTConfig


def derivatives(function, x, orders):
    """Values of the first `orders` derivatives of a function of one number."""
    x = leaf(x)
    y, values = function(x), []
    for _ in range(orders):
        (y,) = tl.grad(y, [x], create_graph=True)
        values.append(y.item())
    return values


def gaussian_cdf_derivatives(x):
    # gelu = x Phi:  Phi + x phi,  (2 - x^2) phi,  (x^3 - 4x) phi,  (-x^4 + 7x^2 - 4) phi
    phi, cdf = math.exp(-x * x / 2) / math.sqrt(2 * math.pi), (1 + math.erf(x / math.sqrt(2))) / 2
    return [cdf + x * phi, (2 - x**2) * phi, (x**3 - 4 * x) * phi, (-(x**4) + 7 * x**2 - 4) * phi]


def tanh_derivatives(x):
    t = math.tanh(x)
    return [
        1 - t**2,
        -2 * t * (1 - t**2),
        (1 - t**2) * (6 * t**2 - 2),
        (1 - t**2) * (16 * t - 24 * t**3),
    ]


def sigmoid_derivatives(x):
    s = 1 / (1 + math.exp(-x))
    d = s * (1 - s)
    return [
        d,
        d * (1 - 2 * s),
        d * (1 - 6 * s + 6 * s**2),
        d * (1 - 2 * s) * (1 - 12 * s + 12 * s**2),
    ]


CLOSED_FORMS = {
    "exp": (tl.exp, lambda x: [math.exp(x)] * 4),
    "log": (tl.log, lambda x: [1 / x, -1 / x**2, 2 / x**3, -6 / x**4]),
    "log1p": (
        tl.log1p,
        lambda x: [(-1) ** n * k * (1 + x) ** -(n + 1) for n, k in enumerate((1, 1, 2, 6))],
    ),
    "expm1": (tl.expm1, lambda x: [math.exp(x)] * 4),
    "sin": (tl.sin, lambda x: [math.cos(x), -math.sin(x), -math.cos(x), math.sin(x)]),
    "sqrt": (tl.sqrt, lambda x: [x**-0.5 / 2, -(x**-1.5) / 4, 3 * x**-2.5 / 8, -15 * x**-3.5 / 16]),
    "x**5": (lambda x: x**5, lambda x: [5 * x**4, 20 * x**3, 60 * x**2, 120 * x]),
    "1/x": (lambda x: 1 / x, lambda x: [-(x**-2), 2 * x**-3, -6 * x**-4, 24 * x**-5]),
    "2**x": (lambda x: 2.0**x, lambda x: [2**x * math.log(2) ** n for n in (1, 2, 3, 4)]),
    "tanh": (tl.tanh, tanh_derivatives),
    "sigmoid": (tl.sigmoid, sigmoid_derivatives),
    "gelu": (tl.gelu, gaussian_cdf_derivatives),  # fused: through its twin, to all orders
}


@pytest.mark.parametrize("function, expected", CLOSED_FORMS.values(), ids=CLOSED_FORMS)
@pytest.mark.parametrize("x", [0.7, 1.9])  # two points where every one of them is defined
def test_four_orders_of_derivatives_match_closed_forms(function, expected, x):
    np.testing.assert_allclose(derivatives(function, x, 4), expected(x), rtol=1e-11, atol=1e-12)


def fused_cases(rng, device):
    """name -> (function of leaves, arrays): every fused operation."""
    x, h = rng.normal(size=(2, 4)), rng.normal(size=(1, 2, 3, 2))
    ids, targets = plain([[0, 2], [2, 1]], device), plain([1, -100], device)
    angles = rng.normal(size=(3, 1))
    cos, sin = plain(np.cos(angles), device), plain(np.sin(angles), device)
    mask = plain(np.array([[True, False, True]] * 3), device)
    return {
        "linear": (tl.linear, [x, rng.normal(size=(4, 3)), rng.normal(size=3)]),
        "unembedding": (tl.unembedding, [x, rng.normal(size=(3, 4))]),
        "embedding": (lambda w: tl.embedding(ids, w), [rng.normal(size=(3, 4))]),
        "add_embedding": (
            lambda a, w: tl.add_embedding(a, ids, w),
            [rng.normal(size=(2, 2, 4)), rng.normal(size=(3, 4))],
        ),
        "layer_norm": (tl.layer_norm, [x, rng.normal(size=4), rng.normal(size=4)]),
        "rms_norm": (tl.rms_norm, [x, rng.normal(size=4)]),
        "softmax": (tl.softmax, [x]),
        "log_softmax": (lambda a: tl.log_softmax(a, axis=0), [x]),
        "cross_entropy": (
            lambda a: tl.cross_entropy(a, targets, label_smoothing=0.1, z_loss=0.3),
            [x],
        ),
        "gelu": (tl.gelu, [x]),
        "gelu_tanh": (tl.gelu_tanh, [x]),
        "silu": (tl.silu, [x]),
        "swiglu": (tl.swiglu, [x, x[::-1]]),
        "geglu": (tl.geglu, [x, x[::-1]]),
        "rotary": (lambda a: tl.rotary(a, cos=cos, sin=sin), [h]),
        "attention": (
            lambda q, k, v, b: tl.attention(q, k, v, bias=b, mask=mask, causal=True),
            [h, h[:, :1] * 2, h[:, 1:] + 1, rng.normal(size=(3, 3))],
        ),
        "self_attention": (
            lambda a: tl.self_attention(a, 2, 1, rotation=(cos, sin)),
            [rng.normal(size=(1, 3, 8))],
        ),
    }


def slope(function, values, directions, cotangent, device, create_graph=False):
    """The derivative of function(values)**2 along `directions`: by the fused rule, or by the twin
    if it is to be differentiated. Squared, so that none is linear. Returns it and the leaves.
    """
    leaves = [leaf(a, device) for a in values]
    y = function(*leaves)
    found = tl.grad(y * y, leaves, plain(cotangent, device), create_graph=create_graph)
    return sum((g * plain(d, device)).sum() for g, d in zip(found, directions)), leaves


def test_second_derivatives_of_every_fused_operation_match_differences_of_its_first(device, rng):
    cases = fused_cases(rng, device)
    # tree_attention runs on the CPU alone; tinylm gradcheck takes its second derivatives.
    assert {*cases, "tree_attention"} == {
        name for name, made in fused_operations.items() if made.twin.__module__ == composed.__name__
    }
    for name, (function, arrays) in cases.items():
        directions = [np.random.default_rng(1).normal(size=a.shape) for a in arrays]
        shape = function(*[leaf(a, device) for a in arrays]).shape
        along = (directions, np.random.default_rng(2).normal(size=shape), device)
        total, leaves = slope(function, arrays, *along, create_graph=True)
        second = [host(g) for g in tl.grad(total, leaves)]
        expected = differences(
            lambda *values, f=function, along=along: slope(f, values, *along)[0].item(), arrays
        )
        for got, wanted in zip(second, expected):
            np.testing.assert_allclose(
                got, wanted, rtol=1e-6, atol=1e-7, err_msg=name
            )  # differences: about 1e-9


def test_first_order_only_refuses_create_graph_and_serves_one_backward():
    x = leaf([1.0, 2.0])
    with tl.first_order_only():
        y = tl.gelu(x).sum()
    with pytest.raises(GraphError, match=r"gelu was recorded inside first_order_only\(\)"):
        tl.grad(y, [x], create_graph=True)
    with tl.first_order_only():
        z = tl.gelu(x).sum()
    assert tl.grad(z, [x])[0].shape == (2,)


def test_backward_with_create_graph_leaves_gradients_that_can_be_differentiated():
    x = leaf([2.0, 3.0])
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g * g).sum().backward()  # d/dx (3x^2)^2 = 36 x^3
    np.testing.assert_allclose(x.grad.numpy(), [36 * 8.0, 36 * 27.0], rtol=1e-14)


def test_the_gradient_of_a_gradient_penalty_flows_to_the_weights(rng):
    w, x = leaf(rng.normal(size=(3, 1))), leaf(rng.normal(size=(2, 3)))
    (g,) = tl.grad((tl.linear(x, w) ** 2).sum(), [x], create_graph=True)  # 2 (x w) w^T
    (gw,) = tl.grad((g * g).sum(), [w])

    def penalty(w):
        return float(np.sum((2 * (x.numpy() @ w) @ w.T) ** 2))

    np.testing.assert_allclose(gw.numpy(), differences(penalty, [w.numpy()])[0], rtol=1e-7)


def test_second_order_through_a_new_fused_operation_uses_its_twin():
    @fused(lambda a: a * a * a)
    def cube(a, *, keep):
        return a**3, lambda g: (g * 3 * a**2,)

    assert derivatives(lambda x: cube(x), 2.0, 3) == [12.0, 12.0, 6.0]


def test_a_new_primitive_has_every_order():
    @primitive(lambda g, y, a: g * 2.0 * a)
    def square(a):
        return a * a

    assert derivatives(lambda x: square(square(x)), 1.5, 4) == [
        4 * 1.5**3,
        12 * 1.5**2,
        24 * 1.5,
        24.0,
    ]


def gpt_loss(
    norm="layer",
    activation="gelu_tanh",
    positions="learned",
    kv=2,
    wrap=lambda model, ids: model(ids),
    **options,
):
    """A two-layer GPT in float64 with weights large enough to be curved, and its loss as a function
    of nothing.
    """
    config = GPTConfig(
        vocab_size=5,
        context=4,
        n_layer=2,
        n_head=2,
        n_kv_head=kv,
        d_model=4,
        d_hidden=6,
        norm=norm,
        activation=activation,
        positions=positions,
        **options,
    )
    model = GPT(config, seed=1, dtype=np.float64)
    noise = np.random.default_rng(3)
    for p in model.parameters():
        p.assign_(p.data + noise.normal(size=p.shape) * 0.4)
    ids, targets = np.array([[0, 3, 1, 4], [2, 2, 0, 1]]), np.array([[3, 1, 4, 2], [2, 0, 1, 3]])
    return model, lambda: tl.cross_entropy(wrap(model, ids), targets)


def hessian_vector(loss, parameters, vector):
    """H v, as the gradient of (gradient . v)."""
    first = tl.grad(loss(), parameters, create_graph=True)
    along = sum((g * v).sum() for g, v in zip(first, vector))
    return [g.numpy() for g in tl.grad(along, parameters)]


VARIANTS = {
    "gpt2": {},
    "llama": dict(norm="rms", activation="swiglu", positions="rope", kv=1, bias=False, tied=False),
    "checkpointed": dict(wrap=lambda model, ids: checkpoint(model, ids)),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_hessian_vector_product_of_a_two_layer_gpt_matches_differences_of_gradients(options):
    model, loss = gpt_loss(**options)
    parameters = model.parameters()
    noise = np.random.default_rng(4)
    v = [noise.normal(size=p.shape) for p in parameters]
    product = hessian_vector(loss, parameters, v)
    step, start = 1e-4, [p.numpy().copy() for p in parameters]
    sides = []
    for times in (-2, -1, 1, 2):
        for p, old, d in zip(parameters, start, v):
            p.assign_(old + times * step * d)
        sides.append([g.numpy() for g in tl.grad(loss(), parameters)])
    size = max(np.abs(h).max() for h in product)
    assert size > 0.01  # there is curvature to speak of
    for h, low2, low, up, up2 in zip(product, *sides):
        expected = (low2 - 8 * low + 8 * up - up2) / (
            12 * step
        )  # error about step**4 times the fifth derivative
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-8 * size)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_hessian_of_a_gpt_is_symmetric(options):
    model, loss = gpt_loss(**options)
    parameters, noise = model.parameters(), np.random.default_rng(5)
    u, v = ([noise.normal(size=p.shape) for p in parameters] for _ in range(2))
    uhv = sum(np.sum(a * b) for a, b in zip(u, hessian_vector(loss, parameters, v)))
    vhu = sum(np.sum(a * b) for a, b in zip(v, hessian_vector(loss, parameters, u)))
    np.testing.assert_allclose(uhv, vhu, rtol=1e-10)
