"""The span boundary objective: predict a masked span from the two tokens beside it   (SpanBERT)

    L = sum over masked i of [ -log Pr(x_i | h_i)  -  log Pr(x_i | h_{s-1}, h_{e+1}, p_{i-s+1}) ]

for a span s .. e: h_{s-1} and h_{e+1} are the states beside it, and p_j is the embedding of its
j-th place, counted from 1 here and from 0 in the code. The two states must describe the whole span
(Joshi et al. 2020; D2L 11.9).
Read next: spans.py; models/encoder/heads.py (SpanBoundaryHead).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.spans import GeometricSpans
from tinylm.pretrain.special import Special


@dataclass(frozen=True)
class SpanBatch(TokenBatch):
    """A TokenBatch and the spans of its masked tokens.

    before, after  (B, T) integers: for a masked token, the positions of the last token before its
                   span and of the first one after it
    place          (B, T) integers: its place in the span, from 0
    """

    before: np.ndarray = None
    after: np.ndarray = None
    place: np.ndarray = None


def boundaries(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions around every chosen token's run of chosen ones, clipped to the row.

    chosen   (B, T) bool
    returns  before, after, place, (B, T) integers each; of no meaning where nothing is chosen
    """
    T = chosen.shape[1]
    at = np.arange(T)
    # The last position so far that is not chosen, -1 if none; from the right the same with T.
    before = np.maximum.accumulate(np.where(chosen, -1, at), axis=1)
    after = np.minimum.accumulate(np.where(chosen, T, at)[:, ::-1], axis=1)[:, ::-1]
    place = np.maximum(at - before - 1, 0)  # 0 for the first of a run
    return np.clip(before, 0, T - 1), np.clip(after, 0, T - 1), place


@dataclass(frozen=True)
class SpanBoundaryLM:
    """SpanBERT's loss: masked LM on spans, and the boundary objective.

    masked   MaskedLM whose choose is GeometricSpans(); spans that touch form one run, which may be
             longer than its longest span
    longest  places that the head has embeddings of; tokens further inside a run get the last
    """

    masked: MaskedLM
    longest: int = 10

    def make_batch(self, sequences: np.ndarray, rng: Random) -> SpanBatch:
        """sequences (B, T) -> SpanBatch."""
        batch = self.masked.make_batch(sequences, rng)
        before, after, place = boundaries(batch.targets != IGNORE)
        return SpanBatch(
            batch.inputs,
            batch.targets,
            batch.mask,
            before=before,
            after=after,
            place=np.minimum(place, self.longest - 1),
        )

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over masked tokens of the sum of both.

        model    with hidden(), logits(), tokens.weight (V, D), and boundary, a SpanBoundaryHead
        """
        h = model.hidden(batch.inputs, **batch.options)  # (B, T, D)
        masked = cross_entropy(model.logits(h), batch.targets)
        table = model.tokens.weight  # the output layer of the head, too: (V, D)
        logits = model.boundary(h, batch.before, batch.after, batch.place, table)  # (B, T, V)
        boundary = cross_entropy(logits, batch.targets)
        loss = masked + boundary
        return loss, {
            "tokens": int(np.count_nonzero(batch.targets != IGNORE)),
            "loss": float(loss.item()),
            "masked": float(masked.item()),
            "boundary": float(boundary.item()),
        }


def spanbert(special: Special, rate: float = 0.15) -> SpanBoundaryLM:
    """The objective with the settings of the paper."""
    return SpanBoundaryLM(MaskedLM(special, rate, choose=GeometricSpans()))
