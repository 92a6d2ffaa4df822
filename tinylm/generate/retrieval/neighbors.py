"""Nearest neighbors: which stored vectors are closest to a query   (book section 2.3.3.2,
datastores).

`knn_search` is exact: it compares the query with every key. `ClusteredIndex` searches only the
clusters nearest to the query, an inverted file (Sivic and Zisserman 2003): faster, and the share of
neighbors that it finds is its recall. Vectors and indices are NumPy arrays on the CPU. Read next:
knn_lm.py.
"""

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError

CHUNK = 2**22  # distances held at once


def knn_search(
    queries: np.ndarray, keys: np.ndarray, k: int, metric: str = "l2"
) -> tuple[np.ndarray, np.ndarray]:
    """The k keys closest to each query, closest first; of equally distant ones the lowest index
    first.

    queries  (n, D), keys (N, D) floating point;  k at most N
    metric   "l2": squared Euclidean distance; "ip": minus the inner product, for attention keys
    returns  (distances (n, k) float64, indices (n, k))
    raises   ShapeError if widths differ or k is not between 1 and N
    """
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    fits = queries.ndim == keys.ndim == 2 and queries.shape[1] == keys.shape[1]
    if not fits or not 1 <= k <= len(keys):
        raise ShapeError(
            f"knn_search: queries {queries.shape}, keys {keys.shape} and k = {k}: "
            "it needs (n, D), (N, D) and k from 1 to N"
        )
    if metric not in ("l2", "ip"):
        raise ConfigError(f"knn_search: metric {metric!r} is not 'l2' or 'ip'")
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    squares = (keys**2).sum(axis=1)  # (N,) |k|^2
    step = max(1, CHUNK // len(keys))  # queries at a time
    for first in range(0, len(queries), step):
        some = queries[first : first + step]  # (n, D)
        rough = -(some @ keys.T)  # (n, N)
        if metric == "l2":  # |q - k|^2 = |q|^2 - 2 q.k + |k|^2, and |q|^2 is the same for all keys
            rough = 2 * rough + squares
        # A matrix product is fast but rounds: the sum above is off by about D eps (|q| + |k|)^2.
        # All keys that could be among the k closest are measured again, term by term, so that a
        # stored vector has distance 0 to itself.
        sizes = np.sqrt((some**2).sum(axis=1)) + np.sqrt(squares.max())  # (n,) |q| + max |k|
        slack = 8 * (keys.shape[1] + 2) * np.finfo(np.float64).eps * sizes**2
        bound = np.partition(rough, k - 1, axis=1)[:, k - 1] + slack  # k-th smallest, and a margin
        for i, (query, row, limit) in enumerate(zip(some, rough, bound), first):
            near = np.flatnonzero(row <= limit)
            exact = distance(query, keys[near], metric)
            order = np.argsort(exact, kind="stable")[:k]  # stable: ties go to the lowest index
            distances[i], indices[i] = exact[order], near[order]
    return distances, indices


def distance(query: np.ndarray, keys: np.ndarray, metric: str) -> np.ndarray:
    """Distances of one query (D,) to keys (n, D), term by term: (n,)."""
    if metric == "l2":
        return ((keys - query) ** 2).sum(axis=1)
    return -(keys * query).sum(axis=1)


def k_means(
    points: np.ndarray, clusters: int, seed: int = 0, steps: int = 25
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster centers by Lloyd's algorithm, begun at different points chosen at random.

    points   (N, D);  clusters at most N
    returns  (centers (clusters, D) float64, the cluster of each point (N,)). A center without
             points moves to the point that is farthest from its own center, so no cluster stays
             empty where points differ
    """
    points = np.asarray(points, np.float64)
    if not 1 <= clusters <= len(points):
        raise ConfigError(
            f"k_means: {clusters} clusters of {len(points)} points; it needs 1 to that many"
        )
    centers = points[np.sort(Random(seed, "k_means").permutation(len(points))[:clusters])]
    for _ in range(steps):
        # Assign each point to its nearest center, then move each center to the mean of its points.
        far, nearest = (part[:, 0] for part in knn_search(points, centers, 1))  # (N,) twice
        counts = np.bincount(nearest, minlength=clusters)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, points)
        moved = sums / np.maximum(counts, 1)[:, None]
        empty = np.flatnonzero(counts == 0)
        moved[empty] = points[np.argsort(-far, kind="stable")[: len(empty)]]
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers, knn_search(points, centers, 1)[1][:, 0]


class ClusteredIndex:
    """Keys in clusters; a search reads the clusters whose centers are nearest to the query.

    keys      (N, D)
    clusters  how many; about sqrt(N) is usual. They are made by Euclidean distance
    metric    of the search within clusters, as in knn_search
    """

    def __init__(self, keys: np.ndarray, clusters: int, seed: int = 0, metric: str = "l2") -> None:
        self.keys, self.metric = np.asarray(keys, np.float64), metric
        self.centers, cluster_of = k_means(self.keys, clusters, seed)
        self.members = [np.flatnonzero(cluster_of == c) for c in range(clusters)]

    def search(
        self, queries: np.ndarray, k: int, probes: int = 1
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """The k closest keys in the `probes` nearest clusters; exact if those are all clusters.

        returns  (distances (n, k), indices (n, k), share of the keys that was compared). Where the
                 clusters hold fewer than k keys, the rest has distance inf and index -1
        """
        if not 1 <= probes <= len(self.members):
            raise ConfigError(
                f"ClusteredIndex.search: probes {probes} must be from 1 to {len(self.members)}"
            )
        queries = np.asarray(queries, np.float64)
        distances, indices = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1)
        compared = 0
        _, nearest_clusters = knn_search(queries, self.centers, probes)  # (n, probes)
        for i, clusters in enumerate(nearest_clusters):
            members = np.concatenate([self.members[c] for c in clusters])
            members = np.sort(members)  # so that ties go to the lowest index
            n_found = min(k, len(members))
            found, order = knn_search(
                queries[i][None], self.keys[members], n_found, self.metric
            )  # (1, n_found) twice
            distances[i, :n_found] = found[0]
            indices[i, :n_found] = members[order[0]]  # positions in `members` -> indices of keys
            compared += len(members)
        return distances, indices, compared / (len(queries) * len(self.keys))


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Share of the exact neighbors that were found: index arrays (n, k) -> float."""
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist())]
    return float(np.mean(shares))
