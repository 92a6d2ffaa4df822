"""Stochastic beam search: k different strings drawn from the model, without replacement (Kool, van
Hoof, Welling 2019).

The k largest of log Pr(y) + Gumbel noise over all strings y are a sample without replacement
(Gumbel top-k). The maximum of the noisy scores below a prefix is again Gumbel around the prefix's
own log-probability, so noise can be drawn top down: first the maximum of a prefix, then its
children's noise given that maximum. A beam of width k therefore finds the k largest exactly,
without listing strings. Read next: speculative.py.
"""

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import highest


@dataclasses.dataclass(frozen=True)
class Draw:
    """One string of a sample without replacement."""

    tokens: tuple
    logprob: float  # log Pr(y | x)
    noisy: float  # logprob plus Gumbel noise, the order of the sample


def gumbel_given_maximum(
    location: np.ndarray, maximum: np.ndarray, uniform: np.ndarray
) -> np.ndarray:
    """Gumbel variables with these locations, given that the largest of them is `maximum`   (Kool et
    al. 2019, appendix B)

    location  (..., V), -inf for impossible ones
    maximum   (...);  uniform (..., V) numbers in (0, 1)
    returns   (..., V), largest = maximum
    """
    free = location - np.log(-np.log(uniform))  # without the condition
    top = free.max(axis=-1, keepdims=True)
    # Each becomes a Gumbel variable truncated at m = `maximum`:
    #     g' = -log(e^-m - e^-top + e^-g) = m - log(1 + e^v),   v = m - g + log(1 - e^(g - top)),
    # with log(1 + e^v) = max(v, 0) + log(1 + e^-|v|), which does not overflow. g = top gives m.
    with np.errstate(divide="ignore", invalid="ignore"):
        v = maximum[..., None] - free + np.log1p(-np.exp(free - top))
        cut = maximum[..., None] - np.maximum(v, 0) - np.log1p(np.exp(-np.abs(v)))
    cut = np.where(free == top, maximum[..., None], cut)
    return np.where(np.isneginf(location), -np.inf, cut)


def stochastic_beam_search(
    lm: Model,
    x: Sequence[int],
    max_length: int,
    k: int,
    rng: Random,
    eos: int | Sequence[int] | None = None,
    notice: Callable = warnings.warn,
) -> list[Draw]:
    """k different completions of x, drawn in order without replacement from Pr(y | x).

    max_length  tokens of y, fewer where it ends with eos;  k  strings
    rng         a Random; one number for every possible extension of every string in the beam
    returns     list of Draw, in the order drawn: fewer than k if there are no more strings of
                positive probability
    """
    if k < 1 or max_length < 1:
        raise ConfigError(
            f"stochastic_beam_search: k {k} and max_length {max_length} must be 1 or more"
        )
    lm = as_language_model(lm)
    prompt = check_prompt(x, lm)
    rows, tiny = Rows(lm, [prompt], notice), np.finfo(np.float64).tiny  # u = 0 would give log 0
    totals = np.zeros(1)  # log Pr of each prefix; the empty one has probability 1
    # The maximum of log Pr(y) + Gumbel over all strings is a Gumbel around log 1 = 0.
    maxima = -np.log(-np.log(np.maximum(rng.uniform(1, np.float64), tiny)))
    finished = []
    for n in range(1, max_length + 1):
        logits = rows.next_logits()
        highest(logits)
        children = totals[:, None] + log_probabilities(logits)  # (rows, V)
        # Top down: a prefix's maximum is the largest of its children's, drawn given that.
        uniform = np.maximum(rng.uniform(children.shape, np.float64), tiny)
        noisy = gumbel_given_maximum(children, maxima, uniform)  # (rows, V)
        # The k best of the children and of the strings that have ended, which stay candidates.
        best = [(done.noisy, done) for done in finished]
        for flat in np.argsort(-noisy, axis=None, kind="stable")[:k]:
            parent, token = divmod(int(flat), lm.vocab_size)
            if children[parent, token] > -np.inf:
                best.append((float(noisy[parent, token]), (parent, token)))
        best = sorted(best, key=lambda pair: -pair[0])[:k]
        # Children become finished strings if they end here, else the prefixes of the next step.
        finished, going = [], []
        for noise, found in best:
            if isinstance(found, Draw):
                finished.append(found)
                continue
            parent, token = found
            if token != eos and n < max_length:
                going.append(found)
                continue
            string = (*rows.tokens[parent][len(prompt) :], token)
            finished.append(Draw(string, float(children[found]), noise))
        if not going:
            break
        parents, tokens = (list(part) for part in zip(*going))
        totals, maxima = children[parents, tokens], noisy[parents, tokens]
        rows.keep(parents)
        rows.append(tokens)
    return sorted(finished, key=lambda done: -done.noisy)


def importance_weights(draws: Sequence[Draw]) -> np.ndarray:
    """Weights w of all but the last draw such that sum of w f(y) has mean E[f(y)]   (Kool et al.
    2019, section 4.2)

    The last draw only sets the threshold t: a string is among the others if its noisy score exceeds
    t, which happens with probability q = 1 - exp(-exp(log Pr(y) - t)); its weight is Pr(y) / q.

    returns  (k - 1,) float64
    """
    if len(draws) < 2:
        raise ShapeError(
            "importance_weights: the last draw is the threshold, so it needs at least two"
        )
    logprob = np.array([draw.logprob for draw in draws[:-1]])
    return np.exp(logprob) / -np.expm1(-np.exp(logprob - draws[-1].noisy))  # expm1: q may be tiny


def ordered_sample_probabilities(probabilities: Sequence[float], k: int) -> dict:
    """Probability of every ordered sample of k of n things without replacement.

    Pr(i_1, .., i_k) = product over j of p(i_j) / (1 - p(i_1) - .. - p(i_{j-1}))

    probabilities  (n,) summing to 1
    returns        dict from index tuples (i_1, .., i_k) to float
    """
    exact = {}
    for order in itertools.permutations(range(len(probabilities)), k):
        left, chance = 1.0, 1.0
        for i in order:
            chance *= probabilities[i] / left
            left -= probabilities[i]
        exact[order] = chance
    return exact
