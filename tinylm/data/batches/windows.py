"""Windows of a long token array: random ones to train on, even ones to validate on.

A window has T + 1 tokens: the first T are inputs, the last T are their targets. Each window of a
batch is a pure function of (seed, step, row), so a run resumes from the step alone, and a worker
draws its rows of the batch without the others. Read next: `packing.py`, which keeps documents
apart.
"""

from collections.abc import Iterator

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError, DataError, ShapeError


class RandomWindows:
    """Batches of windows at uniformly random positions, with replacement (as in nanoGPT).

    tokens      (n,) integers, for example `TokenFile.tokens`; never copied
    length      T, the model's context in tokens; a window is T + 1 tokens
    batch_size  B, rows of a whole batch
    seed        of the order
    raises      DataError if n < T + 1: not one window fits
    """

    def __init__(self, tokens: ArrayLike, length: int, batch_size: int, seed: int = 0) -> None:
        self.tokens = _token_array(tokens, "random windows")
        self.length = _positive(length=length)
        self.batch_size = _positive(batch_size=batch_size)
        self.seed = int(seed)
        n = len(self.tokens)
        if n < length + 1:
            mend = "give a longer text"
            if n > 1:
                mend += f", or a context of at most {n - 1}"
            raise DataError(
                f"random windows: {n} tokens are fewer than one window of {length} + 1 = "
                f"{length + 1}: {mend}"
            )

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows start .. stop-1 of the batch of `step`.

        start, stop  a worker's rows; the whole batch by default. `stop` may be beyond batch_size,
                     for a batch size that grows: rows before it do not change
        returns      (stop - start, T + 1) int64
        """
        if stop is None:
            stop = self.batch_size
        random = Random(self.seed, "windows", int(step))
        first = random.integers(0, len(self.tokens) - self.length, (stop,))  # in [0, n - T)
        return _gather(self.tokens, first[start:], self.length + 1)

    def __repr__(self) -> str:
        return (
            f"RandomWindows({len(self.tokens)} tokens, length={self.length}, "
            f"batch_size={self.batch_size}, seed={self.seed})"
        )


class EvenWindows:
    """Windows side by side: tokens 1 .. n-1 are each a target exactly once, token 0 never.

    Neighboring windows share one token: the last target of one is the first input of the next. The
    rest at the end is a shorter window in a batch of its own, without padding. So the loss over a
    text is sum(mean loss * targets) / sum(targets), and a text shorter than a window has one
    window.

    tokens  (n,) integers, n >= 2
    length  T, targets per window
    raises  DataError if there is no target at all
    """

    def __init__(self, tokens: ArrayLike, length: int) -> None:
        self.tokens, self.length = _token_array(tokens, "even windows"), _positive(length=length)
        if len(self.tokens) < 2:
            raise DataError(
                f"even windows: {len(self.tokens)} tokens hold nothing to predict: give at least 2"
            )
        self.whole, self.left_over = divmod(len(self.tokens) - 1, length)  # windows, targets

    @property
    def targets(self) -> int:
        """The number of targets, n - 1."""
        return len(self.tokens) - 1

    def batches(self, batch_size: int) -> Iterator[np.ndarray]:
        """All windows in order.

        yields  (b, T + 1) int64 with b <= batch_size; last, if targets are left over, (1, left_over
                + 1)
        """
        batch_size = _positive(batch_size=batch_size)
        for row in range(0, self.whole, batch_size):
            # Window i starts at token i T: T, not T + 1, apart.
            first = np.arange(row, min(row + batch_size, self.whole)) * self.length
            yield _gather(self.tokens, first, self.length + 1)
        if self.left_over:
            rest = np.array(self.tokens[self.whole * self.length :], np.int64)  # (left_over + 1,)
            yield rest[None]


def _gather(tokens, first, width):
    return tokens[first[:, None] + np.arange(width)].astype(np.int64)  # (B,) -> (B, width)


def _token_array(tokens, operation):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "iu"):
        raise ShapeError(
            f"{operation}: tokens must be one row of integers (n,), got {tokens.dtype} "
            f"{tokens.shape}: join documents first, or use packing"
        )
    return tokens


def _positive(**named):
    ((name, value),) = named.items()  # one keyword argument, whose name is for the message
    if value != int(value) or value < 1:
        raise ConfigError(f"windows: {name} is {value}: it must be a whole number of at least 1")
    return int(value)
