"""Attention to retrieved keys: joined, gated, and when the two are the same."""

import numpy as np
import pytest

import tinylm as tl
from tests.nn.attention.test_sparse import KEYS, QUERY, V, shaped
from tests.numeric import gradients, host, leaf, plain
from tinylm.errors import ShapeError
from tinylm.nn.attention import patterns as p
from tinylm.nn.attention.sparse import gather_keys, top_keys
from tinylm.nn.memory import retrieved as knn

B, H, G, T, K, J = 2, 4, 2, 8, 3, 5


def heads(rng):
    return [rng.normal(size=(B, *shape)) for shape in ((H, T, K), (G, T, K), (G, T, J))]


def outside(mask):
    """Index lists of what a causal query does not see locally: for keys that are positions of the
    same sequence.
    """
    return p.index_sets(np.tri(T, dtype=bool) & ~mask)


def test_local_and_all_the_rest_together_are_full_attention(device, rng):
    mask = p.window(T, width=3)
    index, visible = (plain(x, device) for x in outside(mask))
    there = plain(mask, device)

    def joined(q, k, v):
        return knn.joint_attention(
            q, k, v, gather_keys(k, index, H), gather_keys(v, index, H), visible, mask=there
        )

    arrays = heads(rng)
    y, grads = gradients(joined, arrays, device)
    y2, grads2 = gradients(lambda *a: tl.attention(*a, causal=True), arrays, device)
    for a, b in zip([y, *grads], [y2, *grads2]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_a_key_that_is_also_local_counts_twice_unless_hidden(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    mask = p.window(T, width=3)
    scores = host(q) @ np.repeat(host(k), 2, axis=1).swapaxes(-1, -2)
    index, visible = top_keys(scores, T)  # everything is retrieved, the local keys too
    far = gather_keys(k, index, H), gather_keys(v, index, H)
    full = host(tl.attention(q, k, v, causal=True))
    twice = host(knn.joint_attention(q, k, v, *far, visible, mask=mask))
    assert np.abs(twice - full)[:, :, 1:].max() > 1e-3
    once = host(knn.joint_attention(q, k, v, *far, visible & knn.not_local(index, mask), mask=mask))
    np.testing.assert_allclose(once, full, rtol=1e-12)


def worked():
    """Scores ln 1 .. ln 4; keys 2, 3 are local, keys 0, 1 retrieved."""
    q, k, v = shaped(QUERY, KEYS[2:], V[2:])
    far = [tl.Tensor(x[:2][None, None, None]) for x in (KEYS, V)]
    return q, k, v, *far


def test_the_worked_example_of_the_gate():
    local, far, local_norm, far_norm = knn.separate_attention(*worked())
    np.testing.assert_allclose(host(local)[0, 0, 0], [11 / 7, -1 / 7], rtol=1e-14)
    np.testing.assert_allclose(host(far)[0, 0, 0], [1 / 3, 2 / 3], rtol=1e-14)
    np.testing.assert_allclose(
        np.exp([host(local_norm).item(), host(far_norm).item()]), [7, 3], rtol=1e-14
    )
    share = knn.local_share(local_norm, far_norm)
    np.testing.assert_allclose(host(share).item(), 0.7, rtol=1e-14)
    for y in (knn.gated_attention(*worked(), share), knn.joint_attention(*worked())):
        np.testing.assert_allclose(host(y)[0, 0, 0], [1.2, 0.1], rtol=1e-13)


@pytest.mark.parametrize("size", [1.0, 300.0])  # scores of 1 and of 10^5: beyond what exp can hold
def test_one_gate_makes_the_two_the_same_and_no_other(rng, size):
    q, k, v = heads(rng)
    far = [tl.Tensor(rng.normal(size=(B, H, T, 3, width))) for width in (K, J)]
    visible = rng.random((B, H, T, 3)) < 0.7
    q, k, v = map(tl.Tensor, (q * size, k * size, v))
    local, away, *norms = knn.separate_attention(q, k, v, *far, visible)
    joint = host(knn.joint_attention(q, k, v, *far, visible))
    gate = knn.local_share(*norms)
    np.testing.assert_allclose(
        host(knn.gated_attention(q, k, v, *far, gate, visible)), joint, rtol=1e-9, atol=1e-10
    )
    assert np.abs(host(knn.gated_attention(q, k, v, *far, 0.5, visible)) - joint).max() > 1e-2
    nothing = ~visible.any(-1)
    assert (host(gate)[..., 0][nothing] == 1).all()  # nothing retrieved: the local part has all


def test_a_gate_of_one_is_local_and_of_zero_retrieved_only(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    far = [tl.Tensor(rng.normal(size=(B, G, T, 3, width))) for width in (K, J)]
    local, away, *_ = knn.separate_attention(q, k, v, *far)
    np.testing.assert_array_equal(host(knn.gated_attention(q, k, v, *far, 1.0)), host(local))
    np.testing.assert_array_equal(host(knn.gated_attention(q, k, v, *far, 0.0)), host(away))
    np.testing.assert_allclose(host(local), host(tl.attention(q, k, v, causal=True)), rtol=1e-12)
    each = [tl.attention(q[:, :, t : t + 1], far[0][:, :, t], far[1][:, :, t]) for t in range(T)]
    np.testing.assert_allclose(
        host(away), np.concatenate([host(x) for x in each], axis=2), rtol=1e-12
    )


def test_a_gate_per_head_begins_even_and_learns_while_the_store_does_not(rng):
    q, k, v = (leaf(x) for x in heads(rng))
    store = [leaf(rng.normal(size=(B, H, T, 3, width))) for width in (K, J)]
    gate = knn.HeadGate(H, dtype=np.float64)
    np.testing.assert_array_equal(host(gate()), 0.5)
    y = knn.gated_attention(q, k, v, *(x.detach() for x in store), gate())
    y.sum().backward()
    assert gate.b.grad.shape == (H, 1, 1) and (host(gate.b.grad) != 0).all()
    assert all(x.grad is None for x in store) and np.abs(host(q.grad)).max() > 0


def test_what_does_not_fit_is_refused(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ShapeError, match="retrieved attention: q"):
        knn.joint_attention(q, k, v, k, v)


@pytest.mark.parametrize("causal", [True, False])
def test_where_nothing_is_retrieved_attention_is_local_and_causal_unless_told(rng, causal):
    q, k, v = map(tl.Tensor, heads(rng))
    far = [tl.Tensor(rng.normal(size=(B, H, T, 3, width))) for width in (K, J)]
    none = np.zeros((B, H, T, 3), bool)
    expected = host(tl.attention(q, k, v, causal=causal))
    given = {} if causal else {"causal": False}
    for y in (
        knn.joint_attention(q, k, v, *far, none, **given),
        knn.gated_attention(q, k, v, *far, 1.0, none, **given),
        knn.separate_attention(q, k, v, *far, none, **given)[0],
    ):
        np.testing.assert_allclose(host(y), expected, rtol=1e-12, atol=1e-14)


def test_retrieved_keys_that_are_local_are_told_from_the_rest():
    # The last two queries of three tokens: the first sees keys 0 and 1, the second 1 and 2.
    index = np.array([[1, 0, 2], [0, 2, 1]])
    np.testing.assert_array_equal(
        knn.not_local(index, p.window(2, 3, width=2)), [[False, False, True], [True, False, False]]
    )
