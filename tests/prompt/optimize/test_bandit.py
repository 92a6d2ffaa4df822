"""Bandits spend a budget on the arms that deserve it; their laws are checked exactly on all
outcomes of small Bernoulli problems.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.prompt.optimize.bandit import (
    Pulled,
    halving_error_bound,
    hardness,
    rejects_error_bound,
    select_prompts,
    successive_halving,
    successive_rejects,
    ucb,
    ucb_indices,
    ucb_regret_bound,
    uniform,
)
from tinylm.prompt.optimize.estimate import PromptEvaluator

ALGORITHMS = [uniform, ucb, successive_halving, successive_rejects]


class Table:
    """Arms whose rewards stand in a table (K, n); records the pulls."""

    def __init__(self, rewards):
        self.rewards = np.asarray(rewards, float)
        self.taken = np.zeros(len(self.rewards), int)
        self.log = []

    def __call__(self, arms, count):
        found = []
        for arm in arms:
            found.append(self.rewards[arm, self.taken[arm] : self.taken[arm] + count])
            self.taken[arm] += count
            assert len(found[-1]) == count  # the table is long enough
        self.log.append((list(arms), count))
        return found


def constant(means, n=100):
    return Table(np.repeat(np.array(means)[:, None], n, axis=1))


def outcomes(means, n):
    """(table of rewards, probability) of all 2^(K n) outcomes of Bernoulli arms."""
    for bits in itertools.product([0, 1], repeat=len(means) * n):
        table = np.array(bits).reshape(len(means), n)
        chances = np.where(table == 1, np.array(means)[:, None], 1 - np.array(means)[:, None])
        yield table, chances.prod()


def test_the_index_is_mean_plus_bonus():
    found = ucb_indices([4, 1, 0], np.array([0.5, 0.25, 0.0]), t=5)
    bonus = math.sqrt(2 * math.log(5))
    np.testing.assert_allclose(found, [0.5 + bonus / 2, 0.25 + bonus, np.inf])
    np.testing.assert_allclose(ucb_indices([4], [0.5], 5, c=0.5), [0.5 + bonus / 4])
    assert ucb_indices([1], [0.5], t=1) == [0.5]  # ln 1 = 0


def test_ucb_tries_every_arm_and_then_the_highest_index():
    pull = constant([0.2, 0.9])
    found = ucb(pull, 2, 7)
    # After one pull each, arm 1; at t = 3 the indices are 0.2 + 1.48 and 0.9 + 1.05, ...
    assert [arms[0] for arms, _ in pull.log] == [0, 1, 1, 1, 0, 1, 1]
    np.testing.assert_array_equal(found.counts, [2, 5])
    np.testing.assert_allclose(found.means, [0.2, 0.9])
    assert found.ranking == [1, 0] and found.best == 1
    greedy = ucb(constant([0.2, 0.9]), 2, 7, c=0.0)
    np.testing.assert_array_equal(greedy.counts, [1, 6])


def test_ucb_loses_less_than_its_bound_and_less_than_equal_pulls():
    means, n = [0.9, 0.1], 5
    regret = sum(
        chance * (means[0] - means[1]) * ucb(Table(table), 2, n).counts[1]
        for table, chance in outcomes(means, n)
    )
    assert regret < (means[0] - means[1]) * n / 2  # that of equal pulls
    assert regret < ucb_regret_bound(means, n)


def test_the_bound_of_the_regret_by_hand():
    # gaps 0.5 and 0.25: 8 ln(100) (2 + 4) + (1 + pi^2 / 3) 0.75
    expected = 48 * math.log(100) + (1 + math.pi**2 / 3) * 0.75
    assert math.isclose(ucb_regret_bound([0.25, 0.75, 0.5, 0.75], 100), expected)


def test_uniform_pulls_every_arm_equally_often():
    pull = constant([0.1, 0.9, 0.5])
    found = uniform(pull, 3, 11)
    # 11 pulls pay for 3 of each of 3 arms; two are left
    assert pull.log == [([0, 1, 2], 3)]
    np.testing.assert_array_equal(found.counts, [3, 3, 3])
    np.testing.assert_allclose(found.means, [0.1, 0.9, 0.5])
    assert found.ranking == [1, 2, 0]
    with pytest.raises(ConfigError, match="uniform: 3 arms need 3 pulls or more, and there are 2"):
        uniform(pull, 3, 2)


def test_halving_pulls_equally_in_rounds_of_equal_cost():
    pull = constant([0.1, 0.5, 0.3, 0.9, 0.2])
    found = successive_halving(pull, 5, 60)
    # ceil(log2 5) = 3 rounds of 20: 4 for each of 5 arms, 6 for each of 3, 10 for each of 2
    assert pull.log == [([0, 1, 2, 3, 4], 4), ([3, 1, 2], 6), ([3, 1], 10)]
    np.testing.assert_array_equal(found.counts, [4, 20, 10, 20, 4])
    assert found.ranking == [3, 1, 2, 4, 0]
    np.testing.assert_allclose(found.means, [0.1, 0.5, 0.3, 0.9, 0.2])


def test_halving_keeps_one_half_of_an_even_number_of_arms():
    pull = constant([0.2, 0.9, 0.5, 0.1])
    found = successive_halving(pull, 4, 16)
    # two rounds of 8 pulls: 2 for each of four, then 4 for each of two
    assert pull.log == [([0, 1, 2, 3], 2), ([1, 2], 4)]
    np.testing.assert_array_equal(found.counts, [2, 6, 6, 2])
    assert found.ranking == [1, 2, 0, 3]
    # of one arm there is nothing to find out
    alone = successive_halving(constant([0.5]), 1, 0)
    assert alone.ranking == [0] and alone.counts.tolist() == [0]


def test_rejects_drops_one_arm_a_phase():
    pull = constant([0.1, 0.5, 0.9])
    found = successive_rejects(pull, 3, 23)
    # lbar = 1/2 + 1/2 + 1/3 = 4/3: n_1 = ceil(20 / 4) = 5, n_2 = ceil(20 / (8/3)) = 8
    assert pull.log == [([0, 1, 2], 5), ([2, 1], 3)]
    assert found.ranking == [2, 1, 0]
    np.testing.assert_array_equal(found.counts, [5, 8, 8])
    np.testing.assert_allclose(found.means, [0.1, 0.5, 0.9])


@given(
    means=st.lists(st.floats(0, 1), min_size=1, max_size=9),
    algorithm=st.sampled_from(ALGORITHMS),
    extra=st.integers(0, 30),
)
def test_no_algorithm_exceeds_its_budget_or_loses_an_arm(means, algorithm, extra):
    arms = len(means)
    budget = arms * max(1, math.ceil(math.log2(arms))) + 1 + extra
    pull = constant(means)
    found = algorithm(pull, arms, budget)
    assert isinstance(found, Pulled) and sorted(found.ranking) == list(range(arms))
    assert found.counts.sum() == pull.taken.sum() <= budget
    # Without noise the best arm is found; of equal ones the first.
    best = found.best
    assert math.isclose(means[best], max(means), abs_tol=1e-9)
    if algorithm is ucb:
        assert found.counts.sum() == budget


@pytest.mark.parametrize(
    "algorithm, bound",
    [(successive_halving, halving_error_bound), (successive_rejects, rejects_error_bound)],
)
def test_the_best_arm_is_missed_within_the_bound(algorithm, bound):
    means, budget = [0.1, 0.9], 10
    each = {successive_halving: 5, successive_rejects: 4}[algorithm]  # 8 / (1 * 2) = 4
    missed = sum(
        chance * (algorithm(Table(table), 2, budget).best == 0)
        for table, chance in outcomes(means, each)
    )
    # Exactly: arm 0 wins or draws, as of equal ones the first is kept.
    wins = [
        [math.comb(each, k) * p**k * (1 - p) ** (each - k) for k in range(each + 1)] for p in means
    ]
    exact = sum(wins[0][a] * wins[1][b] for a in range(each + 1) for b in range(a + 1))
    assert math.isclose(missed, exact, rel_tol=1e-9)
    assert missed < bound(means, budget)


def test_the_bounds_by_hand():
    means = [0.5, 0.9, 0.7]
    # gaps 0.2 and 0.4: H2 = max(2 / 0.04, 3 / 0.16)
    assert math.isclose(hardness(means), 50)
    log3 = math.log2(3)
    assert math.isclose(halving_error_bound(means, 800), 3 * log3 * math.exp(-2 / log3))
    # lbar = 4/3; 3 exp(-(203 - 3) / (4/3 * 50)) = 3 exp(-3)
    assert math.isclose(rejects_error_bound(means, 203), 3 * math.exp(-3))
    assert math.isclose(hardness([0.5, 0.9, 0.8, 0.6]), 200)


@pytest.mark.parametrize(
    "algorithm, least", [(ucb, 4), (successive_halving, 8), (successive_rejects, 5)]
)
def test_a_budget_must_pay_for_every_arm(algorithm, least):
    means = [0.1, 0.2, 0.3, 0.4]
    found = algorithm(constant(means), 4, least)
    assert found.counts.min() == 1
    np.testing.assert_allclose(found.means, means)
    with pytest.raises(
        ConfigError, match=f"4 arms need {least} pulls or more, and there are {least - 1}"
    ):
        algorithm(constant(means), 4, least - 1)
    with pytest.raises(ConfigError, match="no arms"):
        algorithm(constant(means), 0, 9)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_prompts_are_chosen_by_their_scores_on_some_examples(algorithm):
    seen = []

    def measure(pairs):
        seen.extend(pairs)
        return [len(prompt) + item / 100 for prompt, item in pairs]

    evaluate = PromptEvaluator(measure, range(8))
    prompts = ["a", "aaa", "aa", "aaa"]
    chosen = select_prompts(evaluate, prompts, 2, 12, np.random.default_rng(0), algorithm)
    assert chosen == ["aaa", "aa"]
    order = list(np.random.default_rng(0).permutation(8))
    for prompt in ("a", "aa", "aaa"):  # every prompt sees the same examples in the same order
        items = [item for name, item in seen if name == prompt]
        assert items == order[: len(items)]


def test_after_the_last_example_pulls_are_free():
    evaluate = PromptEvaluator(lambda pairs: [len(p) for p, _ in pairs], range(2))
    rng = np.random.default_rng(0)
    assert select_prompts(evaluate, ["a", "bb"], 1, 40, rng) == ["bb"]
    assert evaluate.evaluations == 4
