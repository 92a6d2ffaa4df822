"""A text is written section by section, in the order of its outline."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.outline import (
    AI_RISKS,
    Section,
    outline_prompt,
    outline_then_write,
    read_outline,
    render_outline,
    section_prompt,
)

BLOG = Item("A blog about the risks of AI for young people.")
TWO = (Section("Start", ("why", "how")), Section("End"))
FIRST = """\
Task: A blog about the risks of AI for young people.

Outline:
1. Start
- why
- how
2. End

Write section 1, "Start", and nothing else.
Section 1:"""
SECOND = """\
Task: A blog about the risks of AI for young people.

Outline:
1. Start
- why
- how
2. End
{}
Write section 2, "End", and nothing else.
Section 2:"""
TEXT = "Start\n\nIt begins.\n\nEnd\n\nIt ends."


def test_a_given_outline_needs_a_call_for_each_section():
    lm = ScriptedLM(
        [
            (FIRST, " It begins.\nSection 2: cut"),
            (SECOND.format("\nSection 1:\nIt begins.\n"), "\nIt ends. \nSection 1: cut"),
        ]
    )
    answer = outline_then_write(lm, BLOG, outline=TWO)
    assert lm.finished and answer.value == TEXT and answer.text == "It ends."
    assert answer.details == {"outline": list(TWO), "sections": ["It begins.", "It ends."]}


def test_in_parallel_no_section_knows_another():
    lm = ScriptedLM([(FIRST, " It begins."), (SECOND.format(""), " It ends.\nSection 3: x")])
    answer = outline_then_write(lm, BLOG, outline=TWO, parallel=True)
    assert answer.value.startswith(TEXT) and lm.finished


def test_the_model_may_write_the_outline_first():
    written = " 1. Start\n- why\n- how\n2. End\n"
    lm = ScriptedLM([(outline_prompt(BLOG.question), written), (FIRST, "a"), (None, "b")])
    with lm.tracing() as trace:
        answer = outline_then_write(lm, BLOG)
    assert lm.account.calls == 1 + 2 and answer.details["outline"] == list(TWO)
    assert trace.calls[0].parsed == [("outline", list(TWO))]
    assert lm.prompts[0].endswith(
        "\nText: A blog about the risks of AI for young people.\nOutline:"
    )


def test_without_an_outline_nothing_is_written():
    answer = outline_then_write(ScriptedLM([(None, "I would rather not.")]), BLOG)
    assert answer.value is None and answer.text == "I would rather not."
    assert answer.details == {"outline": [], "sections": []}
    with pytest.raises(DataError, match="has no section"):
        outline_then_write(ScriptedLM([]), BLOG, outline=[])


def test_outlines_and_sections_have_256_tokens():
    long = "1. T\n" + "w " * 253 + "\n2. U"  # "U" is the 257th word
    answer = outline_then_write(ScriptedLM([(None, long), (None, "w " * 300)]), BLOG)
    assert answer.details["outline"] == [Section("T")]
    assert len(answer.details["sections"][0].split()) == 256


def test_the_outline_of_the_book():
    assert [section.title for section in AI_RISKS] == [
        "Introduction", "Privacy Concerns", "Misinformation", "Cyberbullying",
        "Tips for Safe AI Use", "Conclusion",
    ]  # fmt: skip
    lm = ScriptedLM([(None, f"text {i}") for i in range(6)])
    answer = outline_then_write(lm, BLOG, outline=AI_RISKS)
    assert lm.account.calls == 6
    assert answer.details["sections"] == [f"text {i}" for i in range(6)]
    assert lm.prompts[5].count("Section ") == 6 and "Section 5:\ntext 4" in lm.prompts[5]


def test_what_is_written_is_what_is_read():
    assert read_outline(render_outline(AI_RISKS)) == list(AI_RISKS)


@pytest.mark.parametrize(
    "text, sections",
    [
        ("1) One\n  * a\n## 2. Two\n• b", [Section("One", ("a",)), Section("Two", ("b",))]),
        ("Section 1: One\n3. Three", [Section("One", ("Three",))]),
        ("1. **Bold**", [Section("Bold")]),
        ("**Why?**\n- a\n**How:**\nwords", [Section("Why?", ("a",)), Section("How")]),
        ("1. A\n2. B\n\n1. A\n- text", [Section("A"), Section("B")]),
        ("- too early\nSome words.\n1. One\nmore words", [Section("One")]),
        ("In 2020 it began.\n-5 degrees", []),
        ("", []),
    ],
)
def test_outlines_are_read_in_the_usual_forms(text, sections):
    assert read_outline(text) == sections


def test_a_section_prompt_shows_what_it_is_given():
    assert section_prompt(BLOG.question, TWO, 0) == FIRST
    assert section_prompt(BLOG.question, TWO, 1) == SECOND.format("")
