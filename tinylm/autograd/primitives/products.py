"""Matrix products: matmul with every NumPy shape rule, and einsum, each the derivative of itself.

Read next: kernels/linear.py, where a product and its neighbors become one operation.
"""
import numpy as np

from tinylm.autograd.engine.operation import primitive, unbroadcast
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.primitives.shaping import broadcast_to, expand_dims, reshape, swapaxes
from tinylm.errors import ShapeError


def _by_left(g, y, a, b):                                   # Y = A B:  dA = G B^T, dB = A^T G
    return unbroadcast(matmul(g, swapaxes(b, -1, -2)), a.shape)


def _by_right(g, y, a, b):
    return unbroadcast(matmul(swapaxes(a, -1, -2), g), b.shape)


@primitive(_by_left, _by_right, name="matmul")
def _matmul(a, b):
    return np.matmul(a, b)


def matmul(a, b):
    """a @ b under NumPy's rules: a 1-D operand is a row on the left, a column on the right; leading axes broadcast.

    a (..., n, k), b (..., k, m) -> (..., n, m). Raises ShapeError if the inner sizes differ.
    """
    a, b = (x if isinstance(x, Tensor) else Tensor(x) for x in (a, b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        inner = "" if 0 in (a.ndim, b.ndim) else f": {a.shape[-1]} != {b.shape[-2 if b.ndim > 1 else 0]}"
        raise ShapeError(f"matmul: inner sizes differ, {a.shape} @ {b.shape}{inner}")
    row, column = a.ndim == 1, b.ndim == 1
    y = _matmul(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b)
    if row or column:                                       # take the added axes away again
        y = reshape(y, shape=y.shape[:y.ndim - row - column] if row and column else
                    y.shape[:-2] + y.shape[-1:] if row else y.shape[:-1])
    return y


def _einsum_rule(i, g, y, *operands, subscripts):
    """The cotangent of operand i: the same contraction with the output in its place.

    Letters that only operand i has were summed out: their cotangent is the same along them (broadcast).
    """
    inputs, output = subscripts.split("->")
    inputs = inputs.split(",")
    mine, others = inputs[i], [s for j, s in enumerate(inputs) if j != i]
    reachable = "".join(c for c in mine if c in output or any(c in s for s in others))
    g = _einsum(g, *[x for j, x in enumerate(operands) if j != i], subscripts=",".join([output, *others]) + "->" + reachable)
    for axis, letter in enumerate(mine):
        if letter not in reachable:
            g = expand_dims(g, axis)
    return broadcast_to(g, shape=operands[i].shape)


@primitive(_einsum_rule, variadic=True, name="einsum")
def _einsum(*operands, subscripts):
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def einsum(subscripts, *operands):
    """Einstein summation, explicit form "ij,jk->ik". Letters may repeat across operands, not within one; no ellipsis."""
    subscripts = subscripts.replace(" ", "")
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    if not arrow or "." in subscripts or any(len(set(t)) != len(t) for t in (*terms, output)) or len(terms) != len(operands):
        raise ShapeError(f"einsum: {subscripts!r} with {len(operands)} operands: write 'ij,jk->ik', one term per operand, "
                         "no ellipsis, no letter twice in a term")
    return _einsum(*[x if isinstance(x, Tensor) else Tensor(x) for x in operands], subscripts=subscripts)
