"""Classes of functions that are learnt from examples in a prompt   (book section 3.1.2; Garg et al.
2022).

    P = (x_1, f(x_1), .., x_k, f(x_k), x_query),    f drawn from a class, x ~ N(0, I)

A model that is trained on prompts with ever new f cannot learn any f; it learns to learn:

    min over M of  E_f sum_k ( M(x_1, f(x_1), .., x_k) - f(x_k) )^2

A class is a function (rows, d, rng) that draws one f for each row; f maps x (rows, K, d) to values
(rows, K). Read next: regression.py, which learns them by known methods; real_decoder.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def linear(rows: int, d: int, rng: Random) -> Callable:
    """f(x) = w . x with w ~ N(0, I)."""
    w = rng.normal((rows, d), np.float64)
    return lambda x: np.einsum("rkd,rd->rk", x, w)


def sparse_linear(rows: int, d: int, rng: Random, nonzero: int = 3) -> Callable:
    """f(x) = w . x where only `nonzero` coordinates of w, chosen at random, are not 0."""
    if not 1 <= nonzero <= d:
        raise ConfigError(f"sparse_linear: {nonzero} nonzero weights of {d}")
    w = rng.normal((rows, d), np.float64)
    rank = rng.uniform((rows, d), np.float64).argsort(axis=1).argsort(axis=1)  # a permutation each
    w[rank >= nonzero] = 0
    return lambda x: np.einsum("rkd,rd->rk", x, w)


def two_layer_relu(rows: int, d: int, rng: Random, hidden: int = 100) -> Callable:
    """f(x) = sum over r hidden units of a_i relu(w_i . x), w ~ N(0, I) and a ~ N(0, 2 / r)."""
    w = rng.normal((rows, d, hidden), np.float64)
    a = rng.normal((rows, hidden), np.float64) * (2 / hidden) ** 0.5
    return lambda x: np.einsum("rkh,rh->rk", np.maximum(x @ w, 0), a)


def decision_tree(rows: int, d: int, rng: Random, depth: int = 4) -> Callable:
    """A full binary tree: a node compares a coordinate with 0, a leaf has a value from N(0, 1)."""
    coordinates = rng.integers(0, d, (rows, 2**depth - 1))
    values = rng.normal((rows, 2**depth), np.float64)
    row = np.arange(rows)[:, None]

    def f(x):
        node = np.zeros(x.shape[:2], np.int64)  # (rows, K), numbered level by level from the root
        for _ in range(depth):
            compared = np.take_along_axis(x, coordinates[row, node][..., None], axis=2)[..., 0]
            node = 2 * node + 1 + (compared > 0)
        return values[row, node - (2**depth - 1)]

    return f


CLASSES = {
    "linear": linear,
    "sparse linear": sparse_linear,
    "two-layer relu": two_layer_relu,
    "decision tree": decision_tree,
}


def prompts(
    function_class: Callable,
    rows: int,
    points: int,
    d: int,
    seed: int = 0,
    active: int | None = None,
    noise: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Examples of new functions, one function for each row.

    function_class  one of CLASSES' values
    active          coordinates of x that are not 0, the first ones; None: all d
    noise           standard deviation of what is added to the values
    returns         (x (rows, points, d), y (rows, points)) float64
    """
    rng = Random(seed, "functions")
    x = rng.normal((rows, points, d), np.float64)
    if active is not None:
        x[..., active:] = 0
    y = function_class(rows, d, rng)(x)
    return x, y + noise * rng.normal(y.shape, np.float64)


def orthogonal_query(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Queries moved out of the span of the examples, their lengths kept.

    Nothing is known about f there: of linear f with w ~ N(0, I), the best prediction is 0.

    x        (rows, k, d) with k < d;  query (rows, d)
    returns  (rows, d)
    """
    if x.shape[1] >= x.shape[2]:
        raise ConfigError(
            f"orthogonal_query: {x.shape[1]} examples leave no direction free in {x.shape[2]}"
        )
    inside = (np.linalg.pinv(x) @ (x @ query[..., None]))[..., 0]  # the projection onto the span
    outside = query - inside
    lengths = [np.sqrt((part**2).sum(axis=1, keepdims=True)) for part in (query, outside)]
    return outside * lengths[0] / lengths[1]


@dataclass(frozen=True)
class Curriculum:
    """Few coordinates and short prompts first   (Garg et al., section 2: 5 of 20, +1 every 2,000
    steps, with 2 active + 1 points).

    d      all coordinates
    start  active ones at the beginning
    every  steps until there is one more
    """

    d: int = 20
    start: int = 5
    every: int = 2000

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.d or self.every < 1:
            raise ConfigError(f"{self}: start must be from 1 to d, and every 1 or more")

    def active(self, step: int) -> int:
        """Coordinates in use at a step, from 0 on."""
        return min(self.d, self.start + step // self.every)

    def points(self, step: int) -> int:
        """Examples of a prompt at a step."""
        return 2 * self.active(step) + 1
