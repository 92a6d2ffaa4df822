"""Distillation: a small model learns what a large one says   (book section 1.3.3; Hinton et al. 2015)

    L = alpha tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau)) + (1 - alpha) cross-entropy with the labels
      + beta |h_S W - h_T|^2 + gamma KL of attention relations

The teacher's probabilities say more than a label: which wrong answers are nearly right. tau^2 keeps the size of the gradient
when tau grows; in the limit logits are matched. Hidden states (MobileBERT, TinyBERT) and relations between tokens
(MiniLM) of layers can be matched besides. models/encoder/encoder.py makes DistilBERT's student from the teacher's own layers.
"""
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, linear, no_grad, where
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.divergence import divergences, kl
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.score import chosen, row_means, score_rows


def soft_loss(student, teacher, temperature=2.0):
    """tau^2 KL(p_T || p_S), p = softmax(z / tau), the mean over rows   (Hinton et al. 2015)

    student  (..., C) Tensor of logits;  teacher (..., C) logits, through which no gradient flows
    returns  Tensor ()
    """
    return kl(_constant(teacher), student, temperature) * temperature**2


def _constant(x):
    return x.detach() if isinstance(x, Tensor) else Tensor(x)


def logit_matching(student, teacher):
    """1/(2 C) sum of (z_S - z_T)^2, both centered, the mean over rows: what soft_loss tends to as tau grows.

    Arguments as in soft_loss(). For large tau, softmax(z / tau) = (1 + (z - mean z) / tau) / C + O(1 / tau^2); so
    tau^2 KL = 1/(2 C) sum of (d - mean d)^2 + O(1 / tau) with d = z_S - z_T.
    """
    d = student - _constant(teacher)
    d = d - d.mean(axis=-1, keepdims=True)
    return (d * d).mean() / 2


def mixed_loss(student, teacher, targets, temperature=2.0, alpha=0.5, weights=None):
    """alpha soft_loss + (1 - alpha) cross-entropy: alpha 0 is plain training, 1 needs no labels.

    targets  (...) integers; where IGNORE, only the teacher is learned from
    weights  (...) what each place weighs, see place_weights(); None: all alike, 1 together
    """
    soft = divergences(_constant(teacher) / temperature, student / temperature) * temperature**2
    losses = soft * alpha + cross_entropy(student, targets, ignore_index=IGNORE, reduction="none") * (1 - alpha)
    return losses.mean() if weights is None else (losses * weights.astype(losses.dtype)).sum()


def place_weights(targets, n):
    """What each of n outputs weighs in the mean over rows of row means.

    targets  (B,), of which all count, for the teacher says something of rows without a label too; or (B, ...), IGNORE where
             nothing counts
    n        how many outputs there are: one for every target, or for those that count
    returns  (n,) array;  raises ShapeError if n is neither
    """
    given = (targets != IGNORE).reshape(len(targets), -1)
    counts = np.ones_like(given) if given.shape[1] == 1 else given
    weights = counts / (np.maximum(counts.sum(axis=1, keepdims=True), 1) * len(counts))             # (B, places)
    weights = weights.reshape(-1) if n == weights.size else weights[given]
    if len(weights) != n:
        raise ShapeError(f"Distillation: {n} outputs for targets {targets.shape}, of which {len(weights)} count: need one for each")
    return weights


def cosine_loss(student, teacher):
    """1 - cos(h_S, h_T), the mean over vectors (..., D): DistilBERT's third term   (Sanh et al. 2019)"""
    teacher = _constant(teacher)
    dot = (student * teacher).sum(axis=-1)
    return (1 - dot / ((student * student).sum(axis=-1) * (teacher * teacher).sum(axis=-1)) ** 0.5).mean()


def hidden_loss(student, teacher, layer_map, maps=None, mask=None):
    """The sum over layers l of the mean square of h_S^l W_l - h_T^g(l)   (TinyBERT; Jiao et al. 2020, eqs. 8, 9)

    student, teacher  lists of states (B, T, D), embeddings first: L + 1 of each
    layer_map         g: list of pairs (student's, teacher's), see uniform_map()
    maps              one (D_S, D_T) Tensor for every pair; None where widths agree
    mask              (B, T) bool, which positions hold a token; None: all
    returns           Tensor (), a mean over rows of means over their tokens
    """
    total = 0.0
    for i, (mine, other) in enumerate(layer_map):
        h = student[mine] if maps is None else linear(student[mine], maps[i])           # (B, T, D_S) -> (B, T, D_T)
        square = ((h - _constant(teacher[other])) ** 2).mean(axis=-1)                   # (B, T)
        total = total + (square.mean() if mask is None else row_means(square, mask).mean())
    return total


def uniform_map(student_layers, teacher_layers):
    """TinyBERT's g(m) = m N / M: embeddings to embeddings, last to last, the others evenly between.

    returns  list of pairs (m, g(m)), m = 0 .. M
    raises   ConfigError if the student is deeper
    """
    if not 1 <= student_layers <= teacher_layers:
        raise ConfigError(f"uniform_map: a student of {student_layers} layers and a teacher of {teacher_layers}")
    return [(m, m * teacher_layers // student_layers) for m in range(student_layers + 1)]


def scores(a, b, heads):
    """Scaled products of every vector with every other: (B, T, W) twice, cut into heads of W / heads -> (B, heads, T, T).

    a = queries and b = keys give attention's scores, whose square differences TinyBERT takes.
    """
    B, T, W = a.shape
    a, b = (x.reshape(B, T, heads, W // heads).transpose(0, 2, 1, 3) for x in (a, b))   # (B, R, T, W / R)
    return (a @ b.swapaxes(-1, -2)) * (W // heads) ** -0.5


def relation_loss(student, teacher, heads, mask=None, causal=False, visible=None):
    """KL between the teacher's and the student's relations softmax(a a^T / sqrt(W / R))   (MiniLM v2; Wang et al. 2021)

    student  list of Tensors (B, T, W_S): queries, keys and values of one layer;  teacher as many (B, T, W_T)
    heads    R relation heads, which divide both widths: the models need not have the same number of heads
    mask     (B, T) bool: which positions hold a token
    visible  (B, 1, T, T) bool: which position is related to which; None: all
    returns  Tensor (): the sum over what is related of the mean over rows of the mean over heads and positions
    """
    total, T = 0.0, student[0].shape[1]
    seen = np.tri(T, dtype=bool, like=student[0].data) if causal else None
    if mask is not None:
        seen = mask[:, None, None, :] if seen is None else mask[:, None, None, :] & seen
    if visible is not None:
        seen = visible if seen is None else visible & seen
    for mine, other in zip(student, teacher, strict=True):
        theirs, ours = (scores(x, x, heads) for x in (_constant(other), mine))          # (B, R, T, T)
        if seen is not None:                                # exp(-1e4) is 0 in any dtype
            theirs, ours = where(seen, theirs, -1e4), where(seen, ours, -1e4)
        each = divergences(theirs, ours).mean(axis=1)                                   # (B, R, T) -> (B, T)
        total = total + (each.mean() if mask is None else row_means(each, mask).mean())
    return total


class Seen:
    """What watch() saw: states, the L + 1 inputs and outputs of blocks; qkv, the packed projections of every layer."""

    def __init__(self):
        self.states, self.qkv = [], []


@contextlib.contextmanager
def watch(model):
    """While this is entered, forward passes of a model with blocks leave their states in what is yielded, a Seen.

    One pass for one Seen. States are those between blocks, before the last norm of a pre-norm model.
    """
    seen, blocks, found = Seen(), model.blocks, {id(block.attention): block.attention for block in model.blocks}
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
    """Logits and targets of a language model, causal or masked, where something is to be said: (n, V), (n,)."""
    h, targets = chosen(model.hidden(batch.inputs, **getattr(batch, "options", {})), batch.targets)
    return model.logits(h), targets


class Student(Module):
    """A student with one learned map for every pair of layers, for widths that differ; only .model is used afterwards.

    maps  each (D_S, D_T)
    """

    def __init__(self, model, pairs, d_student, d_teacher, rng, dtype=np.float32):
        self.model = model
        self.maps = [Linear(d_student, d_teacher, rng, False, d_student**-0.5, dtype).weight for _ in range(pairs)]


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

    Every term is a mean over rows of a mean over what a row holds, so that it does not matter how a batch is cut. A label
    that is not known adds nothing to the cross-entropy of its row.

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
        visible = mask[:, None] if mask is not None and mask.ndim == 3 else batch.visible() if hasattr(batch, "visible") else None
        mask = mask if mask is not None and mask.ndim == 2 else None
        if self.beta:
            pairs = self.layer_map or uniform_map(len(mine.states) - 1, len(theirs.states) - 1)
            loss = loss + hidden_loss(mine.states, theirs.states, pairs, maps, mask) * self.beta
        if self.gamma:
            last = [self.core(m).blocks[-1].attention for m in (student, self.teacher)]
            parts = [packed_parts(attention, seen.qkv[-1]) for attention, seen in zip(last, (mine, theirs))]
            loss = loss + relation_loss(*parts, self.heads, mask, last[0].causal, visible) * self.gamma
        return score_rows(loss, rows)

    def _watch(self, model):
        return watch(self.core(model)) if self.beta or self.gamma else contextlib.nullcontext()


def packed_parts(attention, qkv):
    """Queries, keys and values of a packed projection: (B, T, (H + 2 G) K) -> (B, T, H K), (B, T, G K) twice."""
    q, k = attention.heads * attention.width, attention.kv_heads * attention.width
    return [qkv[..., :q], qkv[..., q:q + k], qkv[..., q + k:]]
