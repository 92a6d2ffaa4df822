"""The fourth placement, norms on both sides of the branch, and the two it contains."""

import numpy as np

from tinylm import Tensor
from tinylm.nn import Block, LayerNorm, branch_norm, pre_norm, sandwich_norm


def same(x):
    """A norm that does nothing."""
    return x


def test_a_sandwich_without_its_outer_norm_is_pre_norm_and_without_its_inner_one_branch_norm(rng):
    x = Tensor(rng.normal(size=(3, 8)))
    w = rng.normal(size=(8, 8))
    norm = LayerNorm(8, dtype=np.float64)

    def branch(h):
        return h @ w

    both = sandwich_norm(x, branch, (norm, norm)).numpy()
    np.testing.assert_array_equal(
        sandwich_norm(x, branch, (norm, same)).numpy(), pre_norm(x, branch, norm).numpy()
    )
    np.testing.assert_array_equal(
        sandwich_norm(x, branch, (same, norm)).numpy(), branch_norm(x, branch, norm).numpy()
    )
    for other in (pre_norm, branch_norm):
        assert np.abs(both - other(x, branch, norm).numpy()).max() > 0.5
    np.testing.assert_array_equal(
        sandwich_norm(x, lambda h: h * 0.0, (norm, norm)).numpy(), x.numpy()
    )


def test_a_block_takes_a_pair_of_norms_per_sub_layer(rng):
    norms = [[LayerNorm(8, dtype=np.float64) for _ in range(2)] for _ in range(2)]
    w = rng.normal(size=(8, 8))
    block = Block(lambda h, *_, **__: h @ w, lambda h: h * 2.0, norms, sandwich_norm, rng=None)
    assert len(block.parameters()) == 8  # gain and bias of 4 norms
    x = Tensor(rng.normal(size=(1, 3, 8)))
    h = sandwich_norm(x, lambda h: h @ w, norms[0])
    np.testing.assert_allclose(
        block(x).numpy(), sandwich_norm(h, lambda h: h * 2.0, norms[1]).numpy(), rtol=1e-13
    )
