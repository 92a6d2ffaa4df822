"""The prompt as a hidden variable: exact sums, and an unbiased estimate of them."""

import itertools

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate import EnumerableLM
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.marginal import (
    draw_prompts,
    log_marginal,
    log_table,
    marginal_answer,
    monte_carlo,
    posterior,
)
from tinylm.prompt.ensemble.means import geometric_mean
from tinylm.prompt.ensemble.prompts import Phrasing

PRIOR = np.array([0.2, 0.5, 0.3])


def exact_table():
    """(log Pr(y | x) of all strings y of two tokens after three prompts x: (3, 9))."""
    lm = EnumerableLM.random(3, 2, seed=3)
    strings, _ = lm.all_strings(0)
    return np.log([[lm.probability(y, bos=x) for y in strings] for x in range(3)])


def test_the_marginal_is_a_distribution():
    logs = exact_table()
    assert np.exp(log_marginal(logs, PRIOR)).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(np.exp(log_marginal(logs, PRIOR)), PRIOR @ np.exp(logs), atol=1e-12)


def test_a_certain_prior_is_one_prompt_and_a_uniform_one_the_mean():
    logs = exact_table()
    np.testing.assert_allclose(log_marginal(logs, [0, 7, 0]), logs[1], rtol=0, atol=1e-12)
    mean = np.exp(logs).mean(axis=0)
    np.testing.assert_allclose(np.exp(log_marginal(logs)), mean, rtol=0, atol=1e-12)


def test_it_differs_from_the_product_of_eq_3_7():
    logs = np.log([[0.70, 0.25, 0.05], [0.02, 0.25, 0.73]])
    assert log_marginal(logs).argmax() == 2
    assert geometric_mean(logs, np.array([0.5, 0.5])).argmax() == 1


def test_the_posterior_is_bayes_rule():
    logs = exact_table()
    found = posterior(logs, PRIOR)
    joint = PRIOR[:, None] * np.exp(logs)
    np.testing.assert_allclose(found, joint / joint.sum(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), 1)
    assert posterior(logs, [0, 1, 0])[1].tolist() == [1.0] * 9


def test_the_estimate_is_unbiased_by_listing_all_draws():
    logs = exact_table()
    expected, squares = np.zeros(9), np.zeros(9)
    for drawn in itertools.product(range(3), repeat=3):
        chance = PRIOR[list(drawn)].prod()
        estimate, error = monte_carlo(logs, np.array(drawn))
        expected += chance * estimate
        squares += chance * error**2
    exact = np.exp(log_marginal(logs, PRIOR))
    np.testing.assert_allclose(expected, exact, rtol=0, atol=1e-12)
    # And the mean of the squared standard error is the variance of the estimate.
    variance = PRIOR @ (np.exp(logs) - exact) ** 2 / 3
    np.testing.assert_allclose(squares, variance, rtol=0, atol=1e-12)


def test_the_error_falls_with_the_square_root_of_the_draws():
    logs, exact = exact_table(), np.exp(log_marginal(exact_table(), PRIOR))
    rng = np.random.default_rng(0)
    counts, errors = [4, 16, 64, 256], []
    for count in counts:
        estimates = [monte_carlo(logs, draw_prompts(count, PRIOR, rng))[0] for _ in range(400)]
        errors.append(np.sqrt(((np.array(estimates) - exact) ** 2).mean()))
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    # Each error is known to 1 / sqrt(2 * 400) = 3.5 %, so the slope to 0.035 / 2.3 or better.
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_draws_follow_the_prior():
    drawn = draw_prompts(10_000, [2, 0, 6], np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0 and abs(counts[0] - 2500) < 200  # standard deviation 43
    with pytest.raises(ConfigError, match="at least 1 prompt, not 0"):
        draw_prompts(0, PRIOR, np.random.default_rng(0))


def test_one_draw_has_no_standard_error():
    estimate, error = monte_carlo(np.log([[0.5, 0.5]]), np.array([0]))
    assert estimate.tolist() == [0.5, 0.5] and np.isnan(error).all()
    assert draw_prompts(1, [0, 1], np.random.default_rng(0)).tolist() == [1]
    # Two draws have one: of 1/4 and 3/4 the standard deviation is sqrt(1/8), over sqrt(2).
    estimate, error = monte_carlo(np.log([[0.25], [0.75]]), np.array([0, 1]))
    np.testing.assert_allclose([estimate, error], [[0.5], [0.25]], rtol=0, atol=1e-12)


def test_the_table_is_that_of_the_scores():
    lm = text_model()
    found = log_table(lm, ["ab", "cde"], [" x", " yz"])
    assert found.shape == (2, 2)
    assert found[1, 1] == pytest.approx(lm.score("cde", [" yz"]).sums[0])
    apart = log_table(lm, ["ab", "cde"], [["x"], ["y"]])
    assert apart[1, 0] == pytest.approx(lm.score("cde", ["y"]).sums[0])
    with pytest.raises(DataError, match=r"\[1, 2\] candidates for different prompts"):
        log_table(lm, ["ab", "cde"], [["x"], ["y", "z"]])


# The method.

ITEM = Item("Is ice cold?", options=("yes", "no"))
FORMS = [Phrasing("Say: {*text*}"), Phrasing("Tell: {*text*}"), Phrasing("Now: {*text*}")]


def scripted():
    """Pr(yes), Pr(no) after the three forms; the third contradicts the first two."""
    table = {"Say": (0.5, 0.3), "Tell": (0.4, 0.3), "Now": (0.1, 0.8)}
    return ScriptedLM(
        {
            f"{name}: Is ice cold?": {"\nyes": np.log(yes), "\nno": np.log(no)}
            for name, (yes, no) in table.items()
        }
    )


def test_the_option_with_the_greatest_sum_is_the_answer():
    lm = scripted()
    with lm.tracing() as trace:
        answer = marginal_answer(lm, ITEM, prompts=FORMS)
    assert answer.value == answer.text == "no"  # 1/3 (.3 + .3 + .8) against 1/3 (.5 + .4 + .1)
    np.testing.assert_allclose(answer.details["probabilities"], [1 / 3, 1.4 / 3])
    np.testing.assert_allclose(answer.details["posterior"], [3 / 14, 3 / 14, 8 / 14])
    assert trace.calls[-1].parsed == [("answer", "no")]
    sure = marginal_answer(scripted(), ITEM, prompts=FORMS, prior=[1, 1, 0])
    assert sure.value == "yes"


def test_only_prompts_that_were_drawn_are_read():
    lm = scripted()
    answer = marginal_answer(lm, ITEM, prompts=FORMS, prior=[1, 1, 0], draws=5, seed=2)
    drawn = answer.details["drawn"]
    assert len(drawn) == 5 and len(lm.prompts) == len(set(drawn)) <= 2
    yes = np.mean([(0.5, 0.4)[k] for k in drawn])
    np.testing.assert_allclose(answer.details["probabilities"], [yes, 0.3])
    assert answer.value == "yes" and answer.details["error"][1] == pytest.approx(0, abs=1e-12)
    again = marginal_answer(scripted(), ITEM, prompts=FORMS, prior=[1, 1, 0], draws=5, seed=2)
    assert again == answer


@pytest.mark.parametrize("draws", [None, 4])
def test_long_options_whose_probabilities_are_zero_as_floats_are_compared(draws):
    table = {"Say": (-2000.0, -1990.0), "Tell": (-1999.0, -1997.0), "Now": (-2000.0, -1999.0)}
    lm = ScriptedLM(
        {f"{k}: Is ice cold?": {"\nyes": yes, "\nno": no} for k, (yes, no) in table.items()}
    )
    answer = marginal_answer(lm, ITEM, prompts=FORMS, draws=draws, seed=2)
    assert answer.value == "no" and answer.details["probabilities"] == [0, 0]
    rows = range(3)
    if draws:
        rows = answer.details["drawn"]
    # log of the mean of exp(log Pr), with the factor e^-1990 taken out
    found = np.mean([np.exp(np.array(list(table.values())[k]) + 1990) for k in rows], axis=0)
    np.testing.assert_allclose(answer.details["logs"], np.log(found) - 1990)


def test_demonstrations_are_shown_and_options_are_needed():
    lm = ScriptedLM({"Say: up?\nyes\n\nSay: Is ice cold?": {"\nyes": -1, "\nno": -2}})
    answer = marginal_answer(lm, ITEM, [Item("up?", "yes")], prompts=FORMS[:1])
    assert answer.value == "yes"
    with pytest.raises(DataError, match="no options"):
        marginal_answer(lm, Item("Why?"), prompts=FORMS)
