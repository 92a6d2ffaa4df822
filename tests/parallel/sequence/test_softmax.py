"""Attention over keys and values that ranks share is that over all of them."""

import numpy as np
import pytest

from tinylm.autograd import Tensor, attention
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.sequence.softmax import shared_attention

B, H, T, K, J, S = 2, 2, 3, 4, 5, 7
WAYS = [(True, True), (True, False), (False, True), (False, False)]


def arrays(scale=1.0):
    rng = np.random.default_rng(4)
    q, k, v = (rng.standard_normal((B, H, n, w)) for n, w in ((T, K), (S, K), (S, J)))
    mask = rng.random((B, 1, T, S)) < 0.6
    mask[0, 0, 1] = False  # a query that sees nothing
    mask[:, :, :, -2:] = False  # the last keys are hidden from all
    return q * scale, k, v, mask, rng.standard_normal((B, H, T, J))


@pytest.mark.parametrize("shifted, fused", WAYS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, S, S + 2])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_attention_with_its_gradients(size, shifted, fused, masked):
    q, k, v, mask, g = arrays()
    if not masked:
        mask = np.ones_like(mask)
    whole = [Tensor(x, requires_grad=True) for x in (q, k, v)]
    expected = attention(*whole, mask=mask)
    expected.backward(g)

    def program(comm):
        own = slice(*share_rows(S, comm.rank, comm.size))
        parts = [Tensor(x.copy(), requires_grad=True) for x in (q, k[:, :, own], v[:, :, own])]
        y = shared_attention(*parts, comm, mask[..., own], shifted=shifted, fused=fused)
        y.backward(g)
        return y.data, [x.grad.data for x in parts], own

    for y, (dq, dk, dv), own in simulate(program, size).results:
        np.testing.assert_allclose(y, expected.data, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dq, whole[0].grad.data, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(dk, whole[1].grad.data[:, :, own], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(dv, whole[2].grad.data[:, :, own], rtol=1e-10, atol=1e-13)


def test_two_nodes_by_hand():
    """exp of the scores 1, 2 | 3, 4, values 1, 2 | 3, 4: (1 + 4 + 9 + 16) / 10."""
    scores, values = np.log([[1.0, 2], [3, 4]]), np.array([[1.0, 2], [3, 4]])

    def program(comm):
        k, v = (Tensor(x[comm.rank][:, None]) for x in (scores, values))
        return shared_attention(Tensor(np.ones((1, 1))), k, v, comm, shifted=False, fused=False)

    for y in simulate(program, 2).results:
        assert y.item() == pytest.approx(3.0)


def test_taken_literally_large_scores_overflow():
    q, k, v, _, _ = arrays(scale=1e4)

    def program(comm, shifted):
        own = slice(*share_rows(S, comm.rank, comm.size))
        with np.errstate(all="ignore"):
            return shared_attention(
                Tensor(q), Tensor(k[:, :, own]), Tensor(v[:, :, own]), comm, shifted=shifted
            ).data

    assert not np.isfinite(simulate(program, 2, False).results[0]).all()
    expected = attention(Tensor(q), Tensor(k), Tensor(v)).data
    np.testing.assert_allclose(simulate(program, 2, True).results[0], expected, rtol=1e-9)


@pytest.mark.parametrize(
    "shifted, fused, calls, numbers",
    [
        (False, False, 2, 1 + J),  # the denominator, then the result
        (False, True, 1, J + 1),
        (True, True, 2, 1 + J + 1),  # and the largest scores
    ],
)
def test_collectives_and_their_bytes(shifted, fused, calls, numbers):
    q, k, v, _, _ = arrays()

    def program(comm):
        own = slice(*share_rows(S, comm.rank, comm.size))
        shared_attention(
            Tensor(q),
            Tensor(k[:, :, own]),
            Tensor(v[:, :, own]),
            comm,
            shifted=shifted,
            fused=fused,
        )
        return comm.calls["all_reduce"], comm.bytes_sent["all_reduce"]

    # By a ring of two ranks each sends as much as it has: 2 (n-1)/n = 1.
    assert simulate(program, 2).results == [(calls, B * H * T * numbers * 8)] * 2
