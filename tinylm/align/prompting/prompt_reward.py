"""The reward of a generated prompt: how well another model classifies with it   (book section
3.3.1; Deng et al. 2022).

    Gap(z, x) = Pr(c | z, x) - max over c' != c of Pr(c' | z, x)           c the right class
    R(z, x)   = l1 Gap   if Gap <= 0,     l2 Gap   if Gap > 0              l1 = 180, l2 = 200
    z-score   = (R(z, x) - mean over z' of R(z', x)) / deviation over z'

Two things make the signal stable. The gap is a number where right or wrong is one bit, and its
slope changes where the prediction becomes right. And an input that is easy with every prompt says
nothing about prompts: the z-score compares the prompts of one step on each input. Read next:
reward_feedback.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import DataError
from tinylm.prompt.protocol.text_lm import TextLM

WRONG, RIGHT = 180.0, 200.0  # lambda_1, lambda_2 of the paper


def class_gaps(probabilities: ArrayLike, gold: int | Sequence[int]) -> np.ndarray | float:
    """Pr(right class) less the highest of the others: (..., C), (...) -> (...).

    raises   DataError for fewer than two classes
    """
    probabilities, gold = np.asarray(probabilities, np.float64), np.asarray(gold)
    if probabilities.shape[-1] < 2:
        raise DataError("class_gaps: a gap needs two classes or more")
    gold = np.broadcast_to(gold, probabilities.shape[:-1])[..., None]
    right = np.take_along_axis(probabilities, gold, axis=-1)[..., 0]
    others = np.array(probabilities)
    np.put_along_axis(others, gold, -np.inf, axis=-1)
    return right - others.max(axis=-1)


def piecewise(gaps: ArrayLike, wrong: float = WRONG, right: float = RIGHT) -> np.ndarray:
    """l1^(1 - correct) l2^correct Gap, element by element: the paper's reward."""
    gaps = np.asarray(gaps, np.float64)
    return np.where(gaps > 0, right, wrong) * gaps


def z_scores(rewards: ArrayLike) -> np.ndarray:
    """Rewards of K prompts on n inputs, compared on each input: (K, n) -> (K, n).

    An input on which all prompts have the same reward gives 0.
    """
    rewards = np.asarray(rewards, np.float64)
    deviation = rewards.std(axis=0)
    centered = rewards - rewards.mean(axis=0)
    # Equal rewards differ from their mean by rounding: a deviation of 1e-16 is none.
    flat = deviation <= 1e-12 * np.abs(rewards).max(axis=0, initial=0.0)
    return np.where(flat, 0.0, centered / np.where(flat, 1.0, deviation))


class ClassificationReward:
    """The reward of prompts by a model that is only queried.

    lm        TextLM, another one than the policy's
    examples  list of (text, class)
    words     the continuations that stand for the classes, such as (" bad", " good")
    template  str.format with the fields text and prompt: the order of the paper
    compare   True: z-scores over the prompts of a call
    """

    def __init__(
        self,
        lm: TextLM,
        examples: Sequence[tuple[str, int]],
        words: Sequence[str],
        template: str = "{text}{prompt}",
        compare: bool = True,
    ) -> None:
        self.lm, self.examples, self.words = lm, list(examples), list(words)
        self.template, self.compare = template, compare

    def probabilities(self, prompts: Sequence[str]) -> np.ndarray:
        """Pr(class | prompt, text): K prompts -> (K, n, C)."""
        texts = [
            self.template.format(text=text, prompt=prompt)
            for prompt in prompts
            for text, _ in self.examples
        ]
        found = [scores.probabilities() for scores in self.lm.score_batch(texts, self.words)]
        return np.reshape(found, (len(prompts), len(self.examples), len(self.words)))

    def accuracy(self, prompts: Sequence[str]) -> np.ndarray:
        """Share of examples that are classified rightly with each prompt: (K,)."""
        gold = [label for _, label in self.examples]
        return (self.probabilities(prompts).argmax(axis=-1) == gold).mean(axis=-1)

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        """The reward of each prompt, its mean over examples: list of K str -> (K,)."""
        gold = [label for _, label in self.examples]
        rewards = piecewise(class_gaps(self.probabilities(prompts), gold))  # (K, n)
        if self.compare:
            rewards = z_scores(rewards)
        return rewards.mean(axis=-1)
