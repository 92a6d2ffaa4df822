"""Speculative decoding: a small model drafts, the large one checks many tokens in one reading
(Leviathan et al. 2023).

A drafted token x ~ q is accepted with probability min(1, p(x) / q(x)); if it is rejected, another
is drawn from (p - q)+ / sum (p - q)+. The result has distribution p exactly:

    accepted   q min(1, p/q) = min(p, q)
    rejected   with probability 1 - sum min(p, q) = sum (p - q)+, so the second draw adds (p - q)+
    sum        min(p, q) + (p - q)+ = p

A draft is accepted with probability sum min(p, q), one minus the total variation distance. Read
next: contrastive.py.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.generate.loop import as_sampling, check_prompt
from tinylm.generate.protocol.language_model import LanguageModel, as_language_model
from tinylm.generate.sample import Sampling, Uniforms, filtered, greedy, probabilities
from tinylm.nn.module import Module


@dataclasses.dataclass(frozen=True)
class Speculation:
    """The tokens generated, and counts of the work."""

    tokens: list  # the continuation
    drafted: int  # tokens of the draft model that were accepted or rejected
    accepted: int  # of them, accepted
    readings: int  # calls of the large model, its first reading of the prompt among them

    @property
    def acceptance_rate(self) -> float:
        """accepted / drafted; 0 if nothing was drafted."""
        if self.drafted:
            return self.accepted / self.drafted
        return 0.0


@dataclasses.dataclass(frozen=True)
class Round:
    """One reading of the large model, as `watch` is told of it."""

    guesses: list  # the tokens drafted
    p: np.ndarray  # (len(guesses) + 1, V): the large model before each guess, and after the last
    q: np.ndarray  # (len(guesses), V): the draft model before each guess
    uniforms: list  # the numbers that the guesses were judged by, until the first rejection
    taken: list  # the tokens that the sequence grew by: guesses, then the large model's own


def acceptance(p: np.ndarray, q: np.ndarray, token: int) -> float:
    """Probability with which a drafted token is accepted: min(1, p / q). p, q (V,)."""
    return min(1.0, p[token] / q[token])


def residual(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The distribution after a rejection, (p - q)+ / sum (p - q)+: (V,), (V,) -> (V,)."""
    left = np.maximum(p - q, 0)
    total = left.sum()
    if total > 0:
        return left / total
    return p  # p = q up to rounding: a rejection has probability 0


def distributions(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The distributions that `sampling` draws from: (n, V) -> (n, V) float64, one-hot if greedy."""
    logits = filtered(logits, sampling)
    if sampling.is_greedy:
        return np.eye(logits.shape[-1])[greedy(logits)]
    return probabilities(logits)


def take(p: np.ndarray, u: float) -> int:
    """The first token where the cumulative sum of p (V,) exceeds u in [0, 1); its p is above 0."""
    heights = np.cumsum(p)
    return int(np.searchsorted(heights, u * heights[-1], side="right"))


class Reader:
    """A model and its cache of the growing sequence."""

    def __init__(self, lm: LanguageModel | Module) -> None:
        self.lm, self.cache = lm, lm.new_cache(1)

    def scores(self, sequence: Sequence[int], last: int) -> np.ndarray:
        """Logits after each of the last `last` tokens of `sequence`: (last, V).

        What the cache holds may differ from `sequence` only in its last `last` tokens.
        """
        # Crop the cache by these: rejected drafts go, and all `last` rows of logits are computed.
        start = min(self.cache.length, len(sequence) - last)
        self.cache.crop(start)
        logits = self.lm.logits(np.array([sequence[start:]]), self.cache)  # (1, new, V)
        return backend.to_cpu(logits)[0, -last:]


def speculative_generate(
    lm: LanguageModel | Module,
    draft: LanguageModel | Module,
    prompt_ids: ArrayLike,
    max_tokens: int,
    lookahead: int = 4,
    *,
    seed: int = 0,
    eos: int | Sequence[int] | None = None,
    watch: Callable | None = None,
    **sampling: Any,
) -> Speculation:
    """Generate from `lm` with the help of `draft`; the distribution is that of `lm` alone.

    lm, draft   language models over the same vocabulary; any pair is correct, a similar pair is
                fast
    prompt_ids  (T,) integers, at least one; prompt and continuation must fit both contexts
    lookahead   tokens drafted before the large model reads them all at once
    watch       function of a Round, called after each; the result does not depend on it
    **sampling  fields of Sampling, applied to both models; no repetition penalty
    returns     Speculation
    raises      ConfigError for models that do not fit, DataError and ShapeError for a bad prompt
    """
    lm, draft, sampling = as_language_model(lm), as_language_model(draft), as_sampling(sampling)
    sequence = check_prompt(prompt_ids, lm)
    _check(lm, draft, len(sequence) + max_tokens - 1, lookahead, sampling)
    large, small, stream = Reader(lm), Reader(draft), Uniforms(seed)
    start, end = len(sequence), len(sequence) + max_tokens
    drafted = accepted = readings = 0
    while len(sequence) < end:
        # Draft: the small model generates token by token. The last token of a round is the large
        # model's own, so one fewer than the room left.
        checked, guesses, Q = len(sequence), [], []
        for _ in range(min(lookahead, end - len(sequence) - 1)):
            Q.append(distributions(small.scores(sequence + guesses, 1), sampling)[0])  # (V,)
            guesses.append(take(Q[-1], stream.next()))
        # Check: the large model reads all drafts at once, row i its distribution before guess i.
        logits = large.scores(sequence + guesses, len(guesses) + 1)
        P = distributions(logits, sampling)  # (guesses + 1, V)
        readings += 1
        uniforms = []
        for p, q, token in zip(P, Q, guesses):
            drafted += 1
            uniforms.append(stream.next())
            if uniforms[-1] >= acceptance(p, q, token):
                sequence.append(take(residual(p, q), stream.next()))
                break
            sequence.append(token)
            accepted += 1
            if token == eos:
                break
        else:  # all accepted: the large model has also scored the token after the last guess
            sequence.append(take(P[-1], stream.next()))
        if watch is not None:
            watch(Round(guesses, P, np.array(Q), uniforms, sequence[checked:]))
        if eos is not None and eos in sequence[checked:]:
            break
    return Speculation(sequence[start:], drafted, accepted, readings)


def _check(lm, draft, length, lookahead, sampling):
    if lm.vocab_size != draft.vocab_size:
        raise ConfigError(
            f"speculative_generate: vocabularies of {lm.vocab_size} and {draft.vocab_size} "
            "tokens; the draft model must use the same tokenizer"
        )
    if lookahead < 1:
        raise ConfigError(f"speculative_generate: lookahead {lookahead} must be 1 or more")
    if sampling.repetition_penalty != 1:
        raise ConfigError(
            "speculative_generate: a repetition penalty depends on tokens not yet accepted; "
            "leave it at 1"
        )
    for name, context in ("large", lm.context), ("draft", draft.context):
        if context is not None and length > context:
            raise ConfigError(
                f"speculative_generate: prompt and continuation of {length} tokens do not fit "
                f"the {name} model's context of {context}; generate fewer tokens"
            )
