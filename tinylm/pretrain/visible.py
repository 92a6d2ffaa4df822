"""The attention pattern of a batch, and its picture in text   (book Fig. 1.3; D2L 11.9)

Rows are queries, columns are keys. A decoder's pattern is a triangle, an encoder's a square, a
prefix LM's a square and a triangle; a prediction order scatters the triangle. Read next:
language/prefix.py, masked/permuted.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.nn.attention.two_stream import permutation_mask
from tinylm.pretrain.batch import Batch, Seq2SeqBatch, TokenBatch

MARKS = {True: "■", False: "·"}  # visible, hidden


def causal_mask(T: int) -> np.ndarray:
    """[i, j] True if j <= i: bool (T, T)."""
    return np.tri(T, dtype=bool)


def full_mask(T: int) -> np.ndarray:
    """All True: bool (T, T)."""
    return np.ones((T, T), bool)


def patterns(batch: Batch, row: int = 0) -> dict[str, np.ndarray]:
    """The attention patterns under which a row of a batch is read.

    returns  {name: bool (queries, keys)}: "attention"; for a prediction order "content" and
             "query"; for an encoder-decoder "encoder", "decoder" and "cross"
    """
    if isinstance(batch, Seq2SeqBatch):
        S, T = batch.inputs.shape[1], batch.targets.shape[1]
        held = np.ones(S, bool)
        if batch.mask is not None:
            held = batch.mask[row]
        return {
            "encoder": np.broadcast_to(held, (S, S)),  # all see all tokens, none the padding
            "decoder": causal_mask(T),
            "cross": np.broadcast_to(held, (T, S)),
        }
    T = batch.inputs.shape[1]
    if not isinstance(batch, TokenBatch):
        return {"attention": causal_mask(T)}
    if batch.order is not None:
        # Two streams: the content stream sees its own token, the query stream, which predicts it,
        # does not.
        return {
            "content": permutation_mask(batch.order[row], strict=False),
            "query": permutation_mask(batch.order[row]),
        }
    if batch.mask is None:
        return {"attention": full_mask(T)}
    return {"attention": np.broadcast_to(batch.mask[row], (T, T))}


def picture(
    mask: np.ndarray, queries: Sequence[str], keys: Sequence[str] | None = None
) -> list[str]:
    """A pattern as lines of text.

    mask           bool (T, S)
    queries, keys  T and S words to write beside it; the keys are the queries if None
    returns        list of T + 1 lines: numbers of the keys, then a query a line
    """
    if keys is None:
        keys = queries
    # Widths of the columns: the longest word, the largest row number, the largest column number.
    name = max(map(len, queries), default=0)
    number = max(len(str(len(queries) - 1)), 1)
    cell = len(str(max(len(keys) - 1, 0)))
    header = " ".join(f"{j:>{cell}}" for j in range(len(keys)))
    lines = [" " * (name + number + 2) + header]
    for i, (word, row) in enumerate(zip(queries, mask)):
        cells = " ".join(f"{MARKS[bool(seen)]:>{cell}}" for seen in row)
        lines.append(f"{word:<{name}} {i:>{number}} {cells}")
    return lines
