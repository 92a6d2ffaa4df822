"""A gradient that a rule has just made is kept as it is; one that others hold is copied."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf
from tinylm.autograd.engine import backward
from tinylm.autograd.engine.operation import primitive


def address(a):
    return a.__array_interface__["data"][0]


def made_by(rule, reads=lambda a: a * 1.0):
    """The address of what the rule returned, the leaf with its gradient, and the cotangent."""
    seen = []

    def noted(g, y, a):
        d = rule(g, a)
        seen.append(address(d.data))
        return d

    x = leaf(np.arange(12.0).reshape(3, 4))
    operation = primitive(noted, name="noted_for_a_test")(reads)
    g = np.ones((3, 4))
    operation(x).backward(g)
    return seen[0], x, g


@pytest.fixture(autouse=True)
def register():
    """The operation above is taken out of the list of tinylm's own."""
    yield
    from tinylm.autograd.engine.operation import primitives

    primitives.pop("noted_for_a_test", None)


@pytest.mark.parametrize(
    "rule",
    [lambda g, a: g * 3.0, lambda g, a: (g * 3.0).reshape(4, 3).reshape(3, 4)],
    ids=["an array", "in another shape"],
)
def test_what_nobody_else_holds_is_not_copied(rule):
    made, x, _ = made_by(rule)
    assert address(x._grad.data) == made
    np.testing.assert_array_equal(x._grad.data, 3)


KEPT = tl.Tensor(np.full((3, 4), 3.0))
LONG = np.full((6, 4), 3.0)
BYTES = bytearray(np.full((3, 4), 3.0).tobytes())  # memory that belongs to no array
RULES = {
    "kept by the rule": lambda g, a: KEPT,
    "memory of others": lambda g, a: tl.Tensor(np.frombuffer(BYTES)[None].reshape(3, 4)),
    "a part of an array": lambda g, a: tl.Tensor(LONG[:3]),
    "a part of a new array": lambda g, a: tl.Tensor(np.full((6, 4), 3.0)[:3]),
    "the cotangent": lambda g, a: g,
    "a view of the cotangent": lambda g, a: g.reshape(4, 3).reshape(3, 4),
    "the value": lambda g, a: a,
    "a column for all": lambda g, a: tl.broadcast_to(tl.Tensor(np.full((3, 1), 3.0)), (3, 4)),
    "read-only": lambda g, a: tl.broadcast_to(tl.Tensor(np.full((3, 4), 3.0)), (3, 4)),
    "transposed": lambda g, a: tl.Tensor(np.full((4, 3), 3.0).T),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_others_hold_is_copied(rule):
    _, x, g = made_by(rule)
    found = x._grad.data
    for held in (KEPT.data, LONG, np.frombuffer(BYTES), x.data, g):
        assert not np.shares_memory(found, held)
    assert found.flags.writeable and found.flags.c_contiguous and found.base is None


def test_later_gradients_are_added_into_an_array_of_the_leaf_alone():
    g = np.ones(3)
    x, y = leaf(np.zeros(3)), leaf(np.zeros(3))
    z = x + y  # one cotangent for both
    z.backward(g)
    (x * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 3, 3])
    np.testing.assert_array_equal(y.grad.data, [1, 1, 1])
    np.testing.assert_array_equal(g, [1, 1, 1])


def test_a_value_that_two_rules_read_is_summed_in_the_array_of_one():
    x = leaf(np.arange(3.0))
    middle = x * 1.0
    (tl.exp(middle) + tl.sin(middle)).sum().backward()
    np.testing.assert_allclose(x.grad.data, np.exp(np.arange(3.0)) + np.cos(np.arange(3.0)))


def test_an_interpreter_that_counts_no_references_copies(monkeypatch):
    monkeypatch.setattr(backward, "_references", None)
    made, x, _ = made_by(lambda g, a: g * 3.0)
    assert address(x._grad.data) != made
    np.testing.assert_array_equal(x._grad.data, 3)
