"""Fill in the middle: a decoder reads the end of a text before it writes the middle.

Bavarian et al. 2022. The text is cut in three at random and put together again in another order:

    PSM   [PRE] prefix [SUF] suffix [MID] middle </s>
    SPM   [PRE] [SUF] suffix [MID] prefix middle </s>

The model and the loss are those of causal language modeling. Read next: causal.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.pretrain.batch import Batch, as_rows
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.special import Special


def fill_in_middle(
    ids: np.ndarray, first: int, second: int, special: Special, suffix_first: bool = False
) -> np.ndarray:
    """The text with its middle last.

    ids            (T,) integers;  middle = ids[first:second]
    suffix_first   SPM instead of PSM
    returns        (T + 3,), or (T + 4,) if special has end
    """
    prefix, middle, suffix = ids[:first], ids[first:second], ids[second:]
    pre, suf, mid = [special.prefix], [special.suffix], [special.middle]
    last = []
    if special.end is not None:
        last = [special.end]
    if suffix_first:
        parts = [pre, suf, suffix, mid, prefix, middle, last]
    else:
        parts = [pre, prefix, suf, suffix, mid, middle, last]
    return np.concatenate(parts).astype(np.int64)


def restore(ids: np.ndarray, prefix_length: int | None, special: Special) -> np.ndarray:
    """The text from the result of fill_in_middle: its inverse.

    prefix_length   tokens of the prefix: in SPM nothing marks its end
    raises          DataError if the marks are not there
    """
    ids = np.asarray(ids)
    marks = special.prefix, special.suffix, special.middle
    places = [np.flatnonzero(ids == mark) for mark in marks]
    if any(len(found) != 1 for found in places):
        raise DataError("restore: the text does not have [PRE], [SUF] and [MID] once each")
    pre, suf, mid = (int(found[0]) for found in places)
    if special.end is not None and ids[-1] == special.end:
        ids = ids[:-1]
    before, suffix, after = ids[pre + 1 : suf], ids[suf + 1 : mid], ids[mid + 1 :]
    if len(before):  # PSM: after [MID] stands the middle alone
        return np.concatenate([before, after, suffix])
    # SPM, or an empty prefix: after [MID] stand prefix and middle
    return np.concatenate([after[:prefix_length], after[prefix_length:], suffix])


@dataclass(frozen=True)
class FillInMiddle:
    """Causal language modeling on texts of which a share has its middle last. Rows keep their
    length.

    special       Special, with prefix, suffix and middle
    rate          share of the rows that is reordered; the paper finds that 0.5 to 0.9 cost nothing
                  in ordinary language modeling
    suffix_first  share of these in SPM order
    """

    special: Special
    rate: float = 0.9
    suffix_first: float = 0.5

    def __post_init__(self) -> None:
        self.special.need("FillInMiddle", "prefix", "suffix", "middle")
        if not (0 <= self.rate <= 1 and 0 <= self.suffix_first <= 1):
            raise ConfigError(
                f"FillInMiddle: rate {self.rate} and suffix_first {self.suffix_first} "
                "must be from 0 to 1"
            )

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Batch:
        """sequences (B, T + 1) -> Batch (B, T).

        Marks take the place of the last tokens of a row that is reordered.
        """
        sequences = as_rows(sequences, "FillInMiddle.make_batch", shortest=2).copy()
        B, width = sequences.shape
        room = width - 3  # [PRE], [SUF], [MID]
        if self.special.end is not None:
            room -= 1
        if room < 1:
            raise ShapeError(
                f"FillInMiddle.make_batch: rows of {width} tokens have no room for the marks: "
                "make them longer"
            )
        draws = rng.uniform((B, 4), np.float64)  # reordered?, in which order?, two cuts
        for row in np.flatnonzero(draws[:, 0] < self.rate):
            # 0 <= first <= second <= room: any of the three parts may be empty
            first, second = sorted(int(u * (room + 1)) for u in draws[row, 2:])
            sequences[row] = fill_in_middle(
                sequences[row, :room],
                first,
                second,
                self.special,
                draws[row, 1] < self.suffix_first,
            )
        return CausalLM(ignore=self.special.pad).make_batch(sequences)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As CausalLM's."""
        return CausalLM().loss(model, batch)
