"""Windows of a long token array: random ones to train on, even ones to validate on.

A window has T + 1 tokens: the first T are inputs, the last T are their targets. Which windows make
up a batch is a pure function of (seed, step, row), so the position to resume at is the step alone,
and a worker draws its rows of the batch without the others. Read next: `packing.py`, which keeps
documents apart.
"""

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError


class RandomWindows:
    """Batches of windows that start anywhere, uniformly, with replacement (as nanoGPT draws them).

    tokens      (n,) integers, for example `TokenFile.tokens`; never copied
    length      T, the model's context in tokens; a window is T + 1 tokens
    batch_size  B, rows of a whole batch
    seed        of the order
    raises      DataError if n < T + 1: not one window fits
    """

    def __init__(self, tokens, length, batch_size, seed=0):
        self.tokens = _token_array(tokens, "random windows")
        self.length = _positive(length=length)
        self.batch_size = _positive(batch_size=batch_size)
        self.seed = int(seed)
        n = len(self.tokens)
        if n < length + 1:
            raise DataError(
                f"random windows: {n} tokens are fewer than one window of {length} + 1 = {length + 1}: "
                "give a longer text" + (f", or a context of at most {n - 1}" if n > 1 else "")
            )

    def batch(self, step, start=0, stop=None):
        """Rows start .. stop-1 of the batch of `step`.

        start, stop  a worker's rows; the whole batch by default. A batch has no last row: a stop
                     beyond batch_size goes on with further rows of the same step, for a batch size
                     that grows.
        returns      (stop - start, T + 1) int64
        """
        if stop is None:
            stop = self.batch_size
        random = Random(self.seed, "windows", int(step))
        first = random.integers(0, len(self.tokens) - self.length, (stop,))[
            start:
        ]  # (B,) in [0, n - T)
        return _gather(self.tokens, first, self.length + 1)

    def __repr__(self):
        return (
            f"RandomWindows({len(self.tokens)} tokens, length={self.length}, batch_size={self.batch_size}, "
            f"seed={self.seed})"
        )


class EvenWindows:
    """Windows side by side: tokens 1 .. n-1 are each a target exactly once, token 0 never.

    Neighboring windows share one token, the last target of one being the first input of the next.
    What is left at the end is a shorter window in a batch of its own: no padding, nothing to
    ignore, nothing dropped. So the loss over a text is sum(mean loss * targets) / sum(targets), and
    a text shorter than a window still has one.

    tokens  (n,) integers, n >= 2
    length  T, targets per window
    raises  DataError if there is no target at all
    """

    def __init__(self, tokens, length):
        self.tokens, self.length = _token_array(tokens, "even windows"), _positive(length=length)
        if len(self.tokens) < 2:
            raise DataError(
                f"even windows: {len(self.tokens)} tokens hold nothing to predict: give at least 2"
            )
        self.whole, self.left_over = divmod(len(self.tokens) - 1, length)  # windows, targets

    @property
    def targets(self):
        """How many targets there are: n - 1."""
        return len(self.tokens) - 1

    def batches(self, batch_size):
        """Yield (b, T + 1) int64 with b <= batch_size, in order; last, if targets are left over,
        (1, left_over + 1).
        """
        batch_size = _positive(batch_size=batch_size)
        for row in range(0, self.whole, batch_size):
            first = np.arange(row, min(row + batch_size, self.whole)) * self.length
            yield _gather(self.tokens, first, self.length + 1)
        if self.left_over:
            yield np.array(self.tokens[self.whole * self.length :], np.int64)[
                None
            ]  # (1, left_over + 1)


def _gather(tokens, first, width):
    return tokens[first[:, None] + np.arange(width)].astype(np.int64)  # (B,) -> (B, width)


def _token_array(tokens, operation):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "iu"):
        raise ShapeError(
            f"{operation}: tokens must be one row of integers (n,), got {tokens.dtype} {tokens.shape}: "
            "join documents first, or use packing"
        )
    return tokens


def _positive(**named):
    ((name, value),) = named.items()
    if value != int(value) or value < 1:
        raise ConfigError(f"windows: {name} is {value}: it must be a whole number of at least 1")
    return int(value)
