"""A linear probe: only the last layer is trained, on a frozen encoder   (book section 1.1.2.1)

    Pr(class | text) = softmax(v W + b),    v = pool(BERT_theta(text)), theta frozen

A frozen encoder gives the same vector for a text every time, so its vectors are computed once and
the probe is a logistic regression on them: the same result as training the layer in place, but the
encoder does not run in every step. Any classifier may take the layer's place, deep or traditional.
Read next: classify.py, heads.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import DType, Random, to_cpu
from tinylm.finetune import metrics
from tinylm.nn import Linear, Module, evaluating
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.score import score


def features(model: Module, task: Any, examples: Sequence, batch_size: int = 64) -> np.ndarray:
    """The pooled vectors of texts by a heads.Classifier, dropout off: (n, D) array."""
    found = []
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            rng = Random(0, "features", start)
            batch = task.make_batch(examples[start : start + batch_size], rng)
            batch = batch.to(model.out.weight.device)
            # the pooled vector before dropout and the head: (B, T) -> (B, D)
            found.append(to_cpu(model.features(batch.inputs, **batch.options).data))
    return np.concatenate(found)


class Probe(Module):
    """A linear layer on vectors: logistic regression.

    width    D;  classes their number
    head     Linear to be used as the layer, not copied; None: a new one
    """

    def __init__(
        self,
        width: int,
        classes: int,
        head: Linear | None = None,
        seed: int = 0,
        dtype: DType = np.float32,
    ) -> None:
        self.out = head
        if head is None:
            self.out = Linear(width, classes, Random(seed, "head"), dtype=dtype)

    def __call__(self, x: np.ndarray) -> Tensor:
        return self.out(x)  # (B, D) -> (B, classes)


@dataclass(frozen=True)
class VectorClassification:
    """The task of a Probe; an example is (vector (D,), label), labels integers from 0."""

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """-> Batch with inputs (B, D), targets (B,)."""
        labels = np.array([label for _, label in examples], np.int64)
        return Batch(np.stack([x for x, _ in examples]), labels)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean of -log Pr(label | vector)."""
        return score(model(batch.inputs), batch.targets)

    def predict(self, model: Module, batch: Any) -> list:
        """The most probable label of each row."""
        return model(batch.inputs).numpy().argmax(axis=-1).tolist()

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """The share of right answers: {"accuracy": float}."""
        return {"accuracy": metrics.accuracy(answers, [label for _, label in examples])}
