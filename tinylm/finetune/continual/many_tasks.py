"""One encoder with a head for each of several tasks, to measure forgetting on   (book section 1.4)

    loss of a row = -log Pr(label) + alpha mean over classes of (z - z_former)^2

An example carries the number of its task, so examples of several tasks make one batch: rehearsal
and replay are nothing but longer lists of examples. An example may also carry the logits z_former
of an earlier model; then the model is trained to reproduce them beside the label (DER++, Buzzega et
al. 2020; CLEAR does so with policies, Rolnick et al. 2019). Read next: rehearsal.py, forgetting.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, dropout, no_grad, where
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune import metrics
from tinylm.finetune.freezing import freeze, unfreeze
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier, innermost
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn import Module, evaluating
from tinylm.pretrain.batch import IGNORE, TokenBatch


@dataclass(frozen=True)
class Item:
    """An example of one of several tasks.

    task           number of the task
    text, label    as the task takes them; label None: only the former logits count
    former_logits  (C,) logits of an earlier model, to be reproduced; None: none
    """

    task: int
    text: object
    label: object
    former_logits: np.ndarray | None = None


def items(task: Any, examples: Sequence) -> list[Item]:
    """Examples (text, label) of a task as Items."""
    return [Item(task, text, label) for text, label in examples]


@dataclass(frozen=True)
class ManyBatch(TokenBatch):
    """A TokenBatch with targets (B,) and rows of different tasks.

    which          (B,) integers, the task of each row
    former_logits  (B, C) logits to be reproduced, NaN where there are none; None if no row has any
    """

    which: np.ndarray = None
    former_logits: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """The number of rows that count: those with a label or with logits to be reproduced."""
        counts = self.targets != IGNORE
        if self.former_logits is not None:
            counts = counts | ~np.isnan(self.former_logits).all(axis=1)
        return int(np.count_nonzero(counts))


class ManyHeads(Module):
    """One encoder with a Classifier for every task.

    encoder     as of a Classifier, not copied
    classes     one number for every task
    pool, seed  as of a Classifier
    """

    def __init__(
        self, encoder: Encoder, classes: tuple[int, ...], pool: str | None = None, seed: int = 0
    ) -> None:
        self.encoder, self.rng = encoder, innermost(encoder).rng
        self.classifiers = [Classifier(encoder, n, pool, seed + i) for i, n in enumerate(classes)]

    def __call__(
        self, inputs: np.ndarray, which: np.ndarray, **options: Any
    ) -> list[tuple[int, np.ndarray, Tensor]]:
        """Logits by task: a list of (task, its rows (n,), logits (n, classes)).

        inputs  (B, T) integers;  which  (B,) integers, the task of each row
        """
        # the encoder and the pooling are the same for all tasks: one pass for the whole batch
        x = self.classifiers[0].features(inputs, **options)  # (B, T) -> (B, D)
        if self.training:
            x = dropout(x, self.encoder.config.dropout, self.rng)
        found = []
        for k, classifier in enumerate(self.classifiers):
            rows = np.flatnonzero(which == k)
            if len(rows):
                found.append((k, rows, classifier.out(x[rows])))  # (n, D) -> (n, classes)
        return found


def use_heads(model: Module, tasks: Sequence[int]) -> Module:
    """Train the heads of these tasks and freeze all others.

    Weight decay would shrink a head that has no gradient.

    model    ManyHeads;  tasks  numbers
    returns  the model
    """
    for k, classifier in enumerate(model.classifiers):
        if k in tasks:
            unfreeze(classifier.out)
        else:
            freeze(classifier.out)
    return model


@dataclass(frozen=True)
class ManyTasks:
    """Mean cross-entropy over rows of any of several tasks, for ManyHeads; its examples are Items.

    tasks    Classifications that read their texts in the same way
    imitate  weight alpha of the mean squared difference from former logits; 0: they are ignored
    """

    tasks: tuple
    imitate: float = 0.0

    def __post_init__(self) -> None:
        if not self.tasks or any(task.inputs != self.tasks[0].inputs for task in self.tasks):
            raise ConfigError(
                f"ManyTasks: {len(self.tasks)} tasks: there must be one at least, "
                "and one EncoderInput for all"
            )

    @classmethod
    def of(cls, inputs: EncoderInput, n: int, imitate: float = 0.0) -> "ManyTasks":
        """n tasks whose labels are integers. inputs: EncoderInput."""
        return cls((Classification(inputs),) * n, imitate)

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """list of Items -> ManyBatch."""
        ids, fields = self.tasks[0].inputs.rows([x.text for x in examples])
        labels = [self.tasks[x.task].label(x.label) for x in examples]
        targets = np.array(labels, np.int64)
        which = np.array([x.task for x in examples], np.int64)
        former = None
        if self.imitate:
            former = _padded_logits([x.former_logits for x in examples])
        return ManyBatch(ids, targets, **fields, which=which, former_logits=former)

    def loss(self, model: Module, batch: Any) -> tuple:
        """Mean over rows of -log Pr(label) + imitate * mean squared error to the former logits.

        A row without label or without former logits lacks that term   (DER++; Buzzega et al. 2020)
        """
        loss, n = 0.0, max(batch.tokens, 1)
        for _, rows, logits in model(batch.inputs, batch.which, **batch.options):
            # sums over the batch's n rows that count, task by task: together the mean over rows
            label_losses = cross_entropy(logits, batch.targets[rows], reduction="none")  # (rows,)
            loss = loss + (label_losses / n).sum()
            if self.imitate and batch.former_logits is not None:
                errors = _squared_errors(logits, batch.former_logits[rows])
                loss = loss + self.imitate * (errors / n).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model: Module, batch: Any) -> list:
        """The most probable label of each row."""
        answers = [None] * len(batch)
        for k, rows, logits in model(batch.inputs, batch.which, **batch.options):
            best = logits.numpy().argmax(axis=-1).tolist()
            names = self.tasks[k].classes
            if names is not None:
                best = [names[label] for label in best]
            for row, answer in zip(rows.tolist(), best):
                answers[row] = answer
        return answers

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """The share of right answers: {"accuracy": float}."""
        return {"accuracy": metrics.accuracy(answers, [x.label for x in examples])}


def _padded_logits(rows):
    """Logits of different lengths, or None, as (B, C) filled up with NaN; None if all are None."""
    given = [np.asarray(row) for row in rows if row is not None]
    if not given:
        return None
    dtype = np.result_type(np.float32, *given)
    padded = np.full((len(rows), max(map(len, given))), np.nan, dtype)
    for to, row in zip(padded, rows):
        if row is not None:
            to[: len(row)] = row
    return padded


def _squared_errors(logits, former):
    """Mean over a row's classes of (logits - former)^2: (n, C), (n, C') with NaN -> (n,)."""
    C = min(logits.shape[1], former.shape[1])  # other tasks in the batch may have fewer classes
    former = former[:, :C].astype(logits.dtype)
    given = ~np.isnan(former)
    # NaN is replaced first, so that no operation computes one
    error = where(given, logits[:, :C] - np.where(given, former, 0), 0.0)
    return mean_where(error * error, given, axis=1)


def with_logits(model: Module, task: Any, examples: Sequence, batch_size: int = 64) -> list[Item]:
    """The Items with the model's present logits as former logits, for imitation later.

    model  ManyHeads;  task  ManyTasks;  returns list of Items
    """
    found = []
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            part = examples[start : start + batch_size]
            batch = task.make_batch(part).to(model.encoder.tokens.weight.device)
            logits = [None] * len(part)  # rows come back task by task, not in order
            for _, rows, z in model(batch.inputs, batch.which, **batch.options):
                for row, values in zip(rows.tolist(), np.array(z.numpy())):
                    logits[row] = values
            found += [replace(x, former_logits=z) for x, z in zip(part, logits)]
    return found
