"""One flat sequence of tokens for text, numbers and decisions alike   (Gato; Reed et al. 2022; D2L
11.9.5)

    text       ids of a tokenizer, below 32,000
    integers   such as buttons pressed: below 1,024, in row-major order
    numbers    such as joint angles: squeezed into [-1, 1] (mu-law, which keeps small values apart),
               then 1,024 bins that have the ids 32,000 and up

A time step of a task is its observations in a fixed order, a separator, its actions; one decoder
predicts all of it. Images, which Gato embeds as patches, are no tokens and not here.
"""

import numpy as np

from tinylm.errors import ConfigError, DataError

BINS, OFFSET, MU, LARGEST = 1024, 32000, 100.0, 256.0


def mu_law(x):
    """sign(x) log(mu |x| + 1) / log(mu M + 1): what lies in [-M, M] comes to lie in [-1, 1]; mu
    100, M 256.
    """
    return np.sign(x) * np.log(np.abs(x) * MU + 1) / np.log(LARGEST * MU + 1)


def inverse_mu_law(y):
    """The x of which mu_law gave y."""
    return np.sign(y) * (np.exp(np.abs(y) * np.log(LARGEST * MU + 1)) - 1) / MU


def number_tokens(values, squeezed=False):
    """Ids of real numbers.

    values    array of any shape; what lies outside is put on the edge
    squeezed  they lie in [-1, 1] already (actions), so that no mu-law is needed
    returns   (n,) int64 from OFFSET on, row-major
    raises    DataError for NaN
    """
    values = np.asarray(values, np.float64).reshape(-1)
    if np.isnan(values).any():
        raise DataError(
            f"number_tokens: value {int(np.flatnonzero(np.isnan(values))[0])} is NaN, which is no number: leave it out"
        )
    y = np.clip(values if squeezed else mu_law(values), -1, 1)
    return OFFSET + np.minimum(((y + 1) / 2 * BINS).astype(np.int64), BINS - 1)


def numbers_of(tokens, squeezed=False):
    """The middles of the bins: (n,) ids of number_tokens -> (n,) float64, wrong by at most half a
    bin before un-squeezing.
    """
    tokens = np.asarray(tokens)
    if ((tokens < OFFSET) | (tokens >= OFFSET + BINS)).any():
        raise DataError(f"numbers_of: ids must be from {OFFSET} to {OFFSET + BINS - 1}")
    y = (tokens - OFFSET + 0.5) / BINS * 2 - 1
    if squeezed:
        return y
    return inverse_mu_law(y)


def integer_tokens(values):
    """Whole numbers below 1,024 as they are, row-major: (n,) int64. DataError for others."""
    values = np.asarray(values).reshape(-1)
    if values.dtype.kind not in "iub" or ((values < 0) | (values >= BINS)).any():
        raise DataError(f"integer_tokens: needs whole numbers from 0 to {BINS - 1}")
    return values.astype(np.int64)


def episode_tokens(steps, separator):
    """A whole episode as one row.

    steps      list of (observations, actions), each a list of arrays of ids, in the order of the
               task
    separator  the id between observations and actions
    returns    ids (n,) int64, and (n,) bool: True for actions, which are what is trained on
    raises     ConfigError if the separator is an id of the numbers
    """
    if OFFSET <= separator < OFFSET + BINS:
        raise ConfigError(
            f"episode_tokens: the separator {separator} means a number: take an id outside "
            f"{OFFSET} .. {OFFSET + BINS - 1}"
        )
    ids, acted = [], []
    for observations, actions in steps:
        seen, done = (
            np.concatenate(
                [np.asarray(part, np.int64).reshape(-1) for part in parts]
                or [np.empty(0, np.int64)]
            )
            for parts in (observations, actions)
        )
        ids += [seen, [separator], done]
        acted += [np.zeros(len(seen) + 1, bool), np.ones(len(done), bool)]
    return np.concatenate([np.asarray(part, np.int64) for part in ids]), np.concatenate(acted)
