"""Beam search: keep the n best unfinished strings at every step (the search for eq. 2.15's argmax;
Sutskever et al. 2014).

Width 1 is greedy search, and a width that holds all strings is exhaustive search; between the two
there is no guarantee, and a wider beam finds strings of higher probability, which need not be
better text. Long strings have many factors below 1, so scores may be divided by a length penalty
(Wu et al. 2016). Diverse beam search (Vijayakumar et al. 2018) runs several groups, each of which
pays a penalty for tokens that earlier groups chose. Read next: stochastic_beam.py.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import LanguageModel, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import highest
from tinylm.nn.module import Module


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A finished string."""

    tokens: tuple  # y_1 .. y_n, with the end token if there is one
    logprob: float  # log Pr(y | x)
    score: float  # logprob / penalty(n), the order of the list


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An extension that a step of beam search looked at, as `watch` is told of it."""

    parent: int  # which of the unfinished strings it extends, best first
    token: int
    total: float  # log Pr(y | x) of the extended string
    fate: str  # "kept"; "ended"; "pruned": others were better


def power_penalty(alpha: float) -> Callable:
    """The length penalty n^alpha: alpha 0 scores by log Pr, 1 by the mean log Pr of a token."""
    return lambda n: float(n) ** alpha


def gnmt_penalty(alpha: float) -> Callable:
    """The length penalty ((5 + n) / 6)^alpha   (Wu et al. 2016, eq. 14)."""
    return lambda n: ((5.0 + n) / 6.0) ** alpha


class Beam:
    """The state of one beam: unfinished strings, best first, and the finished ones.

    lm, prompt, max_length, eos, penalty   as in `beam_search`
    width    unfinished strings kept at most
    watch    called after every step with its list of Candidate, best first
    """

    def __init__(
        self,
        lm: LanguageModel | Module,
        prompt: Sequence[int],
        max_length: int,
        width: int,
        eos: int | Sequence[int] | None,
        penalty: Callable,
        notice: Callable | None = warnings.warn,
        watch: Callable | None = None,
    ) -> None:
        self.rows = Rows(lm, [prompt], notice)
        self.start = len(prompt)
        self.totals = np.zeros(1)  # log Pr(y | x) of each unfinished string; first the empty one
        self.finished = []
        self.max_length, self.width, self.eos, self.penalty = max_length, width, eos, penalty
        self.watch = watch

    def advance(self, toll: ArrayLike = 0.0) -> list[int]:
        """Extend every string by one token and keep the best.

        toll     (V,) numbers subtracted from a token's score in choosing, not in the
                 log-probabilities
        returns  the tokens chosen: those of all strings kept, ended ones among them
        """
        logits = self.rows.next_logits()
        highest(logits)
        # log Pr(y v | x) = log Pr(y | x) + log Pr(v | x, y) of every extension: (n, V).
        totals = self.totals[:, None] + log_probabilities(logits)
        # Twice the width: each of the `width` parents has one extension by eos, so at least `width`
        # of these do not end here.
        order = np.argsort(-(totals - toll).ravel(), kind="stable")[: 2 * self.width]
        parents, tokens = np.unravel_index(order, totals.shape)
        length = len(self.rows.tokens[0]) - self.start + 1
        kept, chosen, looked_at = [], [], []
        for rank, (parent, token) in enumerate(zip(parents.tolist(), tokens.tolist())):
            total, fate = float(totals[parent, token]), "pruned"
            if total == -math.inf or len(kept) == self.width:
                pass
            elif length < self.max_length and token != self.eos:
                fate = "kept"
                kept.append((parent, token, total))
            elif rank < self.width:  # an ended string must be among the best, as the others must
                fate = "ended"
                chosen.append(token)
                string = (*self.rows.tokens[parent][self.start :], token)
                self.finished.append(Hypothesis(string, total, total / self.penalty(length)))
            looked_at.append(Candidate(parent, token, total, fate))
        if self.watch is not None:
            self.watch(looked_at)
        self.totals = np.array([total for _, _, total in kept])
        if kept:
            self.rows.keep([parent for parent, _, _ in kept])
            self.rows.append([token for _, token, _ in kept])
        return chosen + [token for _, token, _ in kept]

    @property
    def alive(self) -> bool:
        """True while there are unfinished strings."""
        return len(self.totals) > 0

    def best_to_come(self) -> float:
        """An upper bound of the score with which an unfinished string can still end."""
        # log Pr is negative and only falls as a string grows; dividing it by the largest penalty
        # still possible moves it closest to 0.
        n = len(self.rows.tokens[0]) - self.start
        return self.totals.max() / max(self.penalty(m) for m in range(n + 1, self.max_length + 1))

    def best(self, n: int) -> list[Hypothesis]:
        """The n best finished strings, best first; of equals the one found first."""
        return sorted(self.finished, key=lambda found: -found.score)[:n]


STOPPING = {
    "bound": "once no unfinished string can enter the list: the same list as without stopping",
    "count": "once `width` strings have ended: quicker, may miss better ones",
}


def beam_search(
    lm: LanguageModel | Module,
    x: ArrayLike,
    max_length: int,
    width: int = 4,
    eos: int | Sequence[int] | None = None,
    n_best: int = 1,
    length_penalty: Callable | None = None,
    stopping: str = "bound",
    notice: Callable | None = warnings.warn,
    watch: Callable | None = None,
) -> list[Hypothesis]:
    """The best completions y of x that a beam finds, by log Pr(y | x) / penalty(|y|).

    lm              a model of tinylm.models, or a language model (protocol/language_model.py)
    x               (m,) context, at least one token
    max_length      tokens of y at most
    width           strings kept at every step
    eos             id of the end token, or None: then every y has max_length tokens
    n_best          strings to return at most; up to `width` make sense
    length_penalty  function of the length, not falling: power_penalty(a), gnmt_penalty(a); None: no
                    penalty
    stopping        "bound" or "count", see STOPPING
    watch           function of a list of Candidate, called at every step: the 2 width best
                    extensions and what became of each; the result does not depend on it
    returns         list of Hypothesis, best first; of equal scores the lower ids at the first
                    difference come first
    raises          ConfigError for an impossible width, length or rule
    """
    _check("beam_search", width, max_length, stopping)
    lm, penalty = as_language_model(lm), length_penalty or power_penalty(0)
    beam = Beam(lm, check_prompt(x, lm), max_length, width, eos, penalty, notice, watch)
    while beam.alive and not _done(beam, n_best, stopping):
        beam.advance()
    return beam.best(n_best)


def _done(beam, n_best, stopping):
    if stopping == "count":
        return len(beam.finished) >= beam.width
    return len(beam.finished) >= n_best and beam.best_to_come() <= beam.best(n_best)[-1].score


def diverse_beam_search(
    lm: LanguageModel | Module,
    x: Sequence[int],
    max_length: int,
    groups: int = 3,
    width: int = 2,
    strength: float = 0.5,
    eos: int | Sequence[int] | None = None,
    length_penalty: Callable | None = None,
    notice: Callable = warnings.warn,
) -> list[list[Hypothesis]]:
    """Beam searches that keep out of each other's way   (Vijayakumar et al. 2018, with Hamming
    diversity)

    groups    beams, advanced in turn at every step
    width     strings in each
    strength  subtracted from a token's score for every time an earlier group chose it at this step;
              0: all groups find the same
    others    as in `beam_search`
    returns   one list of Hypothesis a group, best first; their log-probabilities and scores do not
              include the subtraction
    """
    _check("diverse_beam_search", min(groups, width), max_length, "bound")
    lm, penalty = as_language_model(lm), length_penalty or power_penalty(0)
    prompt = check_prompt(x, lm)
    beams = [Beam(lm, prompt, max_length, width, eos, penalty, notice) for _ in range(groups)]
    while any(beam.alive for beam in beams):
        counts = np.zeros(lm.vocab_size)  # how often this step's earlier groups chose each token
        for beam in beams:
            if beam.alive:
                np.add.at(counts, beam.advance(strength * counts), 1)
    return [beam.best(width) for beam in beams]


def _check(name, width, max_length, stopping):
    if width < 1 or max_length < 1:
        raise ConfigError(f"{name}: width {width} and max_length {max_length} must be 1 or more")
    if stopping not in STOPPING:
        raise ConfigError(f"{name}: stopping {stopping!r} is not one of {', '.join(STOPPING)}")
