"""The losses of distillation: soft targets, logits, hidden states, relations between tokens   (book
section 1.3.3).

Pure functions of what student and teacher computed. Read next: distill.py, the task that puts them
together.
"""

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, linear, norm, weigh, where
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_square
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.divergence import divergences, kl
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import row_means


def soft_loss(student, teacher, temperature=2.0):
    """tau^2 KL(p_T || p_S), p = softmax(z / tau), the mean over rows   (Hinton et al. 2015)

    student  (..., C) Tensor of logits;  teacher (..., C) logits, through which no gradient flows
    returns  Tensor ()
    """
    return kl(_constant(teacher), student, temperature) * temperature**2


def _constant(x):
    if isinstance(x, Tensor):
        return x.detach()
    return Tensor(x)


def logit_matching(student, teacher):
    """1/(2 C) sum of (z_S - z_T)^2, both centered, the mean over rows: what soft_loss tends to as
    tau grows.

    Arguments as in soft_loss(). For large tau, softmax(z / tau) = (1 + (z - mean z) / tau) / C +
    O(1 / tau^2); so tau^2 KL = 1/(2 C) sum of (d - mean d)^2 + O(1 / tau) with d = z_S - z_T.
    """
    d = student - _constant(teacher)
    d = d - d.mean(axis=-1, keepdims=True)
    return mean_square(d) / 2


def mixed_loss(student, teacher, targets, temperature=2.0, alpha=0.5, weights=None):
    """alpha soft_loss + (1 - alpha) cross-entropy: alpha 0 is plain training, 1 needs no labels.

    targets  (...) integers; where IGNORE, only the teacher is learned from
    weights  (...) what each place weighs, see place_weights(); None: all alike, 1 together
    """
    if weights is not None:  # what weighs nothing may hold inf or nan
        student = where((weights != 0)[..., None], student, 0.0)
    soft = divergences(_constant(teacher) / temperature, student / temperature) * temperature**2
    losses = soft * alpha + cross_entropy(
        student, targets, ignore_index=IGNORE, reduction="none"
    ) * (1 - alpha)
    if weights is None:
        return losses.mean()
    return weigh(weights.astype(losses.dtype), losses).sum()


def place_weights(targets, n):
    """What each of n outputs weighs in the mean over rows of row means.

    targets  (B,), of which all count, for the teacher says something of rows without a label too;
             or (B, ...), IGNORE where nothing counts
    n        how many outputs there are: one for every target, or for those that count
    returns  (n,) array;  raises ShapeError if n is neither
    """
    given = (targets != IGNORE).reshape(len(targets), -1)
    counts = np.ones_like(given) if given.shape[1] == 1 else given
    weights = counts / (
        np.maximum(counts.sum(axis=1, keepdims=True), 1) * len(counts)
    )  # (B, places)
    weights = weights.reshape(-1) if n == weights.size else weights[given]
    if len(weights) != n:
        raise ShapeError(
            f"Distillation: {n} outputs for targets {targets.shape}, of which {len(weights)} count: need one for each"
        )
    return weights


def cosine_loss(student, teacher):
    """1 - cos(h_S, h_T), the mean over vectors (..., D): DistilBERT's third term   (Sanh et al.
    2019)

    The cosine with a vector of zeros is 0, and has no gradient.
    """
    return (1 - (_direction(student) * _direction(_constant(teacher))).sum(axis=-1)).mean()


def _direction(h):
    length = norm(h, axis=-1, keepdims=True)  # (..., 1)
    zero = length.data == 0
    return where(zero, 0.0, h / where(zero, 1.0, length))


def hidden_loss(student, teacher, layer_map, maps=None, mask=None):
    """The sum over layers l of the mean square of h_S^l W_l - h_T^g(l)   (TinyBERT; Jiao et al.
    2020, eqs. 8, 9)

    student, teacher  lists of states (B, T, D), embeddings first: L + 1 of each
    layer_map         g: list of pairs (student's, teacher's), see uniform_map()
    maps              one (D_S, D_T) Tensor for every pair; None where widths agree
    mask              (B, T) bool, which positions hold a token; None: all
    returns           Tensor (), a mean over rows of means over their tokens
    """
    total = 0.0
    for i, (mine, other) in enumerate(layer_map):
        h = (
            student[mine] if maps is None else linear(student[mine], maps[i])
        )  # (B, T, D_S) -> (B, T, D_T)
        square = mean_square(h - _constant(teacher[other]), axis=-1)  # (B, T)
        total = total + (square.mean() if mask is None else row_means(square, mask).mean())
    return total


def uniform_map(student_layers, teacher_layers):
    """TinyBERT's g(m) = m N / M: embeddings to embeddings, last to last, the others evenly between.

    returns  list of pairs (m, g(m)), m = 0 .. M
    raises   ConfigError if the student is deeper
    """
    if not 1 <= student_layers <= teacher_layers:
        raise ConfigError(
            f"uniform_map: a student of {student_layers} layers and a teacher of {teacher_layers}"
        )
    return [(m, m * teacher_layers // student_layers) for m in range(student_layers + 1)]


def scores(a, b, heads):
    """Scaled products of every vector with every other: (B, T, W) twice, cut into heads of W /
    heads -> (B, heads, T, T).

    a = queries and b = keys give attention's scores, whose square differences TinyBERT takes.
    """
    B, T, W = a.shape
    a, b = (
        x.reshape(B, T, heads, W // heads).transpose(0, 2, 1, 3) for x in (a, b)
    )  # (B, R, T, W / R)
    return (a @ b.swapaxes(-1, -2)) * (W // heads) ** -0.5


def relation_loss(student, teacher, heads, mask=None, causal=False, visible=None):
    """KL between the teacher's and the student's relations softmax(a a^T / sqrt(W / R))   (MiniLM
    v2; Wang et al. 2021)

    student  list of Tensors (B, T, W_S): queries, keys and values of one layer;  teacher as many (B, T, W_T)
    heads    R relation heads, which divide both widths: the models need not have the same number of
             heads
    mask     (B, T) bool: which positions hold a token
    visible  (B, 1, T, T) bool: which position is related to which; None: all
    returns  Tensor (): the sum over what is related of the mean over rows of the mean over heads
             and positions
    """
    total, T = 0.0, student[0].shape[1]
    mask = bool_mask(mask, "relation_loss", bias=None)
    visible = bool_mask(visible, "relation_loss", "visible", bias=None)
    seen = np.tri(T, dtype=bool, like=student[0].data) if causal else None
    if mask is not None:
        seen = mask[:, None, None, :] if seen is None else mask[:, None, None, :] & seen
    if visible is not None:
        seen = visible if seen is None else visible & seen
    for mine, other in zip(student, teacher, strict=True):
        theirs, ours = (scores(x, x, heads) for x in (_constant(other), mine))  # (B, R, T, T)
        if seen is not None:  # exp(-1e4) is 0 in any dtype
            theirs, ours = where(seen, theirs, -1e4), where(seen, ours, -1e4)
        each = divergences(theirs, ours).mean(axis=1)  # (B, R, T) -> (B, T)
        total = total + (each.mean() if mask is None else row_means(each, mask).mean())
    return total
