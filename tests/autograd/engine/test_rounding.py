"""Rounding in the engine: every result, every cotangent and every sum of them, and nothing else."""

import threading

import numpy as np
import pytest

from tinylm.autograd import Tensor, checkpoint, gelu, grad, linear, tanh, transpose
from tinylm.autograd.engine.rounding import Rounding, is_rounding, rounding
from tinylm.autograd.engine.tensor import observers
from tinylm.models import GPT, GPTConfig
from tinylm.models.low_bit.bfloat16 import simulate as r
from tinylm.pretrain import CausalLM

BFLOAT16 = Rounding(r, r)
rng = np.random.default_rng(0)


def numbers(*shape):
    """Numbers of bfloat16."""
    return r(rng.standard_normal(shape).astype(np.float32))


def leaf(values):
    return Tensor(values, requires_grad=True)


def test_a_chain_of_operations_is_rounded_after_each_forward_and_backward():
    x, w, c = numbers(5, 4), numbers(4, 3), numbers(5, 3)
    X, W = leaf(x), leaf(w)
    with rounding(BFLOAT16):
        y = tanh(linear(X, W)) * c
        y.backward(np.ones_like(c))
    h = r(x @ w)
    t = r(np.tanh(h))
    np.testing.assert_array_equal(y.numpy(), r(t * c))
    dh = r(r(c) * (1 - t * t))  # within the rule of tanh nothing is rounded
    np.testing.assert_array_equal(X.grad.numpy(), r(dh @ w.T))
    np.testing.assert_array_equal(W.grad.numpy(), r(x.T @ dh))
    assert (y.numpy() != np.tanh(x @ w) * c).any()


def test_the_sum_of_two_cotangents_is_rounded_and_so_is_that_of_two_passes():
    a, b = numbers(50), numbers(50)
    for inner in (False, True):  # at a leaf, and at a result
        x = leaf(np.ones(50, np.float32))
        with rounding(BFLOAT16):
            z = x * 1.0 if inner else x
            (z * a + z * b).backward(np.ones(50, np.float32))
            once = x.grad.numpy()
            np.testing.assert_array_equal(once, r(a + b))
            (x * a).backward(np.ones(50, np.float32))
        np.testing.assert_array_equal(x.grad.numpy(), r(r(a + b) + a))
    assert (r(a + b) != a + b).any()


def test_the_sum_is_rounded_before_it_goes_on():
    x, c, g = leaf(numbers(5, 4)), numbers(5, 4), numbers(5, 3)
    a, b = numbers(4, 3), numbers(4, 3)
    with rounding(BFLOAT16):
        z = x * c
        (linear(z, a) + linear(z, b)).backward(g)  # two fused operations read z
        np.testing.assert_array_equal(x.grad.numpy(), r(r(r(g @ a.T) + r(g @ b.T)) * c))
        x.grad = None
        z = x * c
        (z * c + z * g[:, :1]).backward(np.ones_like(c))  # and two primitives
        np.testing.assert_array_equal(x.grad.numpy(), r(r(c + g[:, :1]) * c))


def test_a_gradient_nobody_has_read_is_rounded_in_its_place():
    a, b, x = numbers(50), numbers(50), leaf(np.ones(50, np.float32))
    x.slot = np.zeros(50, np.float32)
    with rounding(BFLOAT16):
        for factor in (a, b):
            (x * factor).backward(np.ones(50, np.float32))
    assert x._grad.data is x.slot
    np.testing.assert_array_equal(x.slot, r(a + b))


def test_all_of_a_model_is_in_the_format_and_its_loss_is_not():
    model, seen, views = GPT(GPTConfig(17, 8, 2, 2, 16, dropout=0.1), 3), [], []
    for p in model.parameters():
        p.data = r(p.data)
    sent = []
    rule = Rounding(r, lambda g: sent.append(r(g)) or sent[-1])

    def see(label, args, result, options):
        if result.ndim and result.dtype == np.float32:
            (views if label == "reshape" else seen).append(result.data)

    objective = CausalLM()
    batch = objective.make_batch(rng.integers(0, 17, (6, 9)))
    with rounding(rule):
        observers.append(see)
        loss, _ = objective.loss(model, batch)
        observers.remove(see)
        loss.backward()
    assert len(seen) > 15 and len(sent) > 30
    for values in [*seen, *views, *(p.grad.numpy() for p in model.parameters())]:
        np.testing.assert_array_equal(values, r(values))
    assert loss.numpy() != r(np.atleast_1d(loss.numpy()))[0]


def test_views_share_their_memory_and_float64_keeps_its_digits():
    x = Tensor(numbers(2, 3))
    wide = Tensor(rng.standard_normal(3))
    with rounding(BFLOAT16):
        assert np.shares_memory(transpose(x).data, x.data)
        np.testing.assert_array_equal((wide * 3.0).numpy(), wide.numpy() * 3.0)


def test_what_is_recomputed_has_the_same_bits():
    x = numbers(6, 4)
    found = []
    for function in (
        lambda t: gelu(t * 1.1) * t,
        lambda t: checkpoint(lambda s: gelu(s * 1.1) * s, t),
    ):
        X = leaf(x)
        with rounding(BFLOAT16):
            y = function(X)
            y.backward(np.ones_like(x))
        found.append((y.numpy(), X.grad.numpy()))
    np.testing.assert_array_equal(found[0], found[1])


def test_gradients_of_gradients_are_rounded_by_the_operations_that_make_them():
    x = leaf(numbers(20))
    with rounding(BFLOAT16):
        (first,) = grad(tanh(x), [x], np.ones(20, np.float32), create_graph=True)
        (second,) = grad(first, [x], np.ones(20, np.float32))
    for found in (first, second):
        np.testing.assert_array_equal(found.numpy(), r(found.numpy()))


def test_a_kernel_may_be_replaced_by_name():
    def halved(kernel):
        def wrapped(x, weight, bias=None, *, keep):
            y, backward = kernel(x, weight, bias, keep=keep)
            return y / 2, lambda g: backward(g / 2)

        return wrapped

    x, w = leaf(numbers(3, 4)), numbers(4, 2)
    with rounding(Rounding(lambda a: a, lambda a: a, {"linear": halved})):
        y = linear(x, w)
        y.backward(np.ones((3, 2), np.float32))
    np.testing.assert_array_equal(y.numpy(), x.numpy() @ w / 2)
    np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 2), 0.5, np.float32) @ w.T)
    np.testing.assert_array_equal(linear(x, w).numpy(), x.numpy() @ w)


def test_the_context_ends_with_an_error_and_is_one_thread_s_own():
    seen = []
    with pytest.raises(KeyError):
        with rounding(BFLOAT16):
            thread = threading.Thread(target=lambda: seen.append(is_rounding()))
            thread.start()
            thread.join()
            assert is_rounding()
            raise KeyError
    assert not is_rounding() and seen == [False]
