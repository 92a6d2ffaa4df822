"""Matrix products: matmul with every NumPy shape rule, and einsum, each the derivative of itself.

Read next: kernels/linear.py, where a product and its neighbors become one operation.
"""

import math
import re
import string

import numpy as np

from tinylm.autograd.engine.operation import composite, primitive, unbroadcast
from tinylm.autograd.engine.tensor import Tensor
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


def _by_left(g, y, a, b):  # Y = A B:  dA = G B^T, dB = A^T G
    return unbroadcast(matmul(g, swapaxes(b, -1, -2)), a.shape)


def _by_right(g, y, a, b):
    return unbroadcast(matmul(swapaxes(a, -1, -2), g), b.shape)


@primitive(_by_left, _by_right, name="matmul")
def _matmul(a, b):
    if a.dtype == b.dtype == np.float16:  # products are added up in float32
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    return np.matmul(a, b)


@composite
def matmul(a, b):
    """a @ b under NumPy's rules: a 1-D operand is a row on the left, a column on the right; leading
    axes broadcast.

    a (..., n, k), b (..., k, m) -> (..., n, m). Raises ShapeError if the inner sizes differ.
    """
    a, b = (x if isinstance(x, Tensor) else Tensor(x) for x in (a, b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        if 0 in (a.ndim, b.ndim):
            inner = ""
        else:
            inner = f": {a.shape[-1]} != {b.shape[-2 if b.ndim > 1 else 0]}"
        raise ShapeError(f"matmul: inner sizes differ, {a.shape} @ {b.shape}{inner}")
    row, column = a.ndim == 1, b.ndim == 1
    y = _matmul(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b)
    if row or column:  # take the added axes away again
        y = reshape(
            y,
            shape=y.shape[: y.ndim - row - column]
            if row and column
            else y.shape[:-2] + y.shape[-1:]
            if row
            else y.shape[:-1],
        )
    return y


def _einsum_rule(i, g, y, *operands, subscripts):
    """The cotangent of operand i: the same contraction with the output in its place.

    Letters that only operand i has were summed out: their cotangent is the same along them
    (broadcast).
    """
    inputs, output = subscripts.split("->")
    inputs = inputs.split(",")
    mine, others = inputs[i], [s for j, s in enumerate(inputs) if j != i]
    reachable = "".join(c for c in mine if c in output or any(c in s for s in others))
    g = _einsum(
        g,
        *[x for j, x in enumerate(operands) if j != i],
        subscripts=",".join([output, *others]) + "->" + reachable,
    )
    for axis, letter in enumerate(mine):
        if letter not in reachable:
            g = expand_dims(g, axis)
    return broadcast_to(g, shape=operands[i].shape)


@primitive(_einsum_rule, variadic=True, name="einsum")
def _einsum(*operands, subscripts):
    dtype = np.result_type(*operands)
    if len(operands) == 1:
        return _rearranged(operands[0], *subscripts.split("->"))
    long = _summed(operands, subscripts) > RUN
    wide = operands
    if (
        dtype.kind == "f" and dtype.itemsize < 8
    ):  # NumPy adds up one by one, in the dtype it is given
        wide = [
            a.astype(np.float64 if long else np.promote_types(dtype, np.float32)) for a in operands
        ]
    out = np.einsum(subscripts, *wide, optimize=long or len(operands) > 2)
    return out.astype(dtype, copy=False)


def _summed(operands, subscripts):
    """How many products are added up for each number of the result."""
    inputs, output = subscripts.split("->")
    lengths = {c: n for term, a in zip(inputs.split(","), operands) for c, n in zip(term, a.shape)}
    return math.prod(n for c, n in lengths.items() if c not in output)


def _rearranged(a, term, output):
    """One operand of distinct letters: summed over those that the output lacks, its axes in the
    output's order.

    A copy: "ij->ji" is a view in NumPy, here results own their memory.
    """
    gone = tuple(i for i, c in enumerate(term) if c not in output)
    kept = [c for c in term if c in output]
    if gone:
        a = accurate_sum(a, gone)
    return np.transpose(a, [kept.index(c) for c in output]).copy()


def _written_out(subscripts, operands):
    """Subscripts with an output term and a letter for every axis that an ellipsis stands for.

    returns  (list of input terms, output term)
    raises   ShapeError if terms and operands do not match
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ShapeError(
            f"einsum: {subscripts!r} has {len(terms)} terms for {len(operands)} operands: write one per operand"
        )
    for term in (*terms, output):
        if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term):
            raise ShapeError(
                f"einsum: {term!r} in {subscripts!r} is not a term: write letters, with at most one '...'"
            )
    free = [c for c in string.ascii_letters if c not in subscripts]
    hidden = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, operands)]
    for term, n, x in zip(terms, hidden, operands):
        if n < 0 or (n > 0 and "..." not in term):
            raise ShapeError(
                f"einsum: term {term!r} names {x.ndim - n} axes of an operand of shape {x.shape}"
            )
    most = max([n for t, n in zip(terms, hidden) if "..." in t], default=0)
    if most > len(free):
        raise ShapeError(
            f"einsum: {subscripts!r} needs more than 52 letters for operands of this many axes"
        )
    dots = "".join(free[:most])  # ellipses align at their last axis, as broadcasting does
    terms = [t.replace("...", dots[most - n :]) for t, n in zip(terms, hidden)]
    if not arrow:  # implicit: what the ellipsis names, then letters met once, sorted
        letters = "".join(terms)
        output = dots + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots)
        )
    return terms, output.replace("...", dots)


def _diagonal(x, term):
    """The entries of x where the axes of a repeated letter agree, and the term without the
    repetition.
    """
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
        x = x[(np.arange(x.shape[0], like=x.data),) * len(axes)]
        term = letter + "".join(term[i] for i in others)
    return x, term


def _along_ones(operands, terms):
    """Operands without the axes of length one that broadcast against a longer axis of the same
    letter.
    """
    lengths = {}
    for x, term in zip(operands, terms):
        for n, letter in zip(x.shape, term):
            lengths[letter] = n if lengths.get(letter, 1) == 1 else lengths[letter]
            if n not in (1, lengths[letter]):
                raise ShapeError(
                    f"einsum: {letter!r} names axes of lengths {lengths[letter]} and {n}"
                )
    for k, (x, term) in enumerate(zip(operands, terms)):
        ones = tuple(i for i, letter in enumerate(term) if x.shape[i] == 1 and lengths[letter] != 1)
        if ones:
            operands[k], terms[k] = (
                squeeze(x, ones),
                "".join(c for i, c in enumerate(term) if i not in ones),
            )
    return operands, terms


@composite
def einsum(subscripts, *operands):
    """Einstein summation as NumPy writes it: "ij,jk->ik", "...ij,...jk", "ii->i"; letters that the
    output lacks are summed.

    Without an arrow the output has the axes of the ellipsis and the letters that occur once, in
    alphabetical order. An ellipsis that the output lacks is summed, as in torch, where NumPy
    refuses. Long sums of float32 are float64's. Raises ShapeError if terms and shapes do not match.
    """
    operands = [x if isinstance(x, Tensor) else Tensor(x) for x in operands]
    terms, output = _written_out(subscripts, operands)
    missing = sorted(set(output) - set("".join(terms)))
    if missing or len(set(output)) != len(output):
        raise ShapeError(
            f"einsum: the output of {subscripts!r} repeats a letter or has one that no operand has"
        )
    pairs = [_diagonal(x, term) for x, term in zip(operands, terms)]
    operands, terms = _along_ones([x for x, _ in pairs], [term for _, term in pairs])
    return _einsum(*operands, subscripts=",".join(terms) + "->" + output)
