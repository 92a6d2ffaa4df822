"""APE: a model writes prompts, and the best are kept and varied   (book section 3.3.1 and eq. 3.10;
Zhou et al. 2023).

    C <- prompts from a description of the task, or from pairs of inputs and outputs
    repeat:  evaluate C,   prune it to the top percentage,   C' = Expand(C, f),   C <- C'
    result:  the best prompt that was observed

C is replaced by C', so a good prompt leaves C when its variants come in; the evaluator has
seen it and returns it. Read first: estimate.py, paraphrase.py. Read next: evolve.py.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.paraphrase import lm_paraphrases
from tinylm.prompt.optimize.proposals import draw_seed, propose
from tinylm.prompt.protocol.text_lm import TextLM

DESCRIPTION = (
    "You are given a task to complete using LLMs. Please write a prompt to guide the LLMs.\n{}\n"
)
INDUCTION = (
    "You are provided with several input-output pairs for a task. "
    "Please write an instruction for performing this task.\n{}\n"
)


def init_from_description(
    lm: TextLM, description: str, count: int = 8, seed: int = 0, **options: Any
) -> list[str]:
    """Prompts that a model writes for the description of a task: list of `count` different str.

    options  of propose()
    """
    options = {"begin": "Prompt:", **options}
    return propose(lm, DESCRIPTION.format(description), count, seed=seed, **options)


def init_from_pairs(
    lm: TextLM, items: Sequence[Item], count: int = 8, seed: int = 0, **options: Any
) -> list[str]:
    """Instructions that a model infers from inputs and outputs: list of `count` different str.

    items    Items with answers, in the order in which they are shown
    options  of propose()
    raises   DataError without items, or for one without an answer
    """
    if not items or any(item.answer is None for item in items):
        raise DataError("init_from_pairs: induction needs items, each with an answer")
    pairs = "\n".join(f"Input: {item.question} Output: {item.answer}" for item in items)
    options = {"begin": "Instruction:", **options}
    return propose(lm, INDUCTION.format(pairs), count, seed=seed, **options)


def prune(candidates: str | Sequence[str], scores: ArrayLike, keep: float) -> list[str]:
    """The best ceil(keep |C|) candidates, best first; of equal ones the earlier.

    keep    share, above 0 and at most 1
    raises  ConfigError for another
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"prune: the share {keep} must be above 0 and at most 1")
    # A share such as 0.1 is the fraction 1/10 here: 0.1 * 30 is a little more than 3 in floats.
    count = math.ceil(Fraction(str(keep)) * len(candidates))
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    return [candidates[i] for i in order[:count]]


def paraphraser(lm: TextLM, count: int = 2, **options: Any) -> Callable:
    """An Expand: `count` paraphrases of each prompt, written by a model."""

    def expand(prompts, rng):
        return [
            new
            for prompt in prompts
            for new in lm_paraphrases(lm, prompt, count, draw_seed(rng), **options)
        ]

    return expand


def ape(
    evaluate: PromptEvaluator,
    candidates: Sequence[str],
    expand: Callable,
    keep: float = 0.5,
    rounds: int = 3,
    held: tuple = (),
    seed: int = 0,
) -> Found:
    """The best prompt that was observed: Found.

    evaluate    PromptEvaluator, whose budget also ends the loop
    candidates  the first prompts, from init_from_description or init_from_pairs
    expand      f: function(prompts, rng) -> new prompts; paraphraser, a lexicon, edits, ..
    keep        share of the candidates that is expanded
    rounds      how often
    held        held-out examples, on which the winner is scored
    """
    rng, candidates = np.random.default_rng(seed), list(dict.fromkeys(candidates))
    with evaluate.search():
        scores = evaluate(candidates)
        for _ in range(rounds):
            kept = prune(candidates, scores, keep)
            candidates = list(dict.fromkeys(expand(kept, rng)))  # C <- C', without C
            if not candidates:
                break
            scores = evaluate(candidates)
    # The best of all sets C, which need not be in the last one.
    return evaluate.found(held)
