"""Fused linear map, unembedding and embedding lookup: the matrix products that are two thirds of a
training step.

All three write a weight's gradient straight into the optimizer's buffer when it offers a slot.
Read next: norms.py.
"""

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import add_rows, as_rows, check_ids, column_sums, outer_sum
from tinylm.errors import ShapeError


@fused(composed.linear)
def linear(x, weight, bias=None, *, keep):
    """The affine map x W + b   (book eq. 2.25 and every projection of a transformer)

    x        (..., D)  activations
    weight   (D, F)    one column per output feature: the book's h W, the transpose of torch's layout
    bias     (F,)      or None
    returns  (..., F)
    raises   ShapeError if D differs, or weight and bias are not of these shapes
    """
    # dL/dx = g W^T,  dL/dW = x^T g,  dL/db = sum of the rows of g. NumPy loops over the leading
    # axes of a 3-D product and calls BLAS for each; as one tall matrix (n, D) it is one call.
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[1:]):
        raise ShapeError(
            f"linear: needs a weight (D, F) and a bias (F,) or none, not {weight.shape} and {np.shape(bias)}"
        )
    D, F = weight.shape
    if x.ndim == 0 or x.shape[-1] != D:
        raise ShapeError(
            f"linear: inner sizes differ, {x.shape} @ {weight.shape}: {x.shape[-1] if x.ndim else 'none'} != {D}"
        )
    rows = as_rows(x)  # (..., D) -> (n, D)
    y = rows @ weight
    if bias is not None:
        y += bias

    def backward(g):
        g = as_rows(g)  # (..., F) -> (n, F)
        return (
            lambda out: (g @ weight.T).reshape(x.shape),
            lambda out: outer_sum(rows, g, out),
            lambda out: column_sums(g, out),
        )

    return y.reshape(*x.shape[:-1], F), backward


@fused(composed.unembedding)
def unembedding(x, weight, *, keep):
    """Logits from the embedding table itself: x E^T, the tied output layer (book eq. 2.12; Press &
    Wolf 2017)

    x        (..., D)  final hidden states
    weight   (V, D)    the table that embedding() looks rows up in
    returns  (..., V)
    raises   ShapeError if D differs
    """
    # dL/dx = g E,  dL/dE = g^T x: written into the slot first, the embedding's own gradient is
    # added later.
    V, D = weight.shape
    if x.ndim == 0 or x.shape[-1] != D:
        raise ShapeError(
            f"unembedding: widths differ, {x.shape} and table {weight.shape}: "
            f"{x.shape[-1] if x.ndim else 'none'} != {D}"
        )
    rows = as_rows(x)  # (..., D) -> (n, D)

    def backward(g):
        g = as_rows(g)
        return lambda out: (g @ weight).reshape(x.shape), lambda out: outer_sum(g, rows, out)

    return (rows @ weight.T).reshape(*x.shape[:-1], V), backward


@fused(composed.embedding)
def embedding(ids, weight, *, keep):
    """Look up one row of a table per token   (book section 2.1.1: the token embedding)

    ids      (...) integers in [0, V)
    weight   (V, D)
    returns  (..., D)
    raises   DataError naming an id outside the vocabulary
    """
    V, D = weight.shape
    check_ids(ids, V, "embedding")

    def backward(g):  # e = onehot(ids) W  =>  dL/dW = onehot^T g
        return None, lambda out: add_rows(ids.reshape(-1), as_rows(g), V, out)

    return np.take(weight, ids, axis=0), backward
