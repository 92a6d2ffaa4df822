"""Backward in two halves gives the bits of backward in one, at two times."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf, plain
from tinylm.autograd import first_order_only, linear
from tinylm.autograd.engine.halves import backward_in_halves
from tinylm.autograd.engine.operation import primitive
from tinylm.autograd.engine.recompute import checkpoint
from tinylm.errors import GraphError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import FlatParameters
from tinylm.pretrain import CausalLM

# Fused maps and norms, a tied table, biases of scores that reach attention by a lookup.
CONFIG = GPTConfig(17, 8, 2, 2, 8, dropout=0.2, positions="t5", qk_norm="head")


def test_the_input_has_its_gradient_first_and_the_weight_later():
    x, w = leaf([[1.0, 2.0]]), leaf([[3.0], [4.0]])
    second = backward_in_halves(linear(x, w).sum(), inputs=[x])
    np.testing.assert_array_equal(plain(x.grad), [[3.0, 4.0]])
    assert w.grad is None
    second()
    np.testing.assert_array_equal(plain(w.grad), [[1.0], [2.0]])


def gradients(backward, flat):
    """Of a decoder's parameters after two batches, one after the other."""
    model = GPT(CONFIG, 7, np.float64)
    if flat:
        FlatParameters(model.named_parameters())
    objective = CausalLM()
    for seed in range(2):
        rows = np.random.default_rng(seed).integers(0, 17, (3, 8))
        loss = objective.loss(model, objective.make_batch(rows))[0]
        backward(loss)
    return {name: p.grad.data for name, p in model.named_parameters().items()}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("first_order", [False, True])
def test_two_halves_are_the_whole_to_the_bit(flat, first_order):
    def halves(loss):
        backward_in_halves(loss)()

    expected = gradients(lambda loss: loss.backward(), flat)
    found = gradients(halves, flat)
    if first_order:
        with first_order_only():
            found = gradients(halves, flat)
    for name, gradient in expected.items():
        assert found[name].tobytes() == gradient.tobytes(), name


def test_primitives_and_leaves_read_twice():
    def made():
        x, w = leaf([0.3, -0.7, 1.1]), leaf([2.0, 0.5, -1.5])
        return x, w, (tl.exp(x * w) / w + w * w + x * x).sum()

    x, w, y = made()
    y.backward()
    also_x, also_w, y = made()
    second = backward_in_halves(y, inputs=[also_x])
    assert also_w.grad is None
    second()
    assert also_x.grad.data.tobytes() == x.grad.data.tobytes()
    assert also_w.grad.data.tobytes() == w.grad.data.tobytes()


def test_each_rule_runs_once_and_those_of_leaves_in_the_second_half():
    calls = []

    @primitive(
        lambda g, y, x, w: calls.append("x") or g * w,
        lambda g, y, x, w: calls.append("w") or g * x,
    )
    def product(x, w):
        return x * w

    @tl.autograd.fused(lambda x, b: x + b)
    def shifted(x, b, *, keep):
        def backward(g):
            calls.append("shifted")
            return lambda out: g.copy(), lambda out: calls.append("b") or g.copy()

        return x + b, backward

    x, w, b = leaf([1.0]), leaf([3.0]), leaf([0.5])
    y = shifted(product(x, w), b).sum()
    second = backward_in_halves(y, inputs=[x])
    assert calls == ["shifted", "x"]
    with pytest.raises(GraphError, match="freed"):
        y.backward()  # nothing is kept for a second pass
    second()
    assert calls == ["shifted", "x", "b", "w"]
    assert (x.grad.item(), w.grad.item(), b.grad.item()) == (3.0, 1.0, 1.0)


def test_an_array_that_goes_on_is_not_added_into():
    """A kept function may read what was also sent on, and to which the engine then adds."""

    @tl.autograd.fused(lambda x, b: x + b)
    def shifted(x, b, *, keep):
        def backward(g):
            d = g * 1.0
            return d, lambda out: d.sum(axis=0)

        return x + b, backward

    x, b = leaf([[1.0, 2.0]]), leaf([0.0, 0.0])
    h = x * 2
    y = (shifted(h, b) + 10 * h).sum()  # h's cotangent is d, and 10 more
    second = backward_in_halves(y, inputs=[x])
    second()
    np.testing.assert_array_equal(plain(x.grad), [[22.0, 22.0]])
    np.testing.assert_array_equal(plain(b.grad), [1.0, 1.0])


def test_a_checkpoint_is_run_again_in_the_first_half():
    x, w = leaf([[1.0, -2.0]]), leaf([[3.0], [4.0]])
    runs = []

    def function(x):
        runs.append(1)
        return tl.exp(linear(x, w))

    second = backward_in_halves(checkpoint(function, x).sum(), inputs=[x])
    assert len(runs) == 2 and w.grad is None
    second()
    y = np.exp(3.0 - 8.0)
    np.testing.assert_allclose(plain(x.grad), [[3 * y, 4 * y]])
    np.testing.assert_allclose(plain(w.grad), [[y], [-2 * y]])
    assert len(runs) == 2


def test_the_second_half_is_done_once_and_on_unchanged_arrays():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    second = backward_in_halves((x * w).sum(), inputs=[x])
    second()
    with pytest.raises(GraphError, match="was done before; it adds gradients once"):
        second()
    second = backward_in_halves((x * w).sum(), inputs=[x])
    x.assign_([5.0, 6.0])
    with pytest.raises(GraphError, match="changed in place"):
        second()
