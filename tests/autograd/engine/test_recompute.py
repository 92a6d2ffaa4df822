"""checkpoint() changes what is kept, never what is computed."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf
from tinylm.autograd import checkpoint
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random


def layer(w, x, rng=None):
    y = tl.gelu(tl.linear(x, w))
    return x + (y if rng is None else tl.dropout(y, 0.5, rng))


def losses_and_gradients(run, device, layers=3, seed=0):
    draw = np.random.default_rng(seed)
    ws = [leaf(draw.normal(size=(4, 4)), device) for _ in range(layers)]
    x = leaf(draw.normal(size=(2, 4)), device)
    y = run(ws, x)
    (y * y).sum().backward()
    return [host(y)] + [host(t.grad) for t in (x, *ws)]


def assert_equal(first, second):
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)  # the same operations on the same values: bit for bit


def stack(ws, x, wrap=lambda f, x: f(x), rng=None):
    for w in ws:
        x = wrap(lambda a, w=w: layer(w, a, rng), x)
    return x


def test_gradients_equal_including_parameters_only_the_function_knows(device):
    assert_equal(
        losses_and_gradients(stack, device),
        losses_and_gradients(lambda ws, x: stack(ws, x, checkpoint), device),
    )


def test_dropout_drops_the_same_again(device):
    def run(wrap):
        return losses_and_gradients(
            lambda ws, x: stack(ws, x, wrap, Random(3, device=device)), device
        )

    assert_equal(run(lambda f, x: f(x)), run(checkpoint))


def test_the_stream_goes_on_as_if_nothing_was_replayed():
    rng, x = Random(1), leaf(np.ones(8))
    y = checkpoint(lambda a: tl.dropout(a, 0.5, rng), x)
    after_forward = rng.counter
    y.sum().backward()
    assert rng.counter == after_forward


def test_checkpoints_nest(device):
    def nested(ws, x):
        return checkpoint(
            lambda a: stack(ws[1:], checkpoint(lambda b: layer(ws[0], b), a), checkpoint), x
        )

    assert_equal(losses_and_gradients(stack, device), losses_and_gradients(nested, device))


def test_several_inputs_and_constants_and_a_retained_graph():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = checkpoint(lambda u, v, c: u * v * c, a, b, 2.0).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(a.grad.numpy(), 2 * 2 * b.numpy())
    np.testing.assert_array_equal(b.grad.numpy(), 2 * 2 * a.numpy())


def test_higher_derivatives_pass_through():
    x = leaf([0.3, -1.2])
    for order_one, order_two in [
        [
            tl.grad(f(x).sum(), [x], create_graph=True)[0]
            for f in (tl.gelu, lambda a: checkpoint(tl.gelu, a))
        ]
    ]:
        first, second = (tl.grad(g.sum(), [x])[0].numpy() for g in (order_one, order_two))
        np.testing.assert_allclose(first, second, rtol=1e-14)


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_is_recorded_where_nothing_is_wanted(quiet):
    if quiet:
        with tl.no_grad():
            y = checkpoint(tl.exp, leaf([1.0]))
        assert not y.requires_grad
    else:
        # it cannot know: the function's own parameters might want one
        y = checkpoint(tl.exp, tl.Tensor([1.0]))
        y.sum().backward()


def test_the_peak_of_live_bytes_falls_from_all_layers_to_one():
    layers, n = 8, 4096
    peaks = []
    for wrap in (lambda f, x: f(x), checkpoint):
        x = leaf(np.ones(n))
        with count_operations() as counts:
            y = x
            for _ in range(layers):
                y = wrap(lambda a: tl.tanh(tl.sin(tl.tanh(tl.sin(a)))), y)
            y.sum().backward()
        peaks.append(counts.peak_bytes)
    # Plain: 4 results in each of 8 layers are needed. Checkpointed: 8 borders, and one layer's 4
    # with its backward.
    assert peaks[0] > 32 * n * 8
    assert peaks[1] < 20 * n * 8


def test_each_function_runs_exactly_once_more():
    runs = []
    x = leaf([1.0])
    y = checkpoint(lambda a: runs.append(1) or a * a, x)
    assert len(runs) == 1
    y.backward()
    assert len(runs) == 2
