"""A leaf is told when its gradient is complete: not before its last part, and before the end."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf
from tinylm.autograd import linear
from tinylm.autograd.engine.complete import backward_and_tell
from tinylm.autograd.engine.recompute import checkpoint
from tinylm.errors import GraphError
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM


def told(tensor):
    """The leaves in the order told, each with its gradient at that time."""
    found = []
    backward_and_tell(tensor, lambda p: found.append((p, p.grad.data.copy())))
    return found


def test_the_last_layer_is_complete_first():
    x, first, last = leaf([[1.0]]), leaf([[2.0]]), leaf([[3.0]])
    order = [p for p, _ in told(linear(linear(x, first), last).sum())]
    assert order[0] is last and {id(p) for p in order} == {id(x), id(first), id(last)}


def test_a_leaf_is_told_before_the_next_operation_is_differentiated():
    x, first, last = leaf([[1.0]]), leaf([[2.0]]), leaf([[3.0]])
    y = linear(linear(x, first), last).sum()
    others = []
    backward_and_tell(y, lambda p: others.append(p is last and first.grad is None))
    assert others[0]
    with pytest.raises(GraphError, match="freed"):
        y.backward()


def test_a_leaf_of_two_checkpoints_waits_for_the_older_one():
    both, x = leaf([[3.0]]), leaf([[1.0]])

    def function(x):
        return linear(x, both)

    y = checkpoint(function, checkpoint(function, linear(x, leaf([[1.0]]))))
    for parameter, gradient in told(linear(y, both).sum()):
        np.testing.assert_array_equal(parameter.grad.data, gradient)
    assert both.grad.item() == 27.0  # d(w^3)/dw at 3


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_told_never_changes_again(tied):
    model = GPT(GPTConfig(17, 8, 2, 2, 8, tied=tied), 7, np.float64)
    objective = CausalLM()
    rows = np.random.default_rng(0).integers(0, 17, (3, 8))
    found = told(objective.loss(model, objective.make_batch(rows))[0])
    assert len(found) == len(model.parameters())
    for parameter, gradient in found:
        np.testing.assert_array_equal(parameter.grad.data, gradient)
    names = {id(p): name for name, p in model.named_parameters().items()}
    order = [names[id(p)] for p, _ in found]
    layers = [int(name.split(".")[1]) for name in order if name.startswith("blocks.")]
    assert layers == sorted(layers, reverse=True)  # the upper block before the lower one
    if tied:  # read at both ends
        assert order.index("tokens.weight") >= len(order) - 2


def test_a_leaf_read_twice_is_complete_after_its_older_reader():
    a, b = leaf([2.0]), leaf([5.0])
    order = [p for p, _ in told(((a * b) * a).sum())]
    assert order.count(a) == order.count(b) == 1
    c = leaf([1.0])
    assert [p for p, _ in told((tl.exp(a) * c).sum())] == [c, a]


def test_what_a_checkpoint_may_read_is_not_complete_before_it_has_run():
    x, inside, both = leaf([[1.0]]), leaf([[2.0]]), leaf([[3.0]])

    def function(x):
        return linear(linear(x, inside), both)

    found = told(linear(checkpoint(function, linear(x, leaf([[1.0]]))), both).sum())
    assert {id(inside), id(both), id(x)} <= {id(p) for p, _ in found} and len(found) == 4
    for parameter, gradient in found:
        np.testing.assert_array_equal(parameter.grad.data, gradient)


def test_a_leaf_alone_is_told():
    x = leaf([2.0])
    assert [p for p, _ in told(x)] == [x]
