"""Batches of contexts, questions and answers of different lengths   (book eqs. 3.11, 3.13)

The prompt is x = (c, z): a context c, such as an instruction or a document, and a question z; y is
the answer. A short context c' may replace c. Every part has columns of its own. Contexts and
questions end at their last column, with padding in front, and the answer begins right after, so
that it is predicted from the same columns in every row:

    c: . . 5 2   z: . 8   y: 3 1         positions count tokens, not columns: padding shifts nothing
    c: 7 4 4 9   z: 6 8   y: 2 .

Parts are vectors, not ids, so that learnt vectors can take the place of tokens. Read next:
context_distillation.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor, broadcast_to, concatenate
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.errors import ConfigError, DataError
from tinylm.models.decoder.gpt import GPT
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows


@dataclasses.dataclass(frozen=True)
class ContextExample:
    """One x' = (c, c', z) of the data D' of eq. 3.13, with the teacher's answer in place of a gold
    one.

    context   c, ids;  question z, ids, at least one;  answer y, ids;  short c', ids, often none
    teacher   (len(answer), V) logits of the teacher at the answer, if they are computed in advance
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


def align_right(rows: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Rows of any lengths as one array with the padding in front.

    rows     list of B integer sequences
    returns  (B, T) int64, 0 where there is nothing, and (B, T) bool, True where there is a token
    """
    # reversed, padded behind, and reversed again
    ids, real = pad_rows([list(row)[::-1] for row in rows], 0)
    return np.ascontiguousarray(ids[:, ::-1]), np.ascontiguousarray(real[:, ::-1])


def make_batch(examples: Sequence) -> ContextBatch:
    """Examples as a ContextBatch; answers are padded with IGNORE.

    raises   DataError for an example without question or answer
    """
    if not all(len(e.question) and len(e.answer) for e in examples):
        raise DataError(
            "a context example needs a question and an answer of at least one token each: move the "
            "end of the context into the question, or let the teacher answer first "
            "(sequence_distillation.py)"
        )
    inputs, real = align_right([e.question for e in examples])  # (B, Z) twice
    targets, _ = pad_rows([e.answer for e in examples], IGNORE)  # (B, n)
    context = align_right([e.context for e in examples])  # a pair, (B, C) twice
    short = align_right([e.short for e in examples])
    teacher = None
    if all(e.teacher is not None for e in examples):
        V, dtype = examples[0].teacher.shape[-1], examples[0].teacher.dtype
        teacher = np.zeros((*targets.shape, V), dtype)  # (B, n, V)
        for row, e in zip(teacher, examples):
            row[: len(e.answer)] = e.teacher
    return ContextBatch(inputs, targets, real, *context, *short, teacher)


def tokens(
    model: Module, ids: np.ndarray, real: np.ndarray | None = None
) -> tuple[Tensor, np.ndarray]:
    """A part of a prompt that consists of tokens.

    ids      (B, T) integers;  real (B, T) bool, False for padding; None: all are tokens
    returns  (vectors (B, T, D), real (B, T))
    """
    if real is None:
        real = np.ones_like(ids, dtype=bool)
    return model.tokens(ids), real


def vectors(x: Tensor, rows: int) -> tuple[Tensor, np.ndarray]:
    """A part of a prompt that consists of learnt vectors, the same in every row.

    x        (k, D) Tensor;  rows  B
    returns  (vectors (B, k, D), real (B, k))
    """
    k, D = x.shape
    repeated = broadcast_to(x.reshape(1, k, D), (rows, k, D))
    return repeated, np.ones_like(x.data, shape=(rows, k), dtype=bool)


def layout(parts: Sequence[tuple[Tensor, np.ndarray]]) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Parts joined along the axis of tokens.

    parts    list of (vectors (B, T_i, D), real (B, T_i) bool)
    returns  x (B, T, D), real (B, T), positions (B, T): the number of tokens before, in the row
    """
    parts = [(x, real) for x, real in parts if x.shape[1]]
    x, real = parts[0]
    if len(parts) > 1:
        x = concatenate([x for x, _ in parts], axis=1)
        real = np.concatenate([real for _, real in parts], axis=1)
    # padding in front of the first token has position 0, where nothing sees it
    return x, real, np.maximum(np.cumsum(real, axis=1) - 1, 0)


def read_parts(
    model: Module, parts: Sequence[tuple[Tensor, np.ndarray]], visible: np.ndarray | None = None
) -> Tensor:
    """Hidden states of a GPT over parts of a prompt.

    model    GPT, or a model with its tokens(), add_positions(), transform() and logits()
    parts    as layout() takes them
    visible  (T, T) bool, further restriction of which column sees which, beside causality and
             padding; None: none
    returns  (B, T, D)
    raises   ConfigError where padding between tokens would change distances, see check_distances
    """
    x, real, positions = layout(parts)
    visible, mask = bool_mask(visible, "read_parts", "visible", bias=None), None
    if not bool(real.all()):
        check_distances(model, real)
        mask = real[:, None, None, :]  # (B, 1, 1, T)
    if mask is None:
        mask = visible
    elif visible is not None:
        mask = mask & visible  # (B, 1, T, T)
    return model.transform(model.add_positions(x, positions), positions, mask=mask)


def check_distances(model: Module, real: np.ndarray) -> None:
    """Raise ConfigError if a model measures distance in columns and padding lies between tokens.

    Learned positions and RoPE use positions, which skip padding. Position biases and windows use
    columns.
    """
    c = model.config
    by_column = model.position_bias is not None or any(kind != "full" for kind in c.attention)
    padding_after_token = real[:, 1:] < real[:, :-1]  # True -> False
    if by_column and bool(padding_after_token.any()):
        attention = ", ".join(c.attention)
        raise ConfigError(
            f"this model counts columns (positions {c.positions!r}, attention {attention}), and "
            "rows of different lengths have padding between their parts: "
            "put rows of equal lengths in a batch"
        )


def answer_logits(
    model: Module,
    prompt: Sequence[tuple[Tensor, np.ndarray]],
    targets: np.ndarray,
    visible: np.ndarray | None = None,
) -> Tensor:
    """Logits of an answer with teacher forcing, of Pr(y_j | prompt, y_<j) for every j.

    prompt   parts before the answer; the last column is a token in every row
    targets  (B, n) integers, IGNORE after the end of a short answer
    visible  as in read_parts, over prompt and answer
    returns  (B, n, V)
    """
    n = targets.shape[1]
    answer = np.where(targets == IGNORE, 0, targets)[:, :-1]  # y_0 .. y_{n-2}
    h = read_parts(model, [*prompt, tokens(model, answer)], visible)  # (B, T, D)
    # the last column of the prompt predicts y_0, and y_{j-1} predicts y_j
    return model.logits(h[:, h.shape[1] - n :])  # (B, n, D) -> (B, n, V)


def read_context(model: Module, batch: ContextBatch) -> Tensor:
    """Logits of the answer after (c, z), the whole context and the question: (B, n, V)."""
    context = tokens(model, batch.context, batch.context_real)
    question = tokens(model, batch.inputs, batch.real)
    return answer_logits(model, [context, question], batch.targets)


def read_short(model: Module, batch: ContextBatch) -> Tensor:
    """Logits of the answer after (c', z), the short context and the question: (B, n, V)."""
    short = tokens(model, batch.short, batch.short_real)
    question = tokens(model, batch.inputs, batch.real)
    return answer_logits(model, [short, question], batch.targets)


def read(model: Module, batch: ContextBatch) -> Tensor:
    """Logits of the answer by a student: read_short() of a GPT, a compressor's own read()."""
    # a GPT has a read() too, of the next segment of a text
    if isinstance(model, GPT) or not hasattr(model, "read"):
        return read_short(model, batch)
    return model.read(batch)
