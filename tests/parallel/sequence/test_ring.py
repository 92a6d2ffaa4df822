"""Ring attention is attention, forward and backward, and sends what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.autograd import Tensor, attention, grad
from tinylm.autograd.kernels import composed
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.sequence.ring import own_positions, ring_attention


def arrays(T, H=4, G=2, B=2, K=3, J=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((B, h, T, w)) for h, w in ((H, K), (G, K), (G, J), (H, J))]


def around(comm, arrays, causal, balanced, dropped=None):
    """Output and gradients of a rank's positions, and which these are."""
    *inputs, g = arrays
    total = g.shape[2]
    mine = own_positions(total, comm.rank, comm.size, balanced)
    q, k, v = (Tensor(x[:, :, mine].copy(), requires_grad=True) for x in inputs)
    own = None if dropped is None else dropped[:, :, mine]
    y = ring_attention(q, k, v, comm, total, causal, balanced, dropped=own)
    y.backward(g[:, :, mine])
    return mine, [y.data, *(x.grad.data for x in (q, k, v))]


def check(T, size, causal, balanced, dropped=None, scale=1.0):
    *inputs, g = arrays(T)
    inputs[0] *= scale
    whole = [Tensor(x, requires_grad=True) for x in inputs]
    y = composed.attention(*whole, causal=causal, dropped=dropped)
    y.backward(g)
    expected = [y.data, *(x.grad.data for x in whole)]
    seen = []
    for mine, found in simulate(around, size, [*inputs, g], causal, balanced, dropped).results:
        seen += mine.tolist()
        for got, right in zip(found, expected):
            np.testing.assert_allclose(got, right[:, :, mine], rtol=1e-9, atol=1e-11)
    assert sorted(seen) == list(range(T))


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
