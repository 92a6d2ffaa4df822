"""Answers that are spans of a text: where they begin and end (book section 1.4.5, eqs. 1.24, 1.25;
Seo et al. 2017).

A question and a text are read as a pair; two linear maps of a word's state say how probable it is
that the answer begins, and ends, there. Words of the question are not asked. Printed, the loss is
-(1/n) sum_j (log p_j^beg + log p_j^end) over all words j. It can be read in two ways, both here:

    softmax   p is a distribution over words, and the loss is -(log p_{s}^beg + log p_{e}^end) at
              the gold span (BERT)
    binary    p_j is the probability of what is true of word j, that the answer begins there or that
              it does not

Summed over all j of one distribution it would know no gold span, and be least when all words are
alike. The answer is the span j_1 <= j_2 with the highest log p_{j_1}^beg + log p_{j_2}^end. Read
next: classify.py.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import dropout, log_softmax, logsumexp, softplus, take_along_axis, where
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError, ShapeError
from tinylm.finetune import metrics
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.heads import innermost
from tinylm.finetune.tasks.tagging import WordBatch, word_states
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, pad_rows


class SpanPredictor(Module):
    """An encoder with two linear maps on the state of every word of the text. Not copied; seed of
    the new weights.
    """

    def __init__(self, encoder, seed=0):
        model = innermost(encoder)
        self.encoder, self.rng = encoder, model.rng
        self.out = Linear(
            model.config.d_model, 2, Random(seed, "head"), dtype=model.tokens.weight.dtype
        )
        self.to(model.tokens.weight.device)

    def __call__(self, batch):
        """Logits of beginning and of ending at every word of a WordBatch, (B, m, 2)."""
        x = word_states(self.encoder, batch)
        return self.out(dropout(x, self.encoder.config.dropout if self.training else 0.0, self.rng))


def both_ways(logits):
    """log Pr(yes), log Pr(no) of a yes-or-no logit z, stable for any z: two classes with logits z
    and 0.
    """
    return -softplus(-logits), -softplus(logits)


def softmax_log_p(logits, held):
    """log p of beginning (..., 0) and ending (..., 1) as distributions over the words held: (B, m,
    2) -> (B, m, 2).
    """
    return log_softmax(where(held[:, :, None], logits, -np.inf), axis=1)


def binary_log_p(logits, held):
    """log p of beginning and ending, told for each word on its own: (B, m, 2) -> (B, m, 2)."""
    return where(held[:, :, None], both_ways(logits)[0], -np.inf)


def softmax_span_loss(logits, gold, held):
    """-(log p_s^beg + log p_e^end), one number for every row   (Devlin et al. 2019)

    logits   (B, m, 2);  held (B, m) bool, True for words
    gold     (B, 2) integers, first and last word of the answer; IGNORE where there is none, which
             costs nothing
    returns  (B,)
    """
    counts = gold != IGNORE  # (B, 2)
    at_gold = take_along_axis(logits, np.where(counts, gold, 0)[:, None, :], 1)[
        :, 0
    ]  # (B, m, 2) -> (B, 2)
    total = logsumexp(where(held[:, :, None], logits, -np.inf), axis=1)  # (B, 2)
    return where(counts, total - at_gold, 0.0).sum(axis=-1)


def binary_span_loss(logits, gold, held):
    """-(1/n) sum_j (log p_j^beg + log p_j^end), p_j the probability of what is true of word j;
    arguments and result as above.
    """
    m = logits.shape[1]
    true = np.arange(m, like=gold)[None, :, None] == gold[:, None, :]  # (B, m, 2)
    counts = held[:, :, None] & (gold != IGNORE)[:, None, :]
    yes, no = both_ways(where(counts, logits, 0.0))  # padding may hold anything
    losses = where(counts, where(true, -yes, -no), 0.0)  # (B, m, 2)
    many = np.maximum(held.sum(axis=1), 1).astype(logits.dtype)  # (B,)
    return (losses / many[:, None, None]).sum(axis=(1, 2))  # in float16 a sum may not be finite


LOSSES = {"softmax": (softmax_span_loss, softmax_log_p), "binary": (binary_span_loss, binary_log_p)}


def best_span(begin, end, longest=None):
    """The span with the highest begin[j1] + end[j2], j1 <= j2, in O(n)   (book eq. 1.25)

    begin, end  (n,) log-probabilities
    longest     most words in the span; None: any number
    returns     (j1, j2), both in the span; of several the one that ends first, and of these the one
                that begins first
    raises      ShapeError unless both are (n,) with n >= 1, and longest at least 1
    """
    begin, end = np.asarray(begin), np.asarray(end)
    if (
        begin.ndim != 1
        or begin.shape != end.shape
        or not len(begin)
        or longest is not None
        and longest < 1
    ):
        raise ShapeError(
            f"best_span: begin {begin.shape}, end {end.shape}, longest {longest}: needs two (n,) and a word or more"
        )
    # The best beginning for j2 is a running maximum. With a limit it may drop out on the left; then
    # the next best takes its place, so beginnings are kept that no later one is better than.
    best, answer, begins = -np.inf, (0, 0), deque()
    for j, (b, e) in enumerate(zip(begin.tolist(), end.tolist())):
        while begins and begin[begins[-1]] < b:
            begins.pop()
        begins.append(j)
        if longest is not None and begins[0] <= j - longest:
            begins.popleft()
        if begin[begins[0]] + e > best:
            best, answer = float(begin[begins[0]] + e), (begins[0], j)
    return answer


@dataclass(frozen=True)
class SpanPrediction:
    """The task of a SpanPredictor; an example is ((question, words), (first, last)), numbers of
    words, or None.

    inputs   EncoderInput; a question is never cut, a text loses its end, and an answer that is cut
             off counts as none
    kind     softmax | binary, how p is read
    longest  most words in an answer, None: any number
    """

    inputs: EncoderInput
    kind: str = "softmax"
    longest: int | None = None

    def make_batch(self, examples, rng=None):
        """-> WordBatch with targets (B, 2). DataError for a text without words, or an answer that
        is no span of it.
        """
        rows = [self.inputs.word_row(words, question) for (question, words), _ in examples]
        ids, fields = self.inputs.padded([row[:2] for row in rows])
        places, held = pad_rows([first for *_, first in rows], 0)
        gold = np.full((len(rows), 2), IGNORE, np.int64)
        for i, (((_, words), span), (*_, first)) in enumerate(zip(examples, rows)):
            if not len(words):
                raise DataError(
                    "SpanPrediction: a text has no words, and so no span that could be the answer"
                )
            if span is not None and not 0 <= span[0] <= span[1] < len(words):
                raise DataError(
                    f"SpanPrediction: the answer {span} is no span of a text of {len(words)} words"
                )
            if span is not None and span[1] < len(first):
                gold[i] = span
        return WordBatch(ids, gold, **fields, words=places, held=held)

    def loss(self, model, batch):
        """The mean over rows with an answer."""
        losses = LOSSES[self.kind][0](model(batch), batch.targets, batch.held)
        answers = max(batch.tokens / 2, 1)  # a row with an answer has two targets
        loss = (losses / answers).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model, batch):
        """(first, last) of each row."""
        log_p, held = LOSSES[self.kind][1](model(batch), batch.held).numpy(), to_cpu(batch.held)
        return [best_span(*row[mask].T, self.longest) for row, mask in zip(log_p, held)]

    def measure(self, answers, examples):
        """exact: both ends right; f1: of the words in common   (Rajpurkar et al. 2016)."""
        pairs = [
            (range(a, b + 1), range(s, e + 1)) for (a, b), (_, (s, e)) in zip(answers, examples)
        ]
        return {
            "exact": float(np.mean([said == true for said, true in pairs])),
            "f1": float(np.mean([metrics.token_f1(said, true) for said, true in pairs])),
        }
