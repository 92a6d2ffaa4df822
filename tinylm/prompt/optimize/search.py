"""Search strategies over a space of prompts   (book section 3.3.1).

    x* = argmax over x in the space of score(x)

Exhaustive search finds it, for as many evaluations as the space has prompts. Random search is the
baseline of every other strategy at the same budget. A hill climb goes to the best neighbor, and
ends in a local optimum; a beam keeps several prompts. All of them only evaluate: the evaluator
remembers the best prompt observed, so the result never gets worse. Read next: bandit.py.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.space import PromptSpace


def search_prompts(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    strategy: Callable,
    held: tuple = (),
    seed: int = 0,
    **options: Any,
) -> Found:
    """The best prompt that a strategy finds in a space.

    space     PromptSpace
    evaluate  PromptEvaluator
    strategy  function(space, evaluate, rng, **options), such as those below
    held      held-out examples, on which the winner is scored
    returns   Found
    """
    with evaluate.search():
        strategy(space, evaluate, np.random.default_rng(seed), **options)
    return evaluate.found(held)


def exhaustive(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    rng: np.random.Generator | None = None,
    batch: int = 16,
) -> None:
    """Every prompt, `batch` at a time."""
    prompts = iter(space)
    while group := list(itertools.islice(prompts, batch)):
        evaluate(group)


def random_search(
    space: PromptSpace, evaluate: PromptEvaluator, rng: np.random.Generator, count: int = 32
) -> None:
    """`count` prompts, drawn independently: a prompt that was drawn before costs nothing."""
    evaluate([space.sample(rng) for _ in range(count)])


def hill_climb(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    rng: np.random.Generator,
    start: str | None = None,
    restarts: int = 0,
) -> None:
    """From a prompt to its best neighbor, as long as that is better.

    start     prompt of the space; None: drawn at random
    restarts  climbs from random prompts after the first
    """
    for climb in range(restarts + 1):
        prompt = start
        if prompt is None or climb > 0:
            prompt = space.sample(rng)
        score = evaluate([prompt])[0]
        # Ends at the first prompt without a better neighbor: a local optimum.
        while neighbors := space.neighbors(prompt):
            scores = evaluate(neighbors)
            if scores.max() <= score:
                break
            prompt, score = neighbors[scores.argmax()], scores.max()


def beam(
    space: PromptSpace,
    evaluate: PromptEvaluator,
    rng: np.random.Generator,
    width: int = 4,
    depth: int = 8,
    start: Sequence[str] = (),
) -> None:
    """The best `width` of the beam and of all its neighbors, until none of them is new.

    depth   most rounds
    start   prompts of the space; fewer than `width` are filled up at random
    raises  ConfigError for a width below 1
    """
    if width < 1:
        raise ConfigError(f"beam: width {width} must be 1 or more")
    kept = list(start) + [space.sample(rng) for _ in range(width - len(start))]
    kept = evaluate.best(kept, width)
    for _ in range(depth):
        near = [near for prompt in kept for near in space.neighbors(prompt)]
        # The old ones come first, so that of equal scores they stay, and a plateau ends it.
        best = evaluate.best([*kept, *near], width)
        if best == kept:
            return
        kept = best
