"""Accuracy against the number of demonstrations, and what demonstrations cannot teach   (book
section 3.1.2).

Learning in context shows as a curve that rises with the shots. Two controls belong to it: the same
demonstrations with their answers exchanged (Min et al. 2022 find that some tasks hardly need right
ones), and a model that lacks the knowledge. A language that was absent from pre-training is not
prompted into being; continued pre-training on it gives the knowledge, and may take away other
(table). Read next: induction.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import few_shot
from tinylm.prompt.protocol.text_lm import TextLM


@dataclass
class Curve:
    """Which answers were right after each of several numbers of demonstrations.

    shots    (n,) tuple of numbers of demonstrations
    correct  (n, items) bool
    """

    shots: tuple
    correct: np.ndarray

    @property
    def accuracies(self) -> np.ndarray:
        """(n,) float64."""
        return self.correct.mean(axis=1)


def accuracy_by_shots(
    lm: TextLM | None,
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    shots: tuple[int, ...] = (0, 1, 2, 4, 8, 16),
    *,
    method: Callable = few_shot,
    right: Callable = is_right,
    **options: Any,
) -> Curve:
    """Answer items after several numbers of demonstrations: Curve.

    demonstrations  list, of which the first k are shown; or a selector (item, k) -> list
    method          name(lm, item, demonstrations, ..) -> Answer;  options  of it
    right           function of (value, item) to bool
    raises          ConfigError for no items, or more shots than there are demonstrations
    """
    items, shots = list(items), tuple(shots)
    if not items:
        raise ConfigError("accuracy_by_shots: there are no items to answer")
    choose = demonstrations  # a selector
    if not callable(demonstrations):
        given = list(demonstrations)
        if max(shots) > len(given):
            raise ConfigError(f"{max(shots)} shots need more than {len(given)} demonstrations")

        def choose(item, k):
            return given[:k]

    correct = [
        [right(method(lm, item, choose(item, k), **options).value, item) for item in items]
        for k in shots
    ]
    return Curve(shots, np.array(correct, bool))


def exchanged_answers(demonstrations: Sequence[Item], seed: int = 0) -> list[Item]:
    """Demonstrations with their answers dealt out again, each to another demonstration: a control.

    Answers go around a random cycle, so none stays where it was; equal ones may be dealt to equals.

    raises   ConfigError for fewer than two
    """
    demonstrations = list(demonstrations)
    if len(demonstrations) < 2:
        raise ConfigError(f"exchanged_answers: {len(demonstrations)} demonstrations; needs two")
    # Uniform among the cycles through all of them; a permutation could leave some in place.
    order = Random(seed, "exchange").permutation(len(demonstrations)).tolist()
    found = list(demonstrations)
    for here, there in zip(order, [*order[1:], order[0]]):
        found[here] = replace(demonstrations[here], answer=demonstrations[there].answer)
    return found


def table(
    models: dict[str, TextLM],
    tests: dict[str, tuple],
    shots: tuple[int, ...] = (0, 4, 16),
    **options: Any,
) -> dict[str, dict[str, Curve]]:
    """Curves of several models on several tests, such as two languages before and after training on
    one of them.

    models   {name: TextLM};  tests  {name: (items, demonstrations)}
    options  of accuracy_by_shots
    returns  {model: {test: Curve}}
    """
    return {
        model: {
            name: accuracy_by_shots(lm, items, demonstrations, shots, **options)
            for name, (items, demonstrations) in tests.items()
        }
        for model, lm in models.items()
    }


def forgotten(before: Curve, after: Curve) -> np.ndarray:
    """The share of the items answered rightly before that are not after, for each number of shots.

    before, after  Curves on the same items and shots
    returns        (n,) float64; 0 where there was nothing to forget
    raises         ConfigError for other items or shots
    """
    if before.shots != after.shots or before.correct.shape != after.correct.shape:
        raise ConfigError(
            f"forgotten: {before.shots} and {after.shots} shots on {before.correct.shape[1]} and "
            f"{after.correct.shape[1]} items cannot be compared"
        )
    lost = (before.correct & ~after.correct).sum(axis=1)  # (n,)
    return lost / np.maximum(before.correct.sum(axis=1), 1)
