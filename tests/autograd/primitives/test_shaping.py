"""Operations that move values: forward is NumPy's, and the cotangent moves back the same way."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import gradients, host, leaf
from tinylm.errors import ShapeError

# name: (operation, NumPy's). The input is (2, 3, 4).
CASES = {
    "reshape": (lambda a: a.reshape(4, -1), lambda a: a.reshape(4, -1)),
    "reshape tuple": (lambda a: tl.reshape(a, (3, 8)), lambda a: a.reshape(3, 8)),
    "transpose": (lambda a: a.transpose(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose negative": (
        lambda a: tl.transpose(a, axes=(-1, 0, -2)),
        lambda a: a.transpose(-1, 0, -2),
    ),
    "T": (lambda a: a.T, lambda a: a.T),
    "swapaxes": (lambda a: a.swapaxes(0, -1), lambda a: a.swapaxes(0, -1)),
    "expand_dims": (lambda a: tl.expand_dims(a, -2), lambda a: np.expand_dims(a, -2)),
    "squeeze": (lambda a: tl.expand_dims(a, 1).squeeze(1), lambda a: a),
    "broadcast_to": (
        lambda a: tl.broadcast_to(a, (5, 2, 3, 4)),
        lambda a: np.broadcast_to(a, (5, 2, 3, 4)),
    ),
    "broadcast_to length one": (
        lambda a: tl.broadcast_to(a[:, :1], (2, 6, 4)),
        lambda a: np.broadcast_to(a[:, :1], (2, 6, 4)),
    ),
    "concatenate": (
        lambda a: tl.concatenate([a, a * 2.0, a[:, :1]], axis=-2),
        lambda a: np.concatenate([a, a * 2.0, a[:, :1]], axis=-2),
    ),
    "stack": (lambda a: tl.stack([a, a * 2.0], axis=-1), lambda a: np.stack([a, a * 2.0], axis=-1)),
    "split": (lambda a: tl.split(a, 2, axis=2)[1], lambda a: np.split(a, 2, axis=2)[1]),
    "split at": (
        lambda a: tl.concatenate(tl.split(a, [1, 3], axis=-1)[::-1], -1),
        lambda a: np.concatenate(np.split(a, [1, 3], axis=-1)[::-1], -1),
    ),
    "pad": (
        lambda a: tl.pad(a, [(1, 0), (0, 0), (2, 3)]),
        lambda a: np.pad(a, [(1, 0), (0, 0), (2, 3)]),
    ),
    "pad all": (lambda a: tl.pad(a, (1, 2)), lambda a: np.pad(a, (1, 2))),
    "flip": (lambda a: tl.flip(a, axis=1), lambda a: np.flip(a, 1)),
    "flip all": (tl.flip, np.flip),
    "flip two": (lambda a: tl.flip(a, axis=(0, 2)), lambda a: np.flip(a, (0, 2))),
    "roll": (lambda a: tl.roll(a, 2, axis=-1), lambda a: np.roll(a, 2, -1)),
    "roll flat": (lambda a: tl.roll(a, 5), lambda a: np.roll(a, 5)),
    "roll two": (lambda a: tl.roll(a, (1, -2), axis=(0, 2)), lambda a: np.roll(a, (1, -2), (0, 2))),
}


@pytest.mark.parametrize("operation, numpy_operation", CASES.values(), ids=CASES)
def test_values_and_cotangents_move_together(device, rng, operation, numpy_operation):
    values = rng.normal(size=(2, 3, 4))
    y, (g,) = gradients(operation, [values], device)
    np.testing.assert_array_equal(y, numpy_operation(values))
    # The map is linear: <cotangent, f(e_i)> for every unit vector e_i is the gradient, but for the
    # order of sums.
    cotangent = np.random.default_rng(0).normal(size=y.shape)
    units = np.eye(values.size).reshape(-1, *values.shape)
    expected = [np.sum(cotangent * numpy_operation(unit)) for unit in units]
    np.testing.assert_allclose(g.ravel(), expected, rtol=1e-14, atol=1e-14)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), data=st.data())
def test_a_transpose_undone_is_nothing(shape, data):
    axes = data.draw(st.permutations(range(len(shape))))
    x = leaf(np.arange(float(np.prod(shape))).reshape(shape))
    back = tl.transpose(tl.transpose(x, axes=tuple(axes)), axes=tuple(np.argsort(axes)))
    np.testing.assert_array_equal(back.numpy(), x.numpy())
    back.backward(x.numpy())
    np.testing.assert_array_equal(x.grad.numpy(), x.numpy())


def test_views_share_memory_and_copies_do_not():
    x = tl.Tensor(np.arange(6.0))
    for view in (x.reshape(2, 3), x.reshape(2, 3).T, tl.broadcast_to(x, (2, 6)), x[1:4]):
        assert np.shares_memory(view.data, x.data)
    assert not np.shares_memory(tl.roll(x, 1).data, x.data)


def test_gradients_of_broadcasts_are_real_memory(device):
    x = leaf(np.ones((2, 1)), device)
    # the cotangent was a broadcast scalar; .grad must be writable
    x.sum().backward()
    x.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[2.0], [2.0]])


def test_arrays_may_join_tensors(device, rng):
    x = leaf(rng.normal(size=(2, 3)), device)
    y = tl.concatenate([x, host(x) if device == "cpu" else x.data], axis=0)
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), np.ones((2, 3)))


def test_impossible_shapes_are_named():
    x = tl.Tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"reshape: .*\(2, 3\)"):
        x.reshape(4, 2)
    with pytest.raises(
        ShapeError, match="split: axis 1 has length 3, which does not divide into 2 equal parts"
    ):
        tl.split(x, 2, axis=1)
    with pytest.raises(ShapeError, match=r"squeeze: axis 1 of shape \(2, 3\) has length 3, not 1"):
        x.squeeze(1)
    with pytest.raises(ShapeError, match=r"concatenate: .*\(2, 3\), \(2, 2\)"):
        tl.concatenate([x, np.ones((2, 2))], axis=0)
    with pytest.raises(ShapeError, match="broadcast_to"):
        tl.broadcast_to(x, (2, 4))


def test_widths_of_padding_take_numpys_short_forms():
    x = leaf(np.ones((2, 3)))
    for widths in (1, (1, 2), ((1, 2),), np.array([1, 2])):
        x.grad = None
        y = tl.pad(x, widths)
        np.testing.assert_array_equal(y.numpy(), np.pad(np.ones((2, 3)), widths))
        y.backward(np.ones(y.shape))
        np.testing.assert_array_equal(x.grad.numpy(), np.ones((2, 3)))
    with pytest.raises(ShapeError, match="pad: pad_width"):
        tl.pad(x, 1.5)


def test_empty_axes_split_and_odd_sections_are_refused():
    parts = tl.split(tl.Tensor(np.zeros((0, 2))), np.int64(3))
    assert [part.shape for part in parts] == [(0, 2)] * 3
    with pytest.raises(ShapeError, match="split"):
        tl.split(tl.Tensor(np.zeros(4)), -2)


def test_transpose_of_none_reverses_as_a_method_too():
    assert tl.Tensor(np.zeros((2, 3))).transpose(None).shape == (3, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool"])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_large_triangles_are_numpys_and_hide_inf_and_nan(dtype, k):
    x = np.random.default_rng(0).normal(size=(2, 70, 80)).astype(dtype)
    if x.dtype.kind == "f":
        x[:, 0], x[0, -1] = np.inf, np.nan
    for ours, numpys in ((tl.tril, np.tril), (tl.triu, np.triu)):
        y = ours(tl.Tensor(x), k=k).data
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, numpys(x, k))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_repeating_all_entries_alike_is_numpys(repeats, axis, rng, device):
    x = rng.normal(size=(2, 3))
    y, (g,) = gradients(lambda a: tl.repeat(a, repeats, axis=axis), [x], device)
    np.testing.assert_array_equal(y, np.repeat(x, repeats, axis))
    # by the cotangent of gradients(): that of numbered repetitions
    z, (h,) = gradients(
        lambda a: tl.repeat(a, [repeats] * (a.size if axis is None else a.shape[axis]), axis=axis),
        [x],
        device,
    )
    np.testing.assert_allclose(g, h, rtol=1e-14)
