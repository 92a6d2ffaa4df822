"""Tables are read back as they were written, and copying from a context is measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template import (
    LIBRARY,
    answer_from_context,
    context_prompt,
    copied_share,
    longest_copy,
    parse_table,
    render_table,
    table_prompt,
)

COLUMNS = ["city", "river"]
ROWS = [["Cologne", "Rhine"], ["Dresden", "Elbe"]]
TABLE = "| city | river |\n| --- | --- |\n| Cologne | Rhine |\n| Dresden | Elbe |"


def test_rows_are_records():
    assert render_table(COLUMNS, ROWS) == TABLE
    assert parse_table(TABLE) == (COLUMNS, ROWS)
    assert render_table(["a"], []) == "| a |\n| --- |" and parse_table("| a |\n| --- |") == (
        ["a"],
        [],
    )


CELLS = st.text(alphabet="|\\n\n\r -a", max_size=6)


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1)
    )
)
def test_every_table_is_read_back(lines):
    columns, *rows = lines
    assert parse_table(render_table(columns, rows)) == (columns, rows)


def test_what_would_break_a_table_is_escaped():
    assert render_table(["a|b"], [["c\nd\\"]]) == "| a\\|b |\n| --- |\n| c\\nd\\\\ |"
    assert parse_table("| a |\n| --- |\n| \\x |".replace("\\x", "\\\\x")) == (["a"], [["\\x"]])


def test_what_is_no_table_is_refused():
    with pytest.raises(DataError, match="at least one column"):
        render_table([], [])
    with pytest.raises(DataError, match="row 1 has 1 cells, and there are 2 columns"):
        render_table(COLUMNS, [ROWS[0], ["x"]])
    with pytest.raises(DataError, match="row 0 has 3 cells, and there are 2 columns"):
        parse_table("| a | b |\n| --- | --- |\n| 1 | 2 | 3 |")
    for text in ("| a |", "| a |\n| b |", "| a |\n| --- | --- |"):
        with pytest.raises(DataError, match="is no table"):
            parse_table(text)
    for text in ("a", "", "| a", "a |", "|a|", "| a | b"):
        with pytest.raises(DataError, match="is no line of cells"):
            parse_table(text + "\n| --- |")


def test_a_context_is_what_to_answer_from():
    assert context_prompt("Why?", "Because {*query*}.") == LIBRARY["context"].format(
        IR_result="Because {*query*}.", query="Why?"
    )
    prompt = table_prompt("Which river?", COLUMNS, ROWS)
    assert f"Context information:\n{TABLE}\nQuery: Which river?" in prompt
    assert "using only this context information" in prompt


CONTEXT = "The old mill was rebuilt in 1908 after a fire that had begun in the granary."


@pytest.mark.parametrize(
    "answer, words, share",
    [
        ("The mill burned, so people built it again.", ["mill"], 0.0),
        # 6 of 9 words (articles do not count) stand in the context in this order.
        (
            "They say it was rebuilt in 1908 after a fire.",
            "was rebuilt in 1908 after fire".split(),
            6 / 9,
        ),
        # Two runs of four words each, in another order
        ("had begun in the granary old mill was rebuilt", "had begun in granary".split(), 1.0),
        ("was rebuilt in May", ["was", "rebuilt", "in"], 0.0),
        ("He slept in the granary.", ["in", "granary"], 0.0),  # the end of both, but no run of four
        ("", [], 0.0),
        ("Nothing.", [], 0.0),
    ],
)
def test_copied_words_are_counted_in_runs(answer, words, share):
    assert longest_copy(answer, CONTEXT) == words
    assert copied_share(answer, CONTEXT) == pytest.approx(share)


def test_the_run_that_counts_as_copied_can_be_chosen():
    assert copied_share("was rebuilt in May", CONTEXT, run=3) == 0.75
    assert copied_share("was rebuilt in May", CONTEXT, run=2) == 0.75
    assert longest_copy("a b", "") == [] and copied_share("b c d e", "b c") == 0.0
    # Overlapping runs count each word once.
    assert copied_share("b c d e f", "b c d e f") == 1.0


def test_a_question_is_answered_from_its_passage_or_table():
    passage = Item("When was it rebuilt?", context=CONTEXT)
    lm = ScriptedLM([(context_prompt(passage.question, CONTEXT), " In 1908. ")])
    with lm.tracing() as trace:
        answer = answer_from_context(lm, passage)
    assert (answer.value, answer.text, answer.details) == (
        "In 1908.",
        " In 1908. ",
        {"copied": 0.0},
    )
    assert trace.calls[0].parsed == [("answer", "In 1908.")]
    table = Item("Which river?", context=TABLE)
    lm = ScriptedLM([(table_prompt("Which river?", COLUMNS, ROWS), " ")])
    assert answer_from_context(lm, table).value is None
    with pytest.raises(DataError, match="has no context"):
        answer_from_context(lm, Item("Why?"))
