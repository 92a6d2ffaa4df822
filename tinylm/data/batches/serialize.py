"""One flat sequence of tokens for text, numbers and actions   (Gato; Reed et al. 2022; D2L 11.9.5)

    text       ids of a tokenizer, below 32,000
    integers   such as buttons pressed: below 1,024, in row-major order
    numbers    such as joint angles: compressed to [-1, 1] by the mu-law, which has a finer
               resolution for small values, then in 1,024 bins with the ids 32,000 and up

A time step of a task is its observations in a fixed order, a separator, its actions; one decoder
predicts the sequence. Images, which Gato embeds as patches, are no tokens and not here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError

BINS = 1024
OFFSET = 32000  # the first id of a number
MU, LARGEST = 100.0, 256.0  # mu and M of the mu-law (Reed et al. 2022, appendix B)


def mu_law(x: ArrayLike) -> np.ndarray:
    """sign(x) log(mu |x| + 1) / log(mu M + 1): maps [-M, M] to [-1, 1]."""
    return np.sign(x) * np.log(np.abs(x) * MU + 1) / np.log(LARGEST * MU + 1)


def inverse_mu_law(y: ArrayLike) -> np.ndarray:
    """The x with mu_law(x) = y: sign(y) ((mu M + 1)^|y| - 1) / mu."""
    return np.sign(y) * (np.exp(np.abs(y) * np.log(LARGEST * MU + 1)) - 1) / MU


def number_tokens(values: ArrayLike, squeezed: bool = False) -> np.ndarray:
    """Ids of real numbers.

    values    array of any shape; clipped to [-M, M]
    squeezed  True if they are in [-1, 1] already (actions): no mu-law, clipped to [-1, 1]
    returns   (n,) int64 from OFFSET on, row-major
    raises    DataError for NaN
    """
    values = np.asarray(values, np.float64).reshape(-1)
    if np.isnan(values).any():
        at = int(np.flatnonzero(np.isnan(values))[0])
        raise DataError(f"number_tokens: value {at} is NaN, which is no number: leave it out")
    if not squeezed:
        values = mu_law(values)
    # [-1, 1] -> [0, BINS]; y = 1 itself belongs to the last bin.
    bins = ((np.clip(values, -1, 1) + 1) / 2 * BINS).astype(np.int64)
    return OFFSET + np.minimum(bins, BINS - 1)


def numbers_of(tokens: np.ndarray, squeezed: bool = False) -> np.ndarray:
    """The numbers of ids of `number_tokens`: (n,) -> (n,) float64, the middles of the bins."""
    tokens = np.asarray(tokens)
    if ((tokens < OFFSET) | (tokens >= OFFSET + BINS)).any():
        raise DataError(f"numbers_of: ids must be from {OFFSET} to {OFFSET + BINS - 1}")
    y = (tokens - OFFSET + 0.5) / BINS * 2 - 1  # wrong by at most half a bin, 1 / BINS
    if squeezed:
        return y
    return inverse_mu_law(y)


def integer_tokens(values: ArrayLike) -> np.ndarray:
    """Whole numbers below 1,024 as ids, row-major: (n,) int64. DataError for others."""
    values = np.asarray(values).reshape(-1)
    if values.dtype.kind not in "iub" or ((values < 0) | (values >= BINS)).any():
        raise DataError(f"integer_tokens: needs whole numbers from 0 to {BINS - 1}")
    return values.astype(np.int64)


def episode_tokens(
    steps: Sequence[tuple[list[Any], list[list[int]]]], separator: int
) -> tuple[np.ndarray, np.ndarray]:
    """A whole episode as one row.

    steps      list of (observations, actions), each a list of arrays of ids, in the order of the
               task
    separator  the id between observations and actions
    returns    ids (n,) int64, and (n,) bool: True for actions, the tokens that count in the loss
    raises     ConfigError if the separator is an id of the numbers
    """
    if OFFSET <= separator < OFFSET + BINS:
        raise ConfigError(
            f"episode_tokens: the separator {separator} means a number: take an id outside "
            f"{OFFSET} .. {OFFSET + BINS - 1}"
        )
    ids, is_action = [], []
    for observations, actions in steps:
        seen, done = _flat(observations), _flat(actions)
        ids += [seen, _flat([separator]), done]
        is_action += [np.zeros(len(seen) + 1, bool), np.ones(len(done), bool)]
    return np.concatenate(ids), np.concatenate(is_action)


def _flat(parts):
    """Arrays of ids one after the other: (n,) int64, also of no array."""
    rows = [np.asarray(part, np.int64).reshape(-1) for part in parts]
    return np.concatenate([np.empty(0, np.int64), *rows])
