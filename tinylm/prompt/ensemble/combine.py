"""Several answers become one: by vote, or by the greatest overlap with the others   (book section
3.2.4, eq. 3.6).

    y = Combine(y_1, .., y_K)

The order of the answers must not matter, so every tie has a rule: of equal answers the first in the
order of text is taken. An answer that could not be read (None) is no vote, and counts among those
who disagree. Read next: prompts.py; bayes_risk.py, of which both are special cases.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.measure.answers import answer_words, edit_distance, token_f1
from tinylm.data.read.items import Item
from tinylm.errors import ShapeError
from tinylm.prompt.evaluation.judge import answer_key, task_key


@dataclass(frozen=True)
class Ballot:
    """A vote.

    value   the winner, in its most frequent spelling; None if nobody voted
    shares  {value: share of all weight}, the largest first. The weight of those without an answer
            is in the whole and in no share
    """

    value: str | None
    shares: dict

    @property
    def confidence(self) -> float:
        """The share of the winner: 0 if there is none."""
        return self.shares.get(self.value, 0.0)


def vote(
    values: Sequence[str | None], weights: ArrayLike | None = None, key: Callable = answer_key
) -> Ballot:
    """The answer with the greatest weight   (book section 3.2.4)

    values     list of str, None for an answer that could not be read
    weights    of the voters, 0 or more; 1 each unless given
    key        function: str -> what two votes for the same answer have in common; answer_key makes
               "3/8", "0.375" and "37.5%" one answer. A value whose key is None is no vote
    returns    Ballot. Of equal weights the value that is first in the order of text wins
    raises     ShapeError for another number of weights
    """
    weights = _weights("vote", values, weights)
    camps = defaultdict(lambda: defaultdict(list))  # what is compared -> {spelling: its weights}
    for value, weight in zip(values, weights):
        if value is not None and (same := key(value)) is not None:
            camps[same][value].append(weight)
    # fsum does not depend on the order of its terms, so that ties stay ties.
    whole = math.fsum(weights)
    sums = {}
    for spellings in camps.values():
        # A camp goes by the spelling with the most weight: "0.375" of {"3/8": 1, "0.375": 2}.
        name = min(spellings, key=lambda text: (-math.fsum(spellings[text]), text))
        sums[name] = math.fsum(weight for terms in spellings.values() for weight in terms)
    # Descending weight, then ascending text: the order of the voters plays no part.
    order = sorted(sums, key=lambda name: (-sums[name], name))
    shares = {name: sums[name] / whole if whole else 0.0 for name in order}
    return Ballot(next(iter(shares), None), shares)


def item_key(item: Item) -> Callable:
    """The key of all votes on an item, so that methods differ in their answers only: function from
    a value to what is compared (task_key of evaluation/judge.py).
    """
    return lambda value: task_key(value, item)


def word_overlap(a: str, b: str) -> float:
    """F1 of the words in common, 0 .. 1."""
    return token_f1(answer_words(a), answer_words(b))


def edit_similarity(a: str, b: str) -> float:
    """1 - (words to insert, delete or replace) / (words of the longer text), 0 .. 1."""
    a, b = answer_words(a), answer_words(b)
    if not a and not b:
        return 1.0
    # The distance is at most the length of the longer text, where nothing is in common.
    return 1 - edit_distance(a, b) / max(len(a), len(b))


def max_overlap(
    values: Sequence[str], similarity: Callable = word_overlap
) -> tuple[str, np.ndarray]:
    """The answer with the greatest overlap with the others   (book section 3.2.4)

        y = argmax over y_i of sum over k != i of similarity(y_i, y_k)

    values      list of str; None is left out
    similarity  symmetric function of two texts
    returns     (the text, the sums of all (n,) float64, nan where there was no text); of equal sums
                the first in the order of text; (None, ..) without any
    """
    sums = np.full(len(values), np.nan)
    texts = [i for i, value in enumerate(values) if value is not None]
    for i in texts:
        # sum over k != i; its own similarity, 1, would be the same for all
        sums[i] = math.fsum(similarity(values[i], values[k]) for k in texts if k != i)
    if not texts:
        return None, sums
    best = min(texts, key=lambda i: (-sums[i], values[i]))
    return values[best], sums


def _weights(name, values, weights):
    """`weights` as a list of float, 1 each if None."""
    if weights is None:
        return [1.0] * len(values)
    weights = [float(weight) for weight in weights]
    if len(weights) != len(values):
        raise ShapeError(f"{name}: {len(weights)} weights for {len(values)} answers")
    return weights
