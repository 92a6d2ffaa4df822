"""Answers after shorter prompts: which part is shortened, what the model reads, and the report."""

import inspect

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.compress import simplify_with_limit
from tinylm.prompt.compress.llmlingua import llmlingua
from tinylm.prompt.compress.selective_context import selective_context
from tinylm.prompt.evaluation import compressed_methods as methods
from tinylm.prompt.evaluation.compare import summarize
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot

PASSAGE = "The bus is red. The train is blue. The ship is very old."
ITEM = Item("Which is old?", "the ship", context=PASSAGE)
DEMOS = [Item("What is red?", "the bus"), Item("What is blue?", "the train")]
WORDY = FewShotPrompt("Please carefully answer in order to help.")


def test_rules_shorten_the_instruction_and_nothing_else():
    lm = ScriptedLM([("Answer to help.\n\nQ: Please?\nA: Please.\n\nQ: Carefully?\nA:", " Yes.")])
    shown = [Item("Please?", "Please.")]
    answer = methods.simplified(lm, Item("Carefully?"), shown, prompt=WORDY)
    assert answer.value == "Yes." and lm.finished
    assert answer.details["report"] == {
        "instruction": "Answer to help.",
        "tokens of the instruction": 7,
        "tokens that are left of it": 3,
    }
    with pytest.raises(ConfigError, match="simplified: give an instruction"):
        methods.simplified(lm, ITEM)


def test_a_passage_loses_what_the_model_expects():
    lm = text_model(context=256, n_layer=1)
    for options in ({}, {"keep_ratio": 0.3}, {"keep_ratio": 0.3, "unit": "word"}):
        answer = methods.selective_passage(lm, ITEM, DEMOS, max_tokens=8, seed=1, **options)
        short = selective_context(lm, PASSAGE, *options.values())
        asked = Item(ITEM.question, context=short.text.strip())
        assert answer.text == few_shot(lm, asked, DEMOS, max_tokens=8, seed=1).text
        report = answer.details["report"]
        assert report["tokens of the passage"] == len(PASSAGE)
        assert report["tokens that are left of it"] == short.tokens < len(PASSAGE)


def test_a_passage_is_shortened_by_the_model_within_a_limit():
    request = (
        "Simplify the following text so that it has at most 6 words and keeps its meaning.\n"
        f"Text: {PASSAGE}\nShort:"
    )
    asked = "Context: The ship is old.\nQ: Which is old?\nA:"
    lm = ScriptedLM([(request, " The ship is old."), (asked, " the ship")])
    answer = methods.limited_passage(lm, ITEM, limit=6)
    assert answer.value == "the ship" and lm.finished
    assert answer.details["report"] == {
        "tokens of the passage": 13,
        "tokens that are left of it": 4,
    }
    # A reply has twice the limit, and what stays too long is cut.
    lm = ScriptedLM([(None, " a b c d e f g"), (None, " a b c d"), (None, " a")])
    answer = methods.limited_passage(lm, ITEM, limit=2, retries=1)
    assert "Text: a b c d\n" in lm.prompts[1]
    assert lm.prompts[-1] == "Context: a b\nQ: Which is old?\nA:" and lm.finished
    lm = ScriptedLM([(None, " a b c d e f g"), (None, " a")])
    methods.limited_passage(lm, ITEM, limit=2, retries=0)
    assert lm.prompts[-1] == "Context: a b\nQ: Which is old?\nA:" and lm.finished
    assert answer.details["report"]["tokens that are left of it"] == 2
    assert simplify_with_limit(lm, "a b", 2).text == "a b"


def test_demonstrations_give_up_tokens_and_the_names_of_fields_stay():
    lm = text_model(context=256, n_layer=1)
    answer = methods.compressed(lm, ITEM, DEMOS, prompt=WORDY, rate=0.6, max_tokens=8, seed=1)
    texts = ["Q: What is red?\nA: the bus", "Q: What is blue?\nA: the train", PASSAGE]
    short = llmlingua(lm, WORDY.instruction, texts, ITEM.question, 0.6)
    *before, question = short.details["parts"]
    whole = "\n\n".join([*filter(None, before), f"Q: {question}\nA:"])
    assert answer.text == lm.complete(whole, max_tokens=8, stop=FewShotPrompt().stop, seed=1).text
    report = answer.details["report"]
    assert report["tokens of the prompt"] == short.before > short.tokens
    assert report["tokens that are left of it"] == short.tokens


def test_settings_reach_the_compression():
    lm = text_model(context=256, n_layer=1)
    usual = {"rate": 0.5, "instruction_rate": 0.85, "question_rate": 0.9, "control": 2.0}
    usual["segment"] = 100
    parameters = inspect.signature(methods.compressed).parameters
    assert {name: parameters[name].default for name in usual} == usual
    for name, value in (("rate", 0.8), ("instruction_rate", 0.2), ("segment", 7), ("control", 0.4)):
        changed = usual | {name: value}
        answer = methods.compressed(lm, ITEM, DEMOS, prompt=WORDY, max_tokens=1, **changed)
        texts = ["Q: What is red?\nA: the bus", "Q: What is blue?\nA: the train", PASSAGE]
        short = llmlingua(lm, WORDY.instruction, texts, ITEM.question, **changed)
        assert answer.details["report"]["tokens that are left of it"] == short.tokens


def test_what_has_nothing_to_shorten_is_refused():
    lm, plain = ScriptedLM([]), Item("Which?")
    with pytest.raises(DataError, match="selective_passage: the question 'Which.' has no passage"):
        methods.selective_passage(lm, plain)
    with pytest.raises(DataError, match="limited_passage: the question 'Which.' has no passage"):
        methods.limited_passage(lm, plain)
    with pytest.raises(DataError, match="compressed: without demonstrations or a passage"):
        methods.compressed(lm, plain)
    for option, least in (("limit", 1), ("retries", 0)):
        with pytest.raises(ConfigError, match=f"limited_passage: {option}={least - 1} must be"):
            methods.limited_passage(lm, ITEM, **{option: least - 1})
    tiny = text_model(context=96, n_layer=1)
    with pytest.raises(DataError, match="nothing is left of the question 'a'"):
        methods.compressed(tiny, Item("a", context="b c d"), question_rate=0.01, rate=0.3)


def test_the_report_of_many_questions_is_their_mean():
    lm = text_model(context=256, n_layer=1)
    items = [ITEM, Item("Which?", context="one two three")]
    records = list(answer_items(lm, methods.selective_passage, items, max_tokens=2))
    report = summarize(records).report
    assert report["tokens of the passage"] == (len(PASSAGE) + 13) / 2
    left = [record.report["tokens that are left of it"] for record in records]
    assert report["tokens that are left of it"] == sum(left) / 2


def test_defaults():
    assert inspect.signature(methods.selective_passage).parameters["keep_ratio"].default == 0.5
    assert inspect.signature(methods.selective_passage).parameters["unit"].default == "phrase"
    assert inspect.signature(methods.limited_passage).parameters["limit"].default == 64
    assert inspect.signature(methods.limited_passage).parameters["retries"].default == 3
    for method in (
        methods.simplified,
        methods.selective_passage,
        methods.limited_passage,
        methods.compressed,
    ):
        parameters = inspect.signature(method).parameters
        assert parameters["max_tokens"].default == 64 and parameters["seed"].default == 0
