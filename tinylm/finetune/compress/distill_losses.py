"""The losses of distillation: soft targets, logits, hidden states, relations between tokens   (book
section 1.3.3).

With z logits, h hidden states, S the student and T the teacher:

    soft targets   tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau))      Hinton et al. 2015
    logits         1/(2 C) sum of ((z_S - z_T) - mean)^2                   its limit for large tau
    states         mean square of h_S W - h_T                              TinyBERT
    relations      KL of softmax(a_T a_T^T / sqrt(d)) from the student's   MiniLM

Pure functions of the outputs of student and teacher. Read next: distill.py, the task that combines
them.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Array, Tensor, cross_entropy, linear, norm, weigh, where
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_square
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.divergence import divergences, kl
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import row_means


def soft_loss(student: Tensor, teacher: np.ndarray, temperature: float = 2.0) -> Tensor:
    """tau^2 KL(p_T || p_S), p = softmax(z / tau), the mean over rows   (Hinton et al. 2015)

    student  (..., C) Tensor of logits
    teacher  (..., C) logits, Tensor or array; no gradient flows through them
    returns  Tensor ()
    """
    return kl(_constant(teacher), student, temperature) * temperature**2


def _constant(x):
    if isinstance(x, Tensor):
        return x.detach()
    return Tensor(x)


def logit_matching(student: Tensor, teacher: np.ndarray) -> Tensor:
    """1/(2 C) sum of (z_S - z_T)^2, both centered, the mean over rows: the limit of soft_loss() for
    large tau.

    Arguments as in soft_loss(). For large tau, softmax(z / tau) = (1 + (z - mean z) / tau) / C +
    O(1 / tau^2); so tau^2 KL = 1/(2 C) sum of (d - mean d)^2 + O(1 / tau) with d = z_S - z_T.
    """
    d = student - _constant(teacher)
    d = d - d.mean(axis=-1, keepdims=True)
    return mean_square(d) / 2


def mixed_loss(
    student: Tensor,
    teacher: Array,
    targets: np.ndarray,
    temperature: float = 2.0,
    alpha: float = 0.5,
    weights: np.ndarray | None = None,
) -> Tensor:
    """alpha soft_loss + (1 - alpha) cross-entropy: alpha 0 is plain training, 1 needs no labels.

    targets  (...) integers; with IGNORE, the row learns from the teacher alone
    weights  (...) of each row, see output_weights(); None: all equal, with sum 1
    """
    if weights is not None:  # rows of weight 0 may hold inf or nan, whose product with 0 is nan
        student = where((weights != 0)[..., None], student, 0.0)
    soft = divergences(_constant(teacher) / temperature, student / temperature) * temperature**2
    hard = cross_entropy(student, targets, ignore_index=IGNORE, reduction="none")
    losses = soft * alpha + hard * (1 - alpha)  # (...)
    if weights is None:
        return losses.mean()
    return weigh(weights.astype(losses.dtype), losses).sum()


def output_weights(targets: np.ndarray, n: int) -> np.ndarray:
    """Weights of n outputs in a mean over rows of means over the outputs of a row.

    targets  (B,), which all count, since a row without a label still has the teacher's output; or
             (B, ...), with IGNORE for those that do not count
    n        the number of outputs: one for every target, or one for each that counts
    returns  (n,) array
    raises   ShapeError if n is neither
    """
    given = (targets != IGNORE).reshape(len(targets), -1)  # (B, targets of a row)
    counts = given
    if given.shape[1] == 1:
        counts = np.ones_like(given)
    # 1 / (B * outputs of the row) where an output counts
    weights = counts / (np.maximum(counts.sum(axis=1, keepdims=True), 1) * len(counts))
    if n == weights.size:
        return weights.reshape(-1)
    weights = weights[given]
    if len(weights) != n:
        raise ShapeError(
            f"Distillation: {n} outputs for targets {targets.shape}, "
            f"of which {len(weights)} count: need one for each"
        )
    return weights


def cosine_loss(student: Tensor, teacher: np.ndarray) -> Tensor:
    """1 - cos(h_S, h_T), the mean over vectors (..., D): DistilBERT's third term   (Sanh et al.
    2019)

    The cosine with a vector of zeros is 0, and has no gradient.
    """
    cosines = (_direction(student) * _direction(_constant(teacher))).sum(axis=-1)  # (...)
    return (1 - cosines).mean()


def _direction(h):
    """h / |h|, and 0 for a vector of zeros, without dividing by 0."""
    length = norm(h, axis=-1, keepdims=True)  # (..., 1)
    zero = length.data == 0
    return where(zero, 0.0, h / where(zero, 1.0, length))


def hidden_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    layer_map: Sequence[tuple[int, int]],
    maps: Sequence[Tensor] | None = None,
    mask: np.ndarray | None = None,
) -> Tensor | float:
    """The sum over layers l of the mean square of h_S^l W_l - h_T^g(l)   (TinyBERT; Jiao et al.
    2020, eqs. 8, 9)

    student, teacher  lists of states (B, T, D), embeddings first: L + 1 of each
    layer_map         g: list of pairs (student's, teacher's), see uniform_map()
    maps              one (D_S, D_T) Tensor for every pair; None where widths agree
    mask              (B, T) bool, which positions hold a token; None: all
    returns           Tensor (), a mean over rows of means over their tokens
    """
    total = 0.0
    for i, (student_layer, teacher_layer) in enumerate(layer_map):
        h = student[student_layer]
        if maps is not None:
            h = linear(h, maps[i])  # (B, T, D_S) -> (B, T, D_T)
        square = mean_square(h - _constant(teacher[teacher_layer]), axis=-1)  # (B, T)
        total = total + _mean_over_rows(square, mask)
    return total


def _mean_over_rows(values, mask):
    """The mean over rows of means over their tokens: (B, T) -> ()."""
    if mask is None:
        return values.mean()
    return row_means(values, mask).mean()


def uniform_map(student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """TinyBERT's g(m) = m N / M: embeddings to embeddings, last to last, the others evenly between.

    returns  list of pairs (m, g(m)), m = 0 .. M
    raises   ConfigError if the student is deeper
    """
    if not 1 <= student_layers <= teacher_layers:
        raise ConfigError(
            f"uniform_map: a student of {student_layers} layers and a teacher of {teacher_layers}"
        )
    return [(m, m * teacher_layers // student_layers) for m in range(student_layers + 1)]


def scores(a: Tensor, b: Tensor, heads: int) -> Tensor:
    """a b^T / sqrt(d) in heads of width d = W / heads: (B, T, W) twice -> (B, heads, T, T).

    a = queries and b = keys give attention's scores, whose square differences TinyBERT uses.
    """
    B, T, W = a.shape
    d = W // heads
    a = a.reshape(B, T, heads, d).transpose(0, 2, 1, 3)  # (B, T, W) -> (B, R, T, d)
    b = b.reshape(B, T, heads, d).transpose(0, 2, 1, 3)
    return (a @ b.swapaxes(-1, -2)) * d**-0.5


def relation_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    heads: int,
    mask: np.ndarray | None = None,
    causal: bool = False,
    visible: np.ndarray | None = None,
) -> Tensor | float:
    """KL between the teacher's and the student's relations softmax(a a^T / sqrt(W / R))   (MiniLM
    v2; Wang et al. 2021)

    student  list of Tensors (B, T, W_S): queries, keys and values of one layer
    teacher  as many, (B, T, W_T)
    heads    R relation heads, which divide both widths: the models need not have the same number of
             heads
    mask     (B, T) bool: which positions hold a token
    visible  (B, 1, T, T) bool: which position is related to which; None: all
    returns  Tensor (): the sum over queries, keys and values of the mean over rows, of means over
             heads and positions
    """
    total, T = 0.0, student[0].shape[1]
    mask = bool_mask(mask, "relation_loss", bias=None)
    visible = bool_mask(visible, "relation_loss", "visible", bias=None)
    # True where a position is related to another: (1, 1, 1, 1), broadcast up to (B, 1, T, T)
    related = np.ones_like(student[0].data, shape=(1, 1, 1, 1), dtype=bool)
    if causal:
        related = related & np.tri(T, dtype=bool, like=student[0].data)
    if mask is not None:
        related = related & mask[:, None, None, :]
    if visible is not None:
        related = related & visible
    for student_part, teacher_part in zip(student, teacher, strict=True):
        teacher_part = _constant(teacher_part)
        p = scores(teacher_part, teacher_part, heads)  # (B, R, T, T)
        q = scores(student_part, student_part, heads)
        p, q = where(related, p, -1e4), where(related, q, -1e4)  # exp(-1e4) is 0 in any dtype
        each = divergences(p, q).mean(axis=1)  # (B, R, T) -> (B, T)
        total = total + _mean_over_rows(each, mask)
    return total
