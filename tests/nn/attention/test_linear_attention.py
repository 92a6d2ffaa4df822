"""Linear attention: three forms that are equal, exact integers, a state of fixed size, and what its
features can do.
"""

import inspect

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention import linear_attention as la

B, H, T, F, J = 2, 3, 11, 4, 5


def features(rng, tokens=T):
    """Positive queries and keys (B, H, T, F), values (B, H, T, J)."""
    q, k = rng.uniform(0.1, 2, size=(2, B, H, tokens, F))
    return q, k, rng.normal(size=(B, H, tokens, J))


def test_the_worked_example_is_exact_in_integers():
    k, v = np.array([[1.0, 0], [1, 1], [0, 2]]), np.array([[1.0, 2], [3, 4], [5, 6]])
    q = np.array([[1.0, 1], [1, 2], [2, 1]])
    q, k, v = (tl.Tensor(x[None, None]) for x in (q, k, v))
    state, states = None, []
    for t in range(3):
        now = slice(t, t + 1)
        y, state = la.linear_attention_recurrent(q[:, :, now], k[:, :, now], v[:, :, now], state)
        states.append(host(state)[0, 0])
        np.testing.assert_array_equal(host(y)[0, 0, 0], [[1, 2], [2.5, 3.5], [3, 4]][t])
    np.testing.assert_array_equal(
        np.array(states)[..., :2], [[[1, 2], [0, 0]], [[4, 6], [3, 4]], [[4, 6], [13, 16]]]
    )  # mu
    np.testing.assert_array_equal(np.array(states)[..., 2], [[1, 0], [2, 1], [2, 3]])  # nu
    for form in (
        la.linear_attention_matrix,
        lambda *a: la.linear_attention_chunked(*a, chunk=2)[0],
    ):
        np.testing.assert_array_equal(host(form(q, k, v))[0, 0], [[1, 2], [2.5, 3.5], [3, 4]])


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 11, 50])  # 2, 3, 4 do not divide 11
def test_the_three_forms_are_equal_forward_and_backward(rng, chunk):
    arrays = features(rng)
    assert_matches_twin(
        lambda *a: la.linear_attention_chunked(*a, chunk=chunk)[0],
        la.linear_attention_matrix,
        arrays,
    )
    assert_matches_twin(
        lambda *a: la.linear_attention_recurrent(*a)[0], la.linear_attention_matrix, arrays
    )


def test_they_run_on_every_device(device, rng):
    q, k, v = features(rng, 5)
    assert_matches_twin(
        lambda *a: la.linear_attention_chunked(*map(la.elu_features, a[:2]), a[2], chunk=2)[0],
        lambda *a: la.linear_attention_matrix(*map(la.elu_features, a[:2]), a[2]),
        [q - 1, k - 1, v],
        device,
    )
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
    there = la.random_features(leaf(x, device), plain(w, device))
    np.testing.assert_allclose(host(there), host(la.random_features(leaf(x), w)), rtol=1e-13)
    assert host(la.orthogonal_directions(Random(0, device=device), 5, 3)).shape == (5, 3)


@pytest.mark.parametrize("cuts", [[11], [1] * 11, [4, 7], [3, 3, 5]])
def test_a_state_goes_on_where_it_ended(rng, cuts):
    q, k, v = map(tl.Tensor, features(rng))
    whole, last = la.linear_attention_chunked(q, k, v, chunk=3)
    for form in (
        la.linear_attention_recurrent,
        lambda *a: la.linear_attention_chunked(*a, chunk=2),
    ):
        parts, state, start = [], None, 0
        for n in cuts:
            now = slice(start, start + n)
            y, state = form(q[:, :, now], k[:, :, now], v[:, :, now], state)
            parts.append(host(y))
            start += n
        np.testing.assert_allclose(np.concatenate(parts, axis=2), host(whole), rtol=1e-12)
        np.testing.assert_allclose(host(state), host(last), rtol=1e-12)


def test_the_state_does_not_grow_and_the_work_is_linear(rng):
    sizes, work = [], []
    for tokens in (32, 64, 128):
        q, k, v = map(tl.Tensor, features(rng, tokens))
        with count_operations() as counts:
            _, state = la.linear_attention_chunked(q, k, v, chunk=16)
        sizes.append(state.size)
        work.append(counts.matmul_flops())
    assert sizes == [B * H * F * (J + 1)] * 3  # F rows of mu and nu
    assert work[1] == 2 * work[0] and work[2] == 2 * work[1]
    # per token: its chunk's scores 2 C F, their mixture 2 C (J+1), the state in and out 2 F (J+1)
    # twice
    assert work[0] == B * H * 32 * (2 * 16 * F + 2 * 16 * (J + 1) + 4 * F * (J + 1))


def test_weights_are_a_distribution_over_the_past(rng):
    q, k, _ = features(rng)
    eye = np.broadcast_to(np.eye(T), (B, H, T, T)).copy()  # values that show the weights
    weights = host(la.linear_attention_chunked(*map(tl.Tensor, (q, k, eye)), chunk=4)[0])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-13)
    assert (weights >= 0).all() and not np.triu(weights, 1).any()
    first = q.copy()
    k[:, :, 7:] += 1
    again = host(la.linear_attention_chunked(*map(tl.Tensor, (first, k, eye)), chunk=4)[0])
    np.testing.assert_array_equal(
        weights[:, :, :7], again[:, :, :7]
    )  # the future is hidden bit for bit


def test_a_query_with_no_feature_in_common_gets_zero_and_a_finite_gradient(rng):
    q, k, v = features(rng, 4)
    q[:, :, 2] = 0.0
    for form in (
        la.linear_attention_matrix,
        lambda *a: la.linear_attention_chunked(*a, chunk=3)[0],
    ):
        y, grads = gradients(form, [q, k, v])
        np.testing.assert_array_equal(y[:, :, 2], 0)
        assert all(np.isfinite(g).all() for g in grads)


def test_features_are_what_they_say(rng):
    x = np.array([-2.0, -1e-9, 0.0, 1e-9, 0.5, 3.0])
    np.testing.assert_allclose(
        host(la.elu_features(tl.Tensor(x))), [np.exp(-2), 1, 1, 1, 1.5, 4], atol=2e-9
    )
    _, (slope,) = gradients(la.elu_features, [x])
    cotangent = np.random.default_rng(0).normal(size=6)
    np.testing.assert_allclose(
        slope, cotangent * [np.exp(-2), 1, 1, 1, 1, 1], atol=4e-9
    )  # no jump of the slope at 0
    assert np.isfinite(host(la.elu_features(tl.Tensor(np.array([800.0, -800.0]))))).all()
    q, k = rng.normal(size=(2, 6, 3))
    s = (q * k).sum(-1)
    product = (host(la.taylor_features(tl.Tensor(q))) * host(la.taylor_features(tl.Tensor(k)))).sum(
        -1
    )
    np.testing.assert_allclose(product, 1 + s + s * s / 2, rtol=1e-13)


def test_orthogonal_directions_are_orthogonal_and_as_long_as_normal_ones():
    w = la.orthogonal_directions(Random(0), 64 * 40, 64)
    np.testing.assert_allclose(w[:64] @ w[:64].T, np.diag((w[:64] ** 2).sum(1)), atol=1e-10)
    # |w|^2 is chi-square with 64 degrees: mean 64, deviation sqrt(128); over 2560 draws 4 errors of
    # the mean are 0.9
    assert abs((w**2).sum(1).mean() - 64) < 0.9


def test_random_features_approximate_softmax_and_the_error_falls_as_the_root_of_their_number():
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 8, 4)) / 4**0.25 * 0.7
    exact = np.exp(q @ k.T)
    error = {}
    for count in (64, 1024):
        draws = []
        for _ in range(60):
            w = rng.normal(size=(count, 4))
            a, b = (host(la.random_features(tl.Tensor(x), w)) for x in (q, k))
            draws.append(a @ b.T)
        draws = np.array(draws)
        error[count] = np.sqrt(((draws - exact) ** 2).mean())
        # the mean of 60 draws is within 5 of its own errors of exp(q.k), at 64 pairs at once
        assert (np.abs(draws.mean(0) - exact) < 5 * draws.std(0) / np.sqrt(60)).all()
    # sixteen times the features: a quarter of the error, +- 4 * 1/sqrt(2 * 60) of it for 60 draws
    # (heavy tails: doubled)
    assert 2.0 < error[64] / error[1024] < 8.0


def test_elu_attention_is_not_an_approximation_of_softmax(rng):
    q, k, v = (rng.normal(size=(1, 1, 8, 4)) * 2 for _ in range(3))
    exact = host(tl.attention(*map(tl.Tensor, (q, k, v)), causal=True))
    y = host(
        la.linear_attention_matrix(
            la.elu_features(tl.Tensor(q)), la.elu_features(tl.Tensor(k)), tl.Tensor(v)
        )
    )
    assert np.abs(exact - y)[0, 0, 1:].max() > 0.3  # values are of size 2: another model


def test_the_module_streams_what_it_computes_at_once(rng):
    layer = la.LinearSelfAttention(6, 2, Random(0), chunk=4, dtype=np.float64)
    x = tl.Tensor(rng.normal(size=(B, 9, 6)))
    whole, last = layer(x)
    state, parts = None, []
    for t in range(9):
        y, state = layer(x[:, t : t + 1], state)
        parts.append(host(y))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), host(whole), rtol=1e-11)
    np.testing.assert_allclose(host(state), host(last), rtol=1e-11)
    assert state.shape == (B, 2, 3, 4)  # H, F = K = 3, J + 1 = 4


def test_what_does_not_fit_is_refused(rng):
    q, k, v = map(tl.Tensor, features(rng))
    with pytest.raises(ShapeError, match="linear attention: q"):
        la.linear_attention_matrix(q, k[:, :, :3], v)
    with pytest.raises(ConfigError, match="chunk 0"):
        la.linear_attention_chunked(q, k, v, chunk=0)
    with pytest.raises(ConfigError, match="width 5 does not divide"):
        la.LinearSelfAttention(5, 2, Random(0))


def test_random_features_of_one_vector_by_hand():
    # x = (2, 1): |x|^2 / 2 = 2.5; w = (1, 0) and (0, 1) give e^(2 - 2.5) and e^(1 - 2.5), / sqrt 2.
    x = tl.Tensor(np.array([2.0, 1.0]))
    np.testing.assert_allclose(
        host(la.random_features(x, np.eye(2))), np.exp([-0.5, -1.5]) / 2**0.5, rtol=1e-14
    )


def test_features_of_the_second_order_by_hand():
    # 1, x, and the four products of (2, 3) with itself over sqrt 2
    x = tl.Tensor(np.array([2.0, 3.0]))
    np.testing.assert_allclose(
        host(la.taylor_features(x)), [1, 2, 3, *np.array([4, 6, 6, 9]) / 2**0.5], rtol=1e-14
    )


def test_a_query_before_all_keys_it_has_anything_in_common_with_gets_zeros():
    # Features of two kinds: the first query meets its kind of key at the second position only.
    q, k = np.array([[0.0, 1], [0, 1], [1, 0]]), np.array([[1.0, 0], [0, 1], [0, 1]])
    v = np.array([[5.0], [7], [9]])
    q, k, v = (tl.Tensor(x[None, None]) for x in (q, k, v))
    for y in (
        la.linear_attention_matrix(q, k, v),
        la.linear_attention_recurrent(q, k, v)[0],
        la.linear_attention_chunked(q, k, v, chunk=2)[0],
    ):
        np.testing.assert_array_equal(host(y).ravel(), [0, 7, 5])


def test_an_empty_sequence_leaves_the_state_as_it_was(rng):
    q, k, v = map(tl.Tensor, features(rng))
    _, state = la.linear_attention_recurrent(q, k, v)
    nothing = [x[:, :, :0] for x in (q, k, v)]
    for form in la.linear_attention_recurrent, la.linear_attention_chunked:
        y, again = form(*nothing, state)
        assert y.shape == (B, H, 0, J) and again is state
        y, first = form(*nothing)
        assert first.shape == (B, H, F, J + 1) and not host(first).any()


def test_the_usual_chunk_holds_32_tokens():
    # It changes the work, T (C + F) (J + 1), and no result: about the width of a head.
    assert inspect.signature(la.linear_attention_chunked).parameters["chunk"].default == 32
    assert inspect.signature(la.LinearSelfAttention).parameters["chunk"].default == 32
