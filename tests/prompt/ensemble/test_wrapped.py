"""Members of an ensemble may show other demonstrations, or be one prompt in another language."""

from dataclasses import FrozenInstanceError

import pytest

from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.prompts import prompt_ensemble
from tinylm.prompt.ensemble.wrapped import Shown, Transformed
from tinylm.prompt.in_context.few_shot import FewShotPrompt

ONE, TWO = Item("1", "one"), Item("2", "two")
FORM = FewShotPrompt(question_name="", answer_name="", between=">", separator="\n")


def test_each_prompt_has_its_own_demonstrations():
    lm = ScriptedLM([("1>one\n3>", "a"), ("2>two\n1>one\n3>", "b"), ("3>", "b\nc")])
    prompts = [Shown(FORM, (ONE,)), Shown(FORM, (TWO, ONE)), Shown(FORM, ())]
    # Those of the caller are not shown by any of them.
    answer = prompt_ensemble(lm, Item("3"), [Item("9", "nine")], prompts=prompts)
    assert answer.value == "b" and answer.details["answers"] == ["a", "b", "b"]
    assert lm.finished


def test_options_follow_each_prompt():
    lm = ScriptedLM([("1>one\n3>", {"x": -1.0, "y": -2.0}), ("3>", {"x": -2.0, "y": -3.0})])
    prompts = [Shown(FORM, (ONE,)), Shown(FORM, ())]
    assert prompt_ensemble(lm, Item("3", options=("x", "y")), prompts=prompts).value == "x"


def test_a_chat_ends_an_answer_as_its_own_demonstrations_show():
    # A paragraph break ends a chat's answer only where a demonstration ends so.
    form = FewShotPrompt()
    lm = Chat([])
    assert Shown(form, (ONE,)).stop_for(lm, ()) == form.stop_for(lm, (ONE,))
    assert Shown(form, ()).stop_for(lm, (ONE,)) == form.stop_for(lm, ())
    assert form.stop_for(lm, (ONE,)) != form.stop_for(lm, ())


def test_a_transformed_prompt_is_answered_in_its_language():
    upper = Transformed(Shown(FORM, (ONE,)), str.upper, str.lower)
    assert upper.prompt(Item("c"), [TWO]) == "1>ONE\nC>"
    assert upper.continuation(Item("c"), "two") == "TWO"
    assert upper.read("TWO\nX") == "two" and upper.read("\n") is None
    lm = ScriptedLM([("1>ONE\nC>", "THREE")])
    assert prompt_ensemble(lm, Item("c"), prompts=[upper]).value == "three"


def test_what_ends_an_answer_is_translated_too():
    form = FewShotPrompt(question_name="Input", answer_name="Output")
    german = Transformed(form, lambda text: text.replace("Input", "Eingabe"), str.lower)
    stops = german.stop_for(ScriptedLM([]), ())
    assert "\nEingabe:" in stops and "\nInput:" not in stops
    assert german.read("JA|x", stop=("|",)) == "ja"


def test_without_demonstrations_given_a_transformed_prompt_shows_none():
    plain = Transformed(FORM, str.upper, str.lower)
    assert plain.prompt(Item("c")) == "C>" and plain.prompt(Item("c"), [ONE]) == "1>ONE\nC>"
    assert Shown(FORM, (ONE,)).read("a\nb") == "a"


def test_a_wrapped_prompt_cannot_be_changed():
    for one in (Shown(FORM, (ONE,)), Transformed(FORM, str.upper, str.lower)):
        with pytest.raises(FrozenInstanceError):
            one.form = None
