"""Nearest neighbors: which stored vectors are closest to a query   (book section 2.3.3.2,
datastores).

`knn_search` is exact: the ball around the query that grows until it holds k points.
`ClusteredIndex` looks only into the clusters nearest to the query, an inverted file (Sivic and
Zisserman 2003): faster, and what it misses is measured as recall. Vectors and indices are NumPy
arrays on the CPU. Read next: knn_lm.py.
"""

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError

CHUNK = 2**22  # distances held at once


def knn_search(queries, keys, k, metric="l2"):
    """The k keys closest to each query, closest first; of equally distant ones the lowest index
    first.

    queries  (n, D), keys (N, D) floating point;  k at most N
    metric   "l2": squared Euclidean distance; "ip": minus the inner product, for keys that
             attention would score
    returns  (distances (n, k) float64, indices (n, k))
    raises   ShapeError if widths differ or k is not between 1 and N
    """
    queries, keys = (np.asarray(part, np.float64) for part in (queries, keys))
    if (
        queries.ndim != 2
        or keys.ndim != 2
        or queries.shape[1] != keys.shape[1]
        or not 1 <= k <= len(keys)
    ):
        raise ShapeError(
            f"knn_search: queries {queries.shape}, keys {keys.shape} and k = {k}: it needs (n, D), (N, D) and k from "
            "1 to N"
        )
    if metric not in ("l2", "ip"):
        raise ConfigError(f"knn_search: metric {metric!r} is not 'l2' or 'ip'")
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    squares, step = (keys**2).sum(axis=1), max(1, CHUNK // len(keys))
    for first in range(0, len(queries), step):
        some = queries[first : first + step]
        rough = -(some @ keys.T)  # (n, N)
        if metric == "l2":
            rough = 2 * rough + squares + (some**2).sum(axis=1, keepdims=True)
        # A matrix product is fast but rounds: |q|^2 - 2 q.k + |k|^2 is off by about D eps (|q| +
        # |k|)^2. All that could be among the k closest is measured again, term by term, so that a
        # stored vector has distance 0 to itself.
        sizes = np.sqrt((some**2).sum(axis=1)) + np.sqrt(squares.max())
        slack = 8 * (keys.shape[1] + 2) * np.finfo(np.float64).eps * sizes**2
        bound = np.partition(rough, k - 1, axis=1)[:, k - 1] + slack
        for i, (query, row, limit) in enumerate(zip(some, rough, bound), first):
            near = np.flatnonzero(row <= limit)
            exact = distance(query, keys[near], metric)
            order = np.argsort(exact, kind="stable")[:k]
            distances[i], indices[i] = exact[order], near[order]
    return distances, indices


def distance(query, keys, metric):
    """Distances of one query (D,) to keys (n, D), term by term: (n,)."""
    if metric == "l2":
        return ((keys - query) ** 2).sum(axis=1)
    return -(keys * query).sum(axis=1)


def k_means(points, clusters, seed=0, steps=25):
    """Cluster centers by Lloyd's algorithm, begun at different points chosen at random.

    points   (N, D);  clusters at most N
    returns  (centers (clusters, D) float64, the cluster of each point (N,)). A center that loses
             all its points is put on the point farthest from its own center, so no cluster is empty
             where points differ
    """
    points = np.asarray(points, np.float64)
    if not 1 <= clusters <= len(points):
        raise ConfigError(
            f"k_means: {clusters} clusters of {len(points)} points; it needs 1 to that many"
        )
    centers = points[np.sort(Random(seed, "k_means").permutation(len(points))[:clusters])]
    for _ in range(steps):
        far, nearest = (part[:, 0] for part in knn_search(points, centers, 1))
        counts = np.bincount(nearest, minlength=clusters)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, points)
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.0)
        empty = np.flatnonzero(counts == 0)
        moved[empty] = points[np.argsort(-far, kind="stable")[: len(empty)]]
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers, knn_search(points, centers, 1)[1][:, 0]


class ClusteredIndex:
    """Keys sorted into clusters; a search reads the clusters whose centers are nearest to the
    query.

    keys      (N, D);  clusters about sqrt(N) is usual
    metric    of the search within a cluster, as in knn_search. Clusters are by Euclidean distance
    """

    def __init__(self, keys, clusters, seed=0, metric="l2"):
        self.keys, self.metric = np.asarray(keys, np.float64), metric
        self.centers, of = k_means(self.keys, clusters, seed)
        self.members = [np.flatnonzero(of == c) for c in range(clusters)]

    def search(self, queries, k, probes=1):
        """The k closest keys among those of the `probes` nearest clusters; all clusters: the exact
        answer.

        returns  (distances (n, k), indices (n, k), share of the keys that was looked at). Where the
                 clusters hold fewer than k keys, the rest has distance inf and index -1
        """
        if not 1 <= probes <= len(self.members):
            raise ConfigError(
                f"ClusteredIndex.search: probes {probes} must be from 1 to {len(self.members)}"
            )
        queries = np.asarray(queries, np.float64)
        distances, indices = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1)
        looked_at = 0
        for i, clusters in enumerate(knn_search(queries, self.centers, probes)[1]):
            places = np.sort(
                np.concatenate([self.members[c] for c in clusters])
            )  # sorted: ties go to the lowest index
            found, order = knn_search(
                queries[i : i + 1], self.keys[places], min(k, len(places)), self.metric
            )
            distances[i, : found.shape[1]], indices[i, : found.shape[1]] = (
                found[0],
                places[order[0]],
            )
            looked_at += len(places)
        return distances, indices, looked_at / (len(queries) * len(self.keys))


def recall(found, exact):
    """Share of the exact neighbors that were found: index arrays (n, k) -> float."""
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist())])
    )
