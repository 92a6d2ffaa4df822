"""Gathered attention equals dense attention under the mask, costs what it says, and sees as far as
it should.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.engine.profile import count_operations
from tinylm.autograd.kernels import composed
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention import patterns as p
from tinylm.nn.attention.sparse import (
    sparse_attention,
    top_keys,
    topk_attention,
    visible_softmax,
    window_attention,
)

B, H, T, K = 2, 4, 9, 3
V = np.array([[1.0, 0], [0, 1], [1, 1], [2, -1]])
# q . k_j / sqrt(2) = ln of 1, 2, 3, 4: weights 1 : 2 : 3 : 4
KEYS = np.stack([np.sqrt(2) * np.log([1.0, 2, 3, 4]), np.zeros(4)], axis=1)
QUERY = np.array([[1.0, 0.0]])


def heads(rng, kv_heads=H, keys=T, width=K):
    return [
        rng.normal(size=(B, *shape))
        for shape in ((H, T, K), (kv_heads, keys, K), (kv_heads, keys, width))
    ]


def shaped(*arrays):
    """(T, K) arrays as Tensors of one sequence and one head."""
    return [tl.Tensor(x[None, None]) for x in arrays]


@pytest.mark.parametrize(
    "chosen, weights, output",
    [
        ([1, 3], [1 / 3, 2 / 3], [4 / 3, -1 / 3]),
        ([2, 3], [3 / 7, 4 / 7], [11 / 7, -1 / 7]),
        ([0, 3], [0.2, 0.8], [1.8, -0.8]),
        ([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4], [1.2, 0.1]),
        ([2], [1.0], [1.0, 1.0]),
    ],
)
def test_weights_are_normalized_over_the_set_alone(chosen, weights, output):
    index = np.array([chosen])
    np.testing.assert_allclose(
        host(sparse_attention(*shaped(QUERY, KEYS, V), index))[0, 0, 0], output, rtol=1e-14
    )
    eye = np.eye(4)  # values that show the weights themselves
    shown = host(sparse_attention(*shaped(QUERY, KEYS, eye), index))[0, 0, 0][chosen]
    np.testing.assert_allclose(shown, weights, rtol=1e-14)
    dense = np.array([0.1, 0.2, 0.3, 0.4])[chosen]
    assert (
        len(chosen) == 4 or (shown > dense).all()
    )  # alpha' > alpha wherever some mass was left out
    np.testing.assert_allclose(shown / dense, 1 / dense.sum(), rtol=1e-14)  # by one factor for all


def masks(rng):
    return {
        "window": p.window(T, width=3),
        "sinks": p.window(T, width=2) | p.first_tokens(T, count=2),
        "strided": p.strided(T, stride=3),
        "dilated": p.dilated(T, width=2, step=3),
        "blocks": p.blocks(T, size=4),
        "random": p.random_keys(T, count=3, rng=Random(0)),
        "all": np.tri(T, dtype=bool),
        "holes": rng.random((T, T)) < 0.3,
        "by head": rng.random((H, T, T)) < 0.5,
        "by row": rng.random((B, H, T, T)) < 0.5,
    }


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("name", masks(np.random.default_rng(0)))
def test_gathering_equals_dense_attention_under_the_mask(rng, name, kv_heads):
    mask = masks(rng)[name]
    table = p.index_sets(mask)
    assert_matches_twin(
        lambda *a: sparse_attention(*a, *table),
        lambda *a: composed.attention(*a, mask=mask),
        heads(rng, kv_heads, width=K + 1),
    )


def test_it_runs_on_every_device(device, rng):
    mask = p.window(3, T, width=4, like=plain(np.zeros(1), device))
    q, k, v = heads(rng, 2)
    table = p.index_sets(mask)
    assert_matches_twin(
        lambda *a: sparse_attention(*a, *table),
        lambda *a: composed.attention(*a, mask=mask),
        [q[:, :, :3], k, v],
        device,
    )
    assert_matches_twin(
        lambda *a: window_attention(*a, width=2),
        lambda *a: tl.attention(*a, mask=p.window(T, width=2, like=mask)),
        [q, k, v],
        device,
    )


@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 9, 30])
def test_the_window_in_blocks_equals_the_mask(rng, width, kv_heads):
    mask = p.window(T, width=width)
    assert_matches_twin(
        lambda *a: window_attention(*a, width=width, scale=0.4),
        lambda *a: composed.attention(*a, mask=mask, scale=0.4),
        heads(rng, kv_heads, width=K + 1),
    )


def test_a_window_of_one_returns_the_value_and_a_wide_one_is_dense(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    # e^s v / e^s: three roundings
    np.testing.assert_allclose(host(window_attention(q, k, v, 1)), host(v), rtol=1e-15)
    np.testing.assert_array_equal(
        host(window_attention(q, k, v, T)), host(tl.attention(q, k, v, causal=True))
    )


def test_operations_are_those_of_the_sets_and_no_more(rng):
    q, k, v = map(tl.Tensor, heads(rng, 2, width=K + 2))
    for width in (1, 3):
        with count_operations() as counts:
            sparse_attention(q, k, v, *p.window_index(T, width=width))
        assert counts.matmul_flops() == 2 * B * H * T * width * (K + K + 2)
        with count_operations() as counts:
            window_attention(q, k, v, width)
        blocks = -(-T // width)
        assert counts.matmul_flops() == 2 * B * H * blocks * width * 2 * width * (K + K + 2)
    with count_operations() as counts:
        tl.attention(q, k, v, causal=True)
    assert counts.matmul_flops() == 2 * B * H * T * T * (K + K + 2)


def test_the_receptive_field_of_layers_ends_where_it_should(rng):
    w, layers, tokens = 3, 3, 12
    x = leaf(rng.normal(size=(1, 1, tokens, K)))
    y = x
    for _ in range(layers):
        y = y + window_attention(y, y, y, w)
    (gradient,) = tl.grad(y[0, 0, tokens - 1].sum(), [x])
    reached = np.abs(host(gradient)[0, 0]).sum(1) > 0
    first = tokens - 1 - layers * (w - 1)  # L(w - 1) + 1 tokens, the last included
    np.testing.assert_array_equal(reached, np.arange(tokens) >= first)


def test_top_k_is_sparse_attention_over_the_largest_scores(rng):
    q, k, v = heads(rng, 2)
    keys = np.repeat(k, H // 2, axis=1)
    scores = np.where(np.tri(T, dtype=bool), q @ keys.swapaxes(-1, -2), -np.inf)
    limit = -np.sort(-scores, axis=-1)[..., 2:3]  # the third largest; -inf where fewer are visible
    mask = (scores >= limit) & np.isfinite(scores)
    assert_matches_twin(
        lambda *a: topk_attention(*a, count=3),
        lambda *a: composed.attention(*a, mask=mask),
        [q, k, v],
    )
    dense = composed.attention(*map(tl.Tensor, (q, k, v)), causal=True)
    np.testing.assert_allclose(
        host(topk_attention(*map(tl.Tensor, (q, k, v)), count=T)), host(dense), rtol=1e-12
    )


def test_nearest_by_distance_is_nearest_by_product_only_for_keys_of_equal_length(rng):
    q, k = rng.normal(size=(6, K)), rng.normal(size=(40, K))

    def chosen(keys, nearness):
        return np.sort(top_keys(nearness(q, keys), 5, causal=False)[0])

    def product(q, k):
        return q @ k.T

    def minus_distance(q, k):
        return -((q[:, None] - k[None]) ** 2).sum(-1)

    assert (chosen(k, product) != chosen(k, minus_distance)).any()
    unit = k / np.linalg.norm(
        k, axis=1, keepdims=True
    )  # |q - k|^2 = |q|^2 + 1 - 2 q.k: the same order
    np.testing.assert_array_equal(chosen(unit, product), chosen(unit, minus_distance))


def test_an_empty_set_gives_zero_and_no_gradient(rng):
    visible = np.ones((T, 2), bool)
    visible[4] = False
    index = np.tile([0, 1], (T, 1))
    y, grads = gradients(lambda *a: sparse_attention(*a, index, visible), heads(rng))
    np.testing.assert_array_equal(y[:, :, 4], 0)
    assert all(np.isfinite(g).all() for g in grads)
    weights, norm = visible_softmax(
        tl.Tensor(np.zeros((2, 3))), np.array([[True, True, False], [False] * 3])
    )
    np.testing.assert_allclose(host(weights), [[0.5, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(host(norm), [[np.log(2)], [-np.inf]])


def test_what_does_not_fit_is_refused(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ShapeError, match="sparse_attention: q .* index"):
        sparse_attention(q, k, v, np.zeros((T - 1, 2), int))
    with pytest.raises(ShapeError, match="needs as many"):
        window_attention(q[:, :, :2], k, v, 2)


def test_a_nan_among_the_keys_is_chosen_and_shown(rng):
    q, k, v = (tl.Tensor(rng.normal(size=(1, 1, 4, 2))) for _ in range(3))
    k.data[0, 0, 1, 0] = np.nan  # seen by queries 1, 2, 3
    y = topk_attention(q, k, v, 2).numpy()
    assert np.isfinite(y[0, 0, 0]).all()
    assert np.isnan(y[0, 0, 1:]).all()


def test_at_least_one_key_must_be_chosen(rng):
    q = tl.Tensor(rng.normal(size=(1, 1, 4, 2)))
    for count in (0, -1):  # a slice up to -1 would choose all but one
        with pytest.raises(ConfigError, match="count must be 1 or more"):
            topk_attention(q, q, q, count)
    # One key alone has the weight 1: the result is its value.
    best = np.argmax(np.where(np.tri(4, dtype=bool), host(q) @ host(q).swapaxes(-1, -2), -9e9), -1)
    np.testing.assert_allclose(
        host(topk_attention(q, q, q, 1))[0, 0], host(q)[0, 0, best[0, 0]], rtol=1e-15
    )


def test_nearest_keys_come_first_and_of_equals_the_first():
    scores = np.array([[1.0, 3, 2, 3], [5, 5, 5, 5], [np.nan, 0, 1, 9]])
    index, visible = top_keys(scores, 3, causal=False)
    np.testing.assert_array_equal(index, [[1, 3, 2], [0, 1, 2], [0, 3, 2]])  # a nan before all
    assert visible.all() and top_keys(scores, 9, causal=False)[0].shape == (3, 4)
    # Three queries of four keys are the last three: query 0 sees keys 0 and 1.
    index, visible = top_keys(scores, 3)
    np.testing.assert_array_equal(index[0, :2], [1, 0])
    np.testing.assert_array_equal(visible, [[True, True, False], [True] * 3, [True] * 3])


@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("options", [{}, {"causal": False}, {"scale": 0.4}], ids=str)
def test_the_best_of_all_keys_are_dense_attention(rng, kv_heads, options):
    dense = {"causal": True, **options}
    assert_matches_twin(
        lambda *a: topk_attention(*a, T, **options),
        lambda *a: composed.attention(*a, **dense),
        heads(rng, kv_heads, width=K + 1),
    )


def test_the_choice_is_that_of_each_query_head_among_the_keys_of_its_group(rng):
    q, k, v = map(tl.Tensor, heads(rng, 2))
    twice = [tl.Tensor(np.repeat(host(x), 2, axis=1)) for x in (k, v)]
    np.testing.assert_allclose(
        host(topk_attention(q, k, v, 2)), host(topk_attention(q, *twice, 2)), rtol=1e-13
    )


def test_scores_are_scaled_once_by_what_is_asked_for():
    # Scores sqrt(2) ln 1 .. sqrt(2) ln 4: scaled by sqrt(2) instead of 1/sqrt(2) they are twice the
    # logarithms, weights 1 : 4 : 9 : 16.
    index = np.array([[0, 1, 2, 3]])
    shown = sparse_attention(*shaped(QUERY, KEYS, np.eye(4)), index, scale=2**0.5)
    np.testing.assert_allclose(host(shown)[0, 0, 0] * 30, [1, 4, 9, 16], rtol=1e-13)


@pytest.mark.parametrize("shape", [(T, 3), (T - 1, 2), (B, 1, T, 2)], ids=str)
def test_padding_of_an_index_has_its_shape(rng, shape):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ShapeError, match="sparse_attention: q .* visible"):
        sparse_attention(q, k, v, np.zeros((T, 2), int), np.ones(shape, bool))


def test_a_window_holds_at_least_the_token_itself(rng):
    with pytest.raises(ConfigError, match="width 0 must be 1 or more"):
        window_attention(*map(tl.Tensor, heads(rng)), 0)
