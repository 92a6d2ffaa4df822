"""In-place changes: whatever a recorded operation still needs may not change behind its back."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.autograd import checkpoint, gelu, linear
from tinylm.errors import GraphError
from tinylm.optim import SGD


def test_assign_changes_a_leaf_in_place_for_later_operations(device):
    x = leaf([1.0, 2.0], device)
    buffer = x.data
    x.assign_(plain([3.0, 4.0], device))
    assert x.data is buffer
    (x * x).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [6.0, 8.0])


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x * x,
        lambda x: tl.exp(x) * x,
        lambda x: gelu(x),
        lambda x: x @ x,
        lambda x: checkpoint(gelu, x),
        lambda x: linear(x[None], x[:, None]),
    ],
)
def test_changing_an_input_that_is_still_needed_is_an_error_by_name(build):
    x = leaf([1.0, 2.0], name="weights")
    y = build(x).sum()
    x.assign_([3.0, 4.0])
    with pytest.raises(GraphError, match="changed in place after .* used it"):
        y.backward()


def test_the_error_names_the_tensor_and_the_operation():
    x = leaf([1.0, 2.0], name="gain")
    y = (x * x).sum()
    x.assign_([3.0, 4.0])
    with pytest.raises(
        GraphError, match=r"gain was changed in place after mul used it \(version 1, recorded 0\)"
    ):
        y.backward()


def test_a_change_of_what_no_rule_reads_is_allowed():
    x = leaf([1.0, 2.0])
    y = (x + 1.0).reshape(2, 1).sum()  # linear operations keep shapes, not values
    x.assign_([3.0, 4.0])
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_changing_a_result_that_its_own_rule_reads_is_an_error():
    x = leaf([1.0, 2.0])
    y = tl.exp(x)  # d exp = exp: the rule reads the result
    with tl.no_grad():
        y.assign_([0.0, 0.0])
    with pytest.raises(GraphError, match="its result was changed in place after exp"):
        y.sum().backward()


def test_recorded_results_are_not_assigned_to():
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"assign_.*result of mul.*where\(\) or scatter_add\(\)"):
        (x * x).assign_([0.0, 0.0])
    with pytest.raises(GraphError, match=r"x\[index\]"):
        x[0] = 5.0


def test_item_assignment_bumps_the_version_of_a_buffer(device):
    x, buffer = leaf([1.0, 2.0], device), tl.Tensor(np.array([3.0, 4.0]), device=device)
    y = (x * buffer).sum()
    buffer[0] = 9.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()
    np.testing.assert_array_equal(host(buffer), [9.0, 4.0])


def test_a_detached_copy_shares_the_version():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    x.detach()[0] = 5.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_a_view_shares_the_version_of_what_it_views():
    base = tl.Tensor(np.arange(4.0))
    x = leaf([1.0, 1.0])
    y = (x * base[:2]).sum()
    base.assign_(np.zeros(4))
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()
    z = (x * base[np.array([0, 1])]).sum()  # integer arrays copy: nothing to fear
    base.assign_(np.ones(4))
    z.backward()


def test_an_optimizer_step_before_backward_is_an_error():
    w = leaf(np.ones((2, 2)), name="w")
    optimizer = SGD({"w": w}, lr=0.1)
    x = tl.Tensor(np.ones((1, 2)))
    linear(x, w).sum().backward()
    late = linear(leaf(np.ones((1, 2))), w).sum()
    optimizer.step()
    with pytest.raises(GraphError, match="w was changed in place after linear"):
        late.backward()


def test_create_graph_through_a_fused_operation_checks_versions_too():
    x = leaf([1.0, 2.0])
    y = gelu(x).sum()
    x.assign_([3.0, 4.0])  # the twin would recompute from the new values
    with pytest.raises(GraphError, match="changed in place after gelu"):
        tl.grad(y, [x], create_graph=True)


def test_a_gradient_that_a_graph_has_read_stays_what_it_was():
    x, w = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    (x * x).sum().backward()
    y = (w * x.grad).sum()
    (x * x).sum().backward()  # x.grad grows, the array that was read does not
    np.testing.assert_array_equal(tl.grad(y, [w])[0].data, [2, 4])
    np.testing.assert_array_equal(x.grad.data, [4, 8])
