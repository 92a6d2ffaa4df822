"""The prompt as a hidden variable: sum over all prompts, each with its probability   (book section
3.2.4, eq. 3.8).

    Pr(y | p) = sum over x of Pr(y | x) Pr(x | p)

p is the problem and x a prompt for it. Over a finite set of prompts the integral of the book is
this sum, and exact; over many prompts it is estimated from a few that are drawn from Pr(x | p). A
uniform prior gives the arithmetic mean of the distributions, not the geometric one of eq. 3.7.
Read next: outputs.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.means import arithmetic_mean, check_weights, log_sum_exp
from tinylm.prompt.ensemble.prompts import PHRASINGS, texts_of
from tinylm.prompt.in_context.fitted import dropped_of
from tinylm.prompt.protocol.text_lm import TextLM


def log_table(lm: TextLM, prompts: Sequence, candidates: Sequence, **options: Any) -> np.ndarray:
    """log Pr(y | x) of candidates after prompts: (K, n) float64, in one batch.

    lm          TextLM
    prompts     K prompts
    candidates  list of n str for all prompts, or K lists of n: a candidate may be written
                differently after each
    options     of score_batch
    """
    found = lm.score_batch(prompts, candidates, **options)
    sizes = {len(scores.sums) for scores in found}
    if len(sizes) > 1:
        raise DataError(
            f"log_table: {sorted(sizes)} candidates for different prompts; each prompt needs the "
            "same ones, in the same order"
        )
    return np.stack([scores.sums for scores in found])


def log_marginal(logs: np.ndarray, prior: np.ndarray | None = None) -> np.ndarray:
    """log Pr(y | p) = log sum_k Pr(x_k | p) Pr(y | x_k): (K, n), (K,) -> (n,)   (book eq. 3.8)

    prior  Pr(x_k | p), any positive multiple of it; uniform unless given
    """
    return arithmetic_mean(logs, check_weights(prior, len(logs)))


def posterior(logs: np.ndarray, prior: ArrayLike | None = None) -> np.ndarray:
    """Pr(x_k | p, y), the prompts after y was seen: (K, n), (K,) -> (K, n), columns of sum 1."""
    with np.errstate(divide="ignore"):
        shares = np.log(check_weights(prior, len(logs)))
    # Pr(x | p, y) = Pr(y | x) Pr(x | p) / Pr(y | p)
    joint = np.asarray(logs, np.float64) + shares[:, None]
    return np.exp(joint - log_sum_exp(joint))


def draw_prompts(count: int, prior: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers of prompts drawn from the prior, with repeats: (count,) integers.

    prior  (K,) Pr(x_k | p), any positive multiple of it
    rng    numpy Generator
    raises ConfigError for less than one draw
    """
    if count < 1:
        raise ConfigError(f"draw_prompts: draw at least 1 prompt, not {count}")
    shares = check_weights(prior, len(prior))
    return rng.choice(len(shares), size=count, p=shares)


def monte_carlo(logs: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1/N) sum_i Pr(y | x_i), an unbiased estimate of Pr(y | p)   (book section 3.2.4)

    logs     (K, n) of at least the prompts that were drawn; other rows are not looked at
    drawn    (N,) numbers of the prompts
    returns  (estimate (n,), its standard error (n,): nan for N = 1)
    """
    # The mean of Pr(y | x_i) over x_i ~ Pr(x | p) is the sum of eq. 3.8 (of log Pr it is not). Of
    # long answers it may underflow to 0: log_marginal(logs[drawn]) is its logarithm.
    probabilities = np.exp(np.asarray(logs, np.float64)[drawn])  # (N, n)
    N = len(drawn)
    if N == 1:
        return probabilities[0], np.full(probabilities.shape[1], np.nan)
    # The error falls with 1 / sqrt(N), whatever the number of prompts there are to draw from.
    return probabilities.mean(0), probabilities.std(0, ddof=1) / N**0.5


def marginal_answer(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompts: Sequence = PHRASINGS,
    prior: np.ndarray | None = None,
    draws: int | None = None,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The option with the greatest probability over all prompts   (book eq. 3.8)

    item       with options
    prompts    list of prompts with prompt() and continuation(), such as FewShotPrompts
    prior      Pr(x | p) of each; uniform unless given
    draws      None: the exact sum; or estimate it from so many prompts drawn from the prior
    returns    Answer; details: logs and probabilities (of the options, not normalized; those of
               long options may underflow to 0), posterior of the prompts given the answer (exact
               sum), drawn and error (Monte Carlo), dropped demonstrations
    raises     DataError for an item without options
    """
    if not item.options:
        raise DataError("marginal_answer: the item has no options whose probability is summed")
    weights = check_weights(prior, len(prompts))
    rows = list(range(len(prompts)))
    if draws is not None:
        drawn = draw_prompts(draws, weights, np.random.default_rng(seed))
        rows = sorted(set(drawn.tolist()))  # a prompt drawn twice is read once
    fitted = texts_of(lm, [prompts[k] for k in rows], item, demonstrations)
    texts = [one.text for one in fitted]
    endings = [[prompts[k].continuation(item, option) for option in item.options] for k in rows]
    logs = np.zeros((len(prompts), len(item.options)))
    logs[rows] = log_table(lm, texts, endings)
    # Options are compared by log Pr(y | p): Pr itself is 0 for all of them if they are long.
    if draws is None:
        sums = log_marginal(logs, weights)
        details = {"posterior": posterior(logs, weights)[:, int(sums.argmax())].tolist()}
    else:
        sums = log_marginal(logs[drawn])  # log 1/N sum_i Pr(y | x_i)
        _, error = monte_carlo(logs, drawn)
        details = {"drawn": drawn.tolist(), "error": error.tolist()}
    details["dropped"] = dropped_of(fitted)
    value = lm.parsed("answer", item.options[int(sums.argmax())])
    details |= {"logs": sums.tolist(), "probabilities": np.exp(sums).tolist()}
    return Answer(value, value, details)
