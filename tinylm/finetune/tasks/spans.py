"""Answers that are spans of a text: where they begin and end (book section 1.4.5, eqs. 1.24, 1.25;
Seo et al. 2017).

A question and a text are read as a pair; two linear maps of a word's state give the probability
that the answer begins, and ends, there. Words of the question take no part. In the book the loss is
-(1/n) sum_j (log p_j^beg + log p_j^end) over all words j. This can mean two things, both here:

    softmax   p is a distribution over words, and the loss is -(log p_{s}^beg + log p_{e}^end) at
              the gold span (BERT)
    binary    p_j is the probability of the truth about word j: that the answer begins there, or
              that it does not

(The sum over all j of one distribution would not depend on the gold span, and be least when all
words have the same probability.) The answer is the span j_1 <= j_2 with the highest
log p_{j_1}^beg + log p_{j_2}^end. Read next: classify.py.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import (
    Tensor,
    dropout,
    log_softmax,
    logsumexp,
    softplus,
    take_along_axis,
    where,
)
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError, ShapeError
from tinylm.finetune import metrics
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.heads import innermost
from tinylm.finetune.tasks.tagging import WordBatch, word_states
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, pad_rows


class SpanPredictor(Module):
    """An encoder with two linear maps on the state of every word of the text.

    encoder  Encoder or GPT, or one behind a prompt or prefix; not copied
    seed     of the new weights
    """

    def __init__(self, encoder: Encoder, seed: int = 0) -> None:
        model = innermost(encoder)
        self.encoder, self.rng = encoder, model.rng
        weight = model.tokens.weight
        self.out = Linear(model.config.d_model, 2, Random(seed, "head"), dtype=weight.dtype)
        self.to(weight.device)

    def __call__(self, batch: Any) -> Tensor:
        """Logits of beginning and of ending at every word of a WordBatch, (B, m, 2)."""
        x = word_states(self.encoder, batch)
        if self.training:
            x = dropout(x, self.encoder.config.dropout, self.rng)
        return self.out(x)  # (B, m, D) -> (B, m, 2)


def both_ways(logits: Tensor) -> tuple[Tensor, Tensor]:
    """log Pr(yes), log Pr(no) of a yes-or-no logit z, stable for any z."""
    # Two classes with logits z and 0:  Pr(yes) = 1 / (1 + exp(-z)), so log Pr(yes) = -softplus(-z)
    return -softplus(-logits), -softplus(logits)


def softmax_log_p(logits: Tensor, held: np.ndarray | None) -> Tensor:
    """log p of beginning (..., 0) and ending (..., 1), distributions over a row's words.

    logits (B, m, 2), held (B, m) bool -> (B, m, 2), -inf where no word is
    """
    return log_softmax(where(held[:, :, None], logits, -np.inf), axis=1)


def binary_log_p(logits: Tensor, held: np.ndarray | None) -> Tensor:
    """log p of beginning and ending, for each word by itself; arguments as softmax_log_p()."""
    return where(held[:, :, None], both_ways(logits)[0], -np.inf)


def softmax_span_loss(logits: Tensor, gold: np.ndarray, held: np.ndarray | None) -> Tensor:
    """-(log p_s^beg + log p_e^end), one number for every row   (Devlin et al. 2019)

    logits   (B, m, 2);  held (B, m) bool, True for words
    gold     (B, 2) integers, first and last word of the answer; IGNORE where there is none, which
             costs nothing
    returns  (B,)
    """
    counts = gold != IGNORE  # (B, 2)
    # -log p_s^beg = logsumexp_j z_j^beg - z_s^beg, and the same for the end
    index = np.where(counts, gold, 0)[:, None, :]  # (B, 1, 2); IGNORE is no index
    at_gold = take_along_axis(logits, index, 1)[:, 0]  # (B, m, 2) -> (B, 1, 2) -> (B, 2)
    total = logsumexp(where(held[:, :, None], logits, -np.inf), axis=1)  # (B, 2)
    return where(counts, total - at_gold, 0.0).sum(axis=-1)


def binary_span_loss(logits: Tensor, gold: np.ndarray, held: np.ndarray | None) -> Tensor:
    """-(1/n) sum_j (log p_j^beg + log p_j^end), p_j the probability of the truth about word j.

    Arguments and result as in softmax_span_loss().
    """
    m = logits.shape[1]
    true = np.arange(m, like=gold)[None, :, None] == gold[:, None, :]  # (B, m, 2)
    counts = held[:, :, None] & (gold != IGNORE)[:, None, :]  # (B, m, 1) & (B, 1, 2) -> (B, m, 2)
    yes, no = both_ways(where(counts, logits, 0.0))  # padding may hold anything
    losses = where(counts, where(true, -yes, -no), 0.0)  # (B, m, 2)
    n = np.maximum(held.sum(axis=1), 1).astype(logits.dtype)  # (B,)
    # divided before the sum, which could overflow in float16
    return (losses / n[:, None, None]).sum(axis=(1, 2))


LOSSES = {"softmax": (softmax_span_loss, softmax_log_p), "binary": (binary_span_loss, binary_log_p)}


def best_span(begin: np.ndarray, end: np.ndarray, longest: int | None = None) -> tuple[int, int]:
    """The span with the highest begin[j1] + end[j2], j1 <= j2, in O(n)   (book eq. 1.25)

    begin, end  (n,) log-probabilities
    longest     most words in the span; None: any number
    returns     (j1, j2), both in the span; of equally good ones the first to end, then the first
                to begin
    raises      ShapeError unless both are (n,) with n >= 1, and longest at least 1
    """
    begin, end = np.asarray(begin), np.asarray(end)
    fits = begin.ndim == 1 and begin.shape == end.shape and len(begin) > 0
    if not fits or (longest is not None and longest < 1):
        raise ShapeError(
            f"best_span: begin {begin.shape}, end {end.shape}, longest {longest}: "
            "needs two (n,) and a word or more"
        )
    # For each end j2 = j we need the best beginning among the last `longest` words: a sliding
    # maximum. `begins` holds the candidates in order, begin[] falling: the first is the best, and
    # each later one becomes the best when those before it have left the window.
    best, answer, begins = -np.inf, (0, 0), deque()
    for j, (b, e) in enumerate(zip(begin.tolist(), end.tolist())):
        while begins and begin[begins[-1]] < b:
            begins.pop()  # worse than j and leaves the window earlier
        begins.append(j)
        if longest is not None and begins[0] <= j - longest:
            begins.popleft()
        log_p = float(begin[begins[0]] + e)
        if log_p > best:
            best, answer = log_p, (begins[0], j)
    return answer


@dataclass(frozen=True)
class SpanPrediction:
    """The task of a SpanPredictor; an example is ((question, words), (first, last)).

    first and last are indices of words, both in the answer; None in place of the pair: no answer.

    inputs   EncoderInput; a question is never cut, a text loses its end, and an answer that is cut
             off counts as none
    kind     softmax | binary, the meaning of p
    longest  most words in an answer, None: any number
    """

    inputs: EncoderInput
    kind: str = "softmax"
    longest: int | None = None

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """-> WordBatch with targets (B, 2).

        raises  DataError for a text without words, or an answer that is no span of it
        """
        rows = [self.inputs.word_row(words, question) for (question, words), _ in examples]
        ids, fields = self.inputs.padded([row[:2] for row in rows])
        first_pieces, held = pad_rows([first for *_, first in rows], 0)  # (B, m) twice
        gold = np.full((len(rows), 2), IGNORE, np.int64)
        for i, (((_, words), span), (*_, first)) in enumerate(zip(examples, rows)):
            if not len(words):
                raise DataError(
                    "SpanPrediction: a text has no words, and so no span that could be the answer"
                )
            if span is None:
                continue
            if not 0 <= span[0] <= span[1] < len(words):
                raise DataError(
                    f"SpanPrediction: the answer {span} is no span of a text of {len(words)} words"
                )
            if span[1] < len(first):  # not cut off
                gold[i] = span
        return WordBatch(ids, gold, **fields, words=first_pieces, held=held)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The mean over rows with an answer."""
        span_loss, _ = LOSSES[self.kind]
        losses = span_loss(model(batch), batch.targets, batch.held)  # (B,)
        answers = max(batch.tokens / 2, 1)  # a row with an answer has two targets
        loss = (losses / answers).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model: Module, batch: Any) -> list:
        """(first, last) of each row."""
        _, log_probabilities = LOSSES[self.kind]
        log_p = log_probabilities(model(batch), batch.held).numpy()  # (B, m, 2)
        answers = []
        for row, is_word in zip(log_p, to_cpu(batch.held)):
            begin, end = row[is_word].T  # (words, 2) -> twice (words,)
            answers.append(best_span(begin, end, self.longest))
        return answers

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """exact: both ends right; f1: of the words in common   (Rajpurkar et al. 2016)."""
        exact, f1 = [], []
        for (a, b), (_, (s, e)) in zip(answers, examples):
            predicted, true = range(a, b + 1), range(s, e + 1)
            exact.append(predicted == true)
            f1.append(metrics.token_f1(predicted, true))
        return {"exact": float(np.mean(exact)), "f1": float(np.mean(f1))}
