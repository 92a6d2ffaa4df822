"""Sparse attention patterns: which keys a query may see, as masks, and as lists of indices   (book
section 2.3.2)

Book eq. 2.48 calls the set of keys that query i sees G. A mask says G for every pair and costs T x
S to store; a table of indices says it in T x |G|, which is what makes attention over it cheaper.
Masks combine with | and &: a window with global tokens is `window(...) | first_tokens(...)`.
Window: Parmar et al. 2018; strided and fixed: Child et al. 2019; dilated: Beltagy et al. 2020;
random with global: Zaheer et al. 2020; first tokens as sinks: Xiao et al. 2024. Read next:
sparse.py.
"""

import numpy as np

from tinylm.autograd.kernels.masks import bool_mask
from tinylm.errors import ConfigError

# All masks here: bool, (queries, keys), True = visible, for queries at positions offset .. offset +
# queries - 1 and keys at 0 .. keys - 1. `offset` is keys - queries unless given: the last query is
# aligned with the last key, as with a cache. `causal` hides keys after the query. `like` is an
# array of the device to make the mask on.


def _grid(queries, keys, offset, like, causal, **sizes):
    """Positions of queries (T, 1) and keys (1, S), and what causality lets be seen (T, S)."""
    wrong = {name: size for name, size in sizes.items() if size < 1}
    if wrong:
        raise ConfigError(
            f"pattern: {', '.join(f'{name} = {size}' for name, size in wrong.items())}: must be 1 or more"
        )
    if keys is None:
        keys = queries
    i = np.arange(queries, like=like)[:, None] + (keys - queries if offset is None else offset)
    j = np.arange(keys, like=like)[None, :]
    return i, j, (j <= i) | (not causal)


def window(queries, keys=None, *, width, causal=True, offset=None, like=None):
    """The `width` nearest keys up to the query itself; not causal, also the width - 1 after it
    (book eq. 2.53).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, width=width)
    return seen & (abs(i - j) < width)


def dilated(queries, keys=None, *, width, step, causal=True, offset=None, like=None):
    """A window with gaps: `width` keys, `step` apart. Stacked with growing steps it sees
    exponentially far.
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, width=width, step=step)
    return seen & (abs(i - j) < width * step) & ((i - j) % step == 0)


def strided(queries, keys=None, *, stride, causal=True, offset=None, like=None):
    """Every stride-th key counted back from the query, and the window of `stride` keys   (Child et
    al. 2019, strided).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, stride=stride)
    return seen & (((i - j) % stride == 0) | (abs(i - j) < stride))


def fixed(queries, keys=None, *, stride, summary=1, causal=True, offset=None, like=None):
    """The query's own block, and the last `summary` keys of every block   (Child et al. 2019,
    fixed).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, stride=stride, summary=summary)
    return seen & ((i // stride == j // stride) | (j % stride >= stride - summary))


def blocks(queries, keys=None, *, size, back=0, causal=True, offset=None, like=None):
    """The query's own block of `size` positions, and the `back` blocks before it.

    With back = 1 this is what a memory of two segments lets a token see: 1 + size .. 2 size keys by
    its place in
    its segment   (book eq. 2.60).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, size=size)
    behind = i // size - j // size
    return seen & (behind >= (0 if causal else -back)) & (behind <= back)


def first_tokens(queries, keys=None, *, count, causal=True, offset=None, like=None):
    """The first `count` keys, seen by every query: global tokens, attention sinks   (book section
    2.3.3).

    Not causal, those tokens see every key in turn (ETC, Ainslie et al. 2020; GMAT, Gupta & Berant
    2020).
    """
    i, j, seen = _grid(queries, keys, offset, like, causal)
    return seen & ((j < count) if causal else (j < count) | (i < count))


def random_keys(queries, keys=None, *, count, rng, causal=True, offset=None, like=None):
    """`count` keys for each query, drawn from rng among those it may see; all of them where there
    are fewer.

    rng  tinylm Random; the draw is as wide as the whole grid, so that a longer sequence is another
         draw
    """
    i, j, seen = _grid(queries, keys, offset, like, causal, count=count)
    if 0 in seen.shape:
        return seen
    draws = rng.uniform(seen.shape, np.float64)
    draws = np.where(seen, draws, 2.0)  # what is not visible comes after everything that is
    limit = np.sort(draws, axis=-1)[:, min(count, draws.shape[1]) - 1][:, None]
    return seen & (draws <= limit)


def global_local_random(
    queries, keys=None, *, first, width, count, rng, causal=True, offset=None, like=None
):
    """Global tokens, a window and random keys together   (Big Bird, Zaheer et al. 2020)."""
    where = dict(causal=causal, offset=offset, like=like)
    return (
        first_tokens(queries, keys, count=first, **where)
        | window(queries, keys, width=width, **where)
        | random_keys(queries, keys, count=count, rng=rng, **where)
    )


def index_sets(mask):
    """A mask as lists: book eq. 2.48's G for every query.

    mask     bool (..., T, S)
    returns  index (..., T, n) integers, n = the largest |G|; visible (..., T, n) bool, False on the
             padding that fills up shorter lists
    """
    mask = bool_mask(mask, "index_sets", bias=None)
    sizes = np.sum(mask, axis=-1)  # |G|, (..., T)
    n = int(np.max(sizes)) if sizes.size else 0
    index = np.argsort(~mask, axis=-1, kind="stable")[..., :n]  # visible keys first, in their order
    return index, np.arange(n, like=mask) < sizes[..., None]


def mask_of(index, visible, keys):
    """The mask (..., T, S) that index_sets would turn into these lists; S = keys."""
    visible = bool_mask(visible, "mask_of", "visible", bias=None)
    hits = (index[..., None] == np.arange(keys, like=index)) & visible[..., None]  # (..., T, n, S)
    return np.any(hits, axis=-2)


def window_index(queries, keys=None, *, width, step=1, first=0, offset=None, like=None):
    """The causal window's lists without a T x S mask: `width` keys, `step` apart, up to each query,
    and the first tokens.

    first    how many tokens at the start every query sees too
    returns  index (T, first + width), visible (T, first + width), as of index_sets(dilated(...) |
             first_tokens(...)) but for the place of the padding
    """
    if keys is None:
        keys = queries
    i = np.arange(queries, like=like)[:, None] + (keys - queries if offset is None else offset)
    recent = i - step * np.arange(width - 1, -1, -1, like=like)[None, :]  # (T, width), oldest first
    sinks = np.arange(first, like=like)[None, :] + 0 * i  # (T, first)
    index = np.concatenate([sinks, recent], axis=1)
    visible = np.concatenate([sinks <= i, recent >= first], axis=1) & (
        index < keys
    )  # a key in both counts once
    return np.clip(index, 0, keys - 1), visible


def reaches(mask, layers):
    """Which tokens can influence which after several layers: (T, T) bool, the mask's graph followed
    `layers` hops.

    Residual connections carry a token along, so a token always reaches itself.
    """
    mask = bool_mask(mask, "reaches", bias=None)
    step = (
        mask | (np.arange(len(mask), like=mask)[:, None] == np.arange(len(mask), like=mask))
    ).astype(np.float64)
    seen = step
    for _ in range(layers - 1):
        seen = ((seen @ step) > 0).astype(np.float64)
    return seen > 0
