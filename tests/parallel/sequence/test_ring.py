"""Ring attention is attention, forward and backward, and sends what it promises."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.autograd import Tensor, attention, grad
from tinylm.autograd.kernels import composed
from tinylm.nn.attention import capped_attention
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.sequence.ring import own_positions, ring_attention


def arrays(T, H=4, G=2, B=2, K=3, J=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((B, h, T, w)) for h, w in ((H, K), (G, K), (G, J), (H, J))]


def around(comm, arrays, causal, balanced, dropped=None, bias=None, **options):
    """Output and gradients of a rank's positions, and which these are."""
    *inputs, g = arrays
    total = g.shape[2]
    mine = own_positions(total, comm.rank, comm.size, balanced)
    q, k, v = (Tensor(x[:, :, mine].copy(), requires_grad=True) for x in inputs)
    own = None if dropped is None else dropped[:, :, mine]
    if bias is not None:
        bias = Tensor(bias[:, mine].copy(), requires_grad=True)
    y = ring_attention(q, k, v, comm, total, causal, balanced, dropped=own, bias=bias, **options)
    y.backward(g[:, :, mine])
    found = [y.data, *(x.grad.data for x in (q, k, v))]
    if bias is not None:
        found.append(bias.grad.data[None])
    return mine, found


def check(T, size, causal, balanced, dropped=None, scale=1.0, bias=None, **options):
    *inputs, g = arrays(T)
    inputs[0] *= scale
    whole = [Tensor(x, requires_grad=True) for x in inputs]
    wide = None if bias is None else Tensor(bias, requires_grad=True)
    y = alone(*whole, wide, causal, dropped, **options)
    y.backward(g)
    expected = [y.data, *(x.grad.data for x in whole)]
    if bias is not None:
        expected.append(wide.grad.data[None])
    seen = []
    body = functools.partial(around, **options)
    found = simulate(body, size, [*inputs, g], causal, balanced, dropped, bias).results
    for mine, found_here in found:
        seen += mine.tolist()
        for got, right in zip(found_here, expected):
            np.testing.assert_allclose(got, right[:, :, mine], rtol=1e-9, atol=1e-11)
    assert sorted(seen) == list(range(T))


def alone(q, k, v, bias, causal, dropped, window=None, held=None, cap=None):
    """Attention of the whole sequence with what the ring is asked for as a mask."""
    T = q.shape[2]
    mask = np.ones((len(q.data), 1, T, T), bool)
    if window is not None:
        mask &= np.arange(T)[:, None] - np.arange(T) < window
    if held is not None:
        mask &= held[:, None, None, :]
    if cap is not None:
        return capped_attention(q, k, v, cap, bias=bias, mask=mask, causal=causal)
    return composed.attention(q, k, v, bias, mask=mask, causal=causal, dropped=dropped)


@settings(max_examples=30, deadline=None)
@given(T=st.integers(1, 13), size=st.integers(1, 5), causal=st.booleans(), balanced=st.booleans())
def test_it_is_attention_of_the_whole_sequence(T, size, causal, balanced):
    check(T, size, causal, balanced)


@pytest.mark.parametrize("causal", [False, True])
def test_large_scores_do_not_overflow(causal):
    check(9, 3, causal, True, scale=1e3)


def test_dropped_weights_are_those_of_the_whole():
    dropped = (np.random.default_rng(1).random((2, 4, 9, 9)) < 0.7) / 0.7
    check(9, 2, True, True, dropped)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_a_bias_and_its_gradient_are_those_of_own_queries_and_all_keys(heads, causal):
    bias = np.random.default_rng(2).standard_normal((heads, 9, 9))
    check(9, 3, causal, True, bias=bias)


def test_windows_padding_and_capped_scores_are_those_of_the_whole():
    held = np.ones((2, 9), bool)
    held[0, [0, 4]] = held[1, 7:] = False  # query 0 of the first row sees nothing
    bias = np.random.default_rng(2).standard_normal((4, 9, 9))
    check(9, 3, True, True, window=3)
    check(9, 3, False, True, window=2, held=held)
    check(9, 2, True, False, held=held, bias=bias, cap=1.5)


def test_every_rank_sees_as_much_if_balanced():
    def pairs(balanced):
        return [int((own_positions(64, r, 4, balanced) + 1).sum()) for r in range(4)]

    assert pairs(True) == [520] * 4  # of 64 * 65 / 2 pairs, a fourth each
    assert pairs(False) == [136, 392, 648, 904]


def test_shares_go_round_n_minus_one_times_forward_and_gradients_home():
    T, n = 12, 3
    *inputs, g = arrays(T)
    share = 2 * 2 * 4 * (3 + 5) * 8  # B, G, T / n, K + J, bytes

    def forward(comm):
        mine = own_positions(T, comm.rank, n)
        ring_attention(*(Tensor(x[:, :, mine]) for x in inputs), comm, T)
        return comm.bytes_sent["send"]

    def both(comm):
        around(comm, [*inputs, g], True, True)
        return comm.bytes_sent["send"]

    assert simulate(forward, n).results == [(n - 1) * share] * n
    # Backward keys and values again, and their gradients one step more.
    assert simulate(both, n).results == [(n - 1) * share * 2 + n * share] * n


def test_a_second_derivative_goes_through_the_twin():
    *inputs, _ = arrays(5)

    def second(comm):
        q, k, v = (Tensor(x, requires_grad=True) for x in inputs)
        y = ring_attention(q, k, v, comm, 5)
        (first,) = grad((y * y).sum(), [q], create_graph=True)
        return grad((first * first).sum(), [k])[0].data

    q, k, v = (Tensor(x, requires_grad=True) for x in inputs)
    y = attention(q, k, v, causal=True)
    (first,) = grad((y * y).sum(), [q], create_graph=True)
    expected = grad((first * first).sum(), [k])[0].data
    np.testing.assert_allclose(simulate(second, 1).results[0], expected, rtol=1e-9)
