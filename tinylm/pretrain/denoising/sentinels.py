"""Sentinel spans: every span becomes one mark, and the target says what each mark stood for   (T5;
book section 1.2.3.1)

    The puppies are [X] outside [Y] .   ->   [X] frolicking [Y] the house [Z]

Source and target together are little longer than the text, so that a step costs less than
reconstructing all of it. The target ends in one more sentinel. Read next: masked/spans.py for the
lengths and places; ul2.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.masked.spans import geometric_spans, partition_spans, poisson_spans, positions
from tinylm.pretrain.special import Special


def sentinel_spans(ids, chosen, sentinels, close=True):
    """Source and target of the chosen tokens; neighbors form one span.

    ids        (T,) integers;  chosen (T,) bool
    sentinels  ids to use, in order: one a span, and one more to close
    close      the target ends in a sentinel
    returns    source (T - chosen + spans,), target (chosen + spans + close,)
    raises     ConfigError if there are too few sentinels
    """
    ids, chosen = np.asarray(ids), np.asarray(chosen, bool)
    starts = chosen & ~np.concatenate([[False], chosen[:-1]])
    spans = int(starts.sum())
    if spans + close > len(sentinels):
        raise ConfigError(
            f"sentinel_spans: {spans} spans need {spans + close} sentinels, there are {len(sentinels)}: "
            "make the spans longer or the vocabulary larger"
        )
    marks = np.asarray(sentinels, np.int64)[: spans + close]
    at = np.cumsum(starts) - 1  # the number of the span up to here
    source = np.where(starts, marks[np.maximum(at, 0)] if spans else 0, ids)[~chosen | starts]
    target = np.insert(ids[chosen], np.flatnonzero(starts[chosen]), marks[:spans])
    return source, np.concatenate([target, marks[spans:]])


def reconstruct(source, target, sentinels):
    """The text that sentinel_spans was given: each sentinel of the source filled with what the
    target says about it.

    raises   DataError if the target says nothing about a sentinel of the source
    """
    marks = set(map(int, sentinels))
    said, open_mark = {}, None
    for token in map(int, target):
        if token in marks:
            open_mark = token
            said[token] = []
        elif open_mark is not None:
            said[open_mark].append(token)
    lost = [int(token) for token in source if int(token) in marks and int(token) not in said]
    if lost:
        raise DataError(f"reconstruct: the target says nothing about sentinel {lost[0]}")
    whole = [said[int(token)] if int(token) in marks else [int(token)] for token in source]
    return np.array([token for part in whole for token in part], np.int64)


SPANS = {"partition": partition_spans, "geometric": geometric_spans, "poisson": poisson_spans}


@dataclass(frozen=True)
class Sentinels:
    """T5's task for seq2seq.py.

    special  Special, with sentinels
    rate     share of the tokens that is masked
    mean     tokens in a span, on average (of geometric spans: see geometric_lengths)
    lengths  partition (T5) | geometric | poisson
    close    the target ends in a sentinel
    mode     an id in front of the source that says which task this is (UL2), or None
    """

    special: Special
    rate: float = 0.15
    mean: float = 3.0
    lengths: str = "partition"
    close: bool = True
    mode: int | None = None

    def __post_init__(self):
        if self.lengths not in SPANS:
            raise ConfigError(
                f"Sentinels: lengths = {self.lengths!r} is not one of {', '.join(SPANS)}"
            )

    def __call__(self, ids, draws):
        more = {"p": 1 / self.mean} if self.lengths == "geometric" else {"mean": self.mean}
        starts, lengths = SPANS[self.lengths](len(ids), self.rate, draws, **more)
        source, target = sentinel_spans(
            ids, positions(starts, lengths, len(ids)), self.special.sentinels, self.close
        )
        return (source if self.mode is None else np.concatenate([[self.mode], source])), target
