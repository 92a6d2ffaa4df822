"""Every method by its name: each can be loaded, has the one signature, and has a line about it."""

import importlib
import inspect
from pathlib import Path

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.methods import ALIASES, LIBRARY_ONLY, METHODS, method_named

# The mean over all questions is the prior of each; or something is learnt before the first.
LEARN = "ape paraphrases bandit grips protegi evolution learned-retriever auto-cot"
OF_ALL = ("batch-calibrated", *LEARN.split())

SCRIPTS = Path(__file__).parents[3] / "scripts/3_prompting"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_method_has_the_one_signature(method):
    parameters = list(inspect.signature(method.load()).parameters.values())
    asked = "item"
    if method.name in OF_ALL:
        asked = "items"
    assert [p.name for p in parameters[:3]] == ["lm", asked, "demonstrations"]
    assert parameters[2].default == ()
    # Everything else has a default, and is given by name.
    for parameter in parameters[3:]:
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty
    assert "seed" in [p.name for p in parameters] and not method.accepts("seed")
    assert 0 < len(method.summary) <= 60 and method.section.startswith("3.")


def test_options_are_those_that_the_caller_does_not_give():
    options = method_named("few-shot").options()
    assert options["normalization"] == "sum" and options["max_tokens"] == 64
    assert not set(options) & {"lm", "item", "demonstrations", "seed"}
    assert set(method_named("batch-calibrated").options()) == {"prompt", "max_tokens"}


def test_a_method_accepts_what_it_can_use():
    tools, voted = method_named("tools"), method_named("self-consistency")
    # **sampling takes the fields of Sampling, and no prompt.
    assert tools.accepts("temperature") and tools.accepts("top_p") and tools.accepts("max_calls")
    assert not tools.accepts("prompt") and not method_named("rag").accepts("prompt")
    # What is passed on is what the other function takes.
    assert voted.accepts("prompt") and voted.accepts("answer_tokens") and voted.accepts("samples")
    assert (
        not voted.accepts("top_p") and not voted.accepts("count") and not voted.accepts("nothing")
    )
    assert not method_named("zero-shot").accepts("temperature")
    assert method_named("best-of-n").accepts("prompt")


def test_the_command_line_sets_numbers_texts_and_fields_of_sampling():
    assert method_named("zero-shot").kinds() == {"normalization": str, "max_tokens": int}
    kinds = method_named("tools").kinds()
    assert kinds["max_calls"] is int and kinds["temperature"] is float
    assert kinds["top_k"] == int | None and "tools" not in kinds
    kinds = method_named("self-consistency").kinds()
    assert kinds["samples"] is int and kinds["trigger"] is str and kinds["temperature"] is float
    assert not {"prompt", "read", "key", "count", "top_k"} & set(kinds)
    assert method_named("few-shot").kinds()["turns"] is bool


def test_the_method_before_what_it_passes_on():
    # sample_paths has a temperature, too; the method's own default counts.
    assert method_named("self-consistency").options()["temperature"] == 0.7


@pytest.mark.parametrize("alias, name", ALIASES.items())
def test_names_of_the_papers(alias, name):
    assert method_named(alias) is method_named(alias.upper()) is METHODS[name]
    assert alias not in METHODS


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean few-shot"):
        method_named("few_shots")
    with pytest.raises(ConfigError, match="there are zero-shot"):
        method_named("xxxxxx")


def test_what_the_library_alone_has_is_there_and_is_no_method():
    import importlib.util

    for what, (section, module) in LIBRARY_ONLY.items():
        assert importlib.util.find_spec(f"tinylm.prompt.{module}"), module
        assert what not in METHODS and section.startswith("3.")


def test_the_calculator_is_an_option_of_every_chain_of_thought():
    for name in ("chain-of-thought", "zero-shot-cot", "two-stage-cot"):
        assert METHODS[name].kinds()["calculator"] is bool
        assert METHODS[name].options()["calculator"] is False


def test_every_method_is_measured_by_a_script_or_has_a_reason(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    lists = importlib.import_module("questions_to_answer")
    asked = (SCRIPTS / "questions_to_answer.py").read_text()
    elsewhere = [name for names in lists.ELSEWHERE.values() for name in names]
    elsewhere += lists.NOT_JUDGED
    # What stands in a list of every_method.py stands before the table of other scripts.
    here = [name for name in METHODS if f'"{name}"' in asked[: asked.index("ELSEWHERE")]]
    assert sorted(here + elsewhere) == sorted(METHODS)  # each once
    assert all((SCRIPTS / file).is_file() for file in lists.ELSEWHERE)
