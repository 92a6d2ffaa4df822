"""Refinement again and again: how right answers are won and lost   (book section 3.2.3).

    wrong --fix, probability a--> right          p_{t+1} = (1 - b) p_t + a (1 - p_t)
    right --break, probability b--> wrong        p_t = p* + (p_0 - p*) (1 - a - b)^t

p_t is the accuracy after t iterations, and p* = a / (a + b) its limit, whatever the first answers
were: errors accumulate where the limit is below p_0, and each iteration then does harm. The model
is a two-state Markov chain: it takes a and b to be the same at each iteration, which a measured
curve may contradict. Read next: brill.py, refinement by learned rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError, ShapeError


@dataclass(frozen=True)
class RefinementChain:
    """The two probabilities of one iteration.

    fix    a, that a wrong answer becomes right
    harm   b, that a right answer becomes wrong
    raises ConfigError for a probability outside [0, 1]
    """

    fix: float
    harm: float

    def __post_init__(self) -> None:
        for name, value in (("fix", self.fix), ("harm", self.harm)):
            if not 0 <= value <= 1:
                raise ConfigError(f"RefinementChain: {name} is a probability, not {value}")

    def limit(self, start: int | None) -> float:
        """p* = a / (a + b), the accuracy after infinitely many iterations: float.

        start   p_0, which stays if nothing changes (a = b = 0)
        raises  ConfigError for a = b = 1: each answer is turned over at each iteration, forever
        """
        if self.fix + self.harm == 0:
            return float(start)
        if self.fix + self.harm == 2:
            raise ConfigError("RefinementChain: with fix = harm = 1 the accuracy has no limit")
        return self.fix / (self.fix + self.harm)

    def curve(self, start: float, iterations: int) -> np.ndarray:
        """The accuracy before refinement and after each iteration: (iterations + 1,) float64.

        start  p_0
        """
        # The matrix of the chain has the eigenvalues 1 and 1 - a - b, so the distance from p*
        # shrinks by that factor each time; a negative one makes the accuracy swing around p*.
        rest = 1 - self.fix - self.harm
        accuracy = np.empty(iterations + 1)
        accuracy[0] = start
        for t in range(iterations):
            accuracy[t + 1] = self.fix + rest * accuracy[t]
        return accuracy

    def simulate(self, right: np.ndarray, iterations: int, rng: np.random.Generator) -> np.ndarray:
        """Random runs of the chain: bool array (iterations + 1, n).

        right  (n,) bool, which first answers are right
        rng    numpy Generator
        """
        states = np.empty((iterations + 1, len(right)), bool)
        states[0] = right
        for t in range(iterations):
            draws = rng.random(len(right))
            # A right answer stays with probability 1 - b; a wrong one is fixed with a.
            states[t + 1] = np.where(states[t], draws >= self.harm, draws < self.fix)
        return states

    @classmethod
    def measured(cls, states: Sequence[tuple[str, ...]]) -> "RefinementChain":
        """The maximum-likelihood chain of a refiner's record: the shares of fixes and of harms.

        states  (iterations + 1, n) bool: which answers are right before refinement and after each
                iteration
        raises  ShapeError for fewer than two rows; DataError if no answer was wrong, or none right,
                before an iteration: one of the probabilities then cannot be estimated
        """
        states = np.asarray(states, bool)
        if states.ndim != 2 or len(states) < 2:
            raise ShapeError(
                f"RefinementChain.measured: states have shape {states.shape}; give "
                "(iterations + 1, n) with at least one iteration"
            )
        before, after = states[:-1], states[1:]
        right, wrong = before.sum(), (~before).sum()
        if not right or not wrong:
            raise DataError(
                f"RefinementChain.measured: {int(right)} right and {int(wrong)} wrong answers went "
                "into refinement; both probabilities need at least one"
            )
        fix = (~before & after).sum() / wrong
        harm = (before & ~after).sum() / right
        return cls(float(fix), float(harm))
