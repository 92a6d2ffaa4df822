"""Gradients as results: `grad()`, dtypes, arrays on the left, and the slots of an optimizer's
buffer.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.autograd import fused, linear
from tinylm.autograd.engine.profile import count_operations
from tinylm.errors import GraphError
from tinylm.optim import FlatParameters


def test_grad_leaves_every_grad_alone_and_reaches_interior_results(device):
    x, w = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    y = x * w
    z = (y * y).sum()
    gy, gx = tl.grad(z, [y, x])
    np.testing.assert_array_equal(host(gy), [6.0, 16.0])
    np.testing.assert_array_equal(host(gx), [18.0, 64.0])  # 2 x w**2
    assert x.grad is None and w.grad is None and y.grad is None


def test_grad_is_zero_where_nothing_depends_and_refuses_constants():
    x, other = leaf([1.0, 2.0]), leaf(np.ones((2, 3)))
    gx, go = tl.grad((x * x).sum(), [x, other])
    np.testing.assert_array_equal(go.numpy(), np.zeros((2, 3)))
    with pytest.raises(GraphError, match=r"inputs\[1\] does not require a gradient"):
        tl.grad((x * x).sum(), [x, tl.Tensor([1.0])])


def test_a_name_asked_for_twice_is_given_twice():
    x = leaf([1.0, 2.0])
    first, second = tl.grad((x * x).sum(), [x, x])
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert not np.shares_memory(first.data, second.data)


def test_float32_stays_float32_beside_python_numbers(device):
    x = leaf([1.0, 2.0], device, np.float32)
    y = (
        ((2 * x + 1.5) / 3 - 0.1) ** 2
        + 2.0**x
        + tl.maximum(x, 0.5)
        + tl.clip(x, 0.0, 1.5)
        + tl.where(x > 1.5, x, 0.0)
    )
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_mixed_precision_computes_in_the_wider_and_returns_each_its_own(device):
    x, y = leaf([1.0, 2.0], device, np.float32), leaf([3.0, 4.0], device, np.float64)
    z = (x * y).sum()
    assert z.dtype == np.float64
    z.backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64
    np.testing.assert_array_equal(host(x.grad), [3.0, 4.0])


@pytest.mark.parametrize(
    "operator, expected",
    [("__add__", 1.0), ("__sub__", -1.0), ("__mul__", 5.0), ("__truediv__", -5 / 4)],
)
def test_an_array_on_the_left_gives_a_tensor(device, operator, expected):
    array, x = plain([5.0], device), leaf([2.0], device)
    y = {
        "__add__": lambda: array + x,
        "__sub__": lambda: array - x,
        "__mul__": lambda: array * x,
        "__truediv__": lambda: array / x,
    }[operator]()
    assert isinstance(y, tl.Tensor)
    y.sum().backward()
    assert host(x.grad)[0] == expected  # at x = 2: d(5/x)/dx = -5/4


def test_an_array_on_the_left_of_a_product_gives_a_tensor(device):
    y = plain(np.eye(2), device) @ leaf([[1.0], [2.0]], device)
    assert isinstance(y, tl.Tensor) and y.shape == (2, 1)


def test_a_slot_receives_the_gradient_and_later_uses_are_added(device, rng):
    w = leaf(rng.normal(size=(3, 2)), device, name="w")
    flat = FlatParameters({"w": w})
    x = tl.Tensor(rng.normal(size=(4, 3)), device=device)
    y = linear(x, w)
    y.sum().backward(retain_graph=True)
    assert w._grad.data is w.slot
    once = host(flat.grad).copy()
    np.testing.assert_allclose(
        once.reshape(3, 2), np.repeat(host(x).sum(0)[:, None], 2, 1), rtol=1e-12
    )
    y.sum().backward()  # a second backward() adds in the buffer
    np.testing.assert_array_equal(host(flat.grad), 2 * once)
    flat.zero_grad()
    (
        linear(x, w) + linear(x, w) + x @ w
    ).sum().backward()  # two fused uses and a primitive one, in one pass
    np.testing.assert_allclose(host(flat.grad), 3 * once, rtol=1e-12)
    assert w._grad.data is w.slot


def test_grad_does_not_touch_the_slot(device, rng):
    w = leaf(np.ones((3, 2)), device)
    flat = FlatParameters([w])
    flat.grad[...] = 7.0
    x1, x2 = (tl.Tensor(rng.normal(size=(1, 3)), device=device) for _ in range(2))
    (g,) = tl.grad((linear(x1, w) + linear(x2, w)).sum(), [w])
    np.testing.assert_allclose(host(g), (host(x1) + host(x2)).T @ np.ones((1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(host(flat.grad), 7.0)


def test_a_fused_rule_may_leave_a_gradient_out():
    @fused(lambda a, b: a * b)
    def first_only(a, b, *, keep):
        return a * b, lambda g: (g * b, None)

    a, b = leaf([2.0]), leaf([3.0])
    first_only(a, b).sum().backward()
    assert a.grad.item() == 3.0 and b.grad is None


def test_what_ran_is_told_to_observers_in_no_grad_too():
    with count_operations() as counts, tl.no_grad():
        tl.gelu(leaf([1.0]) * 2.0)
    assert counts.calls == {"mul": 1, "gelu": 1}


def test_tensors_print_what_they_are():
    x = tl.Tensor([1.0, 2.0], requires_grad=True, name="gain")
    assert repr(x) == "Tensor 'gain'([1., 2.], float64, shape (2,), requires_grad)"
    assert "made by exp" in repr(x.exp())


def test_moving_to_the_device_where_it_is_is_nothing(device):
    x = leaf([1.0], device)
    assert x.to(device) is x
    assert x.to("cpu").device == "cpu" and host(x.to("cpu"))[0] == 1.0
