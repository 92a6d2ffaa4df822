"""Matrix products: matmul with every NumPy shape rule, and einsum.

The derivative of a product is a product again, so both rules call the operation itself. Read next:
kernels/linear.py, where a product and its neighbors become one operation.
"""

import functools
import math
import re
import string

import numpy as np

from tinylm.autograd.engine.operation import composite, primitive, unbroadcast
from tinylm.autograd.engine.tensor import Array, Tensor, as_tensor
from tinylm.autograd.primitives.reductions import RUN, accurate_sum
from tinylm.autograd.primitives.shaping import (
    broadcast_to,
    expand_dims,
    reshape,
    squeeze,
    swapaxes,
    transpose,
)
from tinylm.errors import ShapeError


# Y = A B, y_ik = sum_j a_ij b_jk, and G = dL/dY:
#   dL/da_ij = sum_k g_ik b_jk   or   dL/dA = G B^T
#   dL/db_jk = sum_i a_ij g_ik   or   dL/dB = A^T G
# Leading axes that were broadcast are summed.
def _by_left(g, y, a, b):
    return unbroadcast(matmul(g, swapaxes(b, -1, -2)), a.shape)


def _by_right(g, y, a, b):
    return unbroadcast(matmul(swapaxes(a, -1, -2), g), b.shape)


@primitive(_by_left, _by_right, name="matmul")
def _matmul(a, b):
    if a.dtype == b.dtype == np.float16:  # products are added up in float32
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    return np.matmul(a, b)


@composite
def matmul(a: Array, b: Array) -> Tensor:
    """a @ b under NumPy's rules: (..., n, k) @ (..., k, m) -> (..., n, m), leading axes broadcast.

    A 1-D operand is a row on the left, a column on the right. Raises ShapeError if the inner sizes
    differ.

    Check: tinylm gradcheck matmul
    """
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: inner sizes differ, {a.shape} @ {b.shape}")
    row, column = a.ndim == 1, b.ndim == 1
    inner = b.shape[0] if column else b.shape[-2]
    if a.shape[-1] != inner:
        raise ShapeError(
            f"matmul: inner sizes differ, {a.shape} @ {b.shape}: {a.shape[-1]} != {inner}"
        )
    if row:
        a = expand_dims(a, 0)  # (k,) -> (1, k)
    if column:
        b = expand_dims(b, 1)  # (k,) -> (k, 1)
    y = _matmul(a, b)
    if row or column:  # the added axes are removed again
        shape = y.shape[:-2]
        if not row:
            shape += y.shape[-2:-1]
        if not column:
            shape += y.shape[-1:]
        y = reshape(y, shape=shape)
    return y


@functools.lru_cache(maxsize=4096)
def _backward_subscripts(subscripts, i):
    """(subscripts of the cotangent of operand i, axes of the operand that they lack)."""
    inputs, output = subscripts.split("->")
    inputs = inputs.split(",")
    mine = inputs[i]
    others = [term for j, term in enumerate(inputs) if j != i]
    reachable = "".join(c for c in mine if c in output or any(c in term for term in others))
    terms = ",".join([output, *others])
    gone = [axis for axis, letter in enumerate(mine) if letter not in reachable]
    return f"{terms}->{reachable}", gone


def _einsum_rule(i, g, y, *operands, subscripts):
    """The cotangent of operand i: the same contraction, with g in the place of the operand.

    y_ik = sum_j a_ij b_jk  =>  dL/da_ij = sum_k g_ik b_jk: "ij,jk->ik" becomes "ik,jk->ij".
    """
    factors = [x for j, x in enumerate(operands) if j != i]
    backward, gone = _backward_subscripts(subscripts, i)
    g = _einsum(g, *factors, subscripts=backward)
    # Letters that only operand i has were summed out: its cotangent is the same all along them.
    for axis in gone:
        g = expand_dims(g, axis)
    if not gone:
        return g
    return broadcast_to(g, shape=operands[i].shape)


@primitive(_einsum_rule, variadic=True, name="einsum")
def _einsum(*operands, subscripts):
    dtype = np.result_type(*operands)
    if len(operands) == 1:
        return _rearranged(operands[0], *subscripts.split("->"))
    # np.einsum adds up one by one in the dtype of its operands, and BLAS in a few chains: long sums
    # are taken in float64.
    summed = _summed(subscripts, tuple([a.shape for a in operands]))
    split = _as_matrices(subscripts) if dtype.kind in "fc" else None
    long = summed > (RUN if split is None else 8 * RUN)
    wide = operands
    if dtype.kind == "f" and dtype.itemsize < 8:
        calculated = np.promote_types(dtype, np.float32)
        if long:
            calculated = np.float64
        wide = [a.astype(calculated, copy=False) for a in operands]
    if split is None:
        out = np.einsum(subscripts, *wide, optimize=long or len(operands) > 2)
    else:
        out = _matrix_product(*wide, *split)
    return out.astype(dtype, copy=False)


@functools.lru_cache(maxsize=4096)
def _as_matrices(subscripts):
    """The letters of two operands by their part in a matrix product: (terms, output, batch, left,
    inner, right); None if there is none, as in "ij,ij->i", or a letter is summed in one operand.
    """
    inputs, output = subscripts.split("->")
    if inputs.count(",") != 1:
        return None
    first, second = inputs.split(",")
    both = [c for c in first if c in second]
    batch, inner = [c for c in both if c in output], [c for c in both if c not in output]
    left, right = [c for c in first if c not in both], [c for c in second if c not in both]
    if any(c not in output for c in left + right):
        return None
    if not inner or not (left or right) or (batch and not (left and right)):
        return None
    if left and right and output.index(left[0]) > output.index(right[0]):  # the second comes first
        return (second, first), output, batch, right, inner, left, True
    return (first, second), output, batch, left, inner, right, False


def _matrix_product(a, b, terms, output, batch, left, inner, right, swapped):
    """The contraction as one np.matmul: (batch, left, inner) @ (batch, inner, right)."""
    if swapped:
        a, b = b, a
    lengths = dict(zip(terms[0], a.shape)) | dict(zip(terms[1], b.shape))

    def arranged(x, term, *groups):
        """x with its axes in this order, those of a group as one."""
        x = np.transpose(x, [term.index(c) for group in groups for c in group])
        joined = [math.prod(lengths[c] for c in group) for group in groups[-2:]]
        return x.reshape(*(lengths[c] for c in batch), *joined)

    y = np.matmul(
        arranged(a, terms[0], batch, left, inner), arranged(b, terms[1], batch, inner, right)
    )
    found = [*batch, *left, *right]
    y = y.reshape([lengths[c] for c in found])
    y = np.transpose(y, [found.index(c) for c in output])
    if y.flags.c_contiguous:
        return y
    return y.copy()


@functools.lru_cache(maxsize=4096)
def _summed(subscripts, shapes):
    """How many products are added up for each number of the result."""
    inputs, output = subscripts.split("->")
    lengths = {}
    for term, shape in zip(inputs.split(","), shapes):
        lengths.update(zip(term, shape))
    return math.prod(n for c, n in lengths.items() if c not in output)


def _rearranged(a, term, output):
    """One operand of distinct letters, "ijk->ki": summed over letters that the output lacks.

    Returns a copy: "ij->ji" is a view in NumPy, here results own their memory.
    """
    gone = tuple(i for i, c in enumerate(term) if c not in output)
    kept = [c for c in term if c in output]
    if gone:
        a = accurate_sum(a, gone)
    return np.transpose(a, [kept.index(c) for c in output]).copy()


@functools.lru_cache(maxsize=4096)
def _written_out(subscripts, shapes):
    """Subscripts with an output term and a letter for every axis that an ellipsis stands for.

    shapes   of the operands
    returns  (tuple of input terms, output term)
    raises   ShapeError if terms and operands do not match
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise ShapeError(
            f"einsum: {subscripts!r} has {len(terms)} terms for {len(shapes)} operands: "
            "write one per operand"
        )
    for term in (*terms, output):
        if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term):
            raise ShapeError(
                f"einsum: {term!r} in {subscripts!r} is not a term: "
                "write letters, with at most one '...'"
            )
    # Axes under an ellipsis get letters that are not used yet.
    free = [c for c in string.ascii_letters if c not in subscripts]
    hidden = [len(x) - len(t.replace("...", "")) for t, x in zip(terms, shapes)]
    for term, n, shape in zip(terms, hidden, shapes):
        if n < 0 or (n > 0 and "..." not in term):
            raise ShapeError(
                f"einsum: term {term!r} names {len(shape) - n} axes of an operand of shape {shape}"
            )
    most = max([n for t, n in zip(terms, hidden) if "..." in t], default=0)
    if most > len(free):
        raise ShapeError(
            f"einsum: {subscripts!r} needs more than 52 letters for operands of this many axes"
        )
    dots = "".join(free[:most])  # ellipses align at their last axis, as broadcasting does
    terms = [t.replace("...", dots[most - n :]) for t, n in zip(terms, hidden)]
    if not arrow:  # the axes of the ellipsis, then letters that occur once, sorted
        letters = "".join(terms)
        once = [c for c in set(letters) if letters.count(c) == 1 and c not in dots]
        output = dots + "".join(sorted(once))
    return tuple(terms), output.replace("...", dots)


def _diagonal(x, term):
    """Of a term with a repeated letter, "iji": the entries where its axes agree, and "ij"."""
    for letter in dict.fromkeys(term):
        axes = [i for i, c in enumerate(term) if c == letter]
        if len(axes) == 1:
            continue
        if len({x.shape[i] for i in axes}) > 1:
            raise ShapeError(
                f"einsum: {letter!r} in {term!r} names axes of different lengths in {x.shape}"
            )
        others = [i for i in range(x.ndim) if i not in axes]
        x = transpose(x, axes=(*axes, *others))
        # x[k, k, ...] for every k: (n, n, ...) -> (n, ...)
        x = x[(np.arange(x.shape[0], like=x.data),) * len(axes)]
        term = letter + "".join(term[i] for i in others)
    return x, term


def _without_ones(operands, terms):
    """Operands and terms without axes of length 1 whose letter is longer elsewhere (broadcast)."""
    lengths = {}
    for x, term in zip(operands, terms):
        for n, letter in zip(x.shape, term):
            if lengths.get(letter, 1) == 1:
                lengths[letter] = n
            if n not in (1, lengths[letter]):
                raise ShapeError(
                    f"einsum: {letter!r} names axes of lengths {lengths[letter]} and {n}"
                )
    for k, (x, term) in enumerate(zip(operands, terms)):
        ones = tuple(i for i, letter in enumerate(term) if x.shape[i] == 1 and lengths[letter] != 1)
        if ones:
            operands[k] = squeeze(x, ones)
            terms[k] = "".join(c for i, c in enumerate(term) if i not in ones)
    return operands, terms


@composite
def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Einstein summation as in NumPy: "ij,jk->ik", "...ij,...jk", "ii->i".

    Letters that the output lacks are summed. Without an arrow the output has the axes of the
    ellipsis and the letters that occur once, in alphabetical order. An ellipsis that the output
    lacks is summed, as in torch; NumPy raises an error. Two operands that make a matrix product are
    one, and long sums of float32 (over 1,024 there, over 128 elsewhere) are taken in float64.
    Raises ShapeError if terms and shapes do not match.

    Check: tinylm gradcheck einsum
    """
    operands = [as_tensor(x) for x in operands]
    terms, output = _written_out(subscripts, tuple([x.shape for x in operands]))
    missing = sorted(set(output) - set("".join(terms)))
    if missing or len(set(output)) != len(output):
        raise ShapeError(
            f"einsum: the output of {subscripts!r} repeats a letter or has one that no operand has"
        )
    pairs = [_diagonal(x, term) for x, term in zip(operands, terms)]
    operands, terms = _without_ones([x for x, _ in pairs], [term for _, term in pairs])
    return _einsum(*operands, subscripts=",".join(terms) + "->" + output)
