"""What holds where nothing is said, and where it comes from."""

import dataclasses
import inspect

import pytest

from tinylm.prompt.compress import (
    compressed,
    information,
    length_limit,
    llmlingua,
    quality,
    selective_context,
    simplifier,
    simplify,
)

# Jiang et al. 2023: rates of 0.85 and 0.9, k = 2, segments of 100. Li et al. 2023: phrases, half of
# them. The others are of this code.
RATES = {"instruction_rate": 0.85, "question_rate": 0.9}
DEFAULTS = [
    (information.token_information, {"before": ""}),
    (selective_context.selective_context, {"keep_ratio": 0.5, "unit": "phrase", "before": ""}),
    (llmlingua.demonstration_rate, RATES),
    (llmlingua.final_rates, RATES),
    (llmlingua.compress_tokens, {"segment": 100}),
    (
        llmlingua.llmlingua,
        {"rate": 0.5, **RATES, "control": 2.0, "segment": 100, "separator": "\n\n"},
    ),
    (
        length_limit.simplify_with_limit,
        {"retries": 3, "counter": None, "seed": 0, "reply_tokens": 256},
    ),
    (simplify.simplify, {"rules": simplify.RULES}),
    (simplifier.Simplifier.untrained, {"seed": 0, "longest": 32}),
    (quality.sampled_divergence, {"samples": 4, "seed": 0, "max_tokens": 16}),
    (quality.against_random, {"draws": 5}),
]


@pytest.mark.parametrize(
    "function, expected", DEFAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_defaults_are_those_of_the_papers(function, expected):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected


@pytest.mark.parametrize("kind", [compressed.Compressed, llmlingua.Rates, quality.Quality])
def test_results_do_not_change(kind):
    values = [None] * len(dataclasses.fields(kind))
    result = kind(*values)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(kind)[0].name, 1)
