"""What is wrapped in delimiters comes out as it went in, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.template.delimiters import (
    STYLES,
    code_blocks,
    delimited,
    fence,
    field,
    json_object,
    quote,
    tag,
    unfence,
    unfield,
    unjson,
    unquote,
    untag,
    unwrap,
    wrap,
)

PIECES = [
    '"',
    "\\",
    "<",
    ">",
    "&",
    "&lt;",
    "</text>",
    "<text>",
    "`",
    "{",
    '"}',
    '{"text": "',
    "\\u0041",
    "```",
    "\n",
    "Text:",
    " ",
    "a",
]


@pytest.mark.parametrize("style", STYLES)
@given(text=st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_every_text_comes_back_even_with_its_delimiter_inside(style, text):
    assert unwrap(wrap(text, style), style) == text


def test_each_style_escapes_only_what_would_end_it():
    assert quote('say "a\\b" <b>') == '"say \\"a\\\\b\\" <b>"'
    assert tag('1 < 2 & "3"') == '<text>1 &lt; 2 &amp; "3"</text>'
    assert tag("x", "doc.1-a") == "<doc.1-a>x</doc.1-a>"
    assert untag("<doc.1-a>x</doc.1-a>", "doc.1-a") == "x"
    assert field("a\nText: b") == "Text: a\n Text: b"
    assert field("a", "Input") == "Input: a" and unfield("Input: a", "Input") == "a"
    assert json_object('a "b"\n\\') == '{"text": "a \\"b\\"\\n\\\\"}'
    assert json_object("é", "in") == '{"in": "é"}' and unjson('{"in": "\\u00e9"}', "in") == "é"
    assert fence("x = 1", "python") == "```python\nx = 1\n```"
    assert fence("a ``` b") == "````\na ``` b\n````"
    assert fence("a ```` b").startswith("`````\n")
    assert fence("") == "```\n\n```" and unfence("```\n```") == ""


def test_the_prompt_states_how_the_input_is_delimited():
    assert delimited("Translate into German.", 'a "b"') == (
        'Translate into German. The input text is delimited by double quotes.\n"a \\"b\\""'
    )
    assert delimited("Count.", "a", "xml") == (
        "Count. The input text is delimited by the tags <text> and </text>.\n<text>a</text>"
    )


@pytest.mark.parametrize(
    "read, wrong",
    [
        (unquote, ["a", '"a', 'a"', '"a"b"', '"a\\"', '"\\n"', '"a" ', ""]),
        (untag, ["a", "<text>a", "a</text>", "<text>a</text><text>b</text>", "<b>a</b>", "<text>"]),
        (unfield, ["a", "Text: a\nText: b", "before\nText: a", ""]),
        (unfence, ["a", "```\na", "```\na\n````", "```\na\n```\nb\n```", "``\na\n``"]),
    ],
)
def test_what_is_not_one_wrapped_text_is_refused(read, wrong):
    for text in wrong:
        with pytest.raises(DataError, match="is not one"):
            read(text)


def test_settings_that_cannot_be_are_refused():
    for name in ("", "a b", "1a", "a>"):
        with pytest.raises(ConfigError, match="is no name of a tag"):
            tag("x", name)
        with pytest.raises(ConfigError, match="is no name of a tag"):
            untag("x", name)
    with pytest.raises(ConfigError, match="no style of delimiters 'braces'; there are quotes"):
        wrap("x", "braces")


def test_blocks_of_code_are_found_in_a_reply():
    reply = "Here it is:\n```python\nx = '```'\n\ny\n```\nand\n ````\n```\nz\n```\n````\nend"
    assert code_blocks(reply) == [("python", "x = '```'\n\ny"), ("", "```\nz\n```")]
    assert code_blocks("```py \nx = 1") == [("py", "x = 1")]  # cut off before the end
    assert code_blocks("``` no") == [] and code_blocks("") == []
    assert code_blocks(fence("a\n", "c")) == [("c", "a\n")]


@pytest.mark.parametrize(
    "text",
    ["x", "[]", '"x"', "{}", '{"text": 1}', '{"text": "a", "b": "c"}', '{"b": "c"}']
    + ['{"text": "a"} b', '{"text": "a"', '{"text": "a", "text": "b"}'],
)
def test_what_is_not_one_text_in_json_is_refused(text):
    with pytest.raises(DataError, match="unjson: "):
        unjson(text)


def test_json_in_a_prompt():
    assert delimited("Count.", 'a"}', "json") == (
        'Count. The input text is the value of "text" in the JSON object.\n{"text": "a\\"}"}'
    )
