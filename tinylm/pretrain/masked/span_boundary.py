"""The span boundary objective: say every token of a masked span from what stands just outside it
(SpanBERT)

    L = sum over masked i of [ -log Pr(x_i | h_i)  -  log Pr(x_i | h_{s-1}, h_{e+1}, p_{i-s+1}) ]

so that the two tokens around a span come to know what is in it (Joshi et al. 2020; D2L 11.9).
Read next: spans.py; models/encoder/heads.py (SpanBoundaryHead).
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import cross_entropy
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.spans import GeometricSpans


@dataclass(frozen=True)
class SpanBatch(TokenBatch):
    """A TokenBatch that knows its spans.

    before, after  (B, T) integers: for a masked token, where the last token before and the first
                   after its span are
    place          (B, T) integers: its place in the span, from 0
    """

    before: np.ndarray = None
    after: np.ndarray = None
    place: np.ndarray = None


def boundaries(chosen):
    """What stands around every chosen token's run of chosen ones, cut off at the ends of the row.

    chosen   (B, T) bool
    returns  before, after, place, (B, T) integers each; of no meaning where nothing is chosen
    """
    T = chosen.shape[1]
    at = np.arange(T)
    before = np.maximum.accumulate(np.where(chosen, -1, at), axis=1)  # the last that is not chosen
    after = np.minimum.accumulate(np.where(chosen, T, at)[:, ::-1], axis=1)[:, ::-1]
    place = np.maximum(at - before - 1, 0)
    return np.clip(before, 0, T - 1), np.clip(after, 0, T - 1), place


@dataclass(frozen=True)
class SpanBoundaryLM:
    """SpanBERT's loss: masked LM on spans, and the boundary objective.

    masked   MaskedLM whose choose is GeometricSpans(); runs that touch may be longer than its
             longest span
    longest  places the head knows: tokens further inside a run are told the last of them
    """

    masked: MaskedLM
    longest: int = 10

    def make_batch(self, sequences, rng):
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

    def loss(self, model, batch):
        """Mean over masked tokens of the sum of both. The model has hidden(), logits(),
        tokens.weight (V, D), and boundary, a SpanBoundaryHead.
        """
        h = model.hidden(batch.inputs, **batch.options)  # (B, T, D)
        masked = cross_entropy(model.logits(h), batch.targets)
        said = model.boundary(
            h, batch.before, batch.after, batch.place, model.tokens.weight
        )  # (B, T, V)
        boundary = cross_entropy(said, batch.targets)
        loss = masked + boundary
        return loss, {
            "tokens": int(np.count_nonzero(batch.targets != IGNORE)),
            "loss": float(loss.item()),
            "masked": float(masked.item()),
            "boundary": float(boundary.item()),
        }


def spanbert(special, rate=0.15):
    """The objective with the settings of the paper."""
    return SpanBoundaryLM(MaskedLM(special, rate, choose=GeometricSpans()))
