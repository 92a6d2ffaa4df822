"""Code is read from a reply, and run only if there are cases to test it with."""

from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.code_completion import (
    begun,
    complete_function,
    defined,
    read_code,
    write_function,
)

CODE = (
    "def calculate_average(numbers):\n    if numbers:\n        return sum(numbers) / len(numbers)\n"
    "    else:\n        return 0"
)
CASES = [(([1, 2, 3],), 2), (([],), 0)]
ITEM = Item("calculate the average of a list of numbers")
PROMPT = "Please write a Python function to calculate the average of a list of numbers.\n"


def test_a_function_is_written_and_tested():
    reply = f"Sure:\n```python\n{CODE}\n```\nIt is linear."
    lm = ScriptedLM([(PROMPT, reply)])
    with lm.tracing() as trace:
        answer = write_function(lm, ITEM, name="calculate_average", cases=CASES)
    assert answer.value == CODE and answer.details["ran"].passed and answer.text == reply
    assert trace.calls[0].parsed == [("code", CODE)]


def test_without_cases_nothing_is_run(monkeypatch):
    import tinylm.prompt.tasks.code_completion as module

    monkeypatch.delattr(module, "run_function")
    answer = write_function(ScriptedLM([(PROMPT, CODE)]), ITEM, name="calculate_average")
    assert answer.value == CODE and "ran" not in answer.details


def test_a_reply_without_the_function_has_no_code_and_nothing_is_run():
    for reply in ("I cannot.", "```\ndef other():\n    pass\n```", "def calculate_average(:", ""):
        answer = write_function(
            ScriptedLM([(PROMPT, reply)]), ITEM, name="calculate_average", cases=CASES
        )
        assert answer.value is None and "ran" not in answer.details


def test_the_block_that_defines_the_function_is_read():
    reply = f"```\npip install x\n```\n```py\ndef other(): pass\n```\n```\n{CODE}\n```"
    assert read_code(reply, "calculate_average") == CODE
    assert read_code(reply, "other") == "def other(): pass"
    assert read_code(f"\n{CODE}\n", "calculate_average") == CODE
    assert read_code("x = 1", "x") is None
    assert defined("def a(): pass\ndef b():\n    def c(): pass\nclass d: pass") == ("a", "b")
    assert defined("\0") == () and defined("(" * 1000) == ()


def test_a_chat_goes_on_with_the_code_in_its_own_turn():
    start = 'def double(x):\n    """Twice: ```2 x```."""'
    lm = Chat([(None, "    return 2 * x")])
    with lm.tracing() as trace:
        answer = complete_function(lm, Item(start + "\n"), name="double", cases=[((4,), 8)])
    assert answer.value == f"{start}\n    return 2 * x" and answer.details["ran"].passed
    # The fence is longer than the one in the code.
    assert trace.calls[0].begin == f"````python\n{start}\n"
    turn = f"Complete this Python function.\n````python\n{start}\n````"
    assert trace.calls[0].prompt == turn


def test_the_function_that_is_begun_is_the_last_at_a_line_start():
    assert begun("def one(a):\n    pass\ndef  two (b, c):\n    def three(): pass\n") == "two"
    assert begun("Say: def one(a)") == begun("def one\n") == begun("") == ""


def test_a_beginning_is_completed_up_to_the_next_statement():
    start = "def double(x):\n    # twice as much\n"
    lm = ScriptedLM([(start, "    return 2 * x\n\nprint(double(3))")])
    answer = complete_function(lm, Item(start), name="double", cases=[((4,), 8)])
    assert answer.value == f"{start}    return 2 * x" and answer.details["ran"].passed
    for ending in ("\ndef f():", "\nclass A:", "\n# end", "\nif True:", "\n@x", "\n```"):
        lm = ScriptedLM([(start, f"    return 3 * x{ending}\n    (")])
        answer = complete_function(lm, Item(start), name="double", cases=[((4,), 8)])
        assert answer.details["ran"].message == "double(4) is 12, not 8"
    # Any statement at a line's start ends it, and stays in it where it is indented.
    lm = ScriptedLM([(start, "    double = x\n    return 2 * double\n\n\ndouble(3)\nx = (\n1)")])
    answer = complete_function(lm, Item(start), name="double", cases=[((4,), 8)])
    assert answer.value == f"{start}    double = x\n    return 2 * double"
    lm = ScriptedLM([(start, "return (")])
    assert complete_function(lm, Item(start), name="double", cases=[((4,), 8)]).value is None
