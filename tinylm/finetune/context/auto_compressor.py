"""AutoCompressor: a long text is read in segments, each summarized in kappa vectors   (book section
3.3.2.3, Fig. 3.8; Chevalier et al. 2023).

    step i reads    [ sigma^{<i} ; z^i_1 .. z^i_m ; g_1 .. g_kappa ]
                      sigma from the segments before, segment z^i, learnt summary tokens g
    and returns     the last hidden states at the positions of g, as vectors for step i + 1

In the book these replace sigma, a memory of fixed size like that of an RNN (`replace`); in the
paper they are appended to the earlier ones (`accumulate`). The model learns to write and to read
them from the loss of language modeling: all tokens of a segment are predicted, the first one from
the last summary vector. To limit the cost, gradients pass through `bptt` segments at a time. After
training, sigma of a long context is kept in its place, in front of questions.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

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


def fixed_cuts(total: int, length: int) -> list[int]:
    """Starts of segments of `length` tokens, without 0; only the first segment may be shorter."""
    return list(range(total % length or length, total, length))


def random_cuts(total: int, low: int, high: int, rng: Random) -> list[int]:
    """As fixed_cuts(), with lengths drawn from low .. high, so that ends are not predictable."""
    cuts = [total]
    while cuts[0] > high:
        length = int(rng.integers(low, high + 1, (1,))[0])
        cuts.insert(0, cuts[0] - length)
    return cuts[:-1]


class AutoCompressor(Module):
    """A language model that compresses the text it has read into summary vectors.

    model    GPT with a context of at least sigma, a segment and kappa more
    kappa    summary tokens, 1 or more
    mode     one of MODES
    bptt     segments that a gradient passes through together, 2 or more; None: all. Groups are
             counted from the last segment, which may be the question; between groups sigma is
             detached
    segment  tokens of a segment in read()
    seed     of the summary tokens

    A student for the tasks of context_distillation.py; SegmentedLM trains it.
    """

    def __init__(
        self,
        model: Module,
        kappa: int,
        mode: str = "replace",
        bptt: int | None = 2,
        segment: int = 16,
        seed: int = 0,
    ) -> None:
        if mode not in MODES:
            raise ConfigError(f"AutoCompressor: mode {mode!r} is not one of {', '.join(MODES)}")
        if kappa < 1 or segment < 1 or (bptt is not None and bptt < 2):
            raise ConfigError(
                f"AutoCompressor: kappa {kappa} and segment {segment} must be 1 or more, "
                f"and bptt {bptt} 2 or more, or no gradient ever reaches a summary"
            )
        self.model = model
        self.kappa = kappa
        self.mode = mode
        self.bptt = bptt
        self.segment = segment
        table = model.tokens.weight.data
        rng = Random(seed, "summary", device=device_of(table))
        noise = rng.normal((kappa, table.shape[1]), table.dtype)
        start = table.mean(axis=0) + noise * table.std()  # (kappa, D)
        self.summary = Tensor(start.astype(table.dtype), requires_grad=True)

    def step(
        self, sigma: tuple[Tensor, np.ndarray] | None, ids: np.ndarray, real: np.ndarray
    ) -> tuple[Tensor, tuple[Tensor, np.ndarray]]:
        """Read one segment.

        sigma    (vectors (B, s, D), real (B, s)) of the segments before, or None
        ids      (B, m) integers;  real (B, m) bool, False for padding
        returns  states (B, m or m - 1, D) that predict the segment's tokens (without sigma nothing
                 predicts the first), and the sigma for the next segment: vectors (B, kappa, D), or
                 (B, s + kappa, D) if they accumulate
        """
        B, m = ids.shape
        parts = [tokens(self.model, ids, real), vectors(self.summary, B)]
        if sigma is not None:
            parts = [sigma, *parts]
        h = read_parts(self.model, parts)  # (B, s + m + kappa, D)
        s = h.shape[1] - m - self.kappa
        # A row whose text has not begun yet has no summary: its result must not depend on the
        # lengths of the other rows.
        begun = real.any(axis=1)[:, None] | np.zeros_like(real, shape=(B, self.kappa))
        written = h[:, s + m :]  # (B, kappa, D)
        if sigma is not None and self.mode == "accumulate":
            written = concatenate([sigma[0], written], axis=1)
            begun = np.concatenate([sigma[1], begun], axis=1)
        # column s - 1, the last summary vector, predicts the first token
        return h[:, max(s - 1, 0) : s + m - 1], (written, begun)

    def segments(
        self, ids: np.ndarray, real: np.ndarray, cuts: Sequence[int], more: int = 0
    ) -> Iterator[tuple[Tensor, tuple[Tensor, np.ndarray]]]:
        """Read a text segment by segment, with gradients cut between groups of bptt segments.

        ids, real  (B, T), right-aligned;  cuts  starts of segments, without 0
        more       passes that follow, which count for bptt
        yields     (states, sigma) of each segment, as step() returns them
        """
        edges, sigma = [0, *cuts, ids.shape[1]], None
        passes = len(edges) - 1 + more
        for i, (start, stop) in enumerate(zip(edges, edges[1:])):
            sigma = self.stopped(sigma, passes - i)
            states, sigma = self.step(sigma, ids[:, start:stop], real[:, start:stop])
            yield states, sigma

    def stopped(
        self, sigma: tuple[Tensor, np.ndarray] | None, left: int
    ) -> tuple[Tensor, np.ndarray] | None:
        """sigma, detached if a group of bptt begins with `left` passes left, this one included."""
        if sigma is None or self.bptt is None or left % self.bptt:
            return sigma
        return sigma[0].detach(), sigma[1]

    def compress(
        self, ids: np.ndarray, real: np.ndarray | None = None, cuts: Sequence[int] | None = None
    ) -> tuple:
        """The summary of a text.

        ids      (B, T) integers, right-aligned;  real (B, T) bool, None: all are tokens
        cuts     starts of segments, without 0; None: every `segment` tokens from the end
        returns  vectors (B, kappa, D), or (B, K kappa, D) of K segments if they accumulate; real
                 (B, ...), False for summaries of segments in which a row had no token yet
        """
        if real is None:
            real = np.ones_like(ids, dtype=bool)
        if cuts is None:
            cuts = fixed_cuts(ids.shape[1], self.segment)
        *_, (_, sigma) = self.segments(ids, real, cuts, more=1)  # of the last segment
        return sigma

    def read(self, batch: Any) -> Tensor:
        """Logits of the answers after [ sigma of the context ; question ]: (B, n, V)."""
        sigma = self.compress(batch.context, batch.context_real)
        question = tokens(self.model, batch.inputs, batch.real)
        return answer_logits(self.model, [sigma, question], batch.targets)


@dataclasses.dataclass(frozen=True)
class SegmentBatch(Batch):
    """Texts to be read in segments.

    inputs   (B, T) ids, right-aligned;  real (B, T) bool, False for padding
    targets  (B, T) the same ids (not shifted), IGNORE for padding and a text's first token
    cuts     (B, K - 1) starts of segments, the same in every row
    """

    real: np.ndarray = None
    cuts: np.ndarray = None


class SegmentedLM:
    """Language modeling over segments: -log Pr(z^i_t | sigma^{<i}, z^i_<t).

    The mean over all tokens but a text's first.

    low, high  bounds of the length of a segment, drawn for every batch; equal for a fixed length
    """

    def __init__(self, low: int, high: int | None = None) -> None:
        if high is None:
            high = low
        self.low, self.high = low, high
        if not 1 <= self.low <= self.high:
            raise ConfigError(
                f"SegmentedLM: lengths of segments from {low} to {high}: need 1 <= low <= high"
            )

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """Texts, ids of any lengths, as a SegmentBatch; rng draws the segments."""
        ids, real = align_right(examples)
        total = ids.shape[1]
        if self.low == self.high:
            cuts = fixed_cuts(total, self.low)
        else:  # a child stream: every worker draws the same
            cuts = random_cuts(total, self.low, self.high, rng.child("segments"))
        predicted = real & (np.cumsum(real, axis=1) > 1)  # all tokens but a row's first
        cuts = np.tile(np.array(cuts, np.int64), (len(ids), 1))
        return SegmentBatch(ids, np.where(predicted, ids, IGNORE), real, cuts)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of an AutoCompressor in nats: (Tensor (), {"tokens", "loss"})."""
        cuts = to_cpu(batch.cuts)[0].tolist()
        states = [h for h, _ in model.segments(batch.inputs, batch.real, cuts)]
        h = concatenate(states, axis=1)  # (B, T - 1, D): column t predicts token t + 1
        return score(model.model.logits(h), batch.targets[:, 1:])
