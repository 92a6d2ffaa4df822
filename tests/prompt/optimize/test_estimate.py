"""Scores are means, computed once, and a budget is kept to the evaluation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.prompt import Account
from tinylm.prompt.optimize.estimate import (
    BudgetSpent,
    PromptEvaluator,
    selection_bias,
    subset_noise,
)


class Counted:
    """A measure from a table, which records the pairs it was called with."""

    def __init__(self, table, account=None, tokens=0):
        self.table, self.pairs, self.calls = table, [], 0
        self.account, self.tokens = account, tokens

    def __call__(self, pairs):
        self.pairs += pairs
        self.calls += 1
        if self.account is not None:
            self.account.add(prompt_tokens=self.tokens * len(pairs))
        return [self.table[prompt][item] for prompt, item in pairs]


TABLE = {"p": {"u": 1.0, "v": 0.0}, "q": {"u": 1.0, "v": 1.0}, "r": {"u": 0.5, "v": 1.5}}


def evaluator(**settings):
    return PromptEvaluator(Counted(TABLE), ["u", "v"], **settings)


def test_a_score_is_the_mean_over_examples():
    np.testing.assert_array_equal(evaluator()(["p", "q", "r"]), [0.5, 1.0, 1.0])


def test_every_pair_is_computed_once_and_in_one_batch():
    evaluate = evaluator()
    evaluate.values(["p"], [1])
    evaluate(["p", "q", "p"])
    evaluate(["q", "p"])
    pairs = evaluate.measure.pairs
    assert pairs == [("p", "v"), ("p", "u"), ("q", "u"), ("q", "v")]
    assert evaluate.evaluations == 4 and evaluate.measure.calls == 2


def test_values_of_some_examples_come_in_the_order_wanted():
    values = evaluator().values(["p", "r"], [1, 0, 1])
    np.testing.assert_array_equal(values, [[0, 1, 0], [1.5, 0.5, 1.5]])


def test_a_trial_is_a_prompt_seen_on_all_examples():
    evaluate = evaluator()
    evaluate.values(["p"], [0])
    assert evaluate.trials == []
    evaluate(["q", "p"])
    trials = [(trial.prompt, trial.score, trial.evaluations) for trial in evaluate.trials]
    assert trials == [("q", 1.0, 3), ("p", 0.5, 4)]


def test_the_best_is_the_first_of_equal_scores():
    evaluate = evaluator()
    assert evaluate.best(["p", "r", "q", "r"], 2) == ["r", "q"]
    found = evaluate.found()
    assert (found.prompt, found.score, found.held_score) == ("r", 1.0, None)
    np.testing.assert_array_equal(found.best_so_far, [0.5, 1.0, 1.0])


@pytest.mark.parametrize("budget, paid", [(1, ""), (2, "p"), (3, "p"), (5, "pq"), (6, "pqr")])
def test_a_budget_pays_for_whole_prompts_only(budget, paid):
    evaluate = evaluator(budget=budget)
    with evaluate.search():
        evaluate(["p", "q", "r"])
        assert budget == 6
    assert "".join(trial.prompt for trial in evaluate.trials) == paid
    assert evaluate.evaluations == 2 * len(paid)


def test_what_is_remembered_costs_nothing():
    evaluate = evaluator(budget=2)
    for _ in range(3):
        evaluate(["p"])
    with pytest.raises(BudgetSpent):
        evaluate(["q"])


def test_a_budget_of_tokens_is_looked_at_before_every_prompt():
    account = Account(prompt_tokens=100)  # what was read before the search does not count
    measure = Counted(TABLE, account, tokens=10)
    evaluate = PromptEvaluator(measure, ["u", "v"], token_budget=40, accounts=[account])
    with pytest.raises(BudgetSpent):
        evaluate(["p", "q", "r"])
    found = evaluate.found()
    assert found.tokens == 40 and [trial.prompt for trial in found.trials] == ["p", "q"]
    # With one token more, the third may begin.
    more = PromptEvaluator(measure, ["u", "v"], token_budget=41, accounts=[account])
    more(["p", "q", "r"])
    assert more.tokens == 60


def test_held_out_examples_are_scored_apart():
    table = {"p": {"u": 1.0, "v": 0.0, "w": 0.25}, "q": {"u": 0.0, "v": 0.0, "w": 1.0}}
    evaluate = PromptEvaluator(Counted(table), ["u", "v"], budget=4)
    evaluate(["p", "q"])
    found = evaluate.found(held=["w"])
    assert (found.prompt, found.score, found.held_score) == ("p", 0.5, 0.25)
    assert found.evaluations == 4  # the held-out score is no part of the search
    with pytest.raises(DataError, match="keep them apart"):
        evaluate.found(held=["w", "v"])


def test_the_winner_may_be_one_that_is_not_yet_known_in_full():
    table = {"p": {"u": 1.0, "v": 1.0, "w": 0.25}, "q": {"u": 0.0, "v": 0.5, "w": 1.0}}
    evaluate = PromptEvaluator(Counted(table), ["u", "v"])
    evaluate(["p"])
    evaluate.values(["q"], [0])
    found = evaluate.found(["w"], "q")
    assert (found.prompt, found.score, found.held_score) == ("q", 0.25, 1.0)
    assert found.evaluations == 4 and [trial.prompt for trial in found.trials] == ["p", "q"]


def test_a_search_without_any_trial_has_found_nothing():
    with pytest.raises(ConfigError, match="one takes 2 evaluations, and the budget is 1"):
        evaluator(budget=1).found()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="no examples"):
        PromptEvaluator(Counted({}), [])
    with pytest.raises(ConfigError, match="accounts of models"):
        evaluator(token_budget=5)


@pytest.mark.parametrize("values", [[1.0], [np.nan, 1.0], 3.0])
def test_a_measure_must_return_a_number_for_each_pair(values):
    with pytest.raises(DataError, match="one number for each"):
        PromptEvaluator(lambda pairs: values, ["u", "v"])(["p"])


@given(values=st.lists(st.floats(-3, 3), min_size=2, max_size=6), n=st.integers(1, 6))
def test_the_noise_of_a_subset_is_that_of_all_subsets(values, n):
    n = min(n, len(values))
    means = [np.mean(subset) for subset in itertools.combinations(values, n)]
    np.testing.assert_allclose(subset_noise(values, n), np.std(means), atol=1e-12)


def test_no_subset_is_larger_than_all_or_empty():
    for n in (0, 3):
        with pytest.raises(ConfigError, match=f"{n} of 2"):
            subset_noise([0, 1], n)
    assert subset_noise([5.0], 1) == 0.0


def test_the_best_of_many_equal_prompts_is_overrated():
    rng = np.random.default_rng(0)
    values = rng.random((20, 200)) < 0.5  # 20 prompts, all of true accuracy 1/2
    # The expected maximum of 20 normal means of 20 tosses is 1.87 standard deviations above, 0.21.
    bias = selection_bias(values, 20, 200, rng)
    assert 0.15 < bias < 0.27
    assert abs(selection_bias(values[:1], 20, 400, rng)) < 0.03  # nothing was selected
    with pytest.raises(ConfigError, match="200 of 200"):
        selection_bias(values, 200, 1, rng)


def test_the_bias_is_the_difference_between_both_parts():
    # Two examples, one chooses: the prompt that is right on it is wrong on the other.
    assert selection_bias([[1, 0], [0, 1]], 1, 3, np.random.default_rng(0)) == 1.0
