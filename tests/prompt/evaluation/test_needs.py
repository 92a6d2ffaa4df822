"""What a method lacks is named before any call, with the way to give it."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.needs import (
    NEEDS,
    check_effect,
    check_needs,
    check_use,
    ignored_by,
    unread,
)

PLAIN = Item("Where?", "Rome")
SHOWN = Item("What?", "A cat.", rationale="It purrs.")
TRANSLATED = ("target", "source", "seed")

# For each need: what has it, and what lacks it, as (item, demonstrations, options).
HAVING = {
    "options": (Item("Where?", options=("Rome", "Oslo")), [], ()),
    "batch": (Item("Where?", options=("Rome", "Oslo")), [], ()),
    "context": (Item("Where?", context="In Rome."), [], ()),
    "command": (Item("Translate: jump left twice after look"), [], ()),
    "demonstrations": (PLAIN, [PLAIN], ()),
    "pool": (PLAIN, [PLAIN], ()),
    "shortened": (Item("Where?", context="In Rome."), [], ()),
    "rationales": (PLAIN, [SHOWN], ()),
    "parts": (Item('Take the last letters of "ab cd".', task="last_letters"), [], ()),
    "function": (PLAIN, [], ("function",)),
    "beginning": (Item("import math\ndef double(x):\n    # twice"), [], ()),
    "entities": (PLAIN, [], ("entities",)),
    "speakers": (PLAIN, [], ("speakers",)),
    "models": (PLAIN, [], ("models",)),
    "instruction": (PLAIN, [], ("prompt",)),
    "languages": (PLAIN, [], TRANSLATED),
}
LACKING = {
    "options": (SHOWN, [HAVING["options"][0]], ()),
    "batch": (Item("Where?", options=("Oslo", "Rome")), [], ()),
    "context": (Item("Where?", context=" \n"), [], ()),
    "command": (Item("Translate: jump home"), [], ()),
    "demonstrations": (SHOWN, [], ()),
    "pool": (SHOWN, [], ()),
    "shortened": (PLAIN, [], ()),
    "rationales": (SHOWN, [SHOWN, PLAIN], ()),
    "parts": (Item("Take the last letters.", task="other"), [], ()),
    "function": (PLAIN, [], ("name",)),
    "beginning": (Item("  def double(x):\nclass A:"), [], ("function",)),
    "entities": (PLAIN, [], ("types",)),
    "speakers": (PLAIN, [], ()),
    "models": (PLAIN, [], ("model",)),
    "instruction": (PLAIN, [], ("instruction",)),
    "languages": (PLAIN, [], ("target",)),
}


def having(needs):
    """Items, demonstrations and options that have all of several needs."""
    items, shown, options = [PLAIN], [], ()
    for name in needs:
        one, more, named = HAVING[name]
        items, shown, options = [one] * (1 + ("batch" in needs)), shown + more, options + named
    return items, shown, options


def test_every_need_is_described_and_tried_here():
    assert set(HAVING) == set(LACKING) == set(NEEDS)
    assert {name for method in METHODS.values() for name in method.needs} == set(NEEDS)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_runs_with_what_it_needs_and_not_without(method):
    items, shown, options = having(method.needs)
    check_needs(method, items, shown, options)
    for name in method.needs:
        item, shown, options = LACKING[name]
        rest = [other for other in method.needs if other != name]
        _, more, named = having(rest)
        if name not in ("demonstrations", "rationales", "pool"):
            shown = shown + more
        message = f"the method {method.name} needs {NEEDS[name].what}: {NEEDS[name].given}"
        with pytest.raises(ConfigError) as found:
            check_needs(method, [item], shown, options + named)
        assert str(found.value) == message


@pytest.mark.parametrize(
    "name", ["context-only", "map-reduce", "multi-hop", "calibrated", "marginal"]
)
def test_the_methods_themselves_refuse_such_an_item(name):
    with pytest.raises(DataError):
        METHODS[name].load()(ScriptedLM([]), PLAIN)


def test_a_batch_has_several_questions_with_one_list_of_options():
    item, other = HAVING["batch"][0], LACKING["batch"][0]
    check_needs(METHODS["batch-calibrated"], [item, item])
    for items in ([item], [item, item, other]):
        with pytest.raises(ConfigError, match="same options, whose mean is the prior: --data FILE"):
            check_needs(METHODS["batch-calibrated"], items)


def test_of_many_questions_those_without_are_counted():
    items = [HAVING["context"][0], Item("Who?"), Item("When?")]
    with pytest.raises(
        ConfigError, match=r"\(2 of 3 questions lack it, first 'Who\?'\): \"context\""
    ):
        check_needs(METHODS["rag"], items)
    # Demonstrations are those of all questions.
    with pytest.raises(ConfigError, match="needs demonstrations: --demos"):
        check_needs(METHODS["few-shot"], items)


def test_a_passage_or_demonstrations_can_be_shortened():
    check_needs(METHODS["llmlingua"], [PLAIN], [SHOWN])
    check_needs(METHODS["llmlingua"], [HAVING["context"][0]])
    with pytest.raises(ConfigError, match=r"shorten \(1 of 2 questions lack it"):
        check_needs(METHODS["llmlingua"], [HAVING["context"][0], PLAIN])


def test_without_needs_nothing_is_checked():
    check_needs(METHODS["zero-shot"], [PLAIN])


def test_several_models_ignore_what_their_method_ignores():
    voted = METHODS["model-vote"]
    assert ignored_by(voted, {"method": "names"}) == ("options", "context")
    assert ignored_by(voted) == ("demonstrations",) == METHODS["zero-shot"].ignores  # its default
    assert ignored_by(METHODS["grid"], {"method": "names"}) == ("options",)


def test_what_no_method_uses_is_refused():
    story, few = METHODS["story"], METHODS["few-shot"]
    options = {"story": {}, "few-shot": {}, "model-vote": {"method": "story"}}
    with pytest.raises(ConfigError, match="story: a passage would change nothing: leave out --con"):
        check_use([story], ["demonstrations", "context"], options)
    with pytest.raises(ConfigError, match="story and model-vote: options to choose from would ch"):
        check_use([story, METHODS["model-vote"]], ["options"], options)
    # One that uses it is enough, and what is not given is no matter.
    check_use([story, few], ["options", "context", "demonstrations"], options)
    check_use([story], ["demonstrations"], options)
    check_use([story], [], options)


def test_what_is_not_read_of_the_questions_is_counted():
    items = [PLAIN, HAVING["options"][0], HAVING["context"][0], HAVING["context"][0]]
    methods = [METHODS["stepwise"], METHODS["few-shot"], METHODS["classify"]]
    options = {method.name: {} for method in methods}
    assert unread(methods, items, [SHOWN, SHOWN], options) == [
        "stepwise does not read the options of 1 questions",
        "stepwise does not read the passages of 2 questions",
        "stepwise does not read any of the 2 demonstrations",
        "classify does not read the passages of 2 questions",
    ]
    assert unread(methods, [PLAIN], [], options) == []


def test_an_option_without_effect_is_refused():
    plain, scored = [PLAIN], [PLAIN, HAVING["options"][0]]
    zero, sampled = METHODS["zero-shot"], METHODS["self-consistency"]
    with pytest.raises(ConfigError, match="zero-shot: normalization is of scores of options"):
        check_effect(zero, plain, [], {"normalization": "byte"})
    check_effect(zero, scored, [], {"normalization": "byte"})
    # Its words are ranked, whatever the question has.
    check_effect(METHODS["verbalizer"], plain, [], {"normalization": "byte"})
    for name in ("trigger", "extract", "answer_tokens"):
        for method in (sampled, METHODS["best-of-n"]):
            with pytest.raises(ConfigError, match=f"{method.name}: demonstr.* so {name} would"):
                check_effect(method, plain, [SHOWN], {name: "x", "samples": 3})
            check_effect(method, plain, [], {name: "x"})
        check_effect(METHODS["two-stage-cot"], plain, [SHOWN], {name: "x"})
    check_effect(sampled, plain, [SHOWN], {"samples": 3})
    with pytest.raises(ConfigError, match="tools: the most probable token is taken, so top_k, eta"):
        check_effect(METHODS["tools"], plain, [], {"temperature": 0.0, "top_k": 3, "eta": 0.1})
