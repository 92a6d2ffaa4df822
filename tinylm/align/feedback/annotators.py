"""Annotators of which the truth is known: preferences from a hidden reward   (book sections 4.3,
4.3.2).

    Pr(a preferred to b) = (1 - eps) sigma(s_a - s_b) + eps / 2,    s = (gold + bias) / temperature

No people label data here. A gold reward stands for what they want; training sees labels only, and
the gold reward is used once more, to measure what training has reached. An annotator may be unsure
(temperature), careless (eps), or wrong in the same way every time (bias): averaging over many
labels mends the first two, and not the third. Read next:
ai_feedback.py, a model that labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.feedback.formats import Ranking, Rating, WeighedPreference
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, DataError


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Labels from a hidden gold reward.

    gold         function: (prompt, response) -> number
    temperature  0: the better response always, whatever the difference; 1: Bradley-Terry
    careless     eps, the share of labels that are a coin
    bias         function: (prompt, response) -> number that is added to the gold reward, such as a
                 liking for long responses; None: unbiased
    """

    gold: object
    temperature: float = 1.0
    careless: float = 0.0
    bias: object = None

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 <= self.careless <= 1:
            raise ConfigError(
                "SimulatedAnnotator: temperature must be 0 or more and careless between 0 and 1, "
                f"not {self.temperature} and {self.careless}"
            )

    def _value(self, prompt, response):
        value = float(self.gold(prompt, response))
        if self.bias is not None:
            value += float(self.bias(prompt, response))
        return value

    def probability(
        self, prompt: str | tuple[int, ...], a: str | tuple[int, ...], b: str | tuple[int, ...]
    ) -> float:
        """Pr(a is preferred to b), exactly. A constant of the prompt in the gold reward is not in
        it.
        """
        d = self._value(prompt, a) - self._value(prompt, b)
        if self.temperature == 0:
            sure = (np.sign(d) + 1) / 2  # 1/2 for equal responses
        else:
            sure = 1 / (1 + np.exp(-np.clip(d / self.temperature, -700, 700)))
        return float((1 - self.careless) * sure + self.careless / 2)

    def compare(
        self,
        prompt: str | tuple[int, ...],
        a: str | tuple[int, ...],
        b: str | tuple[int, ...],
        rng: np.random.Generator,
    ) -> Preference:
        """A label: Preference, its chosen response drawn with `probability`.

        rng      numpy Generator
        """
        if rng.random() < self.probability(prompt, a, b):
            return Preference(prompt, a, b)
        return Preference(prompt, b, a)

    def soft(self, prompt: str, a: str, b: str) -> WeighedPreference:
        """The share of many annotators that prefer a, as a soft label: WeighedPreference."""
        return WeighedPreference(prompt, a, b, probability=self.probability(prompt, a, b))

    def rank(self, prompt: str, responses: Sequence[str], rng: np.random.Generator) -> Ranking:
        """A ranking drawn from Plackett-Luce, of which every comparison is Bradley-Terry: Ranking.

        Sorting by scores with Gumbel noise draws from it. Carelessness is not part of it.
        """
        values = np.array([self._value(prompt, y) for y in responses])
        noise = self.temperature * rng.gumbel(size=len(values))
        order = np.argsort(-(values + noise), kind="stable")
        return Ranking.of(prompt, [responses[i] for i in order])

    def rate(
        self,
        prompt: Sequence[int],
        response: str | Sequence[int],
        offset: float = 0.0,
        scale: bool = 1.0,
        name: str = "",
    ) -> Rating:
        """A Rating on the annotator's own scale: offset + scale * (gold + bias)."""
        return Rating(prompt, response, offset + scale * self._value(prompt, response), name)


def random_pairs(candidates: Sequence, count: int, rng: np.random.Generator) -> list[tuple]:
    """Random pairs of different candidates   (book section 4.3.2)

    candidates  list of responses to one prompt; equal ones count once
    count       pairs; no pair comes twice
    rng         numpy Generator
    returns     list of (a, b), fewer if there are not so many; which is first is random too
    """
    distinct = list(dict.fromkeys(candidates))
    n = len(distinct)
    rows, columns = np.triu_indices(n, 1)
    found = []
    for k in rng.permutation(len(rows))[:count]:
        pair = distinct[rows[k]], distinct[columns[k]]
        if rng.random() < 0.5:
            pair = pair[::-1]
        found.append(pair)
    return found


def collect_preferences(
    prompts: Sequence[tuple[int]],
    sample: Callable,
    annotator: SimulatedAnnotator,
    candidates: int = 4,
    pairs: int = 1,
    *,
    rng: np.random.Generator,
) -> list[Preference]:
    """Preferences on a model's own responses   (book section 4.3.2)

    For each prompt the model gives candidates, of which random pairs are compared.

    prompts     list of prompts
    sample      function: (prompt, count, rng) -> list of responses
    annotator   has compare(prompt, a, b, rng)
    candidates  N, responses for each prompt
    pairs       comparisons for each prompt
    rng         numpy Generator
    returns     list of Preference. A prompt whose candidates are all equal gives none
    raises      DataError if no prompt gives a pair
    """
    found = []
    for prompt in prompts:
        responses = sample(prompt, candidates, rng)
        for a, b in random_pairs(responses, pairs, rng):
            found.append(annotator.compare(prompt, a, b, rng))
    if not found:
        raise DataError(
            "collect_preferences: the candidates of every prompt are equal, so there is nothing to "
            "compare: sample at a higher temperature"
        )
    return found


def by_turns(samplers: Sequence[Callable]) -> Callable:
    """Candidates of several models, prompts or temperatures by turns: one `sample` of many   (book
    section 4.4.3; Cui et al. 2024)

    Candidates of one model are often nearly the same, and comparing them teaches little.

    samplers   list of functions (prompt, count, rng) -> list of responses
    returns    function of this kind: candidate i is of sampler i modulo their number
    """

    def sample(prompt, count, rng):
        # sampler k gives candidates k, k + S, k + 2 S, ..
        found = [None] * count
        for k, one in enumerate(samplers):
            turns = range(k, count, len(samplers))
            if len(turns):
                found[k :: len(samplers)] = one(prompt, len(turns), rng)
        return found

    return sample


def mixed_labels(
    prompt: str,
    a: str,
    b: str,
    annotators: Sequence[SimulatedAnnotator],
    weights: Sequence[float],
    rng: np.random.Generator | None = None,
) -> Preference:
    """The label of several annotators together, such as people and a model   (book section 4.4.3)

    annotators  list of SimulatedAnnotator, or anything with probability(prompt, a, b)
    weights     their shares, with sum 1
    rng         numpy Generator: one of them labels, drawn by weight; None: the soft label of all
    returns     WeighedPreference with the mean probability, or Preference
    raises      ConfigError if the shares do not sum to 1
    """
    weights = np.asarray(weights, np.float64)
    if len(weights) != len(annotators) or abs(weights.sum() - 1) > 1e-9 or (weights < 0).any():
        raise ConfigError(
            f"mixed_labels: {len(annotators)} annotators need as many shares with sum 1, not "
            f"{weights.tolist()}"
        )
    if rng is not None:
        return annotators[rng.choice(len(annotators), p=weights)].compare(prompt, a, b, rng)
    p = sum(w * one.probability(prompt, a, b) for w, one in zip(weights, annotators))
    return WeighedPreference(prompt, a, b, probability=float(p))
