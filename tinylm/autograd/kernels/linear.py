"""Fused linear map, unembedding and embedding lookups: two thirds of the time of a training step.

All can write a weight's gradient straight into the optimizer's buffer (`out` in the functions
that backward returns). The plain twins are in composed.py. Read next: norms.py.
"""

import math
from collections.abc import Callable

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.few_rows import times_table
from tinylm.autograd.kernels.rows import add_rows, as_rows, check_ids, column_sums, outer_sum
from tinylm.errors import ShapeError


def _last(x):
    """The length of the last axis, for an error message."""
    if x.ndim:
        return x.shape[-1]
    return "none"


@fused(composed.linear)
def linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, *, keep: bool
) -> tuple[np.ndarray, Callable]:
    """The affine map x W + b   (book eq. 2.25 and every projection of a transformer)

    x        (..., D)  activations
    weight   (D, F)    one column per output feature, as the book's h W; torch has the transpose
    bias     (F,)      or None
    returns  (..., F)
    raises   ShapeError if D differs, or weight and bias are not of these shapes

    Plain twin: composed.linear. Check: tinylm gradcheck linear
    """
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[1:]):
        raise ShapeError(
            "linear: needs a weight (D, F) and a bias (F,) or none, "
            f"not {weight.shape} and {np.shape(bias)}"
        )
    D, F = weight.shape
    if x.ndim == 0 or x.shape[-1] != D:
        raise ShapeError(
            f"linear: inner sizes differ, {x.shape} @ {weight.shape}: {_last(x)} != {D}"
        )
    # NumPy loops over the leading axes of a 3-D product and calls BLAS for each; as one tall matrix
    # it is one call.
    rows = as_rows(x)  # (..., D) -> (n, D)
    y = times_table(rows, weight.T)  # (n, D) @ (D, F) -> (n, F)
    if bias is not None:
        y += bias

    # y_if = sum_d x_id W_df + b_f, so with g = dL/dy:
    #   dL/dx_id = sum_f g_if W_df   or   dL/dx = g W^T
    #   dL/dW_df = sum_i x_id g_if   or   dL/dW = x^T g
    #   dL/db_f  = sum_i g_if
    def backward(g):
        g = as_rows(g)  # (..., F) -> (n, F)
        return (
            lambda out: (g @ weight.T).reshape(x.shape),
            lambda out: outer_sum(rows, g, out),
            lambda out: column_sums(g, out),
        )

    return y.reshape(*x.shape[:-1], F), backward


@fused(composed.unembedding)
def unembedding(x: np.ndarray, weight: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """Logits from the embedding table itself: x E^T, the tied output layer   (book eq. 2.12)

    x        (..., D)  final hidden states
    weight   (V, D)    the table that embedding() looks rows up in
    returns  (..., V)
    raises   ShapeError if D differs

    Press & Wolf 2017. Plain twin: composed.unembedding. Check: tinylm gradcheck unembedding
    """
    V, D = weight.shape
    if x.ndim == 0 or x.shape[-1] != D:
        raise ShapeError(
            f"unembedding: widths differ, {x.shape} and table {weight.shape}: {_last(x)} != {D}"
        )
    rows = as_rows(x)  # (..., D) -> (n, D)

    # The linear map with W = E^T:  dL/dx = g E,  dL/dE = (x^T g)^T = g^T x. The output layer is the
    # first in backward, so dL/dE lands in the empty slot; the embedding's part is added later.
    def backward(g):
        g = as_rows(g)  # (..., V) -> (n, V)
        return lambda out: (g @ weight).reshape(x.shape), lambda out: outer_sum(g, rows, out)

    return times_table(rows, weight).reshape(*x.shape[:-1], V), backward


@fused(composed.embedding)
def embedding(ids: np.ndarray, weight: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """Look up one row of a table per token   (book section 2.1.1: the token embedding)

    ids      (...) integers in [0, V)
    weight   (V, D)
    returns  (..., D)
    raises   DataError naming an id outside the vocabulary

    Plain twin: composed.embedding. Check: tinylm gradcheck embedding
    """
    V, D = weight.shape
    check_ids(ids, V, "embedding")

    # The lookup is the product onehot(ids) W, (n, V) @ (V, D). So dL/dW = onehot^T g: row v is the
    # sum of g over all places where the id is v.
    def backward(g):
        return None, lambda out: add_rows(ids.reshape(-1), as_rows(g), V, out)

    if type(weight) is np.ndarray:  # the ids are checked: no need for NumPy to do so again
        return np.take(weight, ids, axis=0, mode="clip"), backward
    return np.take(weight, ids, axis=0), backward


@fused(composed.add_embedding)
def add_embedding(
    x: np.ndarray, ids: np.ndarray, weight: np.ndarray, *, keep: bool
) -> tuple[np.ndarray, Callable]:
    """x plus one row of a table per position: learned positions   (book section 2.1.1)

    x        (..., T, D)
    ids      (T,), or (..., T) as x, integers in [0, V)
    weight   (V, D)
    returns  x's shape
    raises   DataError naming an id outside the table; ShapeError if the shapes differ

    Plain twin: composed.add_embedding. Check: tinylm gradcheck add_embedding
    """
    V, D = weight.shape
    check_ids(ids, V, "add_embedding")
    if x.shape[-1:] != (D,) or x.shape[-1 - ids.ndim : -1] != ids.shape:
        raise ShapeError(
            f"add_embedding: x {x.shape} does not end in ids {ids.shape} and the width of "
            f"the table {weight.shape}"
        )

    # As embedding(). Where leading axes of x share the ids, their cotangents add up first.
    def backward(g):
        def by_weight(out):
            n = math.prod(g.shape[: -1 - ids.ndim])  # 1 where each row of x has ids of its own
            rows = column_sums(g.reshape(n, ids.size * D)).reshape(ids.size, D)
            return add_rows(ids.reshape(-1), rows, V, out)

        return lambda out: g.copy(), None, by_weight

    return x + np.take(weight, ids, axis=0), backward
