"""The columns of a decoder's input: which are tokens, which a window hides, where a cache ends.

Read first: gpt.py, which asks.
"""

from typing import Any

import numpy as np

from tinylm.autograd.kernels.masks import bool_mask


def cached_length(cache: Any) -> int:
    """Tokens in a cache, or positions in SegmentStates; 0 without one."""
    if cache is None:
        return 0
    return cache.length


def with_resting_pairs(
    cos: np.ndarray, sin: np.ndarray, rest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines with `rest` further pairs at angle 0: (..., R/2) -> (..., R/2 + rest)."""
    still = np.zeros_like(sin, shape=(*sin.shape[:-1], rest))
    cos = np.concatenate([cos, still + 1], axis=-1)  # cos 0 = 1
    sin = np.concatenate([sin, still], axis=-1)
    return cos, sin


def real_tokens(mask: np.ndarray | None, B: int, T: int) -> np.ndarray | None:
    """Which of the last T columns are tokens: those visible to some query of their row.

    mask     bool that broadcasts to (B, H, T, S), or None
    returns  (B, T) bool; None where all are
    """
    mask = bool_mask(mask, "GPT")
    if mask is None:
        return None
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)  # (B|1, H|1, T|1, S)
    seen = mask.any(axis=(1, 2))[:, -T:]  # (B|1, T|1)
    if seen.all():
        return None
    return seen | np.zeros_like(seen, shape=(B, T))


def narrowed(
    mask: np.ndarray | None, queries: np.ndarray, keys: np.ndarray, window: int
) -> np.ndarray | None:
    """A mask narrowed to a sliding window   (book section 2.3.2; Mistral, GPT-3's banded layers).

    mask     bool that broadcasts to (B, H, T, S), or None
    queries, keys  (T,) and (S,) integers: columns of the sequence
    window   tokens visible to a query, itself among them
    returns  bool (T, S), or what it and `mask` broadcast to; None where the window hides nothing
    """
    shape = (*np.shape(mask)[:-2], len(queries), len(keys))
    mask = bool_mask(mask, "GPT", shape=shape)
    if len(keys) <= window:
        return mask
    # The causal mask comes later; it hides what is ahead, where i - j is negative.
    near = queries[:, None] - keys[None, :] < window  # (T, S)
    if mask is None:
        return near
    return mask & near
