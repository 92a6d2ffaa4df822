"""Tools run, and every error is a text."""

import datetime
import threading

import pytest

from tinylm.errors import ConfigError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.tools.markers import Marker, find_marker
from tinylm.prompt.tools.registry import Result, Tools, calculator, calendar, searcher


def repeat(text, times="2"):
    """Repeats a text.

    More about it.
    """
    return text * int(times)


def plain():
    return 7


TOOLS = Tools({"calculator": calculator, "repeat": repeat, "plain": plain})


def run(text, tools=TOOLS):
    return tools.run(find_marker(text))


def test_arguments_are_named():
    assert run("{tool: repeat, text: ab}") == Result("abab")
    assert run("{tool: repeat, times: 3, text: ab}") == Result("ababab")
    assert run("{tool: plain}") == Result("7")  # whatever is returned becomes text
    assert run("{tool: calculator, expression: 10 * 4 * 2}") == Result("80")  # V-74
    assert run("{tool: calculator, expression: 80 * 1000}") == Result("80000")


@pytest.mark.parametrize(
    "text, kind, message",
    [
        (
            "{tool: google, query: x}",
            "unknown tool",
            "no tool 'google'; there are: calculator, repeat, plain",
        ),
        ("{tool: repeat}", "arguments", "repeat: the argument 'text' is missing"),
        ("{tool: repeat, text: a, size: 3}", "arguments", "repeat: no argument 'size'"),
        ("{tool: repeat, 3}", "malformed", "malformed call: '3' is no argument"),
        ("{tool: calculator, expression: 1 / 0}", "failed", "calculator: "),
        ("{tool: repeat, text: a, times: x}", "failed", "repeat: invalid literal"),
    ],
)
def test_errors_are_for_the_model_to_read(text, kind, message):
    result = run(text)
    assert result.error == kind and result.text.startswith(f"[error: {message}")
    assert result.text.endswith("]")


def test_an_error_without_words_has_the_name_of_its_kind():
    def fail():
        raise KeyError

    assert run("{tool: fail}", Tools({"fail": fail})).text == "[error: fail: KeyError]"
    assert run("{tool: fail}", Tools({"fail": fail}, None)).text == "[error: fail: KeyError]"
    assert run("{tool: f}", Tools({})).text == "[error: no tool 'f'; there are: none]"


@pytest.mark.parametrize("limit", [10, None])
def test_whatever_a_tool_raises_is_an_error(limit):
    class Wordless(Exception):
        def __str__(self):
            raise ValueError

    def leave(kind):
        raise {"exit": SystemExit(3), "wordless": Wordless()}[kind]

    tools = Tools({"leave": leave}, limit)
    assert run("{tool: leave, kind: exit}", tools) == Result("[error: leave: 3]", "failed")
    assert run("{tool: leave, kind: wordless}", tools).text == "[error: leave: Wordless]"


def test_the_user_may_interrupt_a_tool():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("{tool: f}", Tools({"f": interrupted}, time_limit=None))
    assert run("{tool: f}", Tools({"f": interrupted})).error == "failed"


def test_a_call_that_takes_too_long_is_left_alone():
    going, threads = threading.Event(), []

    def wait():
        threads.append(threading.current_thread())
        going.wait()
        return "late"

    tools = Tools({"wait": wait}, time_limit=0.01)
    assert run("{tool: wait}", tools) == Result(
        "[error: wait: no result within 0.01 seconds]", "time limit"
    )
    going.set()
    threads[0].join()
    assert threads[0].daemon  # it never keeps the program from ending
    assert run("{tool: plain}", Tools({"plain": plain}, time_limit=None)) == Result("7")
    assert Tools({}).time_limit == 10


def test_results_cannot_call_and_are_cut():
    tools = Tools({"echo": lambda: "{tool: calculator, expression: 1}"})
    assert run("{tool: echo}", tools).text == "{tool : calculator, expression: 1}"
    tools = Tools({"long": lambda: "ab c" * 3}, longest=5)
    assert run("{tool: long}", tools) == Result("ab ca ...")
    assert run("{tool: long}", Tools({"long": lambda: "ab ca"}, longest=5)).text == "ab ca"
    assert run("{tool: line}", Tools({"line": lambda: " a b \n"})) == Result(" a b")
    assert len(run("{tool: long}", Tools({"long": lambda: "a" * 3000})).text) == 2000 + 4
    # also where a fault repeats what the model wrote
    quoted = Marker("f", fault="'{tool: x'")
    assert TOOLS.run(quoted).text == "[error: malformed call: '{tool : x']"


def test_tools_are_described_in_a_line_each():
    assert TOOLS.describe() == (
        "calculator(expression): Computes an arithmetic expression, such as 12 * (3 + 4).\n"
        "repeat(text, times): Repeats a text.\n"
        "plain()"
    )


def test_names_and_parameters_that_a_call_cannot_have():
    for name in "", "a b", "a,b", "a:b", "{a", "3a", 'a"', "a.b", "a\n", "-a":
        with pytest.raises(ConfigError, match="cannot stand in a call"):
            Tools({name: plain})
    for function in (lambda *all: 1), (lambda **all: 1), (lambda a, /: 1):
        with pytest.raises(ConfigError, match="all arguments of f must have names"):
            Tools({"f": function})
    for function in max, 3:  # no list of arguments can be read from them
        with pytest.raises(ConfigError, match="f has no list of arguments"):
            Tools({"f": function})
    assert Tools({"f-2": lambda *, a: a}).describe() == "f-2(a)"


def test_a_search_in_a_local_index():
    index = InvertedIndex([" the cat sat ", "the dog sat", "birds"])
    tools = Tools({"one": searcher(index), "two": searcher(index, 2)})
    assert run("{tool: one, query: sat cat}", tools).text == "the cat sat"
    assert run("{tool: two, query: sat cat}", tools).text == "the cat sat the dog sat"
    assert run("{tool: two, query: fish}", tools).text == "nothing found"


def test_the_day_is_handed_in():
    day = datetime.date(2017, 3, 9)
    assert calendar(day)() == "Thursday, March 9, 2017"
    assert calendar(lambda: day)() == calendar(day)()
