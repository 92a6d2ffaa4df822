"""The best of every cluster."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.selection.clusters import cluster_and_rank, inertia
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval.neighbors import k_means

# Two groups far apart, the second rare and of low scores.
VECTORS = [[0.0], [0.1], [0.2], [0.3], [9.0], [9.1]]
SCORES = [5, 8, 7, 6, 1, 2]


def test_every_cluster_gives_its_best():
    chosen = cluster_and_rank(VECTORS, SCORES, 2)
    assert sorted(chosen.tolist()) == [1, 5]
    assert sorted(cluster_and_rank(VECTORS, SCORES, 2, per_cluster=3).tolist()) == [1, 2, 3, 4, 5]


def test_the_best_of_all_come_first_and_none_twice():
    chosen = cluster_and_rank(VECTORS, SCORES, 2, per_cluster=1, best=3).tolist()
    assert chosen[:3] == [1, 2, 3] and chosen[3:] == [5]
    assert cluster_and_rank(VECTORS, SCORES, 2, per_cluster=0, best=2).tolist() == [1, 2]
    assert cluster_and_rank(VECTORS, SCORES, 2, per_cluster=0).tolist() == []


def test_the_same_number_by_score_alone_misses_the_rare_group():
    assert set(np.argsort(SCORES)[-2:].tolist()) == {1, 2}


@given(st.integers(1, 4), st.integers(0, 99))
def test_every_cluster_is_represented(clusters, seed):
    rng = np.random.default_rng(seed)
    vectors, scores = rng.normal(size=(9, 2)), rng.random(9)
    _, cluster_of = k_means(vectors, clusters, seed)
    chosen = cluster_and_rank(vectors, scores, clusters, seed=seed)
    assert sorted(cluster_of[chosen].tolist()) == list(range(clusters))
    for i in chosen:
        assert scores[i] == scores[cluster_of == cluster_of[i]].max()


@given(st.integers(0, 50))
def test_k_means_never_raises_the_inertia(seed):
    points = np.random.default_rng(seed).normal(size=(20, 2))
    values = []
    for steps in range(6):
        centers, cluster_of = k_means(points, 3, seed, steps=steps)
        values.append(inertia(points, centers, cluster_of))
    assert all(b <= a + 1e-9 for a, b in zip(values, values[1:]))


def test_inertia_by_hand():
    assert inertia([[0.0], [2.0], [5.0]], np.array([[1.0], [5.0]]), [0, 0, 1]) == 2.0


def test_wrong_arguments_are_refused():
    with pytest.raises(ShapeError, match=r"scores \(2,\)"):
        cluster_and_rank(VECTORS, [1, 2], 2)
    for options in ({"per_cluster": -1}, {"best": -1}):
        with pytest.raises(ConfigError, match="0 or more"):
            cluster_and_rank(VECTORS, SCORES, 2, **options)
