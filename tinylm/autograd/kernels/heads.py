"""What every way to attend asks of its arguments: shapes that fit, and the scale of the scores.

Read next: masks.py, attention.py.
"""

import math

from tinylm.errors import ConfigError, ShapeError


def check_heads(operation, q, k, v=None):
    """Raise ShapeError unless q (B, H, T, K), k (B, G, S, K), v (B, G, S, J) fit, G a divisor of H.

    Batches, sequences and widths may be empty; there must be a head.
    """
    given = f"{operation}: q {q.shape}, k {k.shape}" + ("" if v is None else f", v {v.shape}")
    need = "need (B, H, T, K), (B, G, S, K)" + ("" if v is None else ", (B, G, S, J)")
    shapes = [x.shape for x in (q, k, v) if x is not None]
    fit = all(len(shape) == 4 for shape in shapes)
    fit = fit and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
    if not fit or (v is not None and k.shape[:3] != v.shape[:3]):
        raise ShapeError(f"{given} do not fit: {need}")
    H, G = q.shape[1], k.shape[1]
    if min(H, G) < 1:
        raise ShapeError(f"{given}: there must be at least one head")
    if H % G:
        raise ShapeError(
            f"{given} do not fit: {H} query heads do not share {G} key-value heads evenly"
        )


def even_heads(name, d_model, heads, kv_heads=None, width=None):
    """Raise ConfigError unless a width divides into heads that share key-value heads evenly.

    kv_heads  as many as heads unless given
    width     of each head; d_model / heads unless given
    """
    if min(heads, heads if kv_heads is None else kv_heads) < 1:
        raise ConfigError(f"{name}: {heads} heads, {kv_heads} for keys: there must be at least one")
    uneven = width is None and d_model % heads
    if uneven and kv_heads is None:
        raise ConfigError(f"{name}: width {d_model} does not divide into {heads} heads")
    if uneven or heads % (kv_heads or heads):
        raise ConfigError(
            f"{name}: width {d_model}, {heads} heads and {kv_heads} key-value heads "
            "do not divide evenly"
        )


def score_scale(K, scale=None):
    """The scale of scores: 1/sqrt(K) unless given; heads of width 0 have scores of 0 with any."""
    if scale is None:
        return 1 / math.sqrt(max(K, 1))
    return scale
