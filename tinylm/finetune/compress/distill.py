"""Distillation: a small model learns the output distribution of a large one   (book section 1.3.3;
Hinton et al. 2015)

    L = alpha tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau))
      + (1 - alpha) cross-entropy with the labels
      + beta |h_S W - h_T|^2 + gamma KL of attention relations

The teacher's probabilities hold more than a label: which wrong answers are nearly right. tau^2
keeps the size of the gradient when tau grows; in the limit logits are matched. Hidden states
(MobileBERT, TinyBERT) and relations between tokens (MiniLM) of layers can be matched as well.
models/encoder/encoder.py makes DistilBERT's student from the teacher's own layers.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import DType, Random
from tinylm.finetune.compress.distill_losses import (
    hidden_loss,
    mixed_loss,
    output_weights,
    relation_loss,
    uniform_map,
)
from tinylm.nn import Linear, Module
from tinylm.nn.attention.multi_head import SelfAttention
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.score import chosen, score_rows


class Seen:
    """Activations recorded by watch().

    states  list of L + 1 Tensors (B, T, D), the first block's input and every block's output
    qkv     list of L Tensors, the packed projections of every layer
    """

    def __init__(self) -> None:
        self.states, self.qkv = [], []


@contextlib.contextmanager
def watch(model: Module) -> Iterator[Seen]:
    """A context that records the activations of a model with blocks; yields a Seen.

    For one forward pass. States are those between blocks, before the last norm of a pre-norm
    model.
    """
    seen = Seen()
    blocks = model.blocks
    found = {id(block.attention): block.attention for block in model.blocks}  # shared ones once
    maps = {key: attention.qkv for key, attention in found.items()}

    # Blocks and projections are replaced by functions that record and pass on.
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


def token_outputs(model: Module, batch: Batch) -> tuple[Tensor, np.ndarray]:
    """Logits (n, V) and targets (n,) of a language model, causal or masked, where a loss counts."""
    h = model.hidden(batch.inputs, **getattr(batch, "options", {}))  # (B, T, D)
    h, targets = chosen(h, batch.targets)  # (n, D), (n,): targets that are not IGNORE
    return model.logits(h), targets


class Student(Module):
    """A student with a learned map (D_S, D_T) for every pair of layers, where widths differ.

    After training only .model is used.
    """

    def __init__(
        self,
        model: Module,
        pairs: int,
        d_student: int,
        d_teacher: int,
        rng: Random,
        dtype: DType = np.float32,
    ) -> None:
        self.model, self.maps = model, []
        for _ in range(pairs):
            layer = Linear(d_student, d_teacher, rng, False, d_student**-0.5, dtype)
            self.maps.append(layer.weight)


@dataclass(frozen=True)
class DistillationBatch:
    """The Batch of another task, for a loss that is a mean over its rows."""

    batch: Batch

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def inputs(self) -> np.ndarray:
        """The inputs of both models."""
        return self.batch.inputs

    @property
    def tokens(self) -> int:
        """The number of rows, by which losses of micro-batches and workers are weighted."""
        return len(self)

    def rows(self, start: int, stop: int) -> "DistillationBatch":
        """Rows start .. stop-1."""
        return DistillationBatch(self.batch.rows(start, stop))

    def to(self, device: str) -> "DistillationBatch":
        """The batch on a device."""
        return DistillationBatch(self.batch.to(device))


@dataclass
class Distillation:
    """A task that trains a student on a teacher's outputs, for fit().

    Every term is a mean over rows of a mean within the row, so that it does not depend on how a
    batch is cut. A missing label adds nothing to the cross-entropy of its row.

    task         Task that makes the batches
    teacher      Module; it is put into evaluation mode and gets no gradient
    outputs      (model, batch) -> logits (n, C), targets (n,): the outputs that are compared
    temperature  tau
    alpha        weight of the teacher in the loss on outputs;  beta, gamma as in the header
    core         model -> its part with blocks, where states are compared
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

    def __post_init__(self) -> None:
        self.teacher.eval()

    def make_batch(self, examples: Sequence | np.ndarray, rng: Random) -> Any:
        """The task's batch as a DistillationBatch. Rows without a label count too."""
        return DistillationBatch(self.task.make_batch(examples, rng))

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The sum of all terms, as score_rows() returns it.

        model  the student, or a Student;  batch  DistillationBatch
        """
        student, maps = model, None
        if isinstance(model, Student):
            student, maps = model.model, model.maps
        rows, batch = len(batch), batch.batch
        with no_grad(), self._watch(self.teacher) as in_teacher:
            answer, _ = self.outputs(self.teacher, batch)  # (n, C)
        with self._watch(student) as in_student:
            logits, targets = self.outputs(student, batch)  # (n, C), (n,)
        # alpha tau^2 KL(teacher || student) + (1 - alpha) cross-entropy, weighted by rows
        weights = output_weights(batch.targets, len(targets))
        loss = mixed_loss(logits, answer, targets, self.temperature, self.alpha, weights)
        mask, visible = _masks(batch)
        if self.beta:
            pairs = self.layer_map
            if not pairs:
                pairs = uniform_map(len(in_student.states) - 1, len(in_teacher.states) - 1)
            # beta |h_S W - h_T|^2 over the pairs of layers
            hidden = hidden_loss(in_student.states, in_teacher.states, pairs, maps, mask)
            loss = loss + hidden * self.beta
        if self.gamma:
            # gamma KL of relations, queries, keys and values of the last layer
            ours = self.core(student).blocks[-1].attention
            theirs = self.core(self.teacher).blocks[-1].attention
            parts = packed_parts(ours, in_student.qkv[-1])
            teacher_parts = packed_parts(theirs, in_teacher.qkv[-1])
            relations = relation_loss(parts, teacher_parts, self.heads, mask, ours.causal, visible)
            loss = loss + relations * self.gamma
        return score_rows(loss, rows)

    def _watch(self, model):
        """watch() of the part with blocks, if a term needs activations."""
        if self.beta or self.gamma:
            return watch(self.core(model))
        return contextlib.nullcontext()


def _masks(batch):
    """The masks of a batch: which positions hold a token (B, T), and which see which (B, 1, T, T).

    A batch's mask is of either kind, or None.
    """
    mask, visible = getattr(batch, "mask", None), None
    if mask is not None and mask.ndim == 3:
        visible = mask[:, None]  # (B, T, T) -> (B, 1, T, T)
    elif hasattr(batch, "visible"):
        visible = batch.visible()
    if mask is not None and mask.ndim != 2:
        mask = None
    return mask, visible


def packed_parts(attention: SelfAttention, qkv: Tensor) -> list[Tensor]:
    """Queries (B, T, H K), keys and values (B, T, G K) of packed ones (B, T, (H + 2 G) K)."""
    q, k = attention.heads * attention.width, attention.kv_heads * attention.width
    return [qkv[..., :q], qkv[..., q : q + k], qkv[..., q + k :]]
