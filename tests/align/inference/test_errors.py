"""Model errors and search errors, counted where all strings are known."""

import pytest

from tinylm.align.inference import Candidate, every_response, exact_errors, list_errors
from tinylm.align.inference.best_of_n import beam
from tinylm.errors import DataError
from tinylm.generate import EnumerableLM


def candidates(*logprobs):
    return [Candidate((i,), logprob) for i, logprob in enumerate(logprobs)]


def test_a_list_with_a_good_output_below_its_first_shows_model_errors():
    """Quality is the token, 0, 1 or 2: the old model has it last; the new one takes the 1."""
    lists = [candidates(-1, -2, -3), candidates(-1, -2)]
    found = list_errors(lists, lambda one: one[1], lambda i, one: one.tokens[0])
    assert (found.first, found.chosen, found.oracle) == (0, 1, 1.5)
    assert found.model_error == 1.5 and found.gain == 1


def test_the_metric_knows_its_prompt():
    lists = [candidates(-1, -2), candidates(-1, -2)]
    found = list_errors(lists, lambda one: one[0], lambda i, one: float(one.tokens[0] == i))
    assert (found.first, found.oracle) == (0.5, 1)


def test_an_oracle_finds_nothing_in_a_list_without_good_outputs():
    found = list_errors([candidates(-1)], lambda one: one[0], lambda i, one: 3.0)
    assert found.model_error == found.gain == 0
    with pytest.raises(DataError, match="at least one candidate"):
        list_errors([[]], lambda one: one, lambda i, one: 0.0)
    with pytest.raises(DataError, match="at least one candidate"):
        list_errors([], lambda one: one, lambda i, one: 0.0)


def test_search_and_model_errors_are_told_apart():
    """Five prompts over strings 0, 1 with log-probabilities -1, -2, and the best by the metric."""
    everything = [candidates(-1, -2)] * 5
    outputs = [everything[0][i] for i in (0, 1, 0, 1, 0)]
    best = [0, 0, 1, 1, 0]  # right; search; model; both, and right by luck; right
    found = exact_errors(outputs, everything, lambda i, one: float(one.tokens[0] == best[i]))
    assert (found.search, found.model, found.both, found.right) == (0.4, 0.4, 0.2, 0.6)


def test_an_equally_probable_string_is_no_search_error():
    everything = [candidates(-1, -1 - 1e-12, -1 - 1.2e-9, -1.001)]
    for output, search in zip(everything[0], (0, 0, 1, 1)):
        assert exact_errors([output], everything, lambda i, one: 0.0).search == search
    with pytest.raises(DataError, match="no outputs"):
        exact_errors([], [], lambda i, one: 0.0)


def test_every_prompt_has_an_output_and_a_list_of_all_strings():
    everything = [candidates(-1, -2)] * 2
    with pytest.raises(ValueError, match="longer"):
        exact_errors([everything[0][0]], everything, lambda i, one: 0.0)


def test_greedy_search_makes_search_errors_that_a_wide_beam_does_not():
    """Ten random models: greedy misses the argmax of some, width 27 of none."""
    models = [EnumerableLM.random(3, 3, seed=seed) for seed in range(10)]
    everything = [every_response(lm, [0], 3) for lm in models]
    greedy, wide = ([beam(lm, [0], 1, 3, width=width)[0] for lm in models] for width in (1, 27))
    assert exact_errors(greedy, everything, lambda i, one: 0.0).search > 0
    assert exact_errors(wide, everything, lambda i, one: 0.0).search == 0
