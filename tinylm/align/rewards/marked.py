"""Texts with a label at the end of each part: of a segment, of a step of a solution, of a turn.

    ids     x x x a a a b b c c c c           prompt, then three parts
    ends              6   8       12          the index after the last token of each part
    labels            l_1 l_2     l_3

A model judges part k at its last token, position ends[k] - 1, where it has read the prompt and the
parts up to k and none after it. Labels stand at the position that is judged: nothing is shifted by
one, unlike the targets of language modeling. Read next: segment_modeling.py; process_model.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.backend import ArrayLike, DType
from tinylm.errors import DataError
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows

if TYPE_CHECKING:
    from tinylm.finetune.instruct.conversations import Encoded


@dataclass(frozen=True)
class MarkedText:
    """A prompt with a response in parts.

    ids     (n,) int64;  ends (S,) integers, rising;  labels (S,), a class or a number each
    """

    ids: np.ndarray
    ends: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        ends = np.asarray(self.ends)
        if len(ends) != len(self.labels):
            raise DataError(f"MarkedText: {len(self.labels)} labels for {len(ends)} parts")
        if not len(ends) or (np.diff(ends, prepend=0) <= 0).any() or ends[-1] > len(self.ids):
            raise DataError(
                f"MarkedText: parts end at {ends.tolist()}, and must end one after the other, "
                f"within {len(self.ids)} tokens; there must be one part at least"
            )


def marked_text(prompt: ArrayLike, parts: Sequence, labels: Sequence) -> MarkedText:
    """A MarkedText from ids.

    prompt   ids of x
    parts    list of ids: steps, segments, or turns of a dialogue (their last token is judged)
    labels   one for each part
    """
    lengths = [len(prompt), *map(len, parts)]
    ends = np.cumsum(lengths)[1:]
    ids = np.concatenate([np.asarray(part, np.int64) for part in (prompt, *parts)])
    return MarkedText(ids, ends, np.asarray(labels))


def marked_dialogue(encoded: "Encoded", labels: Sequence[str]) -> MarkedText:
    """A MarkedText of a dialogue, with a label for each answer: does this turn fit all before it?

    A part is an answer and the turn of the user that led to it; the first of these is the prompt.

    encoded  Encoded of encode_conversation(), every answer counted
    labels   one for each answer, in order
    raises   DataError if there are not as many labels as answers, or no answer
    """
    answer = np.asarray(encoded.answer)
    ends = np.flatnonzero(answer & ~np.append(answer[1:], False)) + 1  # after each run of True
    return MarkedText(np.asarray(encoded.ids), ends, np.asarray(labels))


@dataclass(frozen=True)
class MarkedBatch(Batch):
    """Rows of marked texts, padded at the right.

    targets  (B, T): the label of a part at its last token; elsewhere IGNORE
    counted  (B, T) bool, True at the last token of a part
    mask     (B, T) bool, True for tokens
    """

    counted: np.ndarray = None
    mask: np.ndarray = None

    @property
    def tokens(self) -> int:
        """The number of parts: the loss is a mean over them."""
        return int(np.count_nonzero(self.counted))


def marked_batch(examples: Sequence[MarkedText], dtype: DType) -> MarkedBatch:
    """list of MarkedText -> MarkedBatch, with targets of a dtype: integer classes, or numbers."""
    ids, mask = pad_rows([one.ids for one in examples], 0)  # (B, T) twice
    targets, counted = np.full(ids.shape, IGNORE, dtype), np.zeros(ids.shape, bool)
    for row, one in enumerate(examples):
        targets[row, np.asarray(one.ends) - 1] = one.labels
        counted[row, np.asarray(one.ends) - 1] = True
    return MarkedBatch(ids, targets, counted, mask)
