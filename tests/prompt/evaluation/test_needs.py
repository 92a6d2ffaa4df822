"""What a method lacks is named before any call, with the way to give it."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.needs import NEEDS, check_needs

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
    "rationales": (PLAIN, [SHOWN], ()),
    "parts": (Item('Take the last letters of "ab cd".', task="last_letters"), [], ()),
    "function": (PLAIN, [], ("function",)),
    "beginning": (Item("import math\ndef double(x):\n    # twice"), [], ()),
    "entities": (PLAIN, [], ("entities",)),
    "speakers": (PLAIN, [], ("speakers",)),
    "models": (PLAIN, [], ("models",)),
    "languages": (PLAIN, [], TRANSLATED),
}
LACKING = {
    "options": (SHOWN, [HAVING["options"][0]], ()),
    "batch": (Item("Where?", options=("Oslo", "Rome")), [], ()),
    "context": (Item("Where?", context=" \n"), [], ()),
    "command": (Item("Translate: jump home"), [], ()),
    "demonstrations": (SHOWN, [], ()),
    "rationales": (SHOWN, [SHOWN, PLAIN], ()),
    "parts": (Item("Take the last letters.", task="other"), [], ()),
    "function": (PLAIN, [], ("name",)),
    "beginning": (Item("  def double(x):\nclass A:"), [], ("function",)),
    "entities": (PLAIN, [], ("types",)),
    "speakers": (PLAIN, [], ()),
    "models": (PLAIN, [], ("model",)),
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
        if name != "demonstrations" and name != "rationales":
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


def test_without_needs_nothing_is_checked():
    check_needs(METHODS["zero-shot"], [PLAIN])
