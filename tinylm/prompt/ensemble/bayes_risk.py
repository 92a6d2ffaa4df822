"""Minimum Bayes risk: the candidate that is least wrong on average   (book section 3.2.4, eq. 3.9;
Kumar and Byrne 2004).

    Risk(y) = E[R(y, y_r)] = sum over y_r in Omega of R(y, y_r) Pr(y_r | x)      y = argmin Risk(y)

R is the loss of answering y where y_r is right. Samples stand for Pr(. | x), and usually for Omega
too. The rules of combine.py are special cases:

    R = [y != y_r]          majority vote; on whole strings the most probable string
    R = 1 - overlap         the greatest overlap with the others
    R = (y - y_r)^2         the candidate nearest to the mean
    R = |y - y_r|           the median

Read next: self_consistency.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import DataError, ShapeError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.combine import word_overlap
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM


def zero_one(y: int | str | Fraction, right: int | str | Fraction) -> float:
    """1 for a wrong answer, 0 for the right one."""
    return float(y != right)


def squared(y: int, right: int) -> float:
    """(y - y_r)^2 of numbers."""
    return float((y - right) ** 2)


def absolute(y: int, right: int) -> float:
    """|y - y_r| of numbers."""
    return float(abs(y - right))


def overlap_risk(similarity: Callable = word_overlap) -> Callable:
    """The risk 1 - similarity(y, y_r), for a similarity from 0 to 1: a function."""

    def risk(y, right):
        return 1 - similarity(y, right)

    return risk


@dataclass(frozen=True)
class Decision:
    """The candidate with the smallest risk.

    value  the candidate;  number  its index
    risks  (n,) float64, of all candidates
    """

    value: Any
    number: int
    risks: np.ndarray


def risks(
    candidates: Sequence,
    risk: Callable = zero_one,
    references: Sequence | None = None,
    weights: Sequence[float] | None = None,
) -> np.ndarray:
    """Risk(y) of every candidate: (n,) float64   (book eq. 3.9)

    candidates  list of n, of whatever `risk` compares
    risk        function R(y, y_r)
    references  list of m that stand for Pr(y_r | x); the candidates themselves unless given
    weights     (m,) of the references, proportional to Pr(y_r | x); equal unless given
    raises      ShapeError for another number of weights; DataError if they are negative, or 0 in
                sum
    """
    if references is None:
        references = candidates
    if weights is None:
        weights = np.ones(len(references))
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(references),):
        raise ShapeError(
            f"risks: weights have shape {weights.shape}, and there are {len(references)} references"
        )
    if not len(weights) or (weights < 0).any() or not weights.sum() > 0:
        raise DataError(f"risks: the weights {weights.tolist()} are no distribution")
    shares = weights / math.fsum(weights)
    # fsum does not depend on the order of its terms, so that equal risks stay equal.
    return np.array(
        [math.fsum(p * risk(y, right) for p, right in zip(shares, references)) for y in candidates]
    )


def minimum_risk(
    candidates: Sequence,
    risk: Callable = zero_one,
    references: Sequence | None = None,
    weights: Sequence[float] | None = None,
) -> Decision:
    """The candidate with the smallest risk: Decision   (book eq. 3.9)

    arguments as in risks(). Of equal risks the first in order (of numbers, or of text) is taken
    raises    DataError without a candidate
    """
    candidates = list(candidates)
    if not candidates:
        raise DataError("minimum_risk: there is no candidate to decide between")
    found = risks(candidates, risk, references, weights)
    # (risk, candidate): of equal risks the smaller candidate, whatever the order of the list.
    number = min(range(len(candidates)), key=lambda i: (found[i], candidates[i]))
    return Decision(candidates[number], number, found)


def least_risk(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 64,
    samples: int = 8,
    temperature: float = 1.0,
    prompt: FewShotPrompt | None = None,
    risk: Callable | None = None,
) -> Answer:
    """Sample answers, and take the one with the smallest risk among them   (book eq. 3.9)

    prompt   with prompt(), stop_for() and read(), such as a FewShotPrompt: its default
    samples  number of answers, at the temperature
    risk     function R(y, y_r) of two texts; 1 - word overlap unless given
    returns  Answer; details: answers (None where one could not be read) and their risks; kept and
             dropped demonstrations
    """
    check_counts("least_risk", samples=samples)
    prompt = prompt or FewShotPrompt()
    fitted = fit_context(lm, lambda kept: prompt.prompt(item, kept), demonstrations, max_tokens)
    stop = prompt.stop_for(lm, fitted.kept)
    options = {"max_tokens": max_tokens, "stop": stop, "temperature": temperature}
    # The samples are both Omega and, with weight 1/m each, the distribution Pr(y_r | x).
    replies = lm.sample(fitted.text, samples, seed, **options)
    answers = [prompt.read(reply.text, stop) for reply in replies]
    read = [answer for answer in answers if answer is not None]
    if not read:
        details = {"answers": answers, "risks": [], **fitted.details}
        return Answer(None, replies[-1].text, details)
    found = minimum_risk(read, risk or overlap_risk())
    details = {"answers": answers, "risks": found.risks.tolist(), **fitted.details}
    return Answer(lm.parsed("answer", found.value), found.value, details)
