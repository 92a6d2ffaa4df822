"""Tasks as methods: words of the command line become what the functions behind them take."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation import task_methods
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.task_methods import (
    classify,
    complete_function,
    dialogue,
    entities,
    extract,
    prompts_and_samples,
    read_case,
    relations,
    verbalizer,
    word_problem,
    write,
    write_function,
)
from tinylm.prompt.tasks import classification, code_completion

TEXT = Item("It rained.", "bad", ("good", "bad"))
CODE = "def add(a, b):\n    return a + b"


def test_a_text_is_classified_in_three_ways():
    for by, reply in [("scores", {" good": -2, " bad": -1}), ("generated", "It is bad.")]:
        lm = ScriptedLM([(None, reply)])
        assert classify(lm, TEXT, attribute="weather", by=by).value == "bad"
        assert "Analyze the weather of the following text" in lm.prompts[0]
    lm = ScriptedLM([(None, " bad.")])
    assert classify(lm, TEXT, by="cloze").value == "bad"
    assert lm.prompts[0].endswith("The polarity of the text is")
    with pytest.raises(ConfigError, match="by='x' must be one of scores, generated, cloze"):
        classify(lm, TEXT, by="x")


def test_classes_are_defined_in_words():
    lm = ScriptedLM([(None, "bad"), (None, "bad")])
    words = ("bad = what is wet.", "good=what is = dry", " ")
    defined = {"by": "generated", "definitions": words}
    assert classify(lm, TEXT, **defined, only_label=True).value == "bad"
    assert "as follows.\nBad: what is wet.\nGood: what is = dry.\nText:" in lm.prompts[0]
    assert lm.prompts[0].endswith("Just answer: good or bad.\n")
    assert classify(lm, TEXT, **defined).value == "bad" and "Just" not in lm.prompts[1]
    for wrong in ("bad", "bad=", "=wet", "wet=bad"):
        with pytest.raises(ConfigError, match='must be "label=what it means", of one of good, bad'):
            classify(lm, TEXT, definitions=(wrong,))
    for by in ("scores", "cloze"):
        with pytest.raises(ConfigError, match=f"only_label is for by='generated'; by='{by}'"):
            classify(lm, TEXT, by=by, only_label=True)


def test_settings_of_a_call_reach_the_task(monkeypatch):
    seen = {}

    def noted(lm, item, demonstrations, **options):
        seen.update(options, demonstrations=demonstrations)

    monkeypatch.setitem(task_methods.WAYS, "scores", noted)
    classify(None, TEXT, [TEXT], seed=3, max_tokens=5)
    assert (seen["seed"], seen["max_tokens"], seen["demonstrations"]) == (3, 5, [TEXT])
    assert seen["prompt"] == classification.ClassificationPrompt("polarity")


def test_words_stand_for_labels():
    scores = {" fine": -3, " dry": -3, " wet": -2}
    lm = ScriptedLM([("It rained. So", scores)])
    words = ("good=fine, dry", "bad=wet")
    answer = verbalizer(lm, TEXT, template="{*text*} So _____", words=words)
    assert answer.value == "bad" and answer.text == "wet"
    lm = ScriptedLM(
        [
            (
                None,
                {f" {w}": -1 for w in "happy glad satisfied sad angry".split()}
                | {" disappointed": -9},
            )
        ]
    )
    assert verbalizer(lm, Item("It rained.")).value == "positive"
    for wrong in ("good", "good=", "good= ,"):
        with pytest.raises(ConfigError, match='must be "label=word,word"'):
            verbalizer(lm, TEXT, words=(wrong, "bad=wet"))
    with pytest.raises(ConfigError, match="the labels of `words` are a, b, and the options of"):
        verbalizer(lm, TEXT, words=("a=x", "b=y"))


def test_lists_are_given_with_commas():
    lm = ScriptedLM([(None, "1. Ana - Person\n2. Rome - City"), (None, "1. Ana - Person")])
    item = Item("Ana lives in Rome.")
    assert entities(lm, item, types="Person, Place").value == "1. Ana - Person"
    assert "Types: Person, Place" in lm.prompts[0]
    assert entities(lm, item).value == "1. Ana - Person" and "Types:" not in lm.prompts[1]
    lm = ScriptedLM([(None, "Ana - Rome: lives there")])
    assert relations(lm, item, entities="Ana, Rome").value == "Ana - Rome: lives there"
    lm = ScriptedLM([(None, " Yes."), (None, " No.")])
    talk = dialogue(lm, Item("Ana: Hi!"), speakers="Ana, Ben", turns=2)
    assert talk.value == "Ben: Yes.\nAna: No."
    for call in (relations, dialogue):
        with pytest.raises(ConfigError, match="with commas"):
            call(lm, item)


def test_what_is_extracted_has_a_name_or_is_described():
    lm = ScriptedLM([(None, "rain"), (None, "two")])
    assert extract(lm, TEXT).value == "rain" and "extract keywords from" in lm.prompts[0]
    assert extract(lm, TEXT, task="count words.").value == "two"
    assert "Your task is to count words." in lm.prompts[1]


def test_limits_of_a_text_are_stated_and_checked():
    lm = ScriptedLM([(None, "one two three"), (None, "one"), (None, "one two")])
    answer = write(lm, Item("A poem."), most_words=2, least_words=2)
    assert answer.value == "one two" and lm.finished
    assert "- no more than 2 words\n- at least 2 words" in lm.prompts[0]
    assert write(ScriptedLM([("A poem.", "x y z")]), Item("A poem.")).value == "x y z"
    assert write(ScriptedLM([(None, "x")]), Item("A."), least_words=2, tries=1).value is None


def test_code_is_run_only_where_that_is_wanted(monkeypatch):
    item = Item("add two numbers")
    answer = write_function(ScriptedLM([(None, CODE)]), item, function="add")
    assert answer.value == CODE and "ran" not in answer.details
    options = {"function": "add", "run": True}
    answer = write_function(
        ScriptedLM([(None, CODE)]), item, cases=("1, 2 -> 3", "'a', 'b' -> 'ab'"), **options
    )
    assert answer.value == CODE and answer.details["ran"].passed
    answer = write_function(ScriptedLM([(None, CODE)]), item, cases=("1, 2 -> 4",), **options)
    assert answer.value is None and answer.details["ran"].status == "failed"
    monkeypatch.delattr(code_completion, "run_function")
    for wrong in ({"cases": ("1, 2 -> 3",)}, {"run": True}, {"run": True, "cases": (" ",)}):
        with pytest.raises(ConfigError, match="both run=true and cases"):
            write_function(ScriptedLM([]), item, function="add", **wrong)
    with pytest.raises(ConfigError, match="function must name it"):
        write_function(ScriptedLM([]), item)


def test_a_function_that_is_begun_is_completed_and_run_only_where_that_is_wanted(monkeypatch):
    item = Item("def add(a, b):\n")
    script = [(item.question, "    return a + b\n\nadd(1)")]
    answer = complete_function(ScriptedLM(script), item)
    assert answer.value == CODE and "ran" not in answer.details
    answer = complete_function(ScriptedLM(script), item, cases=("1, 2 -> 3",), run=True)
    assert answer.value == CODE and answer.details["ran"].passed
    answer = complete_function(ScriptedLM(script), item, cases=("1, 2 -> 4",), run=True)
    assert answer.value is None and answer.details["ran"].status == "failed"
    # The reply defines another function than the one that is named.
    assert complete_function(ScriptedLM(script), item, function="sub").value is None
    monkeypatch.delattr(code_completion, "run_function")
    for wrong in ({"cases": ("1, 2 -> 3",)}, {"run": True}):
        with pytest.raises(ConfigError, match="complete_function: a model's code is run only with"):
            complete_function(ScriptedLM([]), item, **wrong)
    with pytest.raises(DataError, match="'Add a and b.' begins no function"):
        complete_function(ScriptedLM([]), Item("Add a and b."))


def test_cases_are_literals_of_python():
    assert read_case("[1, 2], 3 -> 4") == (([1, 2], 3), 4)
    assert read_case("'->' -> None") == (("->",), None)
    assert read_case(" -> 7") == ((), 7)
    for wrong in ("1", "1 ->", "f(1) -> 2", "1 -> x", "1 2 -> 3"):
        with pytest.raises(ConfigError, match="arguments -> result"):
            read_case(wrong)


def test_a_word_problem_and_a_grid():
    demo = Item("1+1?", "2", rationale="Add.")
    lm = ScriptedLM([("Q: 1+1?\nA: Add. \n#### 2\n\nQ: 2+2?\nA:", " So\n#### 4")])
    assert word_problem(lm, Item("2+2?"), [demo]).value == "4"
    lm = ScriptedLM([(None, text) for text in ("a", "b", "b", "b")] + [(None, "a")] * 5)
    answer = prompts_and_samples(lm, Item("q?"))
    assert answer.value == "a" and lm.finished  # 6 of 9
    lm = ScriptedLM([(None, text) for text in ("b", "b", "a", "b", "b", "a", "a", "a", "a")])
    assert prompts_and_samples(lm, Item("q?"), nested=True).value == "b"  # two prompts of three


def test_no_setting_of_a_task_method_is_out_of_reach():
    for method in METHODS.values():
        if method.function.startswith("evaluation.task_methods"):
            assert set(method.kinds()) == set(method.options())
