"""Corruptions for denoising: BART's five, token reordering and replacement, and their mixture
(book section 1.2.3.2)

Each comes twice: a plain function of which tokens, spans or order, and a dataclass that draws
these. The latter are called as noise(ids, draws) -> ids with draws (5, T + 1) uniform numbers in
[0, 1) for a row of T tokens, and are pure: the same numbers, the same corruption. Read next:
seq2seq.py, which trains on them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.pretrain.masked.choose import budget
from tinylm.pretrain.masked.masked import mask_tokens
from tinylm.pretrain.masked.spans import poisson_spans
from tinylm.pretrain.special import Special

# rows of uniform numbers that one row of text may use: four for a corruption, one for a choice
DRAWS = 5


def delete_tokens(ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The tokens that are not chosen; nothing marks where the others were."""
    return ids[~chosen]


def infill(ids: np.ndarray, starts: ArrayLike, lengths: ArrayLike, mask: int) -> np.ndarray:
    """Every span becomes one [MASK], also a span of no tokens   (text infilling)

    ids      (T,);  starts, lengths (k,) integers, spans in order and apart
    returns  (T - sum(lengths) + k,)
    """
    parts, at = [], 0  # at: the first token that is not yet in the result
    for start, length in zip(starts, lengths):
        parts += [ids[at:start], [mask]]
        at = start + length
    return np.concatenate([*parts, ids[at:]]).astype(ids.dtype)


def sentences(ids: np.ndarray, ends: ArrayLike) -> list[np.ndarray]:
    """The row cut after every id that ends a sentence: a list of arrays, none empty."""
    cuts = np.flatnonzero(np.isin(ids, ends)) + 1
    return [part for part in np.split(ids, cuts) if len(part)]


def permute_sentences(parts: Sequence[np.ndarray], order: ArrayLike) -> np.ndarray:
    """Sentences in another order, as one row."""
    return np.concatenate([parts[i] for i in order])


def rotate(ids: np.ndarray, k: int) -> np.ndarray:
    """The row from its token k on, then what was before it."""
    return np.roll(ids, -k)


def permute_tokens(ids: np.ndarray, order: ArrayLike) -> np.ndarray:
    """The row with token order[i] at place i."""
    return ids[order]


def replace_tokens(ids: np.ndarray, chosen: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Other tokens where they were chosen: others (T,), one for every position."""
    return np.where(chosen, others, ids)


def random_share(size: int, rate: float, draws: np.ndarray) -> np.ndarray:
    """A random subset of `rate` of the positions: bool (size,)."""
    k = int(budget(np.ones(size, bool), rate))
    chosen = np.zeros(size, bool)
    chosen[np.argsort(draws[:size])[:k]] = True  # the k smallest numbers: any subset as likely
    return chosen


@dataclass(frozen=True)
class TokenMasking:
    """[MASK] in place of a share of the tokens."""

    mask: int
    rate: float = 0.15

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return mask_tokens(ids, random_share(len(ids), self.rate, draws[0]), self.mask)


@dataclass(frozen=True)
class TokenDeletion:
    """A share of the tokens left out."""

    rate: float = 0.15

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return delete_tokens(ids, random_share(len(ids), self.rate, draws[0]))


@dataclass(frozen=True)
class TextInfilling:
    """One [MASK] for every span of Poisson length."""

    mask: int
    rate: float = 0.3
    mean: float = 3.0

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        starts, lengths = poisson_spans(len(ids), self.rate, draws, self.mean)
        return infill(ids, starts, lengths, self.mask)


@dataclass(frozen=True)
class SentencePermutation:
    """Sentences in random order; ends: the ids that end one."""

    ends: tuple

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        parts = sentences(ids, self.ends)
        if parts:
            return permute_sentences(parts, np.argsort(draws[0][: len(parts)]))
        return ids


@dataclass(frozen=True)
class DocumentRotation:
    """The row turned so that a random token comes first."""

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return rotate(ids, int(draws[0, 0] * len(ids)))


@dataclass(frozen=True)
class TokenPermutation:
    """All tokens in random order."""

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return permute_tokens(ids, np.argsort(draws[0][: len(ids)]))


@dataclass(frozen=True)
class TokenReplacement:
    """Random words in place of a share of the tokens; words: the ids to draw from."""

    words: np.ndarray
    rate: float = 0.15

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        which = (draws[1][: len(ids)] * len(self.words)).astype(np.int64)  # (T,)
        others = np.asarray(self.words)[which]
        return replace_tokens(ids, random_share(len(ids), self.rate, draws[0]), others)


@dataclass(frozen=True)
class Chain:
    """Two corruptions: BART's final choice is sentence permutation, then text infilling.

    first   leaves the row as long as it is, or shortens it: the draws are for as many tokens as the
            text has
    """

    first: object
    second: object

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        # Each uses two rows of numbers at most: the second gets rows 2 and 3 as its first two.
        return self.second(self.first(ids, draws), draws[[2, 3, 0, 1, 4]])


@dataclass(frozen=True)
class Mixture:
    """One of several, drawn for every row   (book section 1.2.3.2, end).

    parts    corruptions, or tasks of seq2seq.py
    weights  their probabilities; equal if None
    """

    parts: tuple
    weights: tuple | None = None

    def __post_init__(self) -> None:
        w = self.weights
        if w is None:
            return
        if len(w) != len(self.parts) or min(w) < 0 or not math.isclose(sum(w), 1):
            raise ConfigError(
                f"Mixture: weights {w} must be {len(self.parts)} probabilities that sum to 1"
            )

    def pick(self, draws: np.ndarray) -> int:
        """The index of the part that these draws choose."""
        if self.weights is None:
            return int(draws[-1, 0] * len(self.parts))
        # The first part whose cumulative weight passes the number.
        return int(np.searchsorted(np.cumsum(self.weights)[:-1], draws[-1, 0], side="right"))

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> Any:
        return self.parts[self.pick(draws)](ids, draws)


def bart(special: Special, ends: ArrayLike) -> Mixture:
    """BART's five corruptions with equal weights: masking, deletion, infilling, sentence
    permutation, rotation.
    """
    special.need("bart", "mask")
    return Mixture(
        (
            TokenMasking(special.mask),
            TokenDeletion(),
            TextInfilling(special.mask),
            SentencePermutation(tuple(ends)),
            DocumentRotation(),
        )
    )
