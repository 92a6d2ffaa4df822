"""How far one distribution over the vocabulary is from another, from the logits of both (book eqs.
3.16-3.18)

    KL(P || Q) = sum over v of P(v) (log P(v) - log Q(v)) >= 0,   0 only where P = Q

The forward divergence, P the teacher's, makes the student cover all that the teacher might say; the
reverse one makes it say nothing that the teacher would not. Read next:
context/context_distillation.py.
"""

from tinylm.autograd import log_softmax, softmax, where
from tinylm.autograd import sum as sum_
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.errors import ShapeError


def kl(teacher_logits, student_logits, temperature=1.0, mask=None):
    """KL(teacher || student), the mean over places, in nats   (book eq. 3.16)

    teacher_logits, student_logits  (..., V) Tensors, differentiated both; a teacher's -inf is a
                                    token it never says
    temperature  divides both logits first. The gradient shrinks with its square: multiply the loss
                 by temperature**2 to weigh it against another (Hinton et al. 2015)
    mask         (...) bool, the places that count; None: all. Without any the result is 0
    returns      Tensor ()
    raises       ShapeError if the shapes do not fit
    """
    _check("kl", teacher_logits, student_logits, mask)
    teacher_logits, student_logits = _shown(teacher_logits, mask), _shown(student_logits, mask)
    return _mean(divergences(teacher_logits / temperature, student_logits / temperature), mask)


def reverse_kl(teacher_logits, student_logits, temperature=1.0, mask=None):
    """KL(student || teacher); arguments as in kl(), but the teacher must think every token
    possible.
    """
    _check("reverse_kl", teacher_logits, student_logits, mask)
    teacher_logits, student_logits = _shown(teacher_logits, mask), _shown(student_logits, mask)
    return _mean(divergences(student_logits / temperature, teacher_logits / temperature), mask)


def divergences(p, q):
    """KL(softmax p || softmax q) at every place, in nats: logits (..., V) twice -> (...)."""
    chance, difference = softmax(p), log_softmax(p) - log_softmax(q)
    # 0 (log 0 - log q) is 0, in the value and, because where() passes nothing back to what it did
    # not take, in the gradient.
    return sum_(chance * where(chance.data > 0, difference, 0.0), axis=-1)


def _shown(logits, mask):
    """Logits without what the mask hides: a gradient of 0 times inf would be nan."""
    if mask is None:
        return logits
    return where(mask[..., None], logits, 0.0)


def _mean(values, mask):
    if mask is None:
        return values.mean()
    return mean_where(values, mask)


def _check(name, teacher, student, mask):
    bool_mask(mask, name, bias=None)
    if teacher.shape != student.shape or (mask is not None and mask.shape != student.shape[:-1]):
        raise ShapeError(
            f"{name}: logits {teacher.shape} of a teacher, {student.shape} of a student"
            + (f" and a mask {mask.shape}" if mask is not None else "")
            + ": need (..., V) twice and (...)"
        )
