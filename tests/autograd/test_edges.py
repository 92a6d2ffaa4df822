"""At the edges of a dtype, at singular points, on empty and 0-d arrays, with all dtypes."""

import itertools
import math

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd.kernels import composed
from tinylm.errors import DtypeError, GraphError, ShapeError, TinylmError

T = tl.Tensor
inf, nan = np.inf, np.nan

# Values up to the edge of each dtype, both signs.
EDGES = {
    np.float16: (0, 1e-7, 1e-4, 0.1, 1, 300, 1000, 3e4, 6e4),
    np.float32: (0, 1e-40, 1e-20, 1e-3, 1, 1e10, 1e20, 1e30, 3e38),
}


def run(function, dtype, *arrays):
    """The result and its gradients."""
    tensors = [T(np.asarray(a).astype(dtype), requires_grad=True) for a in arrays]
    with np.errstate(all="ignore"):
        y = function(*tensors)
        assert y.dtype == dtype
        y.backward(np.cos(np.arange(y.size)).reshape(y.shape).astype(np.float16).astype(dtype))
    return [y.numpy(), *(x.grad.numpy() for x in tensors)]


def assert_like_float64(function, dtype, *arrays, digits=64):
    """Result and gradients are those of float64 on the same numbers, where they fit."""
    arrays = [np.asarray(a).astype(dtype) for a in arrays]
    limits = np.finfo(dtype)
    for low, high in zip(
        run(function, dtype, *arrays), run(function, np.float64, *arrays), strict=True
    ):
        fits = np.isfinite(high) & (np.abs(high) < 0.9 * float(limits.max))
        with np.errstate(invalid="ignore"):
            error = np.abs(low.astype(float) - high)[fits]
        bound = digits * float(limits.eps) * np.abs(high[fits]) + 4 * float(limits.tiny)
        assert (error <= bound).all(), (low[fits][error > bound], high[fits][error > bound])


UNARY = {
    "exp": tl.exp,
    "log": tl.log,
    "log1p": tl.log1p,
    "expm1": tl.expm1,
    "sqrt": tl.sqrt,
    "tanh": tl.tanh,
    "abs": tl.abs,
    "sigmoid": tl.sigmoid,
    "erf": tl.erf,
    "relu": tl.relu,
    "gelu": tl.gelu,
    "gelu_tanh": tl.gelu_tanh,
    "silu": tl.silu,
    "square": lambda x: x**2,
    "root": lambda x: x**0.5,
    "gelu twin": composed.gelu,
    "gelu_tanh twin": composed.gelu_tanh,
    "silu twin": composed.silu,
}
BINARY = {
    "add": tl.add,
    "sub": tl.sub,
    "mul": tl.mul,
    "div": tl.div,
    "maximum": tl.maximum,
    "swiglu": tl.swiglu,
    "geglu": tl.geglu,
}


@pytest.mark.parametrize("dtype", EDGES)
@pytest.mark.parametrize("name", UNARY)
def test_one_argument_to_the_edge(name, dtype):
    assert_like_float64(UNARY[name], dtype, [sign * v for v in EDGES[dtype] for sign in (1, -1)])


@pytest.mark.parametrize("dtype", EDGES)
@pytest.mark.parametrize("name", BINARY)
def test_two_arguments_to_the_edge(name, dtype):
    values = [sign * v for v in EDGES[dtype] for sign in (1, -1)]
    assert_like_float64(BINARY[name], dtype, *zip(*itertools.product(values, values), strict=True))


def ones(x):
    return T(np.ones(x.shape[-1], x.dtype))


ROWS = {
    "softmax": tl.softmax,
    "softmax twin": composed.softmax,
    "logsumexp": lambda x: tl.logsumexp(x, axis=-1),
    "mean": lambda x: x.mean(axis=-1),
    "std": lambda x: x.std(axis=-1),
    "norm": lambda x: tl.norm(x, axis=-1),
    "rms_norm": lambda x: tl.rms_norm(x, ones(x)),
    "layer_norm": lambda x: tl.layer_norm(x, ones(x)),
    "cross_entropy": lambda x: tl.cross_entropy(x, np.zeros(len(x.data), int), reduction="none"),
}


@pytest.mark.parametrize(
    "dtype, scales", [(np.float16, (1e-3, 1, 300, 5e4)), (np.float32, (1e-30, 1, 1e20, 3e37))]
)
@pytest.mark.parametrize("name", ROWS)
def test_rows_to_the_edge(name, dtype, scales):
    # Halves and quarters: a row with one value of its own is far from cancellation.
    rows = np.outer(scales, [1.0, -0.5, 0.25, 0.125])
    assert_like_float64(ROWS[name], dtype, rows, digits=1000 if name == "layer_norm" else 256)


def test_norms_of_large_values():
    half, single = np.float16, np.float32
    for dtype, value in ((half, 300), (half, 6e4), (single, 1e20), (single, 3e38)):
        x, gain = T(np.array([[value, -value]], dtype)), T(np.ones(2, dtype))
        for norm in (tl.rms_norm, tl.layer_norm):
            np.testing.assert_allclose(
                norm(x, gain).numpy(), [[1, -1]], rtol=2 * np.finfo(dtype).eps
            )
    x = T(np.array([[1e20, -2e20]], single))
    for twin in (composed.rms_norm, composed.layer_norm):
        fast = getattr(tl, twin.__name__)(x, np.ones(2, single))
        np.testing.assert_allclose(twin(x, np.ones(2, single)).numpy(), fast.numpy(), rtol=1e-6)


def test_second_derivatives_of_float16_operations_calculate_in_float32():
    x = T(np.array([[300.0, -100.0]], np.float16), requires_grad=True)
    (g,) = tl.grad(tl.rms_norm(x, np.ones(2, np.float16))[0, 0], [x], create_graph=True)
    assert g.dtype == np.float16
    wide = T(x.numpy().astype(np.float64), requires_grad=True)
    (h,) = tl.grad(tl.rms_norm(wide, np.ones(2))[0, 0], [wide], create_graph=True)
    np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-2)


SHAPES = [
    ((200_000, 3), 0),
    ((300, 200, 4), (0, 1)),
    ((200_000, 3), None),
    ((40, 30_000), 1),
    ((30_000, 4), -2),
]


@pytest.mark.parametrize("shape, axis", SHAPES)
def test_sums_keep_their_digits_along_every_axis(shape, axis):
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    exact = x.astype(np.float64).sum(axis=axis)
    np.testing.assert_allclose(T(x).sum(axis=axis).numpy(), exact, rtol=1e-6)
    np.testing.assert_allclose(
        T(x).mean(axis=axis).numpy(), x.mean(axis=axis, dtype=float), rtol=1e-6
    )
    half = (x / 8).astype(np.float16)
    exact = half.astype(np.float64).mean(axis=axis)
    np.testing.assert_allclose(T(half).mean(axis=axis).numpy(), exact, rtol=1e-3)


def test_gradients_that_add_up_many_rows_keep_their_digits():
    rng = np.random.default_rng(0)
    rows = 100_000
    g = rng.random((rows, 4)).astype(np.float32)
    exact = g.astype(np.float64).sum(axis=0)
    bias = T(np.zeros(4, np.float32), requires_grad=True)
    weight = T(np.zeros((2, 4), np.float32), requires_grad=True)
    tl.linear(T(np.ones((rows, 2), np.float32)), weight, bias).backward(g)
    np.testing.assert_allclose(bias.grad.numpy(), exact, rtol=1e-6)
    np.testing.assert_allclose(weight.grad.numpy(), np.stack([exact, exact]), rtol=1e-6)
    for vocabulary in (2, 1000):  # one product with one-hot rows, and runs of equal ids
        table = T(np.zeros((vocabulary, 4), np.float32), requires_grad=True)
        tl.embedding(np.zeros(rows, int), table).backward(g)
        np.testing.assert_allclose(table.grad.numpy()[0], exact, rtol=1e-6)
    small = T(np.zeros(4, np.float32), requires_grad=True)
    (T(np.zeros((rows, 4), np.float32)) + small).backward(g)
    np.testing.assert_allclose(small.grad.numpy(), exact, rtol=1e-6)
    running = T(g).cumsum(axis=0).numpy()[-1]
    np.testing.assert_allclose(running, exact, rtol=1e-6)


def gradient(function, *values):
    """(result, gradient of each) of a function of lists, the sum of its values differentiated."""
    tensors = [T(np.array(v, float), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        y = function(*tensors)
        y.sum().backward()
    return [y.numpy(), *(x.grad.numpy() for x in tensors)]


def test_singular_points_follow_torch():
    cases = [
        (tl.relu, [[nan, -1, 0]], [nan, 0, 0], [1, 0, 0]),
        (lambda x: x.clip(0, 1), [[0, 1, 2, -1]], [0, 1, 1, 0], [1, 1, 0, 0]),
        (lambda x: x.std(), [[1, 1, 1]], 0, [0, 0, 0]),
        (tl.norm, [[0, 0]], 0, [0, 0]),
        (tl.sqrt, [[0]], [0], [inf]),
        (tl.abs, [[0, -2]], [0, 2], [0, -1]),
        (lambda x: x**0, [[0, 2]], [1, 1], [0, 0]),
        (lambda x: x.prod(), [[0, 2, 3]], 0, [6, 0, 0]),
        (lambda x: x.prod(), [[0, 0, 3]], 0, [0, 0, 0]),
        (lambda x: x.logsumexp(), [[inf, 1, 2]], inf, [nan, 0, 0]),
        (lambda x: x.logsumexp(), [[nan, 1]], nan, [nan, nan]),
        (lambda x: x.logsumexp(), [[1e30, 1e30]], 1e30, [0.5, 0.5]),
        (lambda x: x.max(), [[nan, 1, 2]], nan, [1, 0, 0]),
        (tl.sigmoid, [[inf, -inf, 1000]], [1, 0, 1], [0, 0, 0]),
        (tl.tanh, [[inf, -inf]], [1, -1], [0, 0]),
        (tl.gelu_tanh, [[1e200, -1e200]], [1e200, 0], [1, 0]),
        (tl.silu, [[1e300, -1e300]], [1e300, 0], [1, 0]),
        (tl.gelu, [[1e300, -1e300]], [1e300, 0], [1, 0]),
        (lambda x: 0.0**x, [[0, 1, 0.5]], [1, 0, 0], [0, 0, 0]),
    ]
    for function, values, result, slope in cases:
        got = gradient(function, *values)
        np.testing.assert_allclose(got[0], result)
        np.testing.assert_allclose(got[1], slope)
    for larger in (tl.maximum, tl.minimum):  # a nan on either side passes the gradient to both
        _, a, b = gradient(larger, [nan, 1, 2], [1, nan, 2])
        np.testing.assert_array_equal(a, [1, 1, 0.5])
        np.testing.assert_array_equal(b, [1, 1, 0.5])
    _, base, exponent = gradient(tl.power, [0, 0, 2], [2, 0, 0])
    np.testing.assert_array_equal(base, [0, 0, 0])
    np.testing.assert_allclose(exponent, [0, 0, math.log(2)])


def test_a_weight_of_zero_hides_what_is_not_finite():
    y, weights, values = gradient(tl.weigh, [0, 0, 0.5], [-inf, 3, 2])
    np.testing.assert_array_equal(y, [0, 0, 1])
    np.testing.assert_array_equal(weights, [0, 3, 2])
    np.testing.assert_array_equal(values, [0, 0, 0.5])
    logits, targets = [[-inf, 0, 1]], [[0, 0.5, 0.5]]
    loss, by_logits, by_targets = gradient(tl.soft_cross_entropy, logits, targets)
    assert np.isfinite([loss, *by_logits[0], *by_targets[0]]).all()
    np.testing.assert_allclose(loss, gradient(tl.soft_cross_entropy, [[0, 1]], [[0.5, 0.5]])[0])


@pytest.mark.parametrize("options", [{}, {"reduction": "sum"}, {"reduction": "none"}])
def test_cross_entropy_and_its_twin_choose_what_counts(options):
    values = np.array([[-inf, 0, 1], [-inf, 0, 1], [nan, 0, inf]])
    targets = np.array([1, -100, -100])
    x, y = (T(values, requires_grad=True) for _ in range(2))
    losses = tl.cross_entropy(x, targets, **options), composed.cross_entropy(y, targets, **options)
    np.testing.assert_allclose(*(loss.numpy() for loss in losses))
    assert losses[0].sum().item() == pytest.approx(1.31326169)
    for loss in losses:
        loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy())
    assert not x.grad.numpy()[1:].any() and np.isfinite(x.grad.numpy()).all()


def test_no_gradient_passes_integers():
    x = T([1.5, 2.5], requires_grad=True)
    for y in (x.astype(np.int64), x.astype(bool), x.floor(), x.ceil(), x.round(), x.sign()):
        assert not (y * 2.7).requires_grad
    with pytest.raises(GraphError, match="no input requires a gradient"):
        (x.astype(np.int64) * 2.7).sum().backward()
    with pytest.raises(DtypeError, match="floating point"):
        T([1, 2], requires_grad=True)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, np.float32, np.float64])
def test_integer_operands_of_kernels_count_as_the_floats_beside_them(dtype):
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    gain = np.array([1.0, 2.0, 0.5], np.float32)
    expected = tl.layer_norm(x.astype(np.float32), gain).numpy()
    np.testing.assert_allclose(tl.layer_norm(x, gain).numpy(), expected, rtol=1e-2, atol=1e-3)
    w = T(np.ones((3, 2), np.float32), requires_grad=True)
    tl.linear(x, w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.stack([x.sum(axis=0)] * 2, axis=1))
    if np.dtype(dtype).kind != "f":
        for kernel in (tl.softmax, tl.gelu, tl.silu, tl.log_softmax):
            with pytest.raises(DtypeError, match="astype"):
                kernel(T(x))


FUSED_UNARY = [
    tl.silu,
    tl.gelu,
    tl.gelu_tanh,
    tl.relu,
    lambda x: tl.swiglu(x, x),
    lambda x: tl.geglu(x, x),
]


@pytest.mark.parametrize("function", FUSED_UNARY)
@pytest.mark.parametrize("retain", [False, True])
def test_zero_dimensions(function, retain):
    x = T(2.0, requires_grad=True)
    y = x * 1.0
    (function(y) + y * 3).backward(retain_graph=retain)
    wide = T([2.0], requires_grad=True)
    (function(wide) + wide * 3).sum().backward()
    assert x.grad.shape == ()
    assert x.grad.item() == pytest.approx(wide.grad.item())


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), (2, 0, 3), (0, 0)])
@pytest.mark.parametrize(
    "name", [*UNARY, *ROWS, "log_softmax", "linear", "sum", "cumsum", "sort", "swiglu"]
)
def test_empty_arrays_go_through_forward_and_backward(name, shape):
    D = shape[-1]
    functions = {
        **UNARY,
        **ROWS,
        "log_softmax": tl.log_softmax,
        "sum": lambda x: x.sum(axis=-1),
        "linear": lambda x: tl.linear(x, T(np.ones((D, 2))), T(np.ones(2))),
        "cumsum": lambda x: x.cumsum(axis=-1),
        "sort": tl.sort,
        "swiglu": lambda x: tl.swiglu(x, x),
        "cross_entropy": lambda x: tl.cross_entropy(x, np.zeros(shape[:-1], int)),
    }
    x = T(np.ones(shape), requires_grad=True)
    with np.errstate(all="ignore"):
        try:
            y = functions[name](x)
        except TinylmError:
            assert name == "cross_entropy"  # no class to choose from
            return
        y.sum().backward()
    assert x.grad.shape == shape


def test_a_constant_gradient_differentiates_to_zeros():
    x = T([1.0, 2.0], requires_grad=True)
    (g,) = tl.grad((3 * x).sum(), [x], create_graph=True)
    (h,) = tl.grad(g.sum(), [x])
    np.testing.assert_array_equal(h.numpy(), [0, 0])
    (g, w) = tl.grad((x * x).sum(), [x, T([1.0], requires_grad=True)], create_graph=True)
    np.testing.assert_array_equal(tl.grad((g * w).sum(), [x])[0].numpy(), [0, 0])


def test_an_index_buffer_may_be_used_again_before_backward():
    ids = T(np.array([0, 1]))
    for pick in (
        lambda w: w[ids],
        lambda w: tl.embedding(ids.data, w),
        lambda w: w[(ids.data,)],
        lambda w: tl.take_along_axis(w, ids.data[None], 0),
    ):
        ids.assign_([0, 1])
        w = T(np.ones((3, 2)), requires_grad=True)
        y = pick(w)
        ids.data[...] = 1
        y.sum().backward()
        assert w.grad.numpy()[0].any()


def test_a_checkpointed_closure_notices_a_changed_parameter():
    w, x = T([2.0], requires_grad=True, name="w"), T([3.0], requires_grad=True)
    y = tl.checkpoint(lambda x: x * w, x)
    w.assign_([5.0])
    with pytest.raises(GraphError, match="checkpoint: 'w', which the function reads"):
        y.backward()


def test_views_share_one_version():
    x = T(np.ones((2, 3)), requires_grad=True)
    base = x * 1.0
    for view in (tl.flip(base), base.T, tl.expand_dims(base, 0), T(base), base.detach(), base[0]):
        assert view._version is base._version
    y = tl.einsum("ij->ji", base)
    assert not np.shares_memory(y.data, base.data)
    with pytest.raises(GraphError, match="read-only"):
        tl.broadcast_to(T([1.0]), (3,)).assign_(2.0)


EINSUMS = [
    ("...ij,...jk", (2, 2, 3), (3, 2)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("ij", (2, 3)),
    ("ji", (2, 3)),
    ("i,i->", (2,), (1,)),
    ("...i->...", (2, 3)),
    ("i...,i...", (3, 2), (3, 2)),
    ("ij,jk", (2, 3), (3, 4)),
    ("iij->j", (2, 2, 3)),
    ("...,...", (2, 3), (3,)),
    ("b...d,bd->...", (2, 3, 4), (2, 4)),
]


@pytest.mark.parametrize("subscripts, shapes", [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum_is_numpys(subscripts, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    tensors = [T(a, requires_grad=True) for a in arrays]
    y = tl.einsum(subscripts, *tensors)
    np.testing.assert_allclose(y.numpy(), np.einsum(subscripts, *arrays), atol=1e-12)
    tl.assert_gradients(lambda *xs: tl.einsum(subscripts, *xs), *arrays)


@pytest.mark.parametrize(
    "subscripts, shapes",
    [
        ("i,j", [(2,)]),
        ("ij", [(2,)]),
        ("i->ij", [(2,)]),
        ("i,i->", [(2,), (3,)]),
        ("i->ii", [(2,)]),
        ("i!", [(2,)]),
        ("ii", [(2, 3)]),
        ("....i", [(2, 3)]),
        ("i.", [(2, 3)]),
    ],
)
def test_einsum_refuses_before_it_computes(subscripts, shapes):
    with pytest.raises(ShapeError, match="einsum"):
        tl.einsum(subscripts, *(T(np.ones(s), requires_grad=True) for s in shapes))


def test_functions_of_numpy():
    a = np.array([[3.0, -1.5, 2.5], [0.5, 4.0, -2.0]])
    x = T(a)
    same = [
        (x.argmax(), np.argmax(a)),
        (x.argmax(axis=1), np.argmax(a, axis=1)),
        (tl.argmin(x), np.argmin(a)),
        (x.prod(), np.prod(a)),
        (x.prod(axis=0), np.prod(a, axis=0)),
        (x.prod(1, True), np.prod(a, 1, keepdims=True)),
        (tl.tril(x), np.tril(a)),
        (tl.triu(x, 1), np.triu(a, 1)),
        (x.repeat(2), np.repeat(a, 2)),
        (x.repeat([2, 0, 1], axis=1), np.repeat(a, [2, 0, 1], 1)),
        (x.floor(), np.floor(a)),
        (x.ceil(), np.ceil(a)),
        (x.sign(), np.sign(a)),
        (x.round(), np.round(a)),
        (x.round(1), np.round(a, 1)),
        (x.ravel(), np.ravel(a)),
        (tl.norm(x, 1), np.linalg.norm(a, axis=1)),
        (tl.expand_dims(x, (0, 1)), np.expand_dims(a, (0, 1))),
        (tl.squeeze(tl.expand_dims(x, (0, 2)), (0, 2)), a),
        (tl.concatenate([x, x], None), np.concatenate([a, a], None)),
        (tl.softmax(x, 0), tl.softmax(x, axis=0).numpy()),
    ]
    for ours, theirs in same:
        np.testing.assert_allclose(
            ours if isinstance(ours, (np.ndarray, np.integer)) else ours.numpy(), theirs
        )
    for ours, theirs in zip(x.split(3, 1), np.split(a, 3, 1), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    np.testing.assert_array_equal(T([1.0, nan, 3.0]).sign().numpy(), [1, nan, 1])


WRONG = [
    lambda x: x.sum(axis=5),
    lambda x: x.sum(axis="a"),
    lambda x: tl.expand_dims(x, (0, 9)),
    lambda x: x.swapaxes(0, 4),
    lambda x: x.squeeze(7),
    lambda x: x.transpose(0, 0),
    lambda x: x.reshape("a"),
    lambda x: tl.concatenate([]),
    lambda x: tl.concatenate([x, x], axis=3),
    lambda x: x.split(0),
    lambda x: x.split(2, 9),
    lambda x: tl.pad(x, ((1,),)),
    lambda x: tl.sort(x, axis=4),
    lambda x: tl.topk(x, 1, axis=4),
    lambda x: tl.stack([x, x], axis=8),
    lambda x: x.std(axis=3),
    lambda x: x.prod(axis=3),
    lambda x: x.argmax(axis=3),
    lambda x: tl.tril(x[0]),
    lambda x: x.repeat(-1),
    lambda x: tl.norm(x, (0, 0)),
    lambda x: x[5],
    lambda x: x["a"],
    lambda x: tl.softmax(x, 4),
    lambda x: tl.flip(x, 3),
    lambda x: tl.roll(x, 1, axis=3),
    lambda x: x.cumsum(axis=3),
    lambda x: x @ np.ones((2, 2, 9, 9)),
    lambda x: tl.take_along_axis(x, np.zeros((2, 2), int), 5),
]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_are_errors_of_ours(call):
    with pytest.raises(TinylmError):
        call(T(np.ones((2, 3))))


def test_python_complains_about_a_wrong_call_itself():
    with pytest.raises(TypeError, match="takes 2 arguments, not 3"):
        tl.softmax(T([1.0]), 0, 1)
    with pytest.raises(TypeError, match="sum takes no axes=: its arguments are a, axis, keepdims"):
        tl.sum(T([1.0]), axes=1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("attend", [tl.attention, tl.tiled_attention])
def test_scores_beyond_float32_still_have_a_softmax(attend, causal):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(1, 2, 4, 8)).astype(np.float32) for _ in range(3)]
    values[0], values[1] = values[0] * np.float32(1e20), values[1] * np.float32(1e20)
    results = []
    for dtype in (np.float32, np.float64):
        q, k, v = (T(x.astype(dtype), requires_grad=True) for x in values)
        y = attend(q, k, v, causal=causal)
        assert y.dtype == dtype
        y.sum().backward()
        results.append([y.numpy(), v.grad.numpy()])
    for low, high in zip(*results, strict=True):
        np.testing.assert_allclose(low, high, rtol=1e-5)
    bias = np.full((4, 4), -inf, np.float32)  # hides by value: nothing is seen, nothing overflows
    seen = tl.attention(T(values[2]), T(values[2]), T(values[2]), bias=bias).numpy()
    np.testing.assert_array_equal(seen, np.zeros_like(seen))
