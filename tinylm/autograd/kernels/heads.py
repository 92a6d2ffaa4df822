"""What all attention operations share: checks of heads, the scale of scores, and scores that
overflow: q k^T may pass float32's 3e38 where a softmax over it is finite.

Read next: masks.py, attention.py.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from tinylm.autograd.engine.tensor import Array
from tinylm.errors import ConfigError, ShapeError


def check_heads(operation: str, q: Array, k: Array, v: Array | None = None) -> None:
    """Raise ShapeError unless q (B, H, T, K), k (B, G, S, K), v (B, G, S, J) fit, G a divisor of H.

    Batches, sequences and widths may be empty; there must be a head.
    """
    given = f"{operation}: q {q.shape}, k {k.shape}"
    need = "need (B, H, T, K), (B, G, S, K)"
    if v is not None:
        given += f", v {v.shape}"
        need += ", (B, G, S, J)"
    fit = all(len(x.shape) == 4 for x in (q, k, v) if x is not None)
    fit = fit and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
    fit = fit and (v is None or k.shape[:3] == v.shape[:3])
    if not fit:
        raise ShapeError(f"{given} do not fit: {need}")
    H, G = q.shape[1], k.shape[1]
    if min(H, G) < 1:
        raise ShapeError(f"{given}: there must be at least one head")
    if H % G:
        raise ShapeError(
            f"{given} do not fit: {H} query heads do not share {G} key-value heads evenly"
        )


def even_heads(
    name: str, d_model: int, heads: int, kv_heads: int | None = None, width: int | None = None
) -> None:
    """Raise ConfigError unless a width divides into heads that share key-value heads evenly.

    kv_heads  as many as heads unless given
    width     of each head; d_model / heads unless given
    """
    if heads < 1 or (kv_heads is not None and kv_heads < 1):
        raise ConfigError(f"{name}: {heads} heads, {kv_heads} for keys: there must be at least one")
    uneven = width is None and d_model % heads
    if uneven and kv_heads is None:
        raise ConfigError(f"{name}: width {d_model} does not divide into {heads} heads")
    if uneven or heads % (kv_heads or heads):
        raise ConfigError(
            f"{name}: width {d_model}, {heads} heads and {kv_heads} key-value heads "
            "do not divide evenly"
        )


def score_scale(K: int, scale: float | None = None) -> float:
    """The scale of scores: 1/sqrt(K) unless given   (book eq. 2.6)"""
    # Entries of q and k of variance 1 give q . k a variance of K: the scale brings it back to 1.
    # Heads of width 0 have scores of 0 with any scale.
    if scale is None:
        return 1 / math.sqrt(max(K, 1))
    return scale


class ScoresOverflow(Exception):
    """Finite queries and keys have scores beyond float32, though their softmax is finite."""


def in_float64_on_overflow(kernel: Callable) -> Callable:
    """Decorator: an attention kernel whose scores overflow in float32 is run again in float64."""

    @functools.wraps(kernel)
    def checked(*arrays, **options):
        try:
            return kernel(*arrays, **options)
        except ScoresOverflow:
            dtype = arrays[0].dtype
        wide = [a if a is None else a.astype(np.float64) for a in arrays]
        out, backward = kernel(*wide, **options)

        def narrow(d):
            if callable(d):  # a gradient that is computed only where it is needed
                return lambda out: d(None).astype(dtype)
            if d is None:
                return d
            return d.astype(dtype)

        def narrow_backward(g):
            return [narrow(d) for d in backward(g.astype(np.float64))]

        return out.astype(dtype), narrow_backward

    return checked
