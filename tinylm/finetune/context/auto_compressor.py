"""AutoCompressor: a long text read in segments, each leaving kappa summary vectors behind
(book section 3.3.2.3, Fig. 3.8; Chevalier et al. 2023).

    step i reads   [ sigma^{<i} ; z^i_1 .. z^i_m ; g_1 .. g_kappa ]     sigma from the segments before, learnt summary tokens g
    and leaves     the last hidden states at the g positions            as vectors for step i + 1

As the book tells it they replace sigma, a memory of fixed size like an RNN's (`replace`); in the
paper they are put behind those before (`accumulate`). The model learns to write and to read them
from the loss of language modeling: all tokens of a segment are predicted, the first one from the
last summary vector. To keep that affordable gradients pass through `bptt` segments at a time. After
training, sigma of a long context is kept, and questions are asked of it.
"""

import dataclasses

import numpy as np

from tinylm.autograd import Tensor, concatenate
from tinylm.backend import Random, device_of, to_cpu
from tinylm.errors import ConfigError
from tinylm.finetune.context.contexts import align_right, answer_logits, read_parts, tokens, vectors
from tinylm.nn import Module
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.score import score

MODES = {
    "replace": "the summary of the last segment is all that is kept: kappa vectors",
    "accumulate": "the summaries of all segments are kept: kappa vectors each",
}


def fixed_cuts(total, length):
    """Where segments of `length` tokens begin, the first one left out, counted from the end: the
    first may be shorter.
    """
    return list(range(total % length or length, total, length))


def random_cuts(total, low, high, rng):
    """As fixed_cuts, but the length of each segment is drawn from low .. high: a model must not
    learn where segments end.
    """
    cuts = [total]
    while cuts[0] > high:
        cuts.insert(0, cuts[0] - int(rng.integers(low, high + 1, (1,))[0]))
    return cuts[:-1]


class AutoCompressor(Module):
    """A language model that compresses what it has read.

    model    GPT whose positions reach over sigma, a segment and kappa more
    kappa    summary tokens, 1 or more
    mode     one of MODES
    bptt     segments a gradient passes through together, 2 or more; None: all. Counted from the
             last, which may be the question: between groups sigma is taken as given
    segment  tokens a context is cut into by read()
    seed     of the summary tokens

    A student for the tasks of context_distillation.py, and what SegmentedLM trains.
    """

    def __init__(self, model, kappa, mode="replace", bptt=2, segment=16, seed=0):
        if mode not in MODES:
            raise ConfigError(f"AutoCompressor: mode {mode!r} is not one of {', '.join(MODES)}")
        if kappa < 1 or segment < 1 or (bptt is not None and bptt < 2):
            raise ConfigError(
                f"AutoCompressor: kappa {kappa} and segment {segment} must be 1 or more, and bptt {bptt} 2 or more, "
                "or no gradient ever reaches a summary"
            )
        self.model = model
        self.kappa = kappa
        self.mode = mode
        self.bptt = bptt
        self.segment = segment
        table = model.tokens.weight.data
        noise = Random(seed, "summary", device=device_of(table)).normal(
            (kappa, table.shape[1]), table.dtype
        )
        self.summary = Tensor(
            (table.mean(axis=0) + noise * table.std()).astype(table.dtype), requires_grad=True
        )  # (kappa, D)

    def step(self, sigma, ids, real):
        """Read one segment.

        sigma    (vectors (B, s, D), real (B, s)) of the segments before, or None
        ids      (B, m) integers;  real (B, m) bool, where there are tokens
        returns  states (B, m or m - 1, D), those that predict the segment's tokens (without sigma
                 nothing predicts the first), and the sigma for the next segment: vectors (B, kappa,
                 D), or (B, s + kappa, D) where they accumulate
        """
        B, m = ids.shape
        past = [] if sigma is None else [sigma]
        h = read_parts(self.model, [*past, tokens(self.model, ids, real), vectors(self.summary, B)])
        s = h.shape[1] - m - self.kappa
        # A row whose text has not yet begun leaves nothing: it must not depend on how long the
        # others are.
        begun = real.any(axis=1)[:, None] | np.zeros_like(real, shape=(B, self.kappa))
        left = h[:, s + m :], begun  # (B, kappa, D), (B, kappa)
        if sigma is not None and self.mode == "accumulate":
            left = (
                concatenate([sigma[0], left[0]], axis=1),
                np.concatenate([sigma[1], begun], axis=1),
            )
        return h[:, max(s - 1, 0) : s + m - 1], left

    def segments(self, ids, real, cuts, more=0):
        """Read a text segment by segment, stopping gradients between groups of bptt.

        ids, real  (B, T), right-aligned;  cuts where segments begin, without 0
        more       passes that come after, which count for bptt
        yields     (states, sigma) of each segment, as step() gives them
        """
        edges, sigma = [0, *cuts, ids.shape[1]], None
        last = len(edges) - 1 + more
        for i, (start, stop) in enumerate(zip(edges, edges[1:])):
            states, sigma = self.step(
                self.stopped(sigma, last - i), ids[:, start:stop], real[:, start:stop]
            )
            yield states, sigma

    def stopped(self, sigma, left):
        """sigma as it enters a pass after which left - 1 more come: taken as given where a group of
        bptt begins.
        """
        if sigma is None or self.bptt is None or left % self.bptt:
            return sigma
        return sigma[0].detach(), sigma[1]

    def compress(self, ids, real=None, cuts=None):
        """The summary of a text.

        ids      (B, T) integers, right-aligned;  real (B, T) bool, None: all are tokens
        cuts     where segments begin; None: every `segment` tokens from the end
        returns  vectors (B, kappa, D), or (B, K kappa, D) of K segments where they accumulate; real
                 (B, ...), False for summaries of segments in which a row had no token yet
        """
        if real is None:
            real = np.ones_like(ids, dtype=bool)
        if cuts is None:
            cuts = fixed_cuts(ids.shape[1], self.segment)
        return list(self.segments(ids, real, cuts, more=1))[-1][1]

    def read(self, batch):
        """Logits of the answers of a ContextBatch, (B, n, V), from the summary of the context and
        the question.
        """
        sigma = self.compress(batch.context, batch.context_real)
        return answer_logits(
            self.model, [sigma, tokens(self.model, batch.inputs, batch.real)], batch.targets
        )


@dataclasses.dataclass(frozen=True)
class SegmentBatch(Batch):
    """Texts to be read in segments: inputs (B, T) right-aligned, targets (B, T) what each column's
    token is, IGNORE for padding and a text's first token; real (B, T) bool; cuts (B, K - 1), the
    same in every row.
    """

    real: np.ndarray = None
    cuts: np.ndarray = None


class SegmentedLM:
    """Language modeling over segments: the mean of -log Pr(z^i_t | sigma^{<i}, z^i_<t) over all
    tokens but a text's first.

    low, high  bounds of the length of a segment, drawn for every batch; equal for one length
    """

    def __init__(self, low, high=None):
        self.low, self.high = low, low if high is None else high
        if not 1 <= self.low <= self.high:
            raise ConfigError(
                f"SegmentedLM: lengths of segments from {low} to {high}: need 1 <= low <= high"
            )

    def make_batch(self, examples, rng=None):
        """Texts, ids of any lengths, as a SegmentBatch; rng draws the segments."""
        ids, real = align_right(examples)
        total = ids.shape[1]
        if self.low == self.high:
            cuts = fixed_cuts(total, self.low)
        else:  # a child stream: every worker draws the same
            cuts = random_cuts(total, self.low, self.high, rng.child("segments"))
        known = real & (np.cumsum(real, axis=1) > 1)
        return SegmentBatch(
            ids,
            np.where(known, ids, IGNORE),
            real,
            np.tile(np.array(cuts, np.int64), (len(ids), 1)),
        )

    def loss(self, model, batch):
        """Mean cross-entropy in nats; returns (Tensor (), {"tokens", "loss"}). model is an
        AutoCompressor.
        """
        cuts = to_cpu(batch.cuts)[0].tolist()
        states = [h for h, _ in model.segments(batch.inputs, batch.real, cuts)]
        h = concatenate(states, axis=1) if len(states) > 1 else states[0]  # (B, T - 1, D)
        return score(model.model.logits(h), batch.targets[:, 1:])
