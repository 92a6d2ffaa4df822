"""Evolutionary prompt optimization: EvoPrompt (Guo et al. 2024; book section 3.3.1).

A population of prompts changes over generations. The genetic algorithm chooses parents by score,
crosses and mutates them, and keeps the best N of old and new. Differential evolution changes what
differs between two members at random, puts it into the best prompt, and crosses the result with a
base prompt, which it replaces if it is better. A language model carries out these steps when it is
given them as instructions; in a space of slots they are operations on choices. The best prompt
is never lost, in either. Read first: space.py, estimate.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.proposals import draw_seed, tagged
from tinylm.prompt.optimize.space import PromptSpace
from tinylm.prompt.protocol.text_lm import TextLM


def roulette(scores: ArrayLike, rng: np.random.Generator) -> int:
    """The number of a member, drawn in proportion to its score.

    scores  (N,) numbers. If one is negative, the lowest is subtracted from all; -inf is no chance;
            without any chance left all are equally probable
    """
    scores = np.asarray(scores, float)
    finite = np.isfinite(scores)
    weights = np.where(finite, scores - min(0.0, scores[finite].min(initial=0.0)), 0.0)
    if not weights.any():
        weights = np.ones(len(scores))
    return int(rng.choice(len(scores), p=weights / weights.sum()))


def tournament(scores: Sequence[int], rng: np.random.Generator, size: int = 2) -> int:
    """The number of the best of `size` members, drawn with replacement."""
    drawn = rng.integers(len(scores), size=size)
    return int(max(drawn, key=lambda i: scores[i]))


def genetic_step(
    evaluate: PromptEvaluator,
    population: Sequence[str],
    breed: Callable,
    rng: np.random.Generator,
    select: Callable = roulette,
) -> list[str]:
    """A generation of the genetic algorithm: N children, and the best N of both generations.

    population  N different prompts
    breed       function(parent, parent, rng) -> child, or None: the first parent stays
    select      function(scores, rng) -> number of a parent
    returns     list of N prompts, best first
    """
    scores = evaluate(population)
    children = []  # all are bred before any is evaluated: one batch for the model
    for _ in population:
        first, second = select(scores, rng), select(scores, rng)
        child = breed(population[first], population[second], rng)
        children.append(child or population[first])
    # The old ones compete too: the best score never falls (elitism).
    return evaluate.best([*population, *children], len(population))


def differential_step(
    evaluate: PromptEvaluator,
    population: Sequence[str],
    combine: Callable,
    rng: np.random.Generator,
) -> list[str]:
    """A generation of differential evolution: every member meets a trial prompt of its own.

    population  N prompts, 3 or more
    combine     function(base, best, donor, donor, rng) -> trial, or None: the base stays
    returns     list of N prompts: each the base, or its trial if that is better
    raises      ConfigError for a smaller population
    """
    n = len(population)
    if n < 3:
        raise ConfigError(f"differential evolution needs 3 prompts or more, not {n}")
    scores = evaluate(population)
    best = population[int(scores.argmax())]
    trials = []
    for i, base in enumerate(population):
        # Donors are two other members: their difference is the direction of the step.
        first, second = rng.choice([j for j in range(n) if j != i], size=2, replace=False)
        trial = combine(base, best, population[first], population[second], rng)
        trials.append(trial or base)
    better = evaluate(trials) > scores
    return [trials[i] if better[i] else population[i] for i in range(n)]


def genetic(
    evaluate: PromptEvaluator,
    population: Sequence[str],
    breed: Callable,
    generations: int = 10,
    select: Callable = roulette,
    held: Sequence[int] = (),
    seed: int = 0,
) -> Found:
    """EvoPrompt with the genetic algorithm: Found.

    evaluate    PromptEvaluator, whose budget also ends the search
    population  the first prompts; equal ones count once
    breed       function(parent, parent, rng) -> child: LMOperator, or slot_breed
    held        held-out examples, on which the winner is scored
    """
    rng, population = np.random.default_rng(seed), list(dict.fromkeys(population))
    with evaluate.search():
        for _ in range(generations):
            population = genetic_step(evaluate, population, breed, rng, select)
    return evaluate.found(held)


def differential(
    evaluate: PromptEvaluator,
    population: Sequence[str],
    combine: Callable,
    generations: int = 10,
    held: Sequence[int] = (),
    seed: int = 0,
) -> Found:
    """EvoPrompt with differential evolution: Found. Arguments as in genetic(), but

    combine  function(base, best, donor, donor, rng) -> trial: LMOperator(lm, COMBINE), or
             slot_combine
    """
    rng, population = np.random.default_rng(seed), list(dict.fromkeys(population))
    with evaluate.search():
        for _ in range(generations):
            population = differential_step(evaluate, population, combine, rng)
    return evaluate.found(held)


# Operators of a space of slots, and strategies for search_prompts().


def slot_breed(space: PromptSpace, rate: float | None = None) -> Callable:
    """breed() in a space: crossover of the slots, then mutation with a rate (PromptSpace)."""
    return lambda a, b, rng: space.mutate(space.crossover(a, b, rng), rng, rate)


def slot_combine(space: PromptSpace) -> Callable:
    """combine() in a space: slots in which the donors differ get a random option in the best
    prompt, and the result is crossed with the base.
    """

    def combine(base, best, first, second, rng):
        # best + mutated (first - second), as v = x_best + F (x_1 - x_2) over numbers
        choice = list(space.choice(best))
        for slot, (i, j) in enumerate(zip(space.choice(first), space.choice(second))):
            if i != j:
                choice[slot] = rng.integers(len(space.slots[slot]))
        return space.crossover(space.text(choice), base, rng)

    return combine


def first_population(space: PromptSpace, size: int, rng: np.random.Generator) -> list[str]:
    """`size` different prompts of a space, drawn at random; all, if it has no more."""
    if space.choices <= size:
        return list(space)
    drawn = {}
    for _ in range(100 * size):  # in a space where few texts differ, fewer may be found
        drawn[space.sample(rng)] = True
        if len(drawn) == size:
            break
    return list(drawn)


def genetic_search(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    rng: np.random.Generator,
    size: int = 10,
    generations: int = 10,
    rate: float | None = None,
) -> None:
    """The genetic algorithm in a space of slots, a strategy of search_prompts()."""
    population = first_population(space, size, rng)
    for _ in range(generations):
        population = genetic_step(evaluate, population, slot_breed(space, rate), rng)


def differential_search(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    rng: np.random.Generator,
    size: int = 10,
    generations: int = 10,
) -> None:
    """Differential evolution in a space of slots, a strategy of search_prompts()."""
    population = first_population(space, size, rng)
    for _ in range(generations):
        population = differential_step(evaluate, population, slot_combine(space), rng)


# Operators that a language model carries out.

BREED = """Write a better prompt, step by step.
1. Cross over the two prompts below, and write down the new prompt:
Prompt 1: {0}
Prompt 2: {1}
2. Mutate the prompt of step 1, and write the final prompt between <prompt> and </prompt>."""

COMBINE = """Write a better prompt, step by step.
1. Find the parts in which Prompt 1 and Prompt 2 differ:
Prompt 1: {2}
Prompt 2: {3}
2. Mutate these parts at random.
3. Put parts of step 2 into Prompt 3 where they improve it, and write down the new prompt:
Prompt 3: {1}
4. Cross over the prompt of step 3 with the basic prompt, and write the final prompt between \
<prompt> and </prompt>:
Basic Prompt: {0}"""


class LMOperator:
    """An operator on prompts that a language model carries out as written.

    lm        TextLM
    template  text with {0}, {1}, .. for the prompts: BREED for genetic(), COMBINE for
              differential()
    begin     text that the reply begins with; a model that continues text may need "\\n<prompt>"
    sampling  options of TextLM.complete; the seed is drawn from the generator
    """

    def __init__(
        self,
        lm: TextLM,
        template: str = BREED,
        begin: str = "",
        max_tokens: int = 256,
        **sampling: Any,
    ) -> None:
        self.lm, self.template, self.begin = lm, template, begin
        self.options = {"max_tokens": max_tokens, "temperature": 0.5, **sampling}

    def __call__(self, *prompts_and_rng: Any) -> str | None:
        """The new prompt, or None if the reply has none between the tags."""
        *prompts, rng = prompts_and_rng
        reply = self.lm.complete(
            self.template.format(*prompts),
            begin=self.begin,
            seed=draw_seed(rng),
            **self.options,
        )
        written = tagged(self.begin + reply.text)
        return self.lm.parsed("prompt", next(reversed(written), None))
