"""One encoder, several tasks, a head for each: what forgetting is measured on   (book section 1.4)

An example says which task it is of, so examples of several tasks make one batch: rehearsal and
replay are nothing but longer lists of examples. An example may also hold the logits that a former
model gave it; then the model is trained to say them again, beside the label (Buzzega et al. 2020:
DER++; CLEAR does so with policies, Rolnick et al. 2019). Read next: rehearsal.py, forgetting.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.autograd import cross_entropy, dropout, no_grad, where
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.errors import ConfigError
from tinylm.finetune import metrics
from tinylm.finetune.freezing import freeze, unfreeze
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier, innermost
from tinylm.nn import Module, evaluating
from tinylm.pretrain.batch import IGNORE, TokenBatch


@dataclass(frozen=True)
class Item:
    """An example of one of several tasks.

    task         its number;  text, label  as the task takes them; label None: only what was said counts
    said         (C,) logits of a former model, to be said again; None: nothing is
    """

    task: int
    text: object
    label: object
    said: np.ndarray | None = None


def items(task, examples):
    """Examples (text, label) of a task as Items."""
    return [Item(task, text, label) for text, label in examples]


@dataclass(frozen=True)
class ManyBatch(TokenBatch):
    """A TokenBatch with targets (B,) whose rows are of different tasks.

    which  (B,) integers, the task of each row
    said   (B, C) logits to be said again, NaN where there are none; None if no row has any
    """

    which: np.ndarray = None
    said: np.ndarray | None = None

    @property
    def tokens(self):
        """How many rows count: those with a label, and those with logits to be said again."""
        counts = self.targets != IGNORE
        if self.said is not None:
            counts = counts | ~np.isnan(self.said).all(axis=1)
        return int(np.count_nonzero(counts))


class ManyHeads(Module):
    """One encoder with a Classifier for every task.

    encoder  not copied;  classes  one number for every task;  pool, seed  as of a Classifier
    """

    def __init__(self, encoder, classes, pool=None, seed=0):
        self.encoder, self.rng = encoder, innermost(encoder).rng
        self.classifiers = [Classifier(encoder, n, pool, seed + i) for i, n in enumerate(classes)]

    def __call__(self, inputs, which, **options):
        """Logits by task: (B, T) integers, (B,) integers -> list of (task, its rows (n,), logits
        (n, classes)).
        """
        x = self.classifiers[0].features(inputs, **options)  # (B, T) -> (B, D)
        x = dropout(x, self.encoder.config.dropout if self.training else 0.0, self.rng)
        rows = [(k, np.flatnonzero(which == k)) for k in range(len(self.classifiers))]
        return [(k, at, self.classifiers[k].out(x[at])) for k, at in rows if len(at)]


def use_heads(model, tasks):
    """Train the heads of these tasks and freeze those of all others: weight decay shrinks even what
    gets no gradient.

    model    ManyHeads;  tasks  numbers.  Returns the model
    """
    for k, classifier in enumerate(model.classifiers):
        (unfreeze if k in tasks else freeze)(classifier.out)
    return model


@dataclass(frozen=True)
class ManyTasks:
    """Mean cross-entropy over rows of any of several tasks, for ManyHeads; its examples are Items.

    tasks    Classifications that read their texts in the same way
    imitate  weight of the mean squared difference from logits that were said before: alpha of
             DER++; 0: they are left out
    """

    tasks: tuple
    imitate: float = 0.0

    def __post_init__(self):
        if not self.tasks or any(task.inputs != self.tasks[0].inputs for task in self.tasks):
            raise ConfigError(
                f"ManyTasks: {len(self.tasks)} tasks: there must be one at least, and one EncoderInput for all"
            )

    @classmethod
    def of(cls, inputs, n, imitate=0.0):
        """n tasks whose labels are integers. inputs: EncoderInput."""
        return cls((Classification(inputs),) * n, imitate)

    def make_batch(self, examples, rng=None):
        """list of Items -> ManyBatch."""
        ids, fields = self.tasks[0].inputs.rows([x.text for x in examples])
        targets = np.array([self.tasks[x.task].label(x.label) for x in examples], np.int64)
        former = [np.asarray(x.said) for x in examples if x.said is not None and self.imitate]
        said = None
        if former:
            dtype = np.result_type(np.float32, *former)
            said = np.full((len(examples), max(map(len, former))), np.nan, dtype)
            for row, x in zip(said, examples):
                if x.said is not None:
                    row[: len(x.said)] = x.said
        return ManyBatch(
            ids, targets, **fields, which=np.array([x.task for x in examples], np.int64), said=said
        )

    def loss(self, model, batch):
        """Mean over the rows that count of -log Pr(label), where there is one, plus imitate * (the
        mean over classes of
        (logits - said)^2), where some were said   (DER++; Buzzega et al. 2020)
        """
        loss, n = 0.0, max(batch.tokens, 1)
        for _, at, logits in model(batch.inputs, batch.which, **batch.options):
            label_losses = cross_entropy(logits, batch.targets[at], reduction="none")
            loss = loss + (label_losses / n).sum()
            if self.imitate and batch.said is not None:
                width = min(
                    logits.shape[1], batch.said.shape[1]
                )  # said may be of tasks with fewer classes
                said = batch.said[at][:, :width].astype(logits.dtype)  # (n, C)
                known = ~np.isnan(said)
                error = where(known, logits[:, :width] - np.where(known, said, 0), 0.0)
                row_errors = mean_where(error * error, known, axis=1)  # (n,)
                loss = loss + self.imitate * (row_errors / n).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model, batch):
        """The most probable label of each row."""
        answers = [None] * len(batch)
        for k, at, logits in model(batch.inputs, batch.which, **batch.options):
            names = self.tasks[k].classes
            for row, best in zip(at.tolist(), logits.numpy().argmax(axis=-1).tolist()):
                answers[row] = best if names is None else names[best]
        return answers

    def measure(self, answers, examples):
        """accuracy."""
        return {"accuracy": metrics.accuracy(answers, [x.label for x in examples])}


def with_logits(model, task, examples, batch_size=64):
    """The Items with the logits that the model gives them now: what imitation needs to keep.

    model  ManyHeads;  task  ManyTasks;  returns list of Items
    """
    said = []
    with evaluating(model), no_grad():
        for start in range(0, len(examples), batch_size):
            part = examples[start : start + batch_size]
            batch = task.make_batch(part).to(model.encoder.tokens.weight.device)
            logits = [None] * len(part)
            for _, at, z in model(batch.inputs, batch.which, **batch.options):
                for row, values in zip(at.tolist(), np.array(z.numpy())):
                    logits[row] = values
            said += [replace(x, said=z) for x, z in zip(part, logits)]
    return said
