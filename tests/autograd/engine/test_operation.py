"""Defining an operation: what `primitive` and `fused` take, register and refuse."""

import inspect
import typing

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import gradients, leaf
from tinylm.autograd import fused, primitive
from tinylm.autograd.engine.operation import Like, fused_operations, primitives, unbroadcast
from tinylm.autograd.engine.tensor import TensorLike
from tinylm.errors import DtypeError, GraphError, ShapeError


def test_ten_lines_define_a_new_differentiable_operation():
    @primitive(lambda g, y, a: g * (1 - tl.abs(y)) ** 2)
    def softsign(a):
        return a / (1 + np.abs(a))

    x = leaf([1.0, -3.0])
    softsign(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 4, 1 / 16], rtol=1e-15)  # 1 / (1 + |x|)^2


def test_users_operations_stay_out_of_the_register_of_tinylm():
    before = set(primitives), set(fused_operations)

    @primitive(lambda g, y, a: g)
    def same(a):
        return a * 1

    @fused(lambda a: a * 1.0)
    def same_fast(a, *, keep):
        return a * 1, lambda g: (g * 1,)

    assert (set(primitives), set(fused_operations)) == before


def test_everything_registered_is_documented():
    undocumented = [
        name
        for name, operation in (*primitives.items(), *fused_operations.items())
        if not operation.__doc__ and not hasattr(tl, name)
    ]
    assert not undocumented
    for name in primitives | fused_operations:
        public = getattr(
            tl, {"pow": "power"}.get(name, name), None
        )  # those of higher floors stand in their own packages
        assert public is None or public.__doc__, name


def test_fused_kernels_show_their_own_signature_without_keep():
    shown = inspect.signature(tl.rms_norm).parameters
    assert list(shown) == ["x", "gain", "eps"]
    assert (shown["eps"].kind, shown["eps"].default) == (inspect.Parameter.KEYWORD_ONLY, 1e-6)
    assert list(inspect.signature(tl.linear).parameters) == ["x", "weight", "bias"]


def test_an_operation_made_of_a_function_of_arrays_shows_hints_of_tensors():
    @primitive(None, None)
    def first(a: np.ndarray, b: np.ndarray | None = None, *, times: int = 1) -> np.ndarray:
        return a

    hints = typing.get_type_hints(first)
    assert hints == {"a": TensorLike, "b": TensorLike | None, "times": int, "return": tl.Tensor}
    assert inspect.signature(first).return_annotation is tl.Tensor


def test_keep_is_false_when_no_backward_can_follow():
    kept = []

    @fused(lambda a: a * 1.0)
    def same(a, *, keep):
        kept.append(keep)
        return a * 1, lambda g: (g * 1,)

    x = leaf([1.0])
    same(x)
    same(tl.Tensor([1.0]))
    with tl.no_grad():
        same(x)
    assert kept == [True, False, False]


def test_rules_with_options_get_them_by_position_or_name():
    @primitive(lambda g, y, a, times=1.0: g * times)
    def scale(a, times=1.0):
        return a * times

    for y, expected in (
        (scale(leaf([1.0])), 1.0),
        (scale(leaf([1.0]), 3.0), 3.0),
        (scale(leaf([1.0]), times=3.0), 3.0),
    ):
        assert y.item() == expected


def test_variadic_rules_know_their_place():
    @primitive(lambda i, g, y, *arrays: g * float(i + 1), variadic=True)
    def weighted(*arrays):
        return sum((i + 1) * a for i, a in enumerate(arrays))

    _, grads = gradients(lambda a, b, c: weighted(a, b, c), [np.zeros(1)] * 3)
    np.testing.assert_allclose(np.ravel(grads) / grads[0], [1, 2, 3], rtol=1e-15)


def test_unbroadcast_sums_what_broadcasting_repeated(device, rng):
    g = tl.Tensor(rng.normal(size=(4, 2, 3)), device=device)
    for shape, axes in (
        ((2, 3), (0,)),
        ((1, 3), (0, 1)),
        ((3,), (0, 1)),
        ((4, 1, 3), (1,)),
        ((), (0, 1, 2)),
        ((1, 1, 1), (0, 1, 2)),
    ):
        np.testing.assert_allclose(
            unbroadcast(g, shape).numpy(), g.numpy().sum(axes).reshape(shape), rtol=1e-13
        )
    assert unbroadcast(g, (4, 2, 3)) is g


def test_linear_rules_see_shapes_but_no_values():
    seen = []

    @primitive(lambda g, y, a: seen.append(a) or g, linear=True)
    def same(a):
        return a * 1

    same(leaf([1.0, 2.0])).sum().backward()
    assert type(seen[0]) is Like and not hasattr(seen[0], "data")
    assert (seen[0].shape, seen[0].dtype, seen[0].ndim, seen[0].size) == ((2,), np.float64, 1, 2)


def test_full_reductions_stay_arrays():
    assert type(tl.Tensor([1.0, 2.0]).sum().data) is np.ndarray
    assert tl.Tensor([1.0, 2.0]).sum().shape == ()


def test_what_cannot_be_an_argument_is_refused():
    with pytest.raises(
        DtypeError, match="exp: cannot use a dict; pass a Tensor, an array or a number"
    ):
        tl.exp({})
    with pytest.raises(ShapeError):
        tl.exp(tl.Tensor([1.0])) + tl.Tensor([[1.0, 2.0]]) @ tl.Tensor([1.0])


def test_numpys_complaints_about_a_fused_operation_are_named_and_typed():
    with pytest.raises(DtypeError, match=r"softmax: .*int64.* convert with .astype\(np.float32\)"):
        tl.softmax(tl.Tensor([1, 2]))
    with pytest.raises(ShapeError, match=r"softmax: .* \(arguments of shape \(2, 3\)\)"):
        tl.softmax(np.zeros((2, 3)), axis=2)
    with pytest.raises(TypeError, match="softmax takes no axes=: its arguments are .*axis"):
        tl.softmax(np.zeros(2), axes=0)


def test_a_tensor_behaves_as_a_number_a_sequence_and_an_array_where_no_gradient_is_lost():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert (
        f"{x.sum():.2f}" == "10.00" and f"{x[0, 0]}".startswith("Tensor(1.") and int(x[1, 0]) == 3
    )
    assert [row.shape for row in x] == [(2,), (2,)]
    np.testing.assert_array_equal(np.asarray(x.detach()), [[1, 2], [3, 4]])
    with pytest.raises(GraphError, match="NumPy would lose the gradient"):
        np.asarray(x)
    with pytest.raises(DtypeError, match="needs numbers, not <U1"):
        tl.Tensor(["a"])


def test_operands_go_by_keyword_too():
    a, b = tl.Tensor(np.array([1.0, 2.0]), requires_grad=True), tl.Tensor(np.array([3.0, 4.0]))
    for y in (tl.mul(a=a, b=b), tl.mul(a, b=b), tl.where(condition=b.data > 0, a=a * b, b=0.0)):
        a.grad = None
        y.backward(np.ones(2))
        np.testing.assert_array_equal(a.grad.numpy(), [3, 4])
    assert tl.reshape(a=a, shape=(2, 1)).requires_grad


def test_an_operand_by_keyword_never_takes_the_place_of_another():
    x = tl.Tensor(np.ones((2, 3)))
    with pytest.raises(TypeError, match="layer_norm: bias is given, but not gain"):
        tl.layer_norm(x, bias=np.ones(3))  # the bias would fit as a gain
    with pytest.raises(TypeError, match="linear: bias is given, but not weight"):
        tl.linear(x, bias=np.ones((3, 3)))
    with pytest.raises(TypeError, match="sub: b is given, but not a"):
        tl.sub(b=x)


def test_gradients_do_not_get_lost_in_complex_numbers():
    x = tl.Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(DtypeError, match="mul: the result is complex128"):
        x * 1j
    with tl.no_grad():
        assert (x * 1j).dtype == np.complex128
    assert (tl.Tensor(np.ones(2)) * 1j).dtype == np.complex128


NEED_ARRAYS = ["sum", "logsumexp", "softmax", "cumsum", "tril", "gelu", "squeeze"]


@pytest.mark.parametrize("name", NEED_ARRAYS)
def test_a_bare_number_or_list_is_an_error_of_ours_where_an_array_is_needed(name):
    with pytest.raises(DtypeError, match=f"{name}: needs a Tensor or an array, not a float"):
        getattr(tl, name)(3.0, **{"axis": 0} if name == "cumsum" else {})
    with pytest.raises(DtypeError, match="squeeze: needs a Tensor or an array, not a list"):
        tl.squeeze([1.0])


def test_rows_of_different_lengths_are_an_error_of_ours():
    ragged = [[1.0, 2.0], [3.0]]
    with pytest.raises(ShapeError, match="rows of one length"):
        tl.Tensor(ragged)
    with pytest.raises(ShapeError, match="rows of one length"):
        tl.Tensor(np.ones(2)) + ragged
