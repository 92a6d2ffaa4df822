"""Values in brackets are read up to the bracket that closes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template import complete_code, parse_code, read_value, render_code

PAIRS = [
    ("English", "I have a pear."),
    ("German", "Ich habe eine Birne."),
    ("English", "I have a plum."),
    ("German", None),
]
PROMPT = (
    "[English] = [I have a pear.]\n[German] = [Ich habe eine Birne.]\n"
    "[English] = [I have a plum.]\n[German] ="
)


def test_pairs_are_lines_and_the_last_is_open():
    assert render_code(PAIRS) == PROMPT
    assert parse_code(PROMPT) == PAIRS
    assert render_code([]) == "" and parse_code("") == []


def test_the_answer_ends_with_its_bracket():
    lm = ScriptedLM([(PROMPT, " [Ich habe eine Pflaume.]\n[English] = [I have a fig.]")])
    assert complete_code(lm, PAIRS) == "Ich habe eine Pflaume."
    assert lm.account.generated_tokens == 4 + 1  # of the next line the bracket that ends the reply


@pytest.mark.parametrize(
    "reply, value",
    [
        (" [a] b]", "a"),
        ("a]", "a"),  # the prompt had the opening bracket
        ("\n[a\nb]", "a\nb"),
        ("[]", ""),
        (r"[a \[b\] \\]", "a [b] \\"),
        (r"[a\nb]", r"a\nb"),  # a backslash that escapes nothing is kept
        ("[a", None),
        ("a", None),
        ("", None),
        ("[a [b]]", None),
        (r"[a\]", None),
    ],
)
def test_a_value_is_read_or_reported_as_missing(reply, value):
    assert read_value(reply) == value


@given(st.lists(st.text(alphabet="[]\\= \nax", max_size=8), max_size=3), st.booleans())
def test_every_value_is_read_back(values, is_open):
    pairs = [(f"n {i}", value) for i, value in enumerate(values)]
    if is_open:
        pairs.append(("last", None))
    assert parse_code(render_code(pairs)) == pairs
    for _, value in pairs[: len(values)]:
        assert read_value(render_code([("n", value)]).removeprefix("[n] =")) == value


def test_what_is_not_in_this_style_is_refused():
    for name in ("", "a]", "[a", "a\\", "a\nb"):
        with pytest.raises(ConfigError, match="is no name"):
            render_code([(name, "x")])
    with pytest.raises(DataError, match="only the last can be"):
        render_code([("a", None), ("b", "x")])
    for text in (
        "a",
        "[a] = b",
        "[a] = [b",
        "[a] =\n",
        "[a] = [b] ",
        "[a] = [b][c] = [d]",
        "[] = [a]",
    ):
        with pytest.raises(DataError, match=r"is not \[name\] = \[value\]"):
            parse_code(text)
