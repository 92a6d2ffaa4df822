"""Sentinel spans: every span becomes one mark, and the target lists the marks with their tokens.

T5; book section 1.2.3.1:

    The puppies are [X] outside [Y] .   ->   [X] frolicking [Y] the house [Z]

Source and target together are little longer than the text, so that a step costs less than
reconstructing all of it. The target ends with one more sentinel. Read next: masked/spans.py for the
lengths and places; ul2.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.masked.spans import geometric_spans, partition_spans, poisson_spans, positions
from tinylm.pretrain.special import Special


def sentinel_spans(
    ids: ArrayLike, chosen: ArrayLike, sentinels: Sequence[int], close: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of the chosen tokens; neighbors form one span.

    ids        (T,) integers;  chosen (T,) bool
    sentinels  ids to use, in order: one a span, and one more to close
    close      True: the target ends with a sentinel
    returns    source (T - chosen + spans,), target (chosen + spans + close,)
    raises     ConfigError if there are too few sentinels
    """
    ids, chosen = np.asarray(ids), np.asarray(chosen, bool)
    starts = chosen & ~np.concatenate([[False], chosen[:-1]])  # (T,): the first token of a span
    spans = int(starts.sum())
    if spans + close > len(sentinels):
        raise ConfigError(
            f"sentinel_spans: {spans} spans need {spans + close} sentinels, "
            f"there are {len(sentinels)}: make the spans longer or the vocabulary larger"
        )
    marks = np.asarray(sentinels, np.int64)[: spans + close]
    # Source: the mark of a span in place of its first token, and its other tokens left out.
    source = ids.astype(np.int64)
    source[starts] = marks[:spans]
    source = source[~chosen | starts]
    # Target: the chosen tokens, with the mark of a span in front of its first.
    target = np.insert(ids[chosen], np.flatnonzero(starts[chosen]), marks[:spans])
    return source, np.concatenate([target, marks[spans:]])


def reconstruct(source: np.ndarray, target: np.ndarray, sentinels: tuple[int, ...]) -> np.ndarray:
    """The text from the result of sentinel_spans: each sentinel of the source is replaced by the
    tokens that follow it in the target.

    raises   DataError if a sentinel of the source is not in the target
    """
    marks = set(map(int, sentinels))
    spans, span = {}, None  # sentinel -> its tokens; the span that is being read
    for token in map(int, target):
        if token in marks:
            span = spans[token] = []
        elif span is not None:
            span.append(token)
    text = []
    for token in map(int, source):
        if token not in marks:
            text.append(token)
        elif token in spans:
            text += spans[token]
        else:
            raise DataError(f"reconstruct: sentinel {token} of the source is not in the target")
    return np.array(text, np.int64)


SPANS = {"partition": partition_spans, "geometric": geometric_spans, "poisson": poisson_spans}


@dataclass(frozen=True)
class Sentinels:
    """T5's task for seq2seq.py.

    special  Special, with sentinels
    rate     share of the tokens that is masked
    mean     tokens in a span, on average (of geometric spans: see geometric_lengths)
    lengths  partition (T5) | geometric | poisson
    close    True: the target ends with a sentinel
    mode     an id in front of the source that names the task (UL2), or None
    """

    special: Special
    rate: float = 0.15
    mean: float = 3.0
    lengths: str = "partition"
    close: bool = True
    mode: int | None = None

    def __post_init__(self) -> None:
        if self.lengths not in SPANS:
            raise ConfigError(
                f"Sentinels: lengths = {self.lengths!r} is not one of {', '.join(SPANS)}"
            )

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        options = {"mean": self.mean}
        if self.lengths == "geometric":
            options = {"p": 1 / self.mean}  # the mean of a geometric length is 1 / p
        starts, lengths = SPANS[self.lengths](len(ids), self.rate, draws, **options)
        chosen = positions(starts, lengths, len(ids))
        source, target = sentinel_spans(ids, chosen, self.special.sentinels, self.close)
        if self.mode is not None:
            source = np.concatenate([[self.mode], source])
        return source, target
