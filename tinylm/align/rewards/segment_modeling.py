"""Training of rewards of segments   (book eqs. 4.67, 4.70, 4.71; section 4.4.1.3).

    regression   sum over k of (s(segment k) - r(x, y, segment k))^2
    hinge        max(0, 1 - r(x, y, segment k) l_k),  l_k = +1 or -1

The model is a ValueModel (reward_model.py), whose number at the last token of a segment is the
segment's reward. Read first: marked.py. Read next: process_model.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.rewards.marked import MarkedBatch, MarkedText, marked_batch
from tinylm.align.rewards.pointwise import pointwise_loss
from tinylm.autograd import Tensor

if TYPE_CHECKING:
    from tinylm.align.rewards.reward_model import ValueModel


@dataclass(frozen=True)
class SegmentModeling:
    """The task for finetune.fit with a ValueModel; an example is a MarkedText.

    criterion   pointwise_loss, for labels that are scores such as prefix_differences; hinge_loss,
                for labels +1 and -1
    """

    criterion: Callable = pointwise_loss

    def make_batch(
        self, examples: Sequence[MarkedText], rng: np.random.Generator | None = None
    ) -> MarkedBatch:
        """list of MarkedText -> MarkedBatch with targets of floats."""
        return marked_batch(examples, np.float64)

    def loss(self, model: "ValueModel", batch: MarkedBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean over segments of the whole batch. returns (Tensor (), {"tokens", "loss"})"""
        values = model(batch.inputs, batch.mask)  # (B, T)
        loss = self.criterion(values, batch.targets, batch.counted)
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model: "ValueModel", batch: MarkedBatch) -> list[np.ndarray]:
        """The rewards of the segments of each text: list of (S,) arrays."""
        values = model(batch.inputs, batch.mask).numpy()
        return [row[held] for row, held in zip(values, batch.counted)]

    def measure(
        self, answers: Sequence[np.ndarray], examples: Sequence[MarkedText]
    ) -> dict[str, float]:
        """mse, and the share of segments whose label has the sign of their reward."""
        found = np.concatenate(answers)
        labels = np.concatenate([one.labels for one in examples])
        return {
            "mse": float(np.mean((found - labels) ** 2)),
            "sign": float(np.mean(np.sign(found) == np.sign(labels))),
        }
