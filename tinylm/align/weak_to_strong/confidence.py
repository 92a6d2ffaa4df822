"""The confidence loss: a strong model that may disagree with its weak teacher   (book section
4.2.5; Burns et al. 2023, section 4.3.2 and appendix A.4).

    Loss = (1 - a) CE(w(x), f(x)) + a CE(f^(x), f(x))      f^(x) = [f(x) > t], a constant

w are the weak labels, f the probability that the strong model gives to class 1. Fitting every weak
label would mean to learn the errors too; the second term makes the strong model surer of what it
predicts already. The threshold t is such that in a batch f^ has class 1 as often as the weak
labels, or the easiest way to be sure would be one class for all. The weight a rises from 0, since
at first there is nothing to be sure of. Read next: distillation.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, log_softmax, softmax
from tinylm.autograd.engine.tensor import array_of
from tinylm.backend import ArrayLike, Random, device_of, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.pretrain.batch import TokenBatch
from tinylm.train.alone import ALONE, Alone
from tinylm.train.step import Step
from tinylm.train.whole_batch import of_all_rows


def threshold_of(probability: ArrayLike, share: float) -> float:
    """t: what is above it is of class 1. The quantile 1 - share of the probabilities   (float)

    probability  (B,) of class 1, of the whole batch
    share        0 to 1, of inputs that are to be of class 1
    """
    return float(np.quantile(np.asarray(probability), 1 - share))


def hardened(probability: ArrayLike, share: float) -> np.ndarray:
    """Which inputs are of class 1, for a given share of them: (B,) -> (B,) bool; arguments of
    threshold_of().
    """
    return np.asarray(probability) > threshold_of(probability, share)


def confidence_loss(
    strong: Tensor, weak: np.ndarray, weight: float, threshold: float | None = None
) -> Tensor:
    """Cross-entropy of weak labels and of the strong model's own answers, a mean over inputs.

    strong   (B, 2) Tensor of logits
    weak     (B, 2) probabilities of the weak model, or its labels as zeros and ones; no gradient
    weight   a, 0 to 1: 0 is fine-tuning on weak labels
    threshold  t, where the rows at hand are a part of a batch; None: that of these rows
    returns  Tensor (), minimized
    raises   ShapeError for more classes; ConfigError for another weight

    Both parts are cross-entropies with constants, so they are one, with the mean of the constants
    as its target; OpenAI's weak-to-strong has it that way. Check: tinylm gradcheck
    align.confidence_loss
    """
    weak = np.asarray(to_cpu(array_of(weak)), strong.dtype)
    if strong.ndim != 2 or strong.shape != weak.shape or strong.shape[1] != 2:
        raise ShapeError(
            f"confidence_loss: logits {strong.shape} and weak labels {weak.shape}: need (B, 2) "
            "twice; a threshold has two sides"
        )
    if not 0 <= weight <= 1:
        raise ConfigError(f"confidence_loss: a weight of {weight}; needs 0 to 1")
    sure = sure_of(strong)
    own = hardened(sure, weak[:, 1].mean())
    if threshold is not None:
        own = sure > threshold
    own = np.stack([~own, own], axis=1)  # (B,) -> (B, 2)
    target = ((1 - weight) * weak + weight * own).astype(strong.dtype)
    target = to_device(target, device_of(strong.data))
    return -(log_softmax(strong) * target).sum(axis=1).mean()


def sure_of(strong: Tensor) -> np.ndarray:
    """The probability of class 1, without gradient: logits (B, 2) -> (B,) float64 on the CPU."""
    return to_cpu(array_of(softmax(strong.detach())))[:, 1].astype(np.float64)


def rising(weight: float, steps: int) -> Callable:
    """The weight at each step: from 0 in a straight line to `weight` at `steps`, then constant.

    returns  function step -> float
    raises   ConfigError for a weight that is not from 0 to 1, or no steps
    """
    if not 0 <= weight <= 1 or steps < 1:
        raise ConfigError(f"rising: to {weight} over {steps} steps; needs 0 to 1, and a step")

    def at(step):
        return weight * min(1.0, step / steps)

    return at


@dataclass(frozen=True)
class ConfidentBatch(TokenBatch):
    """A TokenBatch with the threshold of the whole batch in every row (B,), or None."""

    threshold: np.ndarray | None = None


class ConfidentTask:
    """Classification by weak labels with the confidence loss, for finetune.fit.

    task    finetune.tasks.Classification, of two classes
    weight  function: steps done -> a, such as rising()

    Give its after_step to fit(), which counts the steps. The threshold is that of the whole batch,
    however it is cut into micro-batches.
    """

    def __init__(self, task: Classification, weight: Callable) -> None:
        self.task, self.weight, self.done = task, weight, 0

    def make_batch(
        self, examples: Sequence[tuple[list[int], int]], rng: Random | None = None
    ) -> ConfidentBatch:
        """list of (text, weak label) -> ConfidentBatch."""
        return ConfidentBatch(**vars(self.task.make_batch(examples, rng)))

    def whole_batch(
        self, model: Classifier, parts: Iterator, comm: Alone = ALONE
    ) -> dict[str, float]:
        """{"threshold": t} of a batch in parts."""

        def measure(part):
            sure = sure_of(model(part.inputs, **part.options))
            return np.stack([sure, to_cpu(array_of(part.targets))], axis=1)  # (b, 2)

        sure, weak = of_all_rows(measure, parts, comm).T  # (N,) twice
        return {"threshold": threshold_of(sure, weak.mean())}

    def loss(self, model: Classifier, batch: ConfidentBatch) -> tuple[Tensor, dict[str, float]]:
        """confidence_loss(), and what is reported of it."""
        logits = model(batch.inputs, **batch.options)  # (B, 2)
        weak = np.eye(2)[to_cpu(array_of(batch.targets))]  # (B,) -> (B, 2)
        threshold = None
        if batch.threshold is not None:
            threshold = float(batch.threshold[0])
        loss = confidence_loss(logits, weak, self.weight(self.done), threshold)
        return loss, {"tokens": len(weak), "loss": float(loss.item())}

    def after_step(self, step: Step | None, seconds: float) -> None:
        """Count a step."""
        self.done += 1
