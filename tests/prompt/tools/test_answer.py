"""The book's prompt with tools, and what is read from the reply."""

import pytest

from tests.prompt.rag.test_prompt import LOS_ANGELES, PARIS, QUESTION
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tools.answer import SYNTAX, ToolPrompt, tool_answer
from tinylm.prompt.tools.registry import Tools, calculator, searcher

INDEX = InvertedIndex([PARIS, *LOS_ANGELES])
TOOLS = Tools({"web-search": searcher(INDEX), "calculator": calculator})
ITEM = Item(QUESTION, "Los Angeles")
BARE = (
    "Your task is to answer the following question. You may use external tools, such as web "
    "search, to assist you.\n"
    "Question: Where will the 2028 Olympics be held?\n"
    "Answer:"
)


def test_the_question_of_the_book():  # V-73
    said = (
        " Information regarding this question is given as follows: "
        '{tool: web-search, query: "2028 Olympics"}'
    )
    found = INDEX.documents[INDEX.search("2028 Olympics", 1)[0][0]]
    with_result = BARE + said.partition("{")[0] + found
    lm = ScriptedLM([(BARE, said), (with_result, "\nSo the answer is: Los Angeles\nQuestion: x")])
    with lm.tracing() as trace:
        answer = tool_answer(lm, ITEM, tools=TOOLS, form=ToolPrompt(explain=False))
    assert answer.value == "Los Angeles" and lm.finished
    assert answer.text == f"{with_result[len(BARE) :]}\nSo the answer is: Los Angeles"
    (call,) = answer.details["calls"]
    assert (call.name, call.result, call.error) == ("web-search", found, "")
    assert answer.details["finish"] == "stop" and answer.details["unfinished"] == ""
    assert trace.calls[-1].parsed == [("answer", "Los Angeles")]


def test_tools_are_explained_to_a_model_that_does_not_know_them():
    prompt = ToolPrompt("Do.").prompt(Item("q?"), Tools({"calculator": calculator}))
    assert prompt == (
        f"Do.\n{SYNTAX}\nTools:\n"
        "calculator(expression): Computes an arithmetic expression, such as 12 * (3 + 4).\n"
        "Question: q?\nAnswer:"
    )
    lm = ScriptedLM([(ToolPrompt().prompt(Item("q?"), TOOLS), "So the answer is 3.")])
    assert tool_answer(lm, Item("q?"), tools=TOOLS).value == "3"


def test_demonstrations_show_calls():
    pool = "10 * 4 * 2 = {tool: calculator, expression: 10 * 4 * 2} m^3."
    demonstrations = [Item("How large?", "80", rationale=pool), Item("And?", "no")]
    prompt = ToolPrompt("Do.", explain=False).prompt(Item("q?"), TOOLS, demonstrations)
    assert prompt == (
        f"Do.\nQuestion: How large?\nAnswer: {pool} So the answer is: 80\n\n"
        "Question: And?\nAnswer: So the answer is: no\n\nQuestion: q?\nAnswer:"
    )
    with pytest.raises(DataError, match="'x' has no answer"):
        ToolPrompt().prompt(Item("q?"), TOOLS, [Item("x")])
    lm = ScriptedLM([(ToolPrompt().prompt(Item("q?"), TOOLS, demonstrations), "The answer is: a")])
    assert tool_answer(lm, Item("q?"), demonstrations, tools=TOOLS).value == "a"


def test_options_are_shown_and_read():
    item = Item("q?", options=("red", "blue"))
    lm = ScriptedLM([(None, "The answer is (b).")])
    assert tool_answer(lm, item, tools=TOOLS).value == "blue"
    assert "(a) red" in lm.prompts[0]


def test_without_tools_there_is_a_calculator():
    lm = ScriptedLM(
        [(None, "{tool: calculator, expression: 6 * 7}"), (None, ", so the answer is 42")]
    )
    answer = tool_answer(lm, Item("q?"))
    assert answer.value == "42" and answer.text == "42, so the answer is 42"
    assert "Tools:\ncalculator(expression)" in lm.prompts[0]


def test_a_reply_without_a_conclusion_has_no_answer():
    answer = tool_answer(ScriptedLM([(None, "Los Angeles")]), ITEM, tools=TOOLS)
    assert answer.value is None and answer.text == "Los Angeles"
    lm = ScriptedLM([(None, "a {tool: calculator, expression: 1")])
    answer = tool_answer(lm, ITEM, tools=TOOLS)
    assert answer.details["unfinished"] == "{tool: calculator, expression: 1"


def test_options_of_the_loop_are_handed_on():
    lm = ScriptedLM([(None, "{tool: calculator, expression: 1}")] * 9)
    answer = tool_answer(lm, ITEM, tools=TOOLS, max_calls=2)
    assert answer.details["finish"] == "calls" and len(answer.details["calls"]) == 2
    lm = ScriptedLM([(None, "a b c")])
    assert tool_answer(lm, ITEM, tools=TOOLS, max_tokens=2).text == "a b"
    lm = ScriptedLM([(None, "{tool: calculator, expression: 1}")] * 9)
    assert len(tool_answer(lm, ITEM, tools=TOOLS).details["calls"]) == 8
    lm = ScriptedLM([(None, "a " * 300)])
    assert lm.count(tool_answer(lm, ITEM, tools=TOOLS).text) == 256
    seen = []

    class Spy(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seen.append((seed, stop, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    tool_answer(Spy([(None, "")]), ITEM, tools=TOOLS, seed=4, temperature=0.7)
    tool_answer(Spy([(None, "")]), ITEM, tools=TOOLS)
    stop = ("\nQuestion:", "}")
    assert seen == [(4, stop, {"temperature": 0.7}), (0, stop, {"temperature": 0.0})]
