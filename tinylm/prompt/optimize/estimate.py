"""How good is a prompt? Scores of prompts on examples, each computed once   (book section 3.3.1).

    score(x) = 1/m sum over i of s(x, u_i, v_i)

with u_i an input and v_i its output, and s a task's metric or log Pr(v_i | x, u_i). Nearly all of
the cost of prompt optimization is here, so every (prompt, example) is remembered, and a budget of
evaluations or of tokens ends a search. What the winner scored on the examples that chose it is too
high: held-out examples give the number to report. Read next: search.py.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, DataError


class BudgetSpent(Exception):
    """The next evaluation would exceed the budget: a search ends, and keeps what it has found."""


@dataclass(frozen=True)
class Trial:
    """A prompt that was evaluated on all examples.

    score        mean over the examples
    evaluations  (prompt, example) pairs computed so far, with those of this prompt
    """

    prompt: str
    score: float
    evaluations: int


@dataclass(frozen=True)
class Found:
    """What a search has found.

    prompt       the best prompt observed, of equal ones the first; or the one a bandit chose
    score        its score on the examples of the search, which is biased upwards
    held_score   its score on held-out examples; None without any
    trials       tuple of Trial, in order
    evaluations  (prompt, example) pairs that were computed
    tokens       that the accounts counted meanwhile
    """

    prompt: str
    score: float
    held_score: float | None
    trials: tuple
    evaluations: int
    tokens: int

    @property
    def best_so_far(self) -> np.ndarray:
        """The best score after each trial: (n,), never falling."""
        return np.maximum.accumulate([trial.score for trial in self.trials])


class PromptEvaluator:
    """Scores of prompts on a list of examples, within a budget.

    measure       function(list of (prompt, example)) -> one number each, larger is better
    items         list of examples, such as data.read.items.Item
    budget        most (prompt, example) pairs to compute; None: no limit
    token_budget  no evaluation begins once `accounts` have counted so many tokens; None: no limit
    accounts      the Account of every model that takes part
    raises        ConfigError without examples, or for a budget of tokens without an account
    """

    def __init__(
        self,
        measure: Callable,
        items: Sequence,
        budget: int | None = None,
        token_budget: int | None = None,
        accounts: Sequence = (),
    ) -> None:
        self.measure, self.items = measure, list(items)
        self.budget, self.token_budget = budget, token_budget
        self.accounts = list(accounts)
        if not self.items:
            raise ConfigError("PromptEvaluator: there are no examples to try prompts on")
        if token_budget is not None and not self.accounts:
            raise ConfigError("PromptEvaluator: a budget of tokens needs the accounts of models")
        self.evaluations, self.trials = 0, []
        self._rows = {}  # prompt -> (m,) values, nan where unknown
        self._before = self._counted()

    def _counted(self):
        return sum(account.tokens for account in self.accounts)

    @property
    def tokens(self) -> int:
        """Tokens that the models have read, written and scored since the beginning."""
        return self._counted() - self._before

    def values(self, prompts: Sequence, which: np.ndarray | None = None) -> np.ndarray:
        """s(x, u_i, v_i) of prompts on examples: (N, n) float64.

        prompts  N str
        which    numbers of n examples; None: all
        raises   BudgetSpent after the last prompt that the budget pays for as a whole; what was
                 computed until then is remembered
        """
        prompts = list(prompts)
        if which is None:
            which = range(len(self.items))
        todo = []
        for prompt in dict.fromkeys(prompts):
            row = self._rows.setdefault(prompt, np.full(len(self.items), np.nan))
            missing = [(prompt, i) for i in dict.fromkeys(which) if np.isnan(row[i])]
            # A prompt is evaluated as a whole or not at all: half a score cannot be compared.
            if not self._pays_for(len(todo) + len(missing)):
                self._compute(todo)
                raise BudgetSpent
            todo += missing
            if self.token_budget is not None:
                self._compute(todo)  # one prompt at a time: its tokens are known only afterwards
                todo = []
        self._compute(todo)
        return np.array([self._rows[prompt][list(which)] for prompt in prompts])

    def _pays_for(self, count):
        return self.budget is None or self.evaluations + count <= self.budget

    def _compute(self, todo):
        """Evaluate and remember pairs of (prompt, number of an example)."""
        if not todo:
            return
        if self.token_budget is not None and self.tokens >= self.token_budget:
            raise BudgetSpent
        values = np.asarray(self.measure([(prompt, self.items[i]) for prompt, i in todo]), float)
        if values.shape != (len(todo),) or np.isnan(values).any():
            raise DataError(
                f"PromptEvaluator: the measure returned {values!r:.80} for {len(todo)} pairs; "
                "one number for each is needed"
            )
        # In the order of the pairs, so that trials come in the order of the prompts.
        for (prompt, i), value in zip(todo, values):
            self._rows[prompt][i] = value
            self.evaluations += 1
            if not np.isnan(self._rows[prompt]).any():
                score = float(self._rows[prompt].mean())
                self.trials.append(Trial(prompt, score, self.evaluations))

    def __call__(self, prompts: Sequence) -> np.ndarray:
        """The scores of prompts on all examples: (N,) float64. Raises BudgetSpent as values()."""
        return self.values(prompts).mean(axis=-1)

    def best(self, prompts: Sequence, count: int) -> list[str]:
        """The `count` best of different prompts, best first; of equal ones the earlier."""
        prompts = list(dict.fromkeys(prompts))
        order = np.argsort(-self(prompts), kind="stable")
        return [prompts[i] for i in order[:count]]

    def search(self) -> Any:
        """`with evaluate.search():` is left when the budget is spent."""
        return contextlib.suppress(BudgetSpent)

    def found(self, held: Sequence[int] = (), prompt: str | None = None) -> Found:
        """The best prompt so far: Found.

        held    examples that took no part, on which the winner is scored
        prompt  the winner, where it is not the best one observed: a bandit's, which need not have
                met all examples. Its score is computed
        raises  ConfigError if no prompt was evaluated, DataError if a held-out example took part,
                BudgetSpent if the winner's score is not paid for
        """
        if prompt is not None:
            self([prompt])
        if not self.trials:
            raise ConfigError(
                f"no prompt was evaluated: one takes {len(self.items)} evaluations, and the budget "
                f"is {self.budget} ({self.token_budget} tokens)"
            )
        best = max(self.trials, key=lambda trial: trial.score)  # of equal ones the first
        if prompt is not None:
            (best,) = [trial for trial in self.trials if trial.prompt == prompt]
        tokens, held_score = self.tokens, None
        held = list(held)
        if held:
            if any(item in self.items for item in held):
                raise DataError("a held-out example took part in the search: keep them apart")
            # An evaluator of its own: the winner's held-out score costs the search nothing.
            held_score = float(PromptEvaluator(self.measure, held)([best.prompt])[0])
        trials = tuple(self.trials)
        return Found(best.prompt, best.score, held_score, trials, self.evaluations, tokens)


def subset_noise(values: Sequence[float], n: int) -> float:
    """Standard deviation of a score that is the mean over n of m examples, drawn without repetition

        var = sigma^2 / n (m - n) / (m - 1)        sigma^2 = 1/m sum_i (s_i - mean)^2

    values   (m,) scores of a prompt on all examples
    n        size of the subset, 1 .. m
    returns  float; 0 for n = m
    raises   ConfigError for another n
    """
    values = np.asarray(values, float)
    m = len(values)
    if not 1 <= n <= m:
        raise ConfigError(f"subset_noise: {n} of {m} examples cannot be drawn")
    if n == m:
        return 0.0
    return float(np.sqrt(values.var() / n * (m - n) / (m - 1)))


def selection_bias(values: np.ndarray, n: int, rounds: int, rng: np.random.Generator) -> float:
    """By how much the best of K prompts is overrated by the n examples that chose it.

    In each round n of the m examples choose, and the winner is scored on the others too.

    values   (K, m) scores of prompts on examples
    n        1 .. m - 1
    rng      numpy generator
    returns  mean over rounds of (score on the n - score on the others)
    raises   ConfigError if no example is left
    """
    values = np.asarray(values, float)
    m = values.shape[1]
    if not 1 <= n < m:
        raise ConfigError(f"selection_bias: with {n} of {m} examples nothing is held out")
    differences = []
    for _ in range(rounds):
        order = rng.permutation(m)
        chosen = values[:, order[:n]].mean(axis=1)  # (K,)
        best = chosen.argmax()
        differences.append(chosen[best] - values[best, order[n:]].mean())
    return float(np.mean(differences))
