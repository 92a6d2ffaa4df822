"""SCAN by least-to-most prompting: its rules agree with the grammar on every command."""

import re

import pytest

from tests.prompt.functions import FunctionLM
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.scan import commands, interpret, length_split, scan_items
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.scan import (
    LISTED,
    MOST,
    TRANSLATED,
    expand,
    expression,
    listing,
    listing_prompt,
    read_listing,
    read_translation,
    scan_least_to_most,
    sub_commands,
    translation,
    translation_prompt,
)

EVERY = commands()


@pytest.mark.parametrize(
    "command, inside",
    [
        # Commands of the paper's demonstrations.
        ("look right after look twice", ["look right", "look", "look twice"]),
        (
            "jump opposite right thrice and walk",
            ["jump right", "jump opposite right", "jump opposite right thrice", "walk"],
        ),
        ("turn opposite left", ["turn opposite left"]),
        ("run around left twice", ["run left", "run around left", "run around left twice"]),
        ("jump and jump twice", ["jump", "jump twice"]),  # each once
        ("walk", ["walk"]),
    ],
)
def test_a_command_is_solved_by_those_inside_it(command, inside):
    assert sub_commands(command) == inside
    assert read_listing(listing(command)) == inside


@pytest.mark.parametrize(
    "command, text",
    [
        ("turn left", '"TURN LEFT"'),
        ("jump", '"JUMP"'),
        ("jump left", '"TURN LEFT" + "JUMP"'),
        ("turn opposite left", '"TURN LEFT" * 2'),
        ("jump opposite left", '"TURN LEFT" * 2 + "JUMP"'),
        ("turn around right", '"TURN RIGHT" * 4'),
        ("run around left", '("TURN LEFT" + "RUN") * 4'),
        ("walk thrice", '"WALK" * 3'),
        ("jump left twice", '("TURN LEFT" + "JUMP") * 2'),
        ("turn opposite left twice", '("TURN LEFT" * 2) * 2'),
        ("jump opposite left and walk thrice", '"TURN LEFT" * 2 + "JUMP" + "WALK" * 3'),
        ("look after walk twice", '"WALK" * 2 + "LOOK"'),
    ],
)
def test_outputs_are_expressions(command, text):
    assert expression(command) == text


def test_expressions_of_all_single_and_many_joined_commands_mean_what_the_grammar_means():
    # All 102 commands without "and" and "after", and every 97th of the 20,808 others.
    for command in EVERY[:102] + EVERY[102::97]:
        assert expand(expression(command)) == interpret(command)


def test_the_example_of_the_book():
    actions = expand(expression("jump opposite left and walk thrice"))
    assert " ".join(actions) == "LTURN LTURN JUMP WALK WALK WALK"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("JUMP", "no action or sign at 'JUMP'"),
        ('"JUMP" *', "a number must follow"),
        ('"JUMP" * "JUMP"', "a number must follow"),
        ('"JUMP" + ', "an action is missing"),
        ("", "an action is missing"),
        ("3 * 2", "an action is missing"),
        ('("JUMP"', "a parenthesis is not closed"),
        ('"JUMP" "RUN"', "an expression ends before '\"RUN\"'"),
        ('"JUMP")', "ends before"),
        ('"JUMP" * 1001', f"more than {MOST} actions"),
        ('"JUMP" * 999 + "RUN" * 2', f"more than {MOST} actions"),
    ],
)
def test_what_is_no_expression_is_refused(text, complaint):
    with pytest.raises(DataError, match=complaint):
        expand(text)


def test_an_expression_may_have_1000_actions_and_repeat_repetitions():
    assert len(expand('"JUMP" * 999 + "RUN"')) == MOST == len(expand('"JUMP" * 10 * 100'))
    assert expand(' ( "TURN RIGHT"*2 ) ') == ["RTURN", "RTURN"]


def test_demonstrations_show_every_word():
    words = set(" ".join(EVERY).split())
    assert set(" ".join(TRANSLATED + LISTED).split()) == words


def test_the_prompts():
    assert listing_prompt("jump", ["walk twice"]) == (
        'Q: "walk twice"\nA: "walk twice" can be solved by: "walk", "walk twice".\n\nQ: "jump"\nA:'
    )
    prompt = translation_prompt("jump twice", [("jump", "It is JUMP.")], ["walk"])
    assert prompt == (
        'Q: "walk"\nA: The output of "walk" is "WALK".\n\nQ: "jump"\nA: It is JUMP.\n\n'
        'Q: "jump twice"\nA:'
    )
    assert listing_prompt("jump").count("Q: ") == len(LISTED) + 1
    assert translation_prompt("jump").count("Q: ") == len(TRANSLATED) + 1


def test_replies_are_read_or_missed():
    text = (
        '"a b" can be solved by: "a". "c" can be solved by: "c". So it can be solved by "a", "c".'
    )
    assert read_listing(text) == ["a", "c"]  # the last list
    assert read_listing("no list") is None and read_listing("can be solved by: nothing") is None
    reply = translation("jump twice")
    assert read_translation(reply, "jump twice") == ["JUMP", "JUMP"]
    assert read_translation(reply, "jump") is None  # the output of another command
    assert read_translation('The output of "jump" is JUMP.', "jump") is None


ITEM = Item("Translate the command into actions: walk twice and jump", "WALK WALK JUMP")


def test_commands_are_translated_in_order_and_the_whole_one_last():
    lm = ScriptedLM(
        [
            (listing_prompt("walk twice and jump"), f" {listing('walk twice and jump')}\n\nQ: x"),
            (translation_prompt("walk"), ' The output of "walk" is "WALK".'),
            (
                translation_prompt("walk twice", [("walk", translation("walk"))]),
                ' The output of "walk twice" is "WALK" * 2.',
            ),
            (re.compile(r'.*Q: "jump"\nA:', re.DOTALL), " Something else."),
            (
                re.compile(
                    r'.*Q: "jump"\nA: Something else\.\n\nQ: "walk twice and jump"\nA:', re.DOTALL
                ),
                ' The output of "walk twice and jump" is "WALK" * 2 + "JUMP".',
            ),
        ]
    )
    with lm.tracing() as trace:
        answer = scan_least_to_most(lm, ITEM)
    assert lm.finished and answer.value == ITEM.answer
    assert answer.details["commands"] == ["walk", "walk twice", "jump"]
    assert [command for command, _ in answer.details["pairs"]] == [
        "walk", "walk twice", "jump", "walk twice and jump",
    ]  # fmt: skip
    assert trace.calls[3].parsed == [("actions", None)]
    assert trace.calls[4].parsed == [
        ("actions", ["WALK", "WALK", "JUMP"]),
        ("answer", "WALK WALK JUMP"),
    ]


def test_a_rule_may_split_the_command():
    lm = FunctionLM(oracle)
    answer = scan_least_to_most(lm, ITEM, split=sub_commands)
    # No call lists commands, and nothing is translated twice.
    assert [command for command, _ in answer.details["pairs"]] == [
        "walk", "walk twice", "jump", "walk twice and jump",
    ]  # fmt: skip
    assert lm.account.calls == 4 and answer.value == ITEM.answer
    assert answer.details["commands"] == sub_commands("walk twice and jump")
    # Without any command inside it is one direct translation.
    lm = FunctionLM(oracle)
    answer = scan_least_to_most(lm, ITEM, split=lambda command: [command])
    assert lm.account.calls == 1 and answer.value == ITEM.answer


def test_without_a_list_or_actions_there_is_no_answer():
    answer = scan_least_to_most(ScriptedLM([(None, " No idea.")]), ITEM)
    assert answer.value is None and answer.text == " No idea."
    assert answer.details == {"commands": None, "pairs": []}
    lm = ScriptedLM([(None, 'can be solved by: "walk twice and jump"'), (None, " WALK")])
    answer = scan_least_to_most(lm, ITEM)
    assert answer.value is None and len(answer.details["pairs"]) == 1


def test_at_most_so_many_commands_are_translated_with_128_tokens_each():
    listed = "can be solved by: " + ", ".join(f'"c{i}"' for i in range(30))
    lm = FunctionLM(lambda prompt: listed if "solved" in prompt else " w" * 200)
    assert len(scan_least_to_most(lm, ITEM).details["pairs"]) == 16
    answer = scan_least_to_most(lm, ITEM, most=2)
    assert [command for command, _ in answer.details["pairs"]] == ["c0", "walk twice and jump"]
    assert len(answer.text.split()) == 128
    long = "w " * 123 + 'can be solved by: "a", "b", "c"'  # cut in the list
    lm = FunctionLM(lambda prompt: long if "solved" in prompt else "x")
    assert scan_least_to_most(lm, ITEM).details["commands"] == ["a"]


def oracle(prompt):
    """Follows the demonstrations: a command by the rules above."""
    command = prompt.rsplit('Q: "', 1)[1].removesuffix('"\nA:')
    if "can be solved by" in prompt:
        return f" {listing(command)}"
    return f" {translation(command)}"


def test_whoever_follows_the_demonstrations_is_right_at_any_length():
    _, long = length_split()
    questions = [Item(f"Translate the command into actions: {command}") for command in long[::300]]
    for item in [*scan_items(10, seed=1), *questions]:
        command = item.question.rpartition(": ")[2]
        answer = scan_least_to_most(FunctionLM(oracle), item)
        assert answer.value == " ".join(interpret(command))
