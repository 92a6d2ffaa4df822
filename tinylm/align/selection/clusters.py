"""Few and different samples: rank within clusters   (book section 4.2.3; Ge et al. 2024, CaR).

The best samples by score are often alike. Embeddings are clustered, and every cluster gives its
best ones, so that rare kinds of tasks stay; the best of all come first, whatever their cluster.
Clusters are k-means' (generate/retrieval/neighbors.py). Read next: influence.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.align.selection.quality import top_quality
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval.neighbors import k_means


def cluster_and_rank(
    vectors: Sequence[list[float]],
    scores: Sequence[int],
    clusters: int,
    per_cluster: int = 1,
    best: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """The numbers of the `best` samples of all, and of the best of every cluster   (Ge et al. 2024)

    vectors      (n, D) embeddings
    scores       (n,) larger is better
    clusters     how many
    per_cluster  samples of each; a smaller cluster gives all that it has
    best         samples taken first by score alone
    returns      (m,) int, each once: the best of all, then cluster after cluster
    raises       ShapeError for unequal numbers; ConfigError for negative ones
    """
    vectors, scores = np.asarray(vectors, np.float64), np.asarray(scores, np.float64)
    if vectors.ndim != 2 or scores.shape != (len(vectors),):
        raise ShapeError(
            f"cluster_and_rank: vectors {vectors.shape} and scores {scores.shape}; need (n, D), (n)"
        )
    if per_cluster < 0 or best < 0:
        raise ConfigError(
            f"cluster_and_rank: per_cluster={per_cluster} and best={best} must be 0 or more"
        )
    chosen = top_quality(scores, k=best).tolist()
    _, cluster_of = k_means(vectors, clusters, seed)
    for cluster in range(clusters):
        members = np.flatnonzero(cluster_of == cluster)
        order = members[top_quality(scores[members], k=min(per_cluster, len(members)))]
        chosen += order.tolist()
    return np.array(list(dict.fromkeys(chosen)), int)


def inertia(vectors: np.ndarray, centers: np.ndarray, cluster_of: np.ndarray) -> float:
    """The sum of squared distances to the own center, which k-means lowers in every step: float."""
    return float(((np.asarray(vectors, np.float64) - centers[cluster_of]) ** 2).sum())
