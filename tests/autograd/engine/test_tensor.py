"""The walk backwards: every node once, in any graph, leaving what it should and freeing the rest."""

import threading

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.autograd import checkpoint, linear, primitive
from tinylm.autograd.engine.tensor import recording
from tinylm.errors import DtypeError, GraphError, ShapeError


def counted():
    """An identity operation and the list that grows by one whenever its rule runs."""
    visits = []

    @primitive(lambda g, y, a: visits.append(1) or g * 1.0)
    def same(a):
        return a * 1.0

    return same, visits


def test_a_chain_of_100_000_operations_is_walked_once():
    same, visits = counted()
    x = leaf(2.0)
    y = x
    for _ in range(100_000):
        y = same(y)
    y.backward()
    assert len(visits) == 100_000
    assert x.grad.item() == 1.0


def test_a_diamond_1_000_deep_visits_each_node_once_not_each_path():
    same, visits = counted()
    x = leaf(1.0)
    y = x
    for _ in range(1_000):  # 2**1000 paths, 1,000 nodes
        y = same(y) * 0.5
        y = y + y
    y.backward()
    assert len(visits) == 1_000
    assert x.grad.item() == 1.0  # each level doubles a half


def test_the_order_of_the_walk_does_not_depend_on_who_is_asked_first():
    same, visits = counted()
    x = leaf(3.0)
    a = same(x)
    b = a * 2.0
    c = b * a  # c = 2 x**2; a is used on two levels
    (a + c).backward()
    assert len(visits) == 1
    assert x.grad.item() == 1 + 4 * 3.0


def test_a_long_chain_is_freed_without_recursion():
    failures = []

    def build_and_drop():
        try:
            x = leaf(1.0)
            y = x
            # primitive and fused nodes hold each other in different ways
            for i in range(50_000):
                y = tl.silu(y) if i % 5 == 0 else y * 1.0
            del y
        except BaseException as error:  # noqa: BLE001 - a thread's exception would be lost
            failures.append(error)

    # A recursive destructor would need some 10 MB. Python 3.13 goes some hundred levels deep before
    # it puts off the rest, for which 256 KB are not enough.
    before = threading.stack_size(2 << 20)
    try:
        thread = threading.Thread(target=build_and_drop)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert not failures


def test_a_freed_graph_says_so():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphError, match="sum was freed.*retain_graph=True"):
        y.backward()
    z = tl.gelu(x).sum()
    z.backward()
    with pytest.raises(GraphError, match="freed"):
        tl.grad(z, [x], create_graph=True)


def test_retain_graph_gives_exactly_the_same_again(device, rng):
    x, w = leaf(rng.normal(size=(2, 5, 4)), device), leaf(rng.normal(size=(4, 12)), device)
    g = leaf(np.ones(12), device)
    y = tl.self_attention(tl.layer_norm(linear(x, w), g), 2, 2)
    y = tl.cross_entropy(tl.gelu(y), plain(np.zeros((2, 5), int), device))
    passes = []
    for _ in range(3):
        for leaf_ in (x, w, g):
            leaf_.grad = None
        y.backward(retain_graph=True)
        passes.append([host(leaf_.grad).copy() for leaf_ in (x, w, g)])
    for again in passes[1:]:
        for first, other in zip(passes[0], again):
            np.testing.assert_array_equal(
                first, other
            )  # bit for bit: no rule spoils what it was given


def test_gradients_accumulate_until_they_are_forgotten(device):
    x = leaf([1.0, -2.0], device)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(host(x.grad), times * 2 * np.array([1.0, -2.0]))
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [2.0, -4.0])


def test_a_tensor_used_twice_receives_both_cotangents(device):
    x = leaf([1.0, 2.0], device)
    (x + x).sum().backward()  # add hands one array to both sides
    np.testing.assert_array_equal(host(x.grad), [2.0, 2.0])
    x.grad = None
    (x * x * x).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [3.0, 12.0])


def test_leaves_that_share_a_cotangent_do_not_share_a_gradient(device):
    x, y = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    z = (x + y) * 1.0
    z.sum().backward()
    (x * 5.0).sum().backward()  # adds to x.grad in place
    np.testing.assert_array_equal(host(x.grad), [6.0, 6.0])
    np.testing.assert_array_equal(host(y.grad), [1.0, 1.0])


def test_a_result_read_by_many_fused_operations_sums_them_all(device, rng):
    values = rng.normal(size=(3, 4))

    def build(x):
        y = x * 1.0  # interior: fused cotangents meet in one array
        return tl.gelu(y) + tl.silu(y) + tl.softmax(y) + tl.swiglu(y, y) + y

    x = leaf(values, device)
    build(x).sum().backward()
    parts = []
    for part in (tl.gelu, tl.silu, tl.softmax, lambda y: tl.swiglu(y, y), lambda y: y * 1.0):
        one = leaf(values, device)
        part(one).sum().backward()
        parts.append(host(one.grad))
    np.testing.assert_allclose(host(x.grad), np.sum(parts, axis=0), rtol=1e-13, atol=1e-13)


def test_the_cotangent_given_to_backward_is_left_alone(device):
    x, seed = leaf([1.0, 2.0], device), plain([1.0, 1.0], device)
    y = x * 1.0 + x * 2.0
    y.backward(seed, retain_graph=True)
    y.backward(seed)
    np.testing.assert_array_equal(host(seed), [1.0, 1.0])
    np.testing.assert_array_equal(host(x.grad), [6.0, 6.0])


def test_a_backward_inside_a_backward_rule_works():
    inner_gradients = []

    def rule(g, y, a):
        z = leaf(a.numpy())
        with recording(True):
            (z * z * z).sum().backward()  # a walk of its own, inside the outer walk
        inner_gradients.append(z.grad.numpy().copy())
        return g * z.grad

    @primitive(rule)
    def cube(a):
        return a * a * a

    x = leaf([1.0, 2.0])
    (cube(x) * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 24.0])  # 2 * 3 x**2
    assert len(inner_gradients) == 1


def test_retain_grad_keeps_an_intermediate_gradient(device):
    x = leaf([1.0, 2.0], device)
    y = (x * 3.0).retain_grad()
    (y * y).sum().backward()
    np.testing.assert_array_equal(host(y.grad), [6.0, 12.0])  # 2 y
    assert (x * 3.0).grad is None


def test_detach_cuts_the_graph_and_shares_the_memory():
    x = leaf([1.0, 2.0])
    d = (x * 2.0).detach()
    assert not d.requires_grad and d.grad is None
    (x * d).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])  # d is a constant
    assert x.detach().data is x.data


def test_no_grad_records_nothing_and_ends():
    x = leaf([1.0])
    with tl.no_grad():
        y = tl.gelu(x * 2.0)
        assert not tl.is_recording()
    assert tl.is_recording() and not y.requires_grad
    with pytest.raises(GraphError, match="nothing was recorded"):
        y.sum().backward()
    with pytest.raises(ZeroDivisionError), tl.no_grad():
        1 / 0  # noqa: B018
    assert tl.is_recording()


def test_no_grad_in_one_thread_leaves_another_alone():
    entered, leave, seen = threading.Event(), threading.Event(), []

    def quiet():
        with tl.no_grad():
            entered.set()
            leave.wait(10)
            seen.append(tl.is_recording())

    thread = threading.Thread(target=quiet)
    thread.start()
    assert entered.wait(10)
    x = leaf([2.0])
    y = x * x  # recorded here while the other thread is inside no_grad()
    leave.set()
    thread.join()
    assert seen == [False] and y.requires_grad
    y.sum().backward()
    assert x.grad.item() == 4.0


def test_integers_cannot_require_a_gradient(device):
    with pytest.raises(DtypeError, match="floating point, not int64.*astype"):
        tl.Tensor(np.arange(3), requires_grad=True, device=device)


def test_cotangents_must_fit():
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"output has shape \(2,\); pass a cotangent"):
        (x * x).backward()
    with pytest.raises(ShapeError, match=r"cotangent has shape \(3,\), the output \(2,\)"):
        (x * x).backward(np.ones(3))
    (x * x).backward([1.0, 10.0])  # a list will do
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 40.0])


def test_a_rule_of_the_wrong_shape_is_named():
    @primitive(lambda g, y, a: g.sum())
    def wrong(a):
        return a * 1.0

    with pytest.raises(
        ShapeError, match=r"derivative for a leaf has shape \(\), but the value has shape \(2,\)"
    ):
        wrong(leaf([1.0, 2.0])).sum().backward()


def test_checkpoint_inside_the_walk_adds_nodes_that_come_up_next():
    same, visits = counted()
    x = leaf(2.0)
    y = checkpoint(lambda a: same(a) * same(a), x) * same(x)
    y.backward()
    assert len(visits) == 3
    assert x.grad.item() == 3 * 2.0**2
