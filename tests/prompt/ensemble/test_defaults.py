"""The defaults: one seed, short answers, and the settings of the papers."""

import inspect
from dataclasses import FrozenInstanceError

import pytest

from tinylm.prompt.ensemble.bayes_risk import least_risk
from tinylm.prompt.ensemble.diversity import generate_demonstrations, translations
from tinylm.prompt.ensemble.grid import run_grid
from tinylm.prompt.ensemble.marginal import marginal_answer
from tinylm.prompt.ensemble.models import model_vote
from tinylm.prompt.ensemble.outputs import beam_outputs, best_of_n
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.ensemble.prompts import PHRASINGS, Phrasing, prompt_ensemble
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.ensemble.tokens import complete_jointly, decode_jointly, token_ensemble

METHODS = (
    least_risk,
    marginal_answer,
    model_vote,
    prompt_ensemble,
    run_grid,
    token_ensemble,
)


def defaults(function):
    """{name: default} of its arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_methods_have_one_seed_and_short_answers(method):
    found = defaults(method)
    assert (found["seed"], found["max_tokens"], found["demonstrations"]) == (0, 64, ())


def test_a_phrasing_cannot_be_changed():
    assert len({Phrasing("{*text*}"), Phrasing("{*text*}")}) == 1  # what does not change is a key
    with pytest.raises(FrozenInstanceError):
        PHRASINGS[0].separator = ""


def test_self_consistency_has_the_temperature_of_the_paper_and_room_to_reason():
    found = defaults(self_consistency)
    assert (found["temperature"], found["samples"], found["weights"]) == (0.7, 10, "count")
    for function in (self_consistency, best_of_n, sample_paths):
        found = defaults(function)
        assert (found["seed"], found["max_tokens"], found["temperature"]) == (0, 256, 0.7)


def test_chains_end_as_in_two_stages():
    found = defaults(sample_paths)
    assert (found["extract"], found["answer_tokens"]) == ("\nTherefore, the answer is", 32)
    assert found["trigger"] == "Let's think step by step."


def test_samples_come_from_the_models_own_distribution():
    for function in (least_risk, run_grid, generate_demonstrations):
        assert defaults(function)["temperature"] == 1.0
    assert defaults(best_of_n)["n"] == defaults(least_risk)["samples"] == 8
    assert defaults(run_grid)["samples"] == 1


def test_texts_that_the_model_writes_have_room():
    found = defaults(generate_demonstrations)
    assert (found["seed"], found["max_tokens"]) == (0, 128)
    assert defaults(translations) == {"source": "English", "seed": 0, "max_tokens": 256}
    assert defaults(beam_outputs)["max_tokens"] == 64
    assert defaults(complete_jointly)["max_tokens"] == 256


def test_prompts_choose_together_by_eq_3_7():
    for function in (decode_jointly, complete_jointly, token_ensemble):
        assert defaults(function)["rule"] == "product"
    for function in (prompt_ensemble, token_ensemble, run_grid, marginal_answer):
        assert defaults(function)["prompts"] is PHRASINGS
