"""Every method by its name: each can be loaded, has the one signature, and has a line about it."""

import inspect

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.methods import METHODS, method_named


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_method_has_the_one_signature(method):
    parameters = list(inspect.signature(method.load()).parameters.values())
    assert [p.name for p in parameters[:3]] == ["lm", "item", "demonstrations"]
    assert parameters[2].default == ()
    # Everything else has a default, and is given by name.
    for parameter in parameters[3:]:
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty
    assert method.accepts("seed") or "seed" in [p.name for p in parameters]
    assert 0 < len(method.summary) <= 60 and method.section.startswith("3.")


def test_options_are_those_that_the_caller_does_not_give():
    options = method_named("few-shot").options()
    assert options["normalization"] == "sum" and options["max_tokens"] == 64
    assert not set(options) & {"lm", "item", "demonstrations", "seed"}


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean few-shot"):
        method_named("few_shots")
    with pytest.raises(ConfigError, match="there are zero-shot"):
        method_named("xxxxxx")
