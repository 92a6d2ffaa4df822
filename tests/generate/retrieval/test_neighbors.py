"""Nearest neighbors against sorting everything; clusters that find all when all are looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval import neighbors
from tinylm.generate.retrieval.neighbors import ClusteredIndex, k_means, knn_search, recall


def by_sorting(query, keys, k, metric):
    d = [((query - key) ** 2).sum() if metric == "l2" else -(query * key).sum() for key in keys]
    order = sorted(range(len(keys)), key=lambda j: (d[j], j))[:k]
    return [d[j] for j in order], order


# whole numbers: many equal distances, and every sum exact
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from(["l2", "ip"]))
def test_it_is_sorting_by_distance_then_index(seed, k, metric):
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (4, 3)).astype(float)
    keys = rng.integers(-2, 3, (12, 3)).astype(float)
    distances, indices = knn_search(queries, keys, k, metric)
    for query, d, order in zip(queries, distances, indices):
        want = by_sorting(query, keys, k, metric)
        assert (d.tolist(), order.tolist()) == (want[0], want[1])


def test_any_number_of_queries_at_a_time_gives_the_same(rng, monkeypatch):
    queries, keys = rng.normal(size=(7, 3)), rng.normal(size=(12, 3))
    together = knn_search(queries, keys, 4)
    for held in 1, 25, 36:  # distances held at once: one, two and three queries of 12 keys
        monkeypatch.setattr(neighbors, "CHUNK", held)
        for part, whole in zip(knn_search(queries, keys, 4), together):
            np.testing.assert_array_equal(part, whole)


def test_a_stored_vector_is_at_distance_zero_from_itself_even_far_from_the_origin(rng):
    keys = 1e6 + rng.normal(size=(300, 8))  # |q|^2 - 2 q.k + |k|^2 alone would be off by about 1e-3
    distances, indices = knn_search(keys, keys, 2)
    assert (distances[:, 0] == 0).all() and (indices[:, 0] == np.arange(300)).all()
    exact = ((keys - keys[indices[:, 1]]) ** 2).sum(axis=1)
    np.testing.assert_array_equal(distances[:, 1], exact)
    assert (exact == nearest_other(keys)).all()


def test_rounding_does_not_hide_a_neighbor(rng):
    # The product alone is off by about 8 eps (2 * 3e8)^2 = 600, the distances are below 10.
    keys = 1e8 + rng.normal(size=(100, 8))
    assert (knn_search(keys, keys, 2)[0][:, 1] == nearest_other(keys)).all()


def nearest_other(keys):
    """The squared distance of each key from the nearest other one, term by term."""
    squares = ((keys[:, None] - keys[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    return squares.min(axis=1)


def test_the_ball_holds_all_that_is_near(rng):
    queries, keys = rng.normal(size=(20, 5)), rng.normal(size=(100, 5))
    distances, indices = knn_search(queries, keys, 7)
    for query, d, near in zip(queries, distances, indices):
        outside = np.delete(((keys - query) ** 2).sum(axis=1), near)
        assert d[-1] <= outside.min()
    assert (np.sort(knn_search(queries, keys, 100)[1], axis=1) == np.arange(100)).all()


def test_the_order_of_adding_does_not_matter(rng):
    queries, keys, order = rng.normal(size=(5, 4)), rng.normal(size=(30, 4)), rng.permutation(30)
    d, i = knn_search(queries, keys, 6)
    d2, i2 = knn_search(queries, keys[order], 6)
    np.testing.assert_array_equal(d, d2)
    np.testing.assert_array_equal(i, order[i2])


def test_k_means_finds_clouds_that_are_far_apart(rng):
    middles = np.array([[0.0, 0], [100, 0], [0, 100]])
    points = np.concatenate([middle + rng.normal(size=(40, 2)) for middle in middles])
    centers, of = k_means(points, 3, seed=1)
    assert [len(set(of[i : i + 40].tolist())) for i in (0, 40, 80)] == [1, 1, 1] and len(
        set(of.tolist())
    ) == 3
    np.testing.assert_allclose(
        centers[of],
        np.repeat([points[i : i + 40].mean(0) for i in (0, 40, 80)], 40, axis=0),
        atol=1e-12,
    )


def test_looking_into_all_clusters_is_the_exact_search(rng):
    queries, keys = rng.normal(size=(10, 6)), rng.normal(size=(200, 6))
    index = ClusteredIndex(keys, 14)
    d, i, share = index.search(queries, 5, probes=14)
    exact = knn_search(queries, keys, 5)
    np.testing.assert_array_equal(d, exact[0])
    np.testing.assert_array_equal(i, exact[1])
    assert share == 1 and sorted(np.concatenate(index.members).tolist()) == list(range(200))


def test_recall_grows_with_the_clusters_looked_at(rng):
    # a single probe sees a part of the keys, so it cannot find more than a search that sees those
    # and others
    queries, keys = rng.normal(size=(50, 4)), rng.normal(size=(500, 4))
    index, exact = ClusteredIndex(keys, 22), knn_search(queries, keys, 10)[1]
    found = [recall(index.search(queries, 10, probes)[1], exact) for probes in (1, 4, 22)]
    assert found == sorted(found) and found[-1] == 1 and found[0] < 1


def test_clusters_with_too_few_keys_say_so():
    keys = np.array([[0.0], [1.0], [100.0]])
    d, i, share = ClusteredIndex(keys, 2, seed=0).search(np.array([[100.0]]), 2, probes=1)
    assert i.tolist() == [[2, -1]] and d.tolist() == [[0, np.inf]] and share == 1 / 3


def test_what_cannot_be_is_refused():
    with pytest.raises(ShapeError, match="k = 4"):
        knn_search(np.zeros((1, 2)), np.zeros((3, 2)), 4)
    with pytest.raises(ShapeError, match="k = 0"):
        knn_search(np.zeros((1, 2)), np.zeros((3, 2)), 0)
    for queries, keys in (np.zeros((1, 3)), np.zeros((3, 2))), (np.zeros(2), np.zeros((3, 2))):
        with pytest.raises(ShapeError, match="needs"):
            knn_search(queries, keys, 1)
    with pytest.raises(ConfigError, match="metric"):
        knn_search(np.zeros((1, 2)), np.zeros((3, 2)), 1, "cosine")
    with pytest.raises(ConfigError, match="4 clusters"):
        k_means(np.zeros((3, 2)), 4)
    for probes in 0, 3:
        with pytest.raises(ConfigError, match=f"probes {probes} must be from 1 to 2"):
            ClusteredIndex(np.eye(4), 2).search(np.eye(4), 1, probes)
