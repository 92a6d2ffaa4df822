"""Distillation: a small model learns what a large one says   (book section 1.3.3; Hinton et al.
2015)

    L = alpha tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau)) + (1 - alpha) cross-entropy with
    the labels
      + beta |h_S W - h_T|^2 + gamma KL of attention relations

The teacher's probabilities say more than a label: which wrong answers are nearly right. tau^2 keeps
the size of the gradient when tau grows; in the limit logits are matched. Hidden states (MobileBERT,
TinyBERT) and relations between tokens (MiniLM) of layers can be matched besides.
models/encoder/encoder.py makes DistilBERT's student from the teacher's own layers.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import no_grad
from tinylm.finetune.compress.distill_losses import (
    hidden_loss,
    mixed_loss,
    place_weights,
    relation_loss,
    uniform_map,
)
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.score import chosen, score_rows


class Seen:
    """What watch() saw: states, the L + 1 inputs and outputs of blocks; qkv, the packed projections
    of every layer.
    """

    def __init__(self):
        self.states, self.qkv = [], []


@contextlib.contextmanager
def watch(model):
    """While this is entered, forward passes of a model with blocks leave their states in what is
    yielded, a Seen.

    One pass for one Seen. States are those between blocks, before the last norm of a pre-norm
    model.
    """
    seen = Seen()
    blocks = model.blocks
    found = {id(block.attention): block.attention for block in model.blocks}
    maps = {key: attention.qkv for key, attention in found.items()}

    def spy_block(block):
        def call(x, *args, **options):
            if not seen.states:
                seen.states.append(x)
            seen.states.append(block(x, *args, **options))
            return seen.states[-1]

        return call

    def spy_qkv(inner):
        def call(x):
            seen.qkv.append(inner(x))
            return seen.qkv[-1]

        return call

    model.blocks = [spy_block(block) for block in blocks]
    for key, attention in found.items():
        attention.qkv = spy_qkv(maps[key])
    try:
        yield seen
    finally:
        model.blocks = blocks
        for key, attention in found.items():
            attention.qkv = maps[key]


def token_outputs(model, batch):
    """Logits and targets of a language model, causal or masked, where something is to be said: (n,
    V), (n,).
    """
    h, targets = chosen(model.hidden(batch.inputs, **getattr(batch, "options", {})), batch.targets)
    return model.logits(h), targets


class Student(Module):
    """A student with one learned map for every pair of layers, for widths that differ; only .model
    is used afterwards.

    maps  each (D_S, D_T)
    """

    def __init__(self, model, pairs, d_student, d_teacher, rng, dtype=np.float32):
        self.model = model
        self.maps = [
            Linear(d_student, d_teacher, rng, False, d_student**-0.5, dtype).weight
            for _ in range(pairs)
        ]


@dataclass(frozen=True)
class DistillationBatch:
    """The batch of another task, of which rows are counted: the loss is a mean over them.

    batch  Batch
    """

    batch: Batch

    def __len__(self):
        return len(self.batch)

    @property
    def inputs(self):
        """What the batch has the models read."""
        return self.batch.inputs

    @property
    def tokens(self):
        """How many rows there are: the loss is a mean over them."""
        return len(self)

    def rows(self, start, stop):
        """Rows start .. stop-1."""
        return DistillationBatch(self.batch.rows(start, stop))

    def to(self, device):
        """The batch on a device."""
        return DistillationBatch(self.batch.to(device))


@dataclass
class Distillation:
    """A task whose answers are a teacher's, to be trained by fit().

    Every term is a mean over rows of a mean over what a row holds, so that it does not matter how a
    batch is cut. A label that is not known adds nothing to the cross-entropy of its row.

    task         whose batches these are
    teacher      Module; it is put into evaluation mode and gets no gradient
    outputs      (model, batch) -> logits (n, C), targets (n,): what the teacher is asked
    alpha        share of the teacher in the loss on outputs, temperature tau;  beta, gamma as above
    core         model -> the part with blocks, where states are compared
    layer_map    pairs (student's, teacher's); uniform_map() if None
    heads        relation heads; relations are those of the last layers
    """

    task: object
    teacher: Module
    outputs: Callable = token_outputs
    temperature: float = 2.0
    alpha: float = 0.5
    beta: float = 0.0
    gamma: float = 0.0
    core: Callable = staticmethod(lambda model: model)
    layer_map: list | None = None
    heads: int = 1

    def __post_init__(self):
        self.teacher.eval()

    def make_batch(self, examples, rng):
        """The task's batch, as a DistillationBatch. A row without a label is learned from too."""
        return DistillationBatch(self.task.make_batch(examples, rng))

    def loss(self, model, batch):
        """The terms together, as score_rows() returns them.

        model  the student, or a Student;  batch  DistillationBatch
        """
        student, maps = (model.model, model.maps) if isinstance(model, Student) else (model, None)
        rows, batch = len(batch), batch.batch
        with no_grad(), self._watch(self.teacher) as theirs:
            answer, _ = self.outputs(self.teacher, batch)
        with self._watch(student) as mine:
            logits, targets = self.outputs(student, batch)
        weights = place_weights(batch.targets, len(targets))
        loss = mixed_loss(logits, answer, targets, self.temperature, self.alpha, weights)
        mask = getattr(batch, "mask", None)
        if mask is not None and mask.ndim == 3:
            visible = mask[:, None]
        else:
            if hasattr(batch, "visible"):
                visible = batch.visible()
            else:
                visible = None
        if not (mask is not None and mask.ndim == 2):
            mask = None
        if self.beta:
            pairs = self.layer_map or uniform_map(len(mine.states) - 1, len(theirs.states) - 1)
            loss = loss + hidden_loss(mine.states, theirs.states, pairs, maps, mask) * self.beta
        if self.gamma:
            last = [self.core(m).blocks[-1].attention for m in (student, self.teacher)]
            parts = [
                packed_parts(attention, seen.qkv[-1])
                for attention, seen in zip(last, (mine, theirs))
            ]
            loss = (
                loss + relation_loss(*parts, self.heads, mask, last[0].causal, visible) * self.gamma
            )
        return score_rows(loss, rows)

    def _watch(self, model):
        if self.beta or self.gamma:
            return watch(self.core(model))
        return contextlib.nullcontext()


def packed_parts(attention, qkv):
    """Queries, keys and values of a packed projection: (B, T, (H + 2 G) K) -> (B, T, H K), (B, T, G
    K) twice.
    """
    q, k = attention.heads * attention.width, attention.kv_heads * attention.width
    return [qkv[..., :q], qkv[..., q : q + k], qkv[..., q + k :]]
