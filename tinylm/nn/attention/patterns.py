"""Sparse attention patterns as masks and as lists of indices   (book section 2.3.2).

Book eq. 2.48 calls the set of keys that query i sees G. A mask stores T x S booleans; a
table of indices stores T x |G| numbers, and makes attention over it cheaper. Masks combine with |
and &: a window with global tokens is `window(...) | first_tokens(...)`.
Window: Parmar et al. 2018; strided and fixed: Child et al. 2019; dilated: Beltagy et al. 2020;
random with global: Zaheer et al. 2020; first tokens as sinks: Xiao et al. 2024. Read next:
sparse.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import Random
from tinylm.errors import ConfigError

# All masks here: bool, (queries, keys), True = visible, for queries at positions offset .. offset +
# queries - 1 and keys at 0 .. keys - 1. `offset` is keys - queries unless given: the last query is
# aligned with the last key, as with a cache. `causal` hides keys after the query. `like` is an
# array of the device to make the mask on.


def _grid(queries, keys, offset, like, causal, **sizes):
    """Positions i of queries (T, 1) and j of keys (1, S), and the pairs that are visible (T, S)."""
    wrong = [f"{name} = {size}" for name, size in sizes.items() if size < 1]
    if wrong:
        raise ConfigError(f"pattern: {', '.join(wrong)}: must be 1 or more")
    if keys is None:
        keys = queries
    i = _query_positions(queries, keys, offset, like)
    j = np.arange(keys, like=like)[None, :]
    return i, j, (j <= i) | (not causal)


def _query_positions(queries, keys, offset, like):
    """Positions of the queries, (T, 1)."""
    if offset is None:
        offset = keys - queries
    return np.arange(queries, like=like)[:, None] + offset


def window(
    queries: int,
    keys: int | None = None,
    *,
    width: int,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """The `width` nearest keys, the query's own included   (book eq. 2.53).

    Not causal, also the width - 1 keys after the query.
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, width=width)
    return seen & (abs(i - j) < width)


def dilated(
    queries: int,
    keys: int | None = None,
    *,
    width: int,
    step: int,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """A window with gaps: `width` keys, `step` apart.

    Layers with steps 1, 2, 4, ... together reach exponentially far.
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, width=width, step=step)
    near = abs(i - j) < width * step
    on_step = (i - j) % step == 0
    return seen & near & on_step


def strided(
    queries: int,
    keys: int | None = None,
    *,
    stride: int,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """A window of `stride` keys, and every stride-th key before it   (Child et al. 2019, strided).

    Keys are counted back from the query, so two layers connect any two tokens.
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, stride=stride)
    near = abs(i - j) < stride
    on_stride = (i - j) % stride == 0
    return seen & (near | on_stride)


def fixed(
    queries: int,
    keys: int | None = None,
    *,
    stride: int,
    summary: int = 1,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """The query's own block, and the last keys of every block   (Child et al. 2019, fixed).

    stride   positions in a block
    summary  how many keys at the end of a block the queries of other blocks see too
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, stride=stride, summary=summary)
    same_block = i // stride == j // stride
    at_the_end = j % stride >= stride - summary
    return seen & (same_block | at_the_end)


def blocks(
    queries: int,
    keys: int | None = None,
    *,
    size: int,
    back: int = 0,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """The query's own block of `size` positions, and the `back` blocks before it.

    Not causal, also the `back` blocks after it.

    With back = 1 a token sees what a memory of two segments holds: between 1 + size keys for the
    first of its segment and 2 size for the last   (book eq. 2.60).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, size=size)
    behind = i // size - j // size  # in blocks; negative for keys after the query
    return seen & (abs(behind) <= back)


def first_tokens(
    queries: int,
    keys: int | None = None,
    *,
    count: int,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """The first `count` keys, for every query: global tokens, attention sinks (book section 2.3.3).

    Not causal, those tokens also see every key (ETC, Ainslie et al. 2020; GMAT, Gupta & Berant
    2020).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal)
    chosen = j < count
    if not causal:
        chosen = chosen | (i < count)
    return seen & chosen


def random_keys(
    queries: int,
    keys: int | None = None,
    *,
    count: int,
    rng: Random | None,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """`count` keys for each query, drawn among those it may see; all of them where there are fewer.

    rng  tinylm Random; one number is drawn for every pair (T, S), so a longer sequence gets other
         keys
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, count=count)
    if 0 in seen.shape:
        return seen
    # The keys of the `count` smallest of S random numbers are a random choice without repetition.
    draws = rng.uniform(seen.shape, np.float64)  # (T, S), in [0, 1)
    draws = np.where(seen, draws, 2.0)  # hidden keys come after all visible ones
    last = min(count, draws.shape[1]) - 1
    limit = np.sort(draws, axis=-1)[:, last][:, None]  # (T, 1), the count-th smallest
    return seen & (draws <= limit)


def global_local_random(
    queries: int,
    keys: int | None = None,
    *,
    first: int,
    width: int,
    count: int,
    rng: Random,
    causal: bool = True,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """Global tokens, a window and random keys together   (Big Bird, Zaheer et al. 2020)."""
    where: dict[str, Any] = dict(causal=causal, offset=offset, like=like)
    seen_by_all = first_tokens(queries, keys, count=first, **where)
    near = window(queries, keys, width=width, **where)
    drawn = random_keys(queries, keys, count=count, rng=rng, **where)
    return seen_by_all | near | drawn


def index_sets(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask as lists: book eq. 2.48's G for every query.

    mask     bool (..., T, S)
    returns  index (..., T, n) integers, n = the largest |G|; visible (..., T, n) bool, False on the
             padding that fills up shorter lists
    """
    mask = bool_mask(mask, "index_sets", bias=None)
    sizes = np.sum(mask, axis=-1)  # |G|, (..., T)
    n = int(np.max(sizes)) if sizes.size else 0
    # False sorts before True, and a stable sort keeps the order: visible keys first, from the left.
    index = np.argsort(~mask, axis=-1, kind="stable")[..., :n]
    return index, np.arange(n, like=mask) < sizes[..., None]


def mask_of(index: np.ndarray, visible: np.ndarray, keys: int) -> np.ndarray:
    """The mask (..., T, S) of index lists: the inverse of index_sets; S = keys."""
    visible = bool_mask(visible, "mask_of", "visible", bias=None)
    hits = (index[..., None] == np.arange(keys, like=index)) & visible[..., None]  # (..., T, n, S)
    return np.any(hits, axis=-2)


def window_index(
    queries: int,
    keys: int | None = None,
    *,
    width: int,
    step: int = 1,
    first: int = 0,
    offset: int | None = None,
    like: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The index lists of a causal window and the first tokens, made without a T x S mask.

    width    keys in the window, `step` apart, the query's own the last
    first    how many tokens at the start every query sees too
    returns  index (T, first + width), visible (T, first + width): the lists of
             index_sets(dilated(...) | first_tokens(...)), except that padding stands elsewhere
    """
    if keys is None:
        keys = queries
    i = _query_positions(queries, keys, offset, like)
    recent = i - step * np.arange(width - 1, -1, -1, like=like)[None, :]  # (T, width), oldest first
    sinks = np.arange(first, like=like)[None, :] + 0 * i  # (T, first)
    index = np.concatenate([sinks, recent], axis=1)
    # A key that is both a sink and recent counts once, as a sink.
    visible = np.concatenate([sinks <= i, recent >= first], axis=1)
    visible = visible & (index < keys)
    return np.clip(index, 0, keys - 1), visible  # padding points to some key that is there


def reaches(mask: np.ndarray, layers: int) -> np.ndarray:
    """Which tokens can influence which after several layers.

    One layer is one hop in the graph of the mask, `layers` layers are paths of that length.
    Residual connections carry a token along, so a token always reaches itself.

    returns  (T, T) bool, [i, j] True if token j reaches token i
    """
    mask = bool_mask(mask, "reaches", bias=None)
    positions = np.arange(len(mask), like=mask)
    itself = positions[:, None] == positions  # (T, T)
    step = (mask | itself).astype(np.float64)
    seen = step
    for _ in range(layers - 1):
        seen = ((seen @ step) > 0).astype(np.float64)  # one hop further
    return seen > 0
