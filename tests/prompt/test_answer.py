"""Options that count are 1, or 0, or more; a method checks its own before the model is called."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.answer import Answer, answer_or_error, check_counts, with_report
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.runner import takes_all
from tinylm.prompt.in_context.few_shot import FewShotPrompt

SHOWN = [Item("Which one?: walk", "WALK"), Item("Which one?: run", "RUN")]
ITEM = Item("Which one?: jump", context="One. Two.")


def test_counts_are_1_or_more():
    check_counts("method", width=1, depth=2)
    with pytest.raises(ConfigError, match="^method: depth=0 must be 1 or more$"):
        check_counts("method", width=1, depth=0)
    check_counts("method", least=0, hops=0)
    with pytest.raises(ConfigError, match="^method: hops=-1 must be 0 or more$"):
        check_counts("method", least=0, hops=-1)


def test_an_error_of_the_data_stands_in_the_place_of_an_answer_and_one_of_a_setting_is_raised():
    def method(lm, item, fault=None):
        if fault:
            raise fault("no")
        return Answer(item)

    assert answer_or_error(method, None, "walk") == Answer("walk")
    assert isinstance(answer_or_error(method, None, "walk", fault=DataError), DataError)
    with pytest.raises(ConfigError, match="^no$"):
        answer_or_error(method, None, "walk", fault=ConfigError)


def test_the_report_of_a_call_stands_in_its_first_answer():
    answers = [DataError("too long"), Answer("a"), Answer("b")]
    assert with_report(answers, {"prompt": "Go."}) is answers
    assert [one.details for one in answers[1:]] == [{"report": {"prompt": "Go."}}, {}]
    assert with_report(answers[:1], {"prompt": "Go."}) == answers[:1]


# What each method counts, beside the tokens of a reply, and the least that has a meaning.
SEARCH = {"budget": 0, "held": 0}  # no limit; no examples apart
LEAST = {
    "ape": {"pairs": 1, "candidates": 1, "rounds": 0, "variants": 1, "writing": 1, **SEARCH},
    "auto-cot": {"k": 1, "words": 1, "steps": 1},
    "bandit": {"pulls": 1, "count": 0, "writing": 1, "held": 0},
    "best-of-n": {"n": 1, "answer_tokens": 1},
    "clustered": {"k": 1},
    "dialogue": {"turns": 1},
    "diverse": {"k": 1},
    "evolution": {"size": 1, "generations": 1, "writing": 1, **SEARCH},
    "graph-of-thoughts": {"branches": 1, "keep": 1, "merges": 1, "rounds": 0},
    "grid": {"samples": 1},
    "grips": {"candidates": 1, "edits": 1, "rounds": 0, "patience": 1, **SEARCH},
    "in-parts": {"size": 1},
    "learned-retriever": {"k": 1, "candidates": 1, "kept": 1, "epochs": 1},
    "least-risk": {"samples": 1},
    "least-to-most": {"most": 0},  # no sub-problem: the question as it is
    "limited-passage": {"limit": 1, "retries": 0},
    "llmlingua": {"segment": 1},
    "map-reduce": {"size": 1, "overlap": 0},
    "multi-hop": {"k": 1, "most": 0},
    "nearest": {"k": 1},
    "outline": {"outline_tokens": 1},
    "paraphrases": {"count": 0, "writing": 1, **SEARCH},
    "protegi": {
        "width": 1,
        "rounds": 0,
        "batch": 1,
        "groups": 1,
        "reasons": 1,
        "paraphrases": 0,
        "pulls": 1,
        **SEARCH,
    },
    "rag": {"k": 0},  # no text: the model's memory
    "recursive": {"depth": 0},
    "scan": {"most": 1},
    "self-consistency": {"samples": 1, "answer_tokens": 1},
    "self-refine": {"max_iter": 0},  # the first draft
    "successive": {"most": 0},
    "summarize": {"limit": 1, "tries": 1},
    "tools": {"max_calls": 0},
    "tree-of-thoughts": {"width": 1, "branches": 1, "depth": 1},
    "two-stage-cot": {"answer_tokens": 1},
    "write": {"most_words": 0, "least_words": 0, "tries": 1},  # 0 words: no limit
}
GIVEN = {"dialogue": {"speakers": "A,B"}}


@pytest.mark.parametrize("name", LEAST)
def test_methods_name_the_option_that_is_wrong(name):
    method, asked = METHODS[name], ITEM
    if takes_all(method.load()):
        asked = [ITEM]
    for option, least in LEAST[name].items():
        options = GIVEN.get(name, {}) | {option: least - 1}
        if "instruction" in method.needs:
            options["prompt"] = FewShotPrompt("Do it.")
        with pytest.raises(ConfigError, match=f": {option}={least - 1} must be {least} or more"):
            method.load()(ScriptedLM([]), asked, SHOWN, **options)


def test_no_count_of_the_command_line_is_left_out():
    counted = {
        method.name: {name for name, kind in method.kinds().items() if kind is int}
        - {"max_tokens"}  # of every method; TextLM.complete checks it
        for method in METHODS.values()
    }
    assert {name: set(counts) for name, counts in LEAST.items()} == {
        name: counts for name, counts in counted.items() if counts
    }


def test_a_reply_has_a_token():
    for method in ("zero-shot", "few-shot", "two-stage-cot", "tools", "least-to-most"):
        with pytest.raises(ConfigError, match="complete: max_tokens=0 must be 1 or more"):
            METHODS[method].load()(ScriptedLM([]), ITEM, max_tokens=0)


def test_limits_that_no_text_can_meet_are_refused():
    options = {"most_words": 3, "least_words": 4}
    with pytest.raises(ConfigError, match="no text has 4 words or more and at most 3"):
        METHODS["write"].load()(ScriptedLM([]), ITEM, **options)
