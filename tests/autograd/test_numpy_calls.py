"""NumPy's functions on Tensors: the twin with its gradient, values, or what to write instead."""

import ast
import inspect
import itertools
import re

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import numpy_calls
from tinylm.errors import GraphError, TinylmError

X = np.array([[0.5, 2.0, 1.5], [3.0, 0.25, 1.0]])
UNARY = "negative absolute fabs exp expm1 log log1p sqrt tanh sin cos square".split()
UNARY += ["reciprocal", "positive"]
BINARY = "add subtract multiply divide power maximum minimum".split()


def leaf(values=X):
    return tl.Tensor(np.array(values), requires_grad=True)


def slopes(function, values, step=1e-6):
    """d sum(function) / d values by central differences."""
    found = np.empty(values.size)
    for i in range(values.size):
        ends = []
        for change in (step, -step):
            moved = values.copy()
            moved.flat[i] += change
            ends.append(np.sum(function(moved)))
        found[i] = (ends[0] - ends[1]) / (2 * step)
    return found.reshape(values.shape)


def check(function):
    """function(Tensor) has the values of function(array), and their gradient."""
    x = leaf()
    y = function(x)
    assert isinstance(y, tl.Tensor) and y.requires_grad
    np.testing.assert_allclose(y.numpy(), function(X), rtol=1e-12)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slopes(function, X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", UNARY)
def test_an_elementwise_function_of_a_tensor_has_numpys_values_and_a_gradient(name):
    check(getattr(np, name))


@pytest.mark.parametrize("name", BINARY)
def test_arrays_and_tensors_mix_on_both_sides(name):
    function, other = getattr(np, name), np.full((2, 1), 1.75)
    check(lambda x: function(x, other))
    check(lambda x: function(other, x))
    check(lambda x: function(x, 2.5))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.ones((2, 3)) + x,
        lambda x: np.ones(3) * x,
        lambda x: np.float64(2) / x,
        lambda x: np.arange(4.0).reshape(2, 2) @ x,
        lambda x: np.matmul(np.ones((4, 2)), x),
        lambda x: np.array(3.0) - x,
    ],
)
def test_an_array_before_an_operator_gives_a_tensor(function):
    check(function)


def test_the_dtype_is_the_one_that_numpy_gives():
    x = tl.Tensor(X.astype(np.float32))
    assert (np.float32(2) * x).dtype == np.float32 and (2.0 * x).dtype == np.float32
    assert (np.ones(3) * x).dtype == np.float64
    assert np.sin(x).dtype == np.float32


FUNCTIONS = {
    "sum": lambda x: np.sum(x, axis=1, keepdims=True),
    "sum of all": np.sum,
    "mean": lambda x: np.mean(x, 0),
    "prod": lambda x: np.prod(x, axis=1),
    "max": lambda x: np.max(x, axis=1),
    "min": lambda x: np.min(x, axis=0),
    "amin": lambda x: np.amin(x),
    "amax": lambda x: np.amax(x, 1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "var": lambda x: np.var(x, axis=0),
    "std": lambda x: np.std(x, axis=1, keepdims=True),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "clip": lambda x: np.clip(x, 0.4, a_max=2.5),
    "clip from below": lambda x: np.clip(x, min=0.4),
    "variance of a sample": lambda x: np.var(x, axis=1, ddof=1),
    "deviation of a sample": lambda x: np.std(x, axis=0, ddof=1, keepdims=True),
    "pad with zeros": lambda x: np.pad(x, 1, "constant"),
    "swapaxes by name": lambda x: np.swapaxes(x, axis1=0, axis2=1),
    "where": lambda x: np.where(X > 1, x, 0.0),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "transpose": np.transpose,
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "expand_dims": lambda x: np.expand_dims(x, axis=1),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), axis=0),
    "ravel": np.ravel,
    "repeat": lambda x: np.repeat(x, 2, axis=1),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 3)), x], axis=0),
    "stack": lambda x: np.stack([x, x], axis=1),
    "split": lambda x: np.split(x, [1], axis=1)[1],
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2))),
    "flip": lambda x: np.flip(x, axis=1),
    "roll": lambda x: np.roll(x, 1, axis=1),
    "tril": np.tril,
    "triu": lambda x: np.triu(x, k=1),
    "sort": lambda x: np.sort(x, axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[2], [0]]), axis=1),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, X),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_tensor_is_its_twin_with_numpys_arguments(name):
    check(FUNCTIONS[name])


def test_every_twin_is_tried_and_takes_what_the_table_gives_it():
    tried = inspect.getsource(inspect.getmodule(check))
    names = {node.attr for node in ast.walk(ast.parse(tried)) if isinstance(node, ast.Attribute)}
    for function, (twin, parameters) in numpy_calls.FUNCTIONS.items():
        if function not in (np.argmax, np.argmin, np.round):
            assert function.__name__ in names, function
        known = inspect.signature(twin).parameters
        for word in parameters.split():
            if not word.startswith("-"):
                assert (word.partition(":")[2] or word) in known, (function, word)


@pytest.mark.parametrize(
    "function",
    [np.argmax, np.isnan, np.shape, np.ndim, np.size, np.argsort, np.zeros_like, np.nonzero],
)
def test_questions_about_values_are_answered_with_numpys_arrays(function):
    found, expected = function(leaf()), function(X)
    assert not isinstance(found, tl.Tensor)
    np.testing.assert_array_equal(found, expected)


def test_comparisons_of_arrays_and_tensors_are_arrays_of_bools():
    x = leaf()
    for found in (X < x + 1, np.less(X, x + 1), np.equal(x, X), x == X):
        assert type(found) is np.ndarray and found.dtype == bool and found.all()
    assert np.allclose(x, X) and np.array_equal(x, X)


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        (np.log10, r"np\.log10 has no derivative here: write tl\.log\(x\) / np\.log\(10\)"),
        (lambda x: np.dot(x, X.T), "np.dot .* write a @ b"),
        (lambda x: np.add.reduce(x), r"np\.add\.reduce .* write tl\.sum\(x, axis=0\)"),
        (lambda x: np.linalg.svd(x), r"np\.linalg\.svd .* x\.numpy\(\) for the values"),
        (np.median, "np.median .* tl.sort"),
        (lambda x: np.sin(x, out=np.empty((2, 3))), "lose the gradient"),
    ],
)
def test_what_has_no_twin_says_what_to_write(function, instead):
    with pytest.raises(GraphError, match=instead) as caught:
        function(leaf())
    assert "\n" not in str(caught.value)


IDS, Z = np.array([0, 2, 0]), np.ones(3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.bincount(IDS, x),
        lambda x: np.bincount(IDS, weights=x),
        lambda x: np.histogram(Z, weights=x),
        lambda x: np.histogram(x, 2, None, False, x),
        lambda x: np.full_like(Z, x[0]),
        lambda x: np.full_like(x, fill_value=x[0]),
        lambda x: np.copyto(Z.copy(), x),
        lambda x: np.put(Z.copy(), [0, 1, 2], x),
        lambda x: np.place(Z.copy(), Z > 0, x),
        lambda x: np.putmask(Z.copy(), Z > 0, x),
        lambda x: np.put_along_axis(Z.copy(), IDS, x, 0),
        lambda x: np.add.at(Z.copy(), IDS, x),
        lambda x: np.append(Z, x),
        lambda x: np.insert(Z, 1, x),
        lambda x: np.select([Z > 0], [x]),
        lambda x: np.choose(IDS, [x, x, x]),
        lambda x: np.nan_to_num(x),
        lambda x: np.interp(Z, Z, x),
        lambda x: np.diff(x),
        lambda x: np.unique(x),
        lambda x: np.linspace(x[0], 1),
    ],
)
def test_no_function_loses_a_gradient_of_values_that_it_copies(function):
    with pytest.raises(GraphError):
        function(leaf(X[0]))
    with tl.no_grad():
        function(leaf(X[0]))  # where none is recorded, NumPy works on the values


def test_counts_of_values_are_answered():
    x = leaf(X[0])
    np.testing.assert_array_equal(np.histogram(x, 2)[0], np.histogram(X[0], 2)[0])
    np.testing.assert_array_equal(np.full_like(x, 2.0), np.full(3, 2.0))
    np.testing.assert_array_equal(np.bincount(tl.Tensor(IDS)), [2, 0, 1])
    np.testing.assert_array_equal(np.where(x), np.where(X[0]))


@pytest.mark.parametrize(
    "write",
    [
        lambda x: np.copyto(x, Z),
        lambda x: np.put(x, [0], 1.0),
        lambda x: np.place(x, Z > 0, [1.0]),
        lambda x: np.add.at(x, IDS, 1.0),
        lambda x: np.add(x, 1.0, out=x),
        lambda x: np.dot(Z, np.eye(3), out=x),
    ],
)
def test_numpy_does_not_write_into_a_tensor_behind_its_graph(write):
    x = tl.Tensor(X[0].copy())  # a constant that a recorded product may need again
    with pytest.raises(GraphError, match=r"use x\.assign_\(values\) or x\[index\] = values"):
        write(x)
    np.testing.assert_array_equal(x.numpy(), X[0])


def test_what_is_advised_in_place_of_a_function_of_numpy_equals_it():
    values = np.array([1e-12, 1e-8, 0.3, 2.5, 7.0])
    with tl.no_grad():
        names = {"tl": tl, "np": np, "itertools": itertools, "x": tl.Tensor(values), "n": 0.75}
        names |= {"a": tl.Tensor(np.ones(2)), "b": X}
        names |= {"parts": [X, X], "ids": IDS, "size": 3, "weights": values[:3], "value": 2.0}
        for function, expected in [
            *((f, f(values)) for f in (np.log2, np.log10, np.exp2, np.tan, np.sinh, np.cosh)),
            *((f, f(values, 0.75)) for f in (np.mod, np.remainder)),
            (np.cumprod, np.cumprod(values)),
            (np.dot, np.dot(np.ones(2), X)),
            (np.vstack, np.vstack([X, X])),
            (np.hstack, np.hstack([X, X])),
            (np.dstack, np.dstack([X, X])),
            (np.bincount, np.bincount(IDS, values[:3])),
            (np.full_like, np.full(2, 2.0)),
        ]:
            line = re.split(r", or | along | of ", numpy_calls.INSTEAD[function.__name__])[0]
            found = eval(line, names).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=line)


def test_an_array_is_not_changed_in_place_by_a_tensor_with_a_gradient():
    total = np.zeros((2, 3))
    with pytest.raises(GraphError, match=r"a = a \+ x instead of a \+= x"):
        total += leaf()
    total += tl.Tensor(X)  # without a gradient nothing is lost
    np.testing.assert_array_equal(total, X)


def test_an_option_that_a_twin_lacks_is_refused_by_name():
    with pytest.raises(
        TypeError, match="np.sum: a Tensor takes no where=: tl.sum has a, axis, kee"
    ):
        np.sum(leaf(), where=X > 1)
    with pytest.raises(TypeError, match="np.std: a Tensor takes no mean="):
        np.std(leaf(), mean=1)
    assert np.sum(leaf(), dtype=None, out=None).shape == ()  # what NumPy takes for "not given"


def test_without_a_gradient_every_function_of_numpy_works_on_the_values():
    x = tl.Tensor(X)
    np.testing.assert_array_equal(np.median(x), np.median(X))
    np.testing.assert_array_equal(np.log10(x), np.log10(X))
    np.testing.assert_array_equal(np.linalg.svd(x)[1], np.linalg.svd(X)[1])
    np.testing.assert_array_equal(np.add.reduce(x), X.sum(0))
    with tl.no_grad():
        np.testing.assert_array_equal(np.median(leaf()), np.median(X))


def test_numpys_calls_work_on_every_device(device):
    x = tl.Tensor(X, requires_grad=True, device=device)
    y = np.sum(np.sin(x) * x, axis=1)
    assert y.device == device
    y.sum().backward()
    expected = np.cos(X) * X + np.sin(X)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_an_array_of_a_device_before_an_operator_gives_a_tensor(device):
    x = tl.Tensor(X, requires_grad=True, device=device)
    y = x.data + x  # CuPy reads __array_ufunc__ of the object, NumPy that of the class
    assert isinstance(y, tl.Tensor) and y.requires_grad and y.device == device
    np.testing.assert_array_equal(y.numpy(), 2 * X)


def test_a_mistake_in_the_shapes_is_told_as_by_the_twin():
    with pytest.raises(TinylmError, match=r"add: .*\(2, 3\), \(4,\)"):
        np.add(leaf(), np.ones(4))
