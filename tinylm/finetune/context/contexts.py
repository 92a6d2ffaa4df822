"""A context, a question and an answer: how rows of different lengths are laid side by side   (book
eqs. 3.11, 3.13)

The prompt is x = (c, z): a context c, such as an instruction or a document, and a question z; y is
what is said to it. A short context c' may stand for c. Every part has columns of its own. Contexts
and questions end at their last column, with padding in front; the answer begins right after, so
that what scores it are the same columns in every row:

    c: . . 5 2   z: . 8   y: 3 1         positions count tokens, not columns: padding moves nothing
    c: 7 4 4 9   z: 6 8   y: 2 .

Parts are vectors, not ids, so that learnt vectors can stand where tokens would. Read next:
context_distillation.py.
"""

import dataclasses

import numpy as np

from tinylm.autograd import broadcast_to, concatenate
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows


@dataclasses.dataclass(frozen=True)
class ContextExample:
    """One x' = (c, c', z) of the data D' of eq. 3.13, with what the teacher said; no gold answer is
    needed.

    context   c, ids;  question z, ids, at least one;  answer y, ids;  short c', ids, often none
    teacher   (len(answer), V) logits of the teacher at the answer, where they have been computed
              once and for all
    """

    context: tuple
    question: tuple
    answer: tuple = ()
    short: tuple = ()
    teacher: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class ContextBatch(Batch):
    """Questions (B, Z) as inputs, answers (B, n) as targets, and the contexts.

    real     (B, Z) bool, True where the question has a token
    context, context_real   (B, C): c;   short, short_real  (B, S): c'
    teacher  (B, n, V) logits, or None
    """

    real: np.ndarray = None
    context: np.ndarray = None
    context_real: np.ndarray = None
    short: np.ndarray = None
    short_real: np.ndarray = None
    teacher: np.ndarray | None = None


def align_right(rows):
    """Rows of any lengths as one array, padding in front.

    rows     list of B integer sequences
    returns  (B, T) int64, 0 where there is nothing, and (B, T) bool, True where there is a token
    """
    ids, real = pad_rows([list(row)[::-1] for row in rows], 0)
    return np.ascontiguousarray(ids[:, ::-1]), np.ascontiguousarray(real[:, ::-1])


def make_batch(examples):
    """Examples as a ContextBatch; answers are padded with IGNORE.

    raises   DataError for an example without question or answer
    """
    if not all(len(e.question) and len(e.answer) for e in examples):
        raise DataError(
            "a context example needs a question and an answer of at least one token each: move the end of the "
            "context into the question, or let the teacher answer first (sequence_distillation.py)"
        )
    inputs, real = align_right([e.question for e in examples])
    targets, _ = pad_rows([e.answer for e in examples], IGNORE)
    teacher = None
    if all(e.teacher is not None for e in examples):
        teacher = np.zeros(
            (*targets.shape, examples[0].teacher.shape[-1]), examples[0].teacher.dtype
        )
        for row, e in zip(teacher, examples):
            row[: len(e.answer)] = e.teacher
    return ContextBatch(
        inputs,
        targets,
        real,
        *align_right([e.context for e in examples]),
        *align_right([e.short for e in examples]),
        teacher,
    )


def tokens(model, ids, real=None):
    """A part of a prompt made of tokens: ids (B, T) -> (vectors (B, T, D), real (B, T)); real None:
    all are.
    """
    return model.tokens(ids), np.ones_like(ids, dtype=bool) if real is None else real


def vectors(x, rows):
    """A part of a prompt made of learnt vectors, the same in every row: (k, D) -> (vectors (B, k,
    D), real (B, k)).
    """
    k, D = x.shape
    return broadcast_to(x.reshape(1, k, D), (rows, k, D)), np.ones_like(
        x.data, shape=(rows, k), dtype=bool
    )


def layout(parts):
    """Parts side by side.

    parts    list of (vectors (B, T_i, D), real (B, T_i) bool)
    returns  x (B, T, D), real (B, T), positions (B, T): how many tokens of the row come before
    """
    parts = [part for part in parts if part[0].shape[1]]
    x = concatenate([part for part, _ in parts], axis=1) if len(parts) > 1 else parts[0][0]
    real = np.concatenate([r for _, r in parts], axis=1)
    return x, real, np.maximum(np.cumsum(real, axis=1) - 1, 0)


def read_parts(model, parts, visible=None):
    """Hidden states of a GPT over parts of a prompt.

    model    GPT, or what has its tokens(), add_positions(), transform() and logits()
    parts    as layout() takes them
    visible  (T, T) bool, which column sees which, besides what is causal and real; None: all
    returns  (B, T, D)
    raises   ConfigError where padding between tokens would change distances, see check_distances
    """
    x, real, positions = layout(parts)
    visible, mask = bool_mask(visible, "read_parts", "visible", bias=None), None
    if not bool(real.all()):
        check_distances(model, real)
        mask = real[:, None, None, :]  # (B, 1, 1, T)
    if visible is not None:
        mask = visible if mask is None else mask & visible  # (B, 1, T, T)
    return model.transform(model.add_positions(x, positions), positions, mask=mask)


def check_distances(model, real):
    """Raise ConfigError if a model counts columns, and padding lies between columns of tokens.

    Learned positions and RoPE read positions, which skip padding. Biases of positions and windows
    count columns.
    """
    c = model.config
    counts = model.position_bias is not None or any(kind != "full" for kind in c.attention)
    if counts and bool((real[:, 1:] < real[:, :-1]).any()):
        raise ConfigError(
            f"this model counts columns (positions {c.positions!r}, attention {', '.join(c.attention)}), and rows of "
            "different lengths have padding between their parts: put rows of equal lengths in a batch"
        )


def answer_logits(model, prompt, targets, visible=None):
    """Logits that score an answer, teacher forced: Pr(y_j | prompt, y_<j).

    prompt   parts before the answer; the last column is a token in every row
    targets  (B, n) integers, IGNORE after the end of a short answer
    visible  as in read_parts, over prompt and answer
    returns  (B, n, V)
    """
    said = np.where(targets == IGNORE, 0, targets)[:, :-1]  # y_0 .. y_{n-2}
    h = read_parts(model, [*prompt, tokens(model, said)], visible)
    return model.logits(h[:, h.shape[1] - targets.shape[1] :])  # (B, n, D) -> (B, n, V)


def read_context(model, batch):
    """A language model with the whole context before the question: logits of the answer, (B, n, V)."""
    return answer_logits(
        model,
        [tokens(model, batch.context, batch.context_real), tokens(model, batch.inputs, batch.real)],
        batch.targets,
    )


def read_short(model, batch):
    """A language model with the short context c' before the question: logits of the answer, (B, n,
    V).
    """
    return answer_logits(
        model,
        [tokens(model, batch.short, batch.short_real), tokens(model, batch.inputs, batch.real)],
        batch.targets,
    )


def read(model, batch):
    """A student in its own way: model.read(batch) where it has one, else as a language model with
    the short context.
    """
    if hasattr(model, "read"):
        return model.read(batch)
    return read_short(model, batch)
