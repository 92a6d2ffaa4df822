"""The forms in which people give feedback, and how they become pairs   (book section 4.3.2).

    comparison   y_a is better than y_b              one bit, easy to give
    rating       3 of 5 stars, 7 of 10, yes or no    a number, if all annotators mean the same by it
    ranking      y_2 > y_3 > y_1 > y_4               N(N-1)/2 comparisons at once

A Preference (data/read/preferences.py) is a comparison whose first response was preferred. Read
next: annotators.py, which gives such feedback from a known reward.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, DataError


@dataclass(frozen=True)
class WeighedPreference(Preference):
    """A Preference that is not certain, or more than a bare order.

    probability  that `chosen` is preferred, 0 to 1
    margin       how much better it is; 0: unknown
    """

    probability: float = 1.0
    margin: float = 0.0


@dataclass(frozen=True)
class Rating:
    """A number for one response, higher is better; annotator: the scale that it belongs to."""

    prompt: str
    response: str
    score: float
    annotator: str = ""


@dataclass(frozen=True)
class Ranking:
    """Responses to one prompt in order.

    tiers   tuple of tuples of str, the best first; responses of one tier are equally good
    raises  DataError for fewer than two responses, or one that stands there twice
    """

    prompt: str
    tiers: tuple

    def __post_init__(self) -> None:
        responses = [response for tier in self.tiers for response in tier]
        if len(responses) < 2 or len(set(responses)) < len(responses):
            raise DataError(
                f"Ranking: {len(responses)} responses, {len(set(responses))} of them different: "
                "there must be two at least, each once"
            )

    @classmethod
    def of(cls, prompt: str, responses: Sequence[str]) -> "Ranking":
        """A ranking without ties: a list of responses, the best first."""
        return cls(prompt, tuple((response,) for response in responses))


# The question of the book's worked example, and its ranking y_1 > y_4 > y_2 > y_3 of four answers
# (section 2.1.4).
BOOK_RANKING = Ranking.of(
    "How can I live in a way that is kinder to the environment?",
    [
        "Go by bicycle, or by electric car, so that less carbon is emitted.",
        "Buy food of farms near you: it is fresh, and travels a short way.",
        "Own less: what is not made does not have to be thrown away.",
        "Make your own power from the sun and collect the rain, and need no supplier at all.",
    ],
)


def pairs_of_ranking(ranking: Ranking) -> list[Preference]:
    """All comparisons of a ranking: list of Preference, in the order of the better response.

    N responses without ties give N(N-1)/2; responses of one tier are not compared.
    """
    found = []
    for better, worse in itertools.combinations(ranking.tiers, 2):
        found += [Preference(ranking.prompt, a, b) for a in better for b in worse]
    return found


def pairs_of_ratings(ratings: Sequence[Rating], least: float = 0.0) -> list[WeighedPreference]:
    """The comparisons that ratings imply: list of WeighedPreference.

    ratings  list of Rating. Only ratings of one prompt by one annotator are compared: scales of
             different annotators are not the same
    least    smallest difference of two scores that counts as a preference; equal scores never do
    returns  in the order of the ratings; margin is the difference of the scores
    raises   ConfigError for a negative difference
    """
    if least < 0:
        raise ConfigError(f"pairs_of_ratings: least must be 0 or more, not {least}")
    groups = {}
    for one in ratings:
        groups.setdefault((one.prompt, one.annotator), []).append(one)
    found = []
    for (prompt, _), group in groups.items():
        for a, b in itertools.combinations(group, 2):
            if a.score < b.score:
                a, b = b, a
            margin = a.score - b.score
            # ties, and two ratings of one response, are no preference
            if margin > 0 and margin >= least and a.response != b.response:
                found.append(
                    WeighedPreference(prompt, a.response, b.response, margin=float(margin))
                )
    return found


def ranking_of_ratings(ratings: Sequence[Rating]) -> Ranking:
    """The Ranking of one prompt's ratings, equal scores in one tier.

    raises   DataError for ratings of several prompts or annotators
    """
    if len({(one.prompt, one.annotator) for one in ratings}) != 1:
        raise DataError("ranking_of_ratings: the ratings must be of one prompt by one annotator")
    tiers = {}
    for one in sorted(ratings, key=lambda one: -one.score):
        tiers.setdefault(one.score, []).append(one.response)
    return Ranking(ratings[0].prompt, tuple(map(tuple, tiers.values())))


def rating_of_stars(stars: int, lowest: int = 1, highest: int = 5) -> float:
    """A rating on a common scale: lowest..highest stars -> 0..1; yes and no are 1 and 0 of 0..1.

    raises   DataError for a number outside the scale
    """
    if not lowest <= stars <= highest:
        raise DataError(f"rating_of_stars: {stars} is not between {lowest} and {highest}")
    return (stars - lowest) / (highest - lowest)
