"""Refinement by an instruction alone, and what it changed."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.agreement import VERBS, agreement_items, repaired
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.refine.aspects import changes, refine_aspects, refinement_prompt, translate

ITEM = Item("红山文化很重要。")
DRAFT = "A series of discoveries strengthened the role of Hongshan culture."
TRANSLATE = (
    "Translate the following text from Chinese to English:\nChinese: 红山文化很重要。\nEnglish:"
)


def prompt(draft, sentence):
    return (
        "You are given a Chinese text along with its English translation. "
        f"{sentence}\nChinese: 红山文化很重要。\nEnglish: {draft}\nRefinement:"
    )


GENERAL = "Please refine the translation to improve its accuracy and fluency if necessary."
GRAMMAR = "Please correct all grammatical errors in the translation."


def test_the_two_prompts_of_the_book():
    refined = DRAFT.replace("discoveries", "archaeological discoveries")
    lm = ScriptedLM([(TRANSLATE, f" {DRAFT}\n\nTranslate"), (prompt(DRAFT, GENERAL), refined)])
    answer = refine_aspects(lm, ITEM)
    assert lm.finished
    assert answer.value == answer.text == refined
    changed = [[([], ["archaeological"])]]
    assert answer.details == {"drafts": [DRAFT, refined], "changes": changed, "dropped": ()}


def test_each_refinement_gets_the_draft_of_the_one_before():
    lm = ScriptedLM([(prompt("one", GRAMMAR), " two"), (prompt("two", "Be brief."), " three ")])
    answer = refine_aspects(lm, ITEM, draft="one", instructions=["grammar", "Be brief."])
    assert answer.value == "three" and answer.details["drafts"] == ["one", "two", "three"]


def test_names_that_a_chat_model_repeats_are_no_part_of_a_text():
    lm = ScriptedLM([(None, "English: one"), (None, "Refinement: two"), (None, "English: three")])
    answer = refine_aspects(lm, ITEM, instructions=["short", "terms"])
    assert answer.details["drafts"] == ["one", "two", "three"]


def test_the_instructions_have_short_names():
    assert "Please refine it!" in refinement_prompt("x", "y", "short")
    assert refinement_prompt("x", "y") == refinement_prompt("x", "y", GENERAL)
    text = refinement_prompt("x", "y", "grammar", ("Italian", "Dutch"))
    assert text.startswith("You are given an Italian text along with its Dutch translation. ")
    assert text.endswith(f"{GRAMMAR}\nItalian: x\nDutch: y\nRefinement:")


def test_the_draft_follows_translations_that_are_shown():
    demo = Item("水。", "Water.")
    shown = TRANSLATE.replace(ITEM.question, "水。") + " Water."
    lm = ScriptedLM([(f"{shown}\n\n{TRANSLATE}", " Culture.\nChinese: 更多")])
    assert translate(lm, ITEM, [demo]).value == "Culture."
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        translate(lm, ITEM, [ITEM])


def test_seeds_and_limits_are_handed_on():
    seen = []

    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seen.append((seed, max_tokens, stop))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Recorder([(None, "one"), (None, "two"), (None, "three")])
    refine_aspects(lm, ITEM, seed=4, max_tokens=30, instructions=["short", "terms"])
    stop = ("\nChinese:", "\nEnglish:", "\nRefinement:", "\n\n")
    assert seen == [(4, 30, stop), (5, 30, stop), (6, 30, stop)]


def test_empty_replies_are_no_answers():
    answer = refine_aspects(ScriptedLM([(None, " ")]), ITEM)
    assert (answer.value, answer.details) == (None, {"drafts": [], "changes": [], "dropped": ()})
    lm = ScriptedLM([(None, "one"), (None, "")])
    answer = refine_aspects(lm, ITEM, draft="zero", instructions=["short", "terms"])
    assert answer.value is None and answer.details["drafts"] == ["zero", "one"]


@pytest.mark.parametrize("instructions", [(), "grammar"])
def test_instructions_are_a_list(instructions):
    with pytest.raises(ConfigError, match="a list of at least one"):
        refine_aspects(None, ITEM, draft="x", instructions=instructions)


def test_what_was_read_is_traced():
    lm = ScriptedLM([(None, "one"), (None, " two ")])
    with lm.tracing() as trace:
        refine_aspects(lm, ITEM)
    assert [call.parsed for call in trace.calls] == [[("draft", "one")], [("draft", "two")]]


def test_changes_are_words_replaced_inserted_and_deleted():
    assert changes("the dog run home", "the dog runs home") == [(["run"], ["runs"])]
    assert changes("a b c", "x a c y") == [([], ["x"]), (["b"], []), ([], ["y"])]
    assert changes("same text", "same  text") == []
    with pytest.raises(DataError, match="at least one word"):
        changes("", "a")
    with pytest.raises(DataError, match="at least one word"):
        changes("a", " ")


def test_frequent_words_of_a_long_text_count_as_well():
    # difflib would take words above 1 % of 200 or more for noise, unless it is told not to.
    words = ["very"] * 250
    assert changes(" ".join(words), " ".join(["good", *words])) == [([], ["good"])]


def test_a_refiner_of_agreement_changes_verbs_alone():
    # The toy task of agreement stands for the model: its oracle knows this one aspect.
    forms = {*VERBS, *VERBS.values()}
    for item in agreement_items(20, seed=3):
        draft = item.question.split(": ")[-1]
        lm = ScriptedLM([(prompt(draft, GRAMMAR), repaired(draft))])
        answer = refine_aspects(lm, ITEM, draft=draft, instructions=["grammar"])
        assert answer.value == item.answer
        ((((before,), (after,)),),) = answer.details["changes"]
        assert {before, after} <= forms and before != after
