"""The process reward model: is each step right, given those before it?   (book section 4.4.4;
Uesato et al. 2022; Lightman et al. 2024).

    Pr(label | x, steps 1 .. k) = softmax(h W)      h the state of the last token of step k
    loss = mean over steps of -log Pr(label of step k | x, steps 1 .. k)

A step is judged at its end and after all earlier steps, so later ones do not change it. Labels are
correct and incorrect, and perhaps neutral: technically right, but of no use in the whole. A turn of
a dialogue can be a step, its label whether it fits what was said (marked_dialogue). TRL's
PRMTrainer trains the same model as a classifier of tokens. Read first: marked.py. Read next:
process_rewards.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.rewards.marked import MarkedBatch, MarkedText, marked_batch
from tinylm.autograd import Tensor, softmax
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError
from tinylm.finetune.metrics import accuracy
from tinylm.finetune.tasks.heads import hidden_states, innermost
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import score

LABELS = ("correct", "incorrect", "neutral")  # Lightman et al. 2024; the first two alone are enough


class ProcessRewardModel(Module):
    """A decoder with a softmax layer that labels the steps of a solution.

    decoder  GPT, or one behind a prompt or adapters; not copied
    labels   names of the classes; "correct" is one of them
    seed     of the new layer's weights
    """

    def __init__(self, decoder: GPT, labels: tuple[str, ...] = LABELS[:2], seed: int = 0) -> None:
        if "correct" not in labels or len(set(labels)) != len(labels):
            raise DataError(
                f"ProcessRewardModel: labels {labels} must be different, one of them 'correct'"
            )
        model = innermost(decoder)
        self.decoder, self.labels = decoder, tuple(labels)
        weight = model.tokens.weight
        rng = Random(seed, "process head")
        self.out = Linear(model.config.d_model, len(labels), rng, dtype=weight.dtype)
        self.out.to(weight.device)

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """Logits of the labels at every token: (B, T) integers, padded at the right -> (B, T, C).

        Those at the last token of a step are that step's.
        """
        return self.out(hidden_states(self.decoder, ids, mask))


@dataclass(frozen=True)
class ProcessModeling:
    """The task for finetune.fit with a ProcessRewardModel; an example is a MarkedText, its labels
    names.

    labels   of the model
    """

    labels: tuple = LABELS[:2]

    def make_batch(self, examples: Sequence[MarkedText], rng: Random | None = None) -> MarkedBatch:
        """list of MarkedText -> MarkedBatch. DataError for a label that there is not."""
        numbered = []
        for one in examples:
            unknown = [name for name in one.labels if name not in self.labels]
            if unknown:
                raise DataError(
                    f"ProcessModeling: the label {str(unknown[0])!r} is not one of "
                    f"{', '.join(self.labels)}"
                )
            classes = np.array([self.labels.index(name) for name in one.labels])
            numbered.append(type(one)(one.ids, one.ends, classes))
        return marked_batch(numbered, np.int64)

    def loss(
        self, model: ProcessRewardModel, batch: MarkedBatch
    ) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy over the steps of the whole batch; other positions do not count."""
        return score(model(batch.inputs, batch.mask), batch.targets)

    def predict(self, model: ProcessRewardModel, batch: MarkedBatch) -> list[np.ndarray]:
        """Pr(label | x, steps 1 .. k) of the steps of each text: list of (S, C) arrays."""
        found = softmax(model(batch.inputs, batch.mask), axis=-1).numpy()  # (B, T, C)
        held = to_cpu(batch.targets) != IGNORE
        return [row[at] for row, at in zip(found, held)]

    def measure(
        self, answers: Sequence[np.ndarray], examples: Sequence[MarkedText]
    ) -> dict[str, float]:
        """accuracy: the share of steps whose most probable label is theirs."""
        found = [self.labels[c] for row in answers for c in row.argmax(axis=-1)]
        return {"accuracy": accuracy(found, [name for one in examples for name in one.labels])}
