import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.attention.two_stream import RelativeAttention, permutation_mask, relative_waves


def test_the_identity_order_is_the_causal_mask():
    np.testing.assert_array_equal(
        permutation_mask(np.arange(4), strict=False), np.tri(4, dtype=bool)
    )
    np.testing.assert_array_equal(permutation_mask(np.arange(4)), np.tri(4, k=-1, dtype=bool))


def test_every_order_lets_as_many_pairs_through(rng):
    orders = np.array([rng.permutation(6) for _ in range(5)])
    assert (
        permutation_mask(orders).sum(axis=(1, 2)).tolist() == [15] * 5
    )  # 6 * 5 / 2 pairs, one way each
    np.testing.assert_array_equal(permutation_mask(orders)[3], permutation_mask(orders[3]))


def test_waves_hold_every_distance_once():
    waves = relative_waves(3, 4, np.arange(1), np.float64)
    np.testing.assert_allclose(waves[2], [0, 0, 1, 1])  # distance 0: sines 0, cosines 1
    np.testing.assert_allclose(
        waves[0], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)]
    )  # i - j = 2, rates 1 and 0.01
    np.testing.assert_allclose(waves[4], waves[0] * [-1, -1, 1, 1])
    with pytest.raises(ConfigError, match="must be even"):
        relative_waves(3, 5, np.arange(1))


def test_scores_are_the_formula_pair_by_pair(rng):
    B, T, D, H, K = 2, 4, 6, 2, 3
    module = RelativeAttention(D, H, Random(0), dtype=np.float64)
    for p in module.parameters():
        p.data[...] = rng.normal(size=p.shape)
    q, k, v = (rng.normal(size=(B, H, T, K)) for _ in range(3))
    other = rng.integers(0, 2, size=(B, 1, T, T)).astype(bool)
    visible = np.tri(T, dtype=bool)
    waves = relative_waves(T, D, np.arange(1), np.float64)
    u, w, s = (
        getattr(module, name).numpy() for name in ("content_bias", "position_bias", "segment_bias")
    )
    expected = np.zeros((B, T, D))
    for b in range(B):
        heads = np.zeros((T, H, K))
        for h in range(H):
            for i in range(T):
                scores = np.full(T, -np.inf)
                for j in range(i + 1):
                    r = (waves[T - 1 - (i - j)] @ module.relative.weight.numpy()).reshape(H, K)[h]
                    e = module.segment_table.numpy()[int(other[b, 0, i, j]), h]
                    scores[j] = (
                        (q[b, h, i] + u[h]) @ k[b, h, j]
                        + (q[b, h, i] + w[h]) @ r
                        + (q[b, h, i] + s[h]) @ e
                    ) / K**0.5
                weights = np.exp(scores - scores.max())
                heads[i, h] = weights / weights.sum() @ v[b, h]
        expected[b] = heads.reshape(T, D) @ module.out.weight.numpy()
    found = module(*(Tensor(x) for x in (q, k, v)), waves, visible, other)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-11)  # values up to 30
