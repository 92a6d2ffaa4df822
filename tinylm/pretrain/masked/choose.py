"""Which tokens a corruption touches: single tokens, or whole words   (book sections 1.2.2.1,
1.3.1.1).

A fixed share of every row is chosen, rounded to whole tokens, so that rows of one length weigh the
same. Every chooser is `choose(ids, eligible, rng, rate) -> bool (B, T)` and touches nothing that is
not eligible. Read next: spans.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def budget(eligible: np.ndarray, rate: float) -> np.ndarray | int:
    """The number of tokens to choose in each row: rate of those eligible, rounded; at least one
    unless the rate is 0.

    eligible  (..., T) bool;  rate in [0, 1];  returns (...) int64
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"budget: the rate {rate} must be from 0 to 1")
    count = np.sum(eligible, axis=-1)
    return np.minimum(count, np.maximum(np.rint(rate * count), rate > 0)).astype(np.int64)


def choose_tokens(
    ids: np.ndarray | None, eligible: np.ndarray, rng: Random, rate: float = 0.15
) -> np.ndarray:
    """Single tokens, all subsets of the right size equally likely   (Devlin et al. 2019).

    ids       (B, T) integers (not used);  eligible (B, T) bool;  rate share of the eligible ones
    returns   bool (B, T)
    """
    # The k smallest of uniform numbers are a random subset of size k; 2.0 puts the others last.
    draws = np.where(eligible, rng.uniform(eligible.shape, np.float64), 2.0)
    rank = np.argsort(np.argsort(draws, axis=1), axis=1)  # (B, T): the place of each in the order
    return rank < budget(eligible, rate)[:, None]


@dataclass(frozen=True)
class WholeWords:
    """All tokens of a word or none: words in random order, as many as fit the share, but at least
    one (whole-word masking; Devlin et al. 2019, the models of May 2019).

    starts   (V,) bool: which ids begin a word; the pieces of WordPiece that begin with ## do not
    """

    starts: np.ndarray

    def __call__(
        self, ids: np.ndarray, eligible: np.ndarray, rng: Random, rate: float = 0.15
    ) -> np.ndarray:
        B, T = ids.shape
        # A special token is a word of its own, and what follows it begins one.
        begins = self.starts[ids] | ~eligible
        begins[:, 1:] |= ~eligible[:, :-1]
        begins[:, 0] = True
        word = np.cumsum(begins, axis=1) - 1  # (B, T): the number of each token's word
        # Words in random order: one number for all tokens of a word, and a stable sort keeps them
        # together. 2.0 puts tokens that may not be chosen last.
        draws = np.take_along_axis(rng.uniform((B, T), np.float64), word, axis=1)
        order = np.argsort(np.where(eligible, draws, 2.0), axis=1, kind="stable")
        word = np.take_along_axis(word, order, axis=1)
        last = np.ones((B, T), bool)  # in that order: the last token of a word
        last[:, :-1] = word[:, 1:] != word[:, :-1]
        # ends: how many tokens are chosen if this token's word is the last one taken, which is the
        # next end to its right.
        ends = np.where(last, np.arange(1, T + 1), T)
        ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        wanted = budget(eligible, rate)[:, None]  # (B, 1)
        most = np.where(wanted > 0, np.maximum(wanted, ends[:, :1]), 0)  # the first word always
        picked = ends <= most
        chosen = np.empty((B, T), bool)
        np.put_along_axis(chosen, order, picked, axis=1)  # back to the order of the text
        return chosen & eligible
