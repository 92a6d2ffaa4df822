"""Tasks with one answer for a text or a pair of texts: a class, a number, a choice   (book sections
1.4.1-1.4.3).

An example is (text, label), the text a str, a sequence of ids, or a tuple of two of these.
Grammaticality and sentiment are classes of one text; equivalence and entailment classes of a pair;
similarity is a number; which ending a story has (SWAG) is a choice: every pair of context and
ending gets a score, and softmax goes over the endings. Read next: probe.py, the head alone;
tagging.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, stack
from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.finetune import metrics
from tinylm.finetune.inputs import EncoderInput
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.score import score, score_rows


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of the class   (book eqs. 1.4, 1.22). For a heads.Classifier.

    inputs   EncoderInput
    classes  names of the classes, if labels are names; None: labels are integers from 0
    """

    inputs: EncoderInput
    classes: tuple | None = None

    def label(self, name: int | str | None) -> int:
        """The number of a class; IGNORE for None (no label). DataError for an unknown name."""
        if name is None:
            return IGNORE
        if self.classes is None:
            return int(name)
        if name not in self.classes:
            raise DataError(
                f"Classification: the label {name!r} is not one of "
                f"{', '.join(map(str, self.classes))}"
            )
        return self.classes.index(name)

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """examples: list of (text, label) -> TokenBatch with targets (B,)."""
        ids, fields = self.inputs.rows([text for text, _ in examples])  # (B, T)
        labels = [self.label(label) for _, label in examples]
        return TokenBatch(ids, np.array(labels, np.int64), **fields)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean of -log Pr(class | text)."""
        return score(model(batch.inputs, **batch.options), batch.targets)

    def predict(self, model: Callable, batch: Any) -> list:
        """The most probable class of each row: its name, or its number if classes have no names."""
        best = model(batch.inputs, **batch.options).numpy().argmax(axis=-1)  # (B, classes) -> (B,)
        if self.classes is None:
            return best.tolist()
        return [self.classes[i] for i in best]

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """accuracy, and Matthews correlation (mcc), since classes may differ in size."""
        gold = [label for _, label in examples]
        return {"accuracy": metrics.accuracy(answers, gold), "mcc": metrics.matthews(answers, gold)}


@dataclass(frozen=True)
class NumberBatch(TokenBatch):
    """A TokenBatch with float targets (B,), all of which count: no float means "no target"."""

    @property
    def tokens(self) -> int:
        """The number of targets."""
        return len(self)


@dataclass(frozen=True)
class Regression:
    """Mean squared error of a number, for a heads.Regressor.

    Labels lie between 0 and 1 if the regressor is bounded.
    """

    inputs: EncoderInput

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """examples: list of (text, number) -> NumberBatch with targets (B,) of floats."""
        ids, fields = self.inputs.rows([text for text, _ in examples])
        targets = np.array([y for _, y in examples], np.float64)  # None (no label) becomes nan
        return NumberBatch(ids, targets, **fields)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean of (score - number)^2."""
        scores = model(batch.inputs, **batch.options)  # (B,)
        error = scores - batch.targets.astype(scores.dtype)
        return score_rows((error * error).mean(), len(batch))

    def predict(self, model: Callable, batch: Any) -> list:
        """The score of each row: list of float."""
        return model(batch.inputs, **batch.options).numpy().tolist()

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """mse, and correlation by value (pearson) and by rank (spearman)."""
        gold = [y for _, y in examples]
        return {
            "mse": float(np.mean((np.array(answers) - gold) ** 2)),
            "pearson": metrics.pearson(answers, gold),
            "spearman": metrics.spearman(answers, gold),
        }


@dataclass(frozen=True)
class MultipleChoice:
    """Which of C continuations: Pr(c | context) = softmax over c of score(context, choice c)

    (Zellers et al. 2018; Devlin et al. 2019). For a heads.Classifier with one class. Examples are
    ((context, choices), index), all with the same number of choices.
    """

    inputs: EncoderInput

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """-> TokenBatch with inputs (B, C, T), targets (B,)."""
        counts = {len(choices) for (_, choices), _ in examples}
        if len(counts) != 1:
            raise DataError(
                f"MultipleChoice: examples with {sorted(counts)} choices in one batch: "
                "give all as many"
            )
        pairs = [(context, choice) for (context, choices), _ in examples for choice in choices]
        ids, fields = self.inputs.rows(pairs)  # (B C, T)
        shape = (len(examples), counts.pop(), -1)  # (B C, T) -> (B, C, T)
        for name, value in fields.items():
            if value is not None:
                fields[name] = value.reshape(shape)
        targets = np.array([IGNORE if label is None else label for _, label in examples], np.int64)
        return TokenBatch(ids.reshape(shape), targets, **fields)

    def scores(self, model: Module, batch: Any) -> Tensor:
        """The score of every choice of every row: (B, C) Tensor."""
        columns = []
        # Choice by choice and not as B C rows at once: dropout then draws by rows of the batch, so
        # that micro-batches and workers see the same masks.
        for c in range(batch.inputs.shape[1]):
            options = {name: value[:, c] for name, value in batch.options.items()}
            columns.append(model(batch.inputs[:, c], **options)[:, 0])  # (B, T) -> (B, 1) -> (B,)
        return stack(columns, axis=-1)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean of -log Pr(choice | context and all choices)."""
        return score(self.scores(model, batch), batch.targets)

    def predict(self, model: Callable, batch: Any) -> list:
        """The number of the best choice of each row."""
        return self.scores(model, batch).numpy().argmax(axis=-1).tolist()

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """The share of right answers: {"accuracy": float}."""
        return {"accuracy": metrics.accuracy(answers, [label for _, label in examples])}
