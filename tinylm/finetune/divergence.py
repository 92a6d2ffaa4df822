"""Kullback-Leibler divergence between two models' next-token distributions   (book eqs. 3.16-3.18)

    KL(P || Q) = sum over v of P(v) (log P(v) - log Q(v)) >= 0,   0 only where P = Q

With P the teacher's, the forward divergence makes the student cover every token that the teacher
finds likely; the reverse one, KL(Q || P), makes it avoid every token that the teacher finds
unlikely. Read next:
context/context_distillation.py.
"""

import numpy as np

from tinylm.autograd import Array, Tensor, log_softmax, softmax, where
from tinylm.autograd import sum as sum_
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.errors import ShapeError


def kl(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
) -> Tensor:
    """KL(teacher || student), the mean over positions, in nats   (book eq. 3.16)

    teacher_logits, student_logits  (..., V) Tensors, both differentiated; a teacher's logit of
                                    -inf is a token of probability 0
    temperature  divides both logits first. The gradient shrinks with its square: multiply the loss
                 by temperature**2 to weigh it against another (Hinton et al. 2015)
    mask         (...) bool, the positions that count; None: all. Without any the result is 0
    returns      Tensor ()
    raises       ShapeError if the shapes do not fit
    """
    _check("kl", teacher_logits, student_logits, mask)
    teacher_logits, student_logits = _visible(teacher_logits, mask), _visible(student_logits, mask)
    return _mean(divergences(teacher_logits / temperature, student_logits / temperature), mask)


def reverse_kl(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
) -> Tensor:
    """KL(student || teacher); as kl(), but the teacher must find every token possible."""
    _check("reverse_kl", teacher_logits, student_logits, mask)
    teacher_logits, student_logits = _visible(teacher_logits, mask), _visible(student_logits, mask)
    return _mean(divergences(student_logits / temperature, teacher_logits / temperature), mask)


def divergences(p: Tensor, q: Array) -> Tensor:
    """KL(softmax p || softmax q) at every position, in nats: logits (..., V) twice -> (...)."""
    chance = softmax(p)  # P
    difference = log_softmax(p) - log_softmax(q)  # log P - log Q
    # 0 (log 0 - log q) is 0, in the value and, because where() passes nothing back to what it did
    # not take, in the gradient.
    return sum_(chance * where(chance.data > 0, difference, 0.0), axis=-1)


def _visible(logits, mask):
    """Logits with masked positions set to 0: there a gradient of 0 times inf would be nan."""
    if mask is None:
        return logits
    return where(mask[..., None], logits, 0.0)


def _mean(values, mask):
    if mask is None:
        return values.mean()
    return mean_where(values, mask)


def _check(name, teacher, student, mask):
    bool_mask(mask, name, bias=None)
    fits, given = True, ""
    if mask is not None:
        fits, given = mask.shape == student.shape[:-1], f" and a mask {mask.shape}"
    if teacher.shape != student.shape or not fits:
        raise ShapeError(
            f"{name}: logits {teacher.shape} of a teacher, {student.shape} of a student{given}: "
            "need (..., V) twice and (...)"
        )
