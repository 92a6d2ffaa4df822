"""How much an answer depends on what should not matter: the order of demonstrations, the form of
the prompt, the words of the instruction   (book section 3.1.3; Lu et al. 2022; Sclar et al. 2024).

The same items are answered under every variant of a prompt. The spread of the accuracies is the
sensitivity; a model that looks at its demonstrations as a set has none. One accuracy without its
spread says little about a prompt. Read next: calibration.py.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.protocol.text_lm import TextLM


@dataclass
class Sensitivity:
    """Accuracies over the variants of a prompt.

    variants  tuple of the n variants
    values    n tuples of the answers to the items, None for those that could not be read
    correct   (n, items) bool
    """

    variants: tuple
    values: tuple
    correct: np.ndarray

    @property
    def accuracies(self) -> np.ndarray:
        """(n,) float64: the share of right answers under each variant."""
        return self.correct.mean(axis=1)

    @property
    def spread(self) -> float:
        """Highest accuracy less the lowest."""
        return float(self.accuracies.max() - self.accuracies.min())

    @property
    def variance(self) -> float:
        """Of the accuracies over the variants."""
        return float(self.accuracies.var())

    @property
    def unstable(self) -> float:
        """Share of the items whose answer is not the same under all variants."""
        return float(np.mean([len(set(answers)) > 1 for answers in zip(*self.values)]))


def orders(count: int, most: int = 120, seed: int = 0) -> list[tuple[int, ...]]:
    """The orders of `count` demonstrations: all count! of them, or `most` different ones by chance.

    returns  list of tuples of positions; with all of them, the given order comes first
    """
    if most < 1:
        raise ConfigError(f"the number of orders must be 1 or more, not {most}")
    if math.factorial(count) <= most:
        return list(itertools.permutations(range(count)))
    rng = Random(seed, "orders")
    drawn = {}  # keeps the order of drawing; there are more orders than are wanted, so it ends
    while len(drawn) < most:
        drawn[tuple(rng.permutation(count).tolist())] = True
    return list(drawn)


def order_sensitivity(
    lm: TextLM | None,
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    *,
    most: int = 120,
    seed: int = 0,
    **options: Any,
) -> Sensitivity:
    """Accuracy under the orders of the demonstrations: Sensitivity; its variants are orders.

    items    Items with answers
    most     orders that are tried
    options  method, right, and those of the method, as in sensitivity()
    """
    demonstrations = list(demonstrations)
    tried = orders(len(demonstrations), most, seed)
    # k demonstrations have k! orders, which differ in nothing but the order.
    shown = [[demonstrations[i] for i in order] for order in tried]
    return sensitivity(lm, items, tried, [{"demonstrations": one} for one in shown], **options)


def form_sensitivity(
    lm: TextLM | None,
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    forms: Sequence[FewShotPrompt],
    **options: Any,
) -> Sensitivity:
    """Accuracy under different forms of a prompt: Sensitivity; its variants are FewShotPrompts."""
    demonstrations = list(demonstrations)
    settings = [{"demonstrations": demonstrations, "prompt": form} for form in forms]
    return sensitivity(lm, items, forms, settings, **options)


def paraphrase_sensitivity(
    lm: TextLM | None,
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    instructions: Sequence[str],
    prompt: FewShotPrompt | None = None,
    **options: Any,
) -> Sensitivity:
    """Accuracy under instructions that mean the same: Sensitivity; its variants are str."""
    form = prompt or FewShotPrompt()
    forms = [replace(form, instruction=text) for text in instructions]
    found = form_sensitivity(lm, items, demonstrations, forms, **options)
    return replace(found, variants=tuple(instructions))


def sensitivity(
    lm: TextLM | None,
    items: Sequence[Item],
    variants: Sequence,
    settings: Sequence[dict[str, Any]],
    method: Callable = few_shot,
    right: Callable = is_right,
    **options: Any,
) -> Sensitivity:
    """Answer all items under each of several settings of a method: Sensitivity.

    variants  what the settings are called
    settings  list of keyword arguments of the method
    method    name(lm, item, demonstrations, ..) -> Answer
    right     function of (value, item) to bool
    options   of the method, the same for all
    raises    DataError without variants or items, or for an item without an answer
    """
    items, variants = list(items), tuple(variants)
    if not items or not variants:
        raise DataError(f"sensitivity of {len(items)} items under {len(variants)} variants")
    missing = [item.question for item in items if item.answer is None]
    if missing:
        raise DataError(f"accuracy needs gold answers; {missing[0]!r:.60} has none")
    values, correct = [], []
    for setting in settings:
        # Prompts of one setting begin alike, and the model reads that beginning once.
        answers = [method(lm, item, **setting, **options).value for item in items]
        values.append(tuple(answers))
        correct.append([right(answer, item) for answer, item in zip(answers, items)])
    return Sensitivity(variants, tuple(values), np.array(correct, bool))
