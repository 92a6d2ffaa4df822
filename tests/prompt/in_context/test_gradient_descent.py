"""Linear attention to a context is gradient descent on it, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.autograd import Tensor, assert_gradients, mean
from tinylm.errors import ShapeError
from tinylm.optim import AdamW
from tinylm.prompt.in_context.gradient_descent import (
    LinearSelfAttention,
    best_rate,
    construction,
    dual_form,
    gradient_steps,
    predictions,
    tokens_of,
)

EXACT = 1e-13  # sums of a few dozen products in float64


def problem(N=7, d_x=3, d_y=2, M=4, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(1, N, d_x)), rng.normal(size=(1, N, d_y))
    return x, y, rng.normal(size=(1, M, d_x)), rng.normal(size=(d_y, d_x))


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.floats(0.01, 2))
def test_one_layer_is_one_step_of_gradient_descent(N, d_x, d_y, rate):
    x, y, queries, W0 = problem(N, d_x, d_y, 2)
    found = predictions([construction(W0, rate, N)], x, y, queries, W0)
    W1 = gradient_steps(x[0], y[0], W0, rate)
    assert np.allclose(found[0], queries[0] @ W1.T, rtol=0, atol=EXACT * 10)


def test_the_identity_holds_to_rounding():
    x, y, queries, W0 = problem()
    found = predictions([construction(W0, 0.3, 7)], x, y, queries, W0)
    W1 = W0 - 0.3 / 7 * sum(np.outer(W0 @ a - b, a) for a, b in zip(x[0], y[0]))
    # Values of size 1 and sums of 7 products: a few units in the last place, 2e-16 each.
    assert np.abs(found[0] - queries[0] @ W1.T).max() < 4e-15


def test_stacked_layers_from_zero_are_steps():
    x, y, queries, _ = problem()
    zero = np.zeros((2, 3))
    layers = [construction(zero, rate, 7) for rate in (0.1, 0.3, 0.2, 0.4)]
    found = predictions(layers, x, y, queries)
    W = zero
    for rate in (0.1, 0.3, 0.2, 0.4):
        W = gradient_steps(x[0], y[0], W, rate)
    assert np.allclose(found[0], queries[0] @ W.T, rtol=0, atol=EXACT)
    same = predictions([layers[0]] * 5, x, y, queries)
    five = gradient_steps(x[0], y[0], zero, 0.1, steps=5)
    assert np.allclose(same[0], queries[0] @ five.T, rtol=0, atol=EXACT)


def test_labels_become_residuals():
    x, y, queries, _ = problem()
    layer = construction(np.zeros((2, 3)), 0.3, 7)
    after = layer(tokens_of(x, y, queries), 7).data[0]
    W1 = gradient_steps(x[0], y[0], np.zeros((2, 3)), 0.3)
    assert np.allclose(after[:7, 3:], y[0] - x[0] @ W1.T, rtol=0, atol=EXACT)
    assert np.array_equal(after[:7, :3], x[0]) and np.array_equal(after[7:, :3], queries[0])


def test_gradient_steps_follow_the_gradient_of_the_mean_loss():
    x, y, _, W0 = problem()

    def loss(W):
        residuals = Tensor(x[0]) @ W.T - Tensor(y[0])
        return (residuals * residuals).sum() * (0.5 / 7)

    W = Tensor(W0, requires_grad=True)
    loss(W).backward()
    assert np.allclose(gradient_steps(x[0], y[0], W0, 0.7), W0 - 0.7 * W.grad.data, atol=EXACT)
    many = gradient_steps(x[0], y[0], W0, 0.5, steps=4000)
    assert np.allclose(many.T, np.linalg.lstsq(x[0], y[0], rcond=None)[0], atol=1e-9)


def test_queries_do_not_read_each_other():
    x, y, queries, W0 = problem()
    layer = LinearSelfAttention(5, seed=3)
    together = predictions([layer], x, y, queries, W0)
    alone = [predictions([layer], x, y, queries[:, m : m + 1], W0)[0, 0] for m in range(4)]
    assert np.allclose(together[0], alone, atol=EXACT)


def test_the_layer_is_the_formula_and_its_gradient_is_right():
    layer = LinearSelfAttention(3, seed=1, std=0.5)
    tokens = np.random.default_rng(0).normal(size=(1, 4, 3))
    K, Q, V, P = (p.data for p in layer.parameters())
    e = tokens[0]
    by_hand = [
        e[j] + P @ sum((V @ e[i]) * ((K @ e[i]) @ (Q @ e[j])) for i in range(2)) for j in range(4)
    ]
    assert np.allclose(layer(Tensor(tokens), 2).data[0], by_hand, atol=EXACT)
    assert_gradients(lambda e: layer(e, 2), tokens)
    assert abs(np.std([p.data for p in LinearSelfAttention(60).parameters()]) - 0.1) < 0.002


def test_the_best_rate_is_the_minimum_of_the_expected_loss():
    rng = np.random.default_rng(0)
    N, d, B = 6, 2, 40_000
    x, queries = rng.normal(size=(B, N, d)), rng.normal(size=(B, 1, d))
    w = rng.normal(size=(B, d, 1))
    rate, loss = best_rate(N, d)
    assert rate == 6 / 9 and np.isclose(loss, 2 / 3)

    def measured(eta):
        found = predictions([construction(np.zeros((1, d)), eta, N)], x, x @ w, queries)
        return (found - queries @ w)[:, 0, 0] ** 2

    errors = measured(rate)
    assert abs(errors.mean() - loss) < 5 * errors.std() / B**0.5
    # On the same draws other rates are worse: eta^2 d (N + d + 1)/N - 2 eta d is 0.03 higher there.
    assert measured(rate - 0.1).mean() > errors.mean() < measured(rate + 0.1).mean()


def test_trained_linear_attention_reaches_the_loss_of_one_step():
    rng = np.random.default_rng(0)
    N, d, B = 6, 2, 256
    layer = LinearSelfAttention(d + 1, seed=0, std=0.3)
    optimizer = AdamW(layer.named_parameters(), weight_decay=0.0)
    losses = []
    for step in range(400):
        x, queries = rng.normal(size=(B, N, d)), rng.normal(size=(B, 1, d))
        w = rng.normal(size=(B, d, 1))
        tokens = layer(tokens_of(x, x @ w, queries), N)
        errors = tokens[:, N:, d:] + Tensor(queries @ w)
        loss = mean(errors * errors)
        loss.backward()
        optimizer.step(2e-2 * (1 - step / 400))
        optimizer.zero_grad()
        losses.append(float(loss.data))
    expected = best_rate(N, d)[1]
    # The mean of 100 batches: its standard error is about 0.01.
    assert losses[0] > 1.5 and abs(np.mean(losses[-100:]) - expected) < 0.06


def test_attention_to_demonstrations_is_an_update_of_a_linear_map():
    rng = np.random.default_rng(1)
    W, keys, values = rng.normal(size=(2, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    whole, update = dual_form(W, keys, values)
    q = rng.normal(size=3)
    attended = W @ q + sum(v * (k @ q) for k, v in zip(keys, values))
    assert np.allclose(whole @ q, attended, atol=EXACT) and np.allclose(whole - W, update)
    assert np.linalg.matrix_rank(dual_form(W, keys[:1], values[:1])[1]) == 1
    # With errors as values and inputs as keys, the update is that of gradient descent.
    x, y, _, W0 = problem()
    errors = -0.3 / 7 * (x[0] @ W0.T - y[0])  # -rate dL/d(W x_i)
    assert np.allclose(dual_form(W0, x[0], errors)[0], gradient_steps(x[0], y[0], W0, 0.3))


def test_examples_that_do_not_fit_together_are_refused():
    x, y, queries, _ = problem()
    with pytest.raises(ShapeError, match=r"x \(1, 6, 3\), y \(1, 7, 2\)"):
        tokens_of(x[:, :6], y, queries)
    with pytest.raises(ShapeError, match=r"queries \(2, 4, 3\)"):
        tokens_of(x, y, np.concatenate([queries, queries]))
