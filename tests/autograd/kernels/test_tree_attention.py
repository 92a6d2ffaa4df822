"""Attention of rows that begin alike is attention of these rows."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.cases import angles, three_rows
from tinylm.autograd.kernels.tree_attention import NodeSums
from tinylm.errors import ShapeError

ROWS = [[0, 1, 2, 3], [0, 1, 4], [0, 1, 5, 6]]  # of three_rows()


@pytest.mark.parametrize("heads, kv_heads, width", [(1, 1, 6), (4, 2, 32), (2, 1, 8)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("wanted", [range(7), [3, 0], [5]])
def test_it_is_its_twin(rng, heads, kv_heads, width, turned, wanted):
    K = width // (heads + 2 * kv_heads)
    rotation = angles(rng, 7, K // 2) if turned else None
    options = {"paths": three_rows(wanted), "heads": heads, "kv_heads": kv_heads}
    options["rotation"] = rotation
    assert_matches_twin(
        lambda qkv: tl.tree_attention(qkv, **options),
        lambda qkv: composed.tree_attention(qkv, **options),
        [rng.normal(size=(7, width))],
    )


def test_each_node_gets_what_its_row_gives_it(rng):
    qkv = rng.normal(size=(7, 12))
    found = tl.tree_attention(tl.Tensor(qkv), three_rows(), 2).numpy()
    for row in ROWS:
        alone = tl.self_attention(tl.Tensor(qkv[row][None]), 2).numpy()[0]
        np.testing.assert_allclose(found[row], alone, rtol=1e-12)


def test_large_scores_take_the_careful_way(rng):
    qkv = 30 * rng.normal(size=(7, 12))  # scores in the thousands
    found = tl.tree_attention(tl.Tensor(qkv), three_rows(), 2).numpy()
    for row in ROWS:
        alone = tl.self_attention(tl.Tensor(qkv[row][None]), 2).numpy()[0]
        np.testing.assert_allclose(found[row], alone, rtol=1e-12)


def test_scores_that_overflow_float32_are_computed_in_float64():
    qkv = np.full((7, 6), 1e20, np.float32)
    qkv[:, 4:] = np.arange(14).reshape(7, 2)
    y = tl.tree_attention(tl.Tensor(qkv), three_rows(), 1).numpy()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[4], qkv[[0, 1, 4], 4:].mean(axis=0), rtol=1e-6)  # equal scores


def test_sums_are_over_the_places_of_each_node(rng):
    nodes = np.array([[0, 1, 2], [0, 1, 0], [0, 3, 0]])
    held = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0]], bool)
    g, out = rng.normal(size=(9, 2)), rng.normal(size=(4, 2))
    expected = out.copy()
    np.add.at(expected, nodes[held], g.reshape(3, 3, 2)[held])
    NodeSums(nodes, held).add(out, g)
    np.testing.assert_allclose(out, expected, rtol=1e-13)


@pytest.mark.parametrize(
    "shape, heads",
    [((2, 3, 6), (1,)), ((7, 7), (1,)), ((7, 12), (5,)), ((7, 10), (4, 3))],
)
def test_shapes_that_do_not_fit_are_refused(shape, heads):
    with pytest.raises(ShapeError, match=r"tree_attention: .* need \(n, \(H \+ 2G\) K\)"):
        tl.tree_attention(tl.Tensor(np.zeros(shape)), three_rows(), *heads)
