"""Texts with calls, and the loss on what the model writes alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import END, text_model
from tinylm.data.read.gsm8k import without_annotations
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.prompt.tools.annotated import (
    Called,
    annotate_arithmetic,
    annotate_gsm8k,
    encode_calls,
    with_calls,
    with_results,
)
from tinylm.prompt.tools.markers import find_marker
from tinylm.prompt.tools.registry import Tools, calculator

TOOLS = Tools({"calculator": calculator})
POOL = "{tool: calculator, expression: 10 * 4 * 2}"


def test_a_value_is_replaced_by_the_call_that_computes_it():  # V-74
    pieces = annotate_arithmetic("It holds 10 * 4 * 2 = 80 m^3, 80 × 1000 = 80000 liters.")
    assert with_calls(pieces) == (
        f"It holds 10 * 4 * 2 = {POOL} m^3, "
        '80 × 1000 = {tool: calculator, expression: "80 × 1000"} liters.'
    )
    assert pieces[1] == Called(POOL, "80")
    assert with_results(pieces) == "It holds 10 * 4 * 2 = 80 m^3, 80 × 1000 = 80000 liters."


@pytest.mark.parametrize(
    "text",
    [
        "2 + 2 = 5",  # wrong
        "80 = 80",  # no operator
        "1 / 3 = 0.33",  # not as the calculator writes it
        "4 + 4 = 8%",
        "4 + 4 = 8a",
        "a4 + 4 = 8",
        "1.4 + 4 = 8.4",
        "6 / 0 = 6",
        "(4 + 4 = 8",
    ],
)
def test_what_a_calculator_would_not_write_stays(text):
    assert annotate_arithmetic(text) == [text]


def test_forms_of_expressions():
    for text in "(1 + 2)*3 = 9", "1,000-1=999", "7/2 = 3.5", "2.5 + 1 = 3.5":
        *_, called = annotate_arithmetic(text)
        assert TOOLS.run(find_marker(called.call)).text == called.result


def test_annotations_of_gsm8k_become_calls():
    solution = "He plays 8*2=<<8*2=16>>16 hours, then <<1/2=0.5>>0.5 and 3 <<a=3>> <<2*2=5>>5."
    pieces = annotate_gsm8k(solution)
    call = "{tool: calculator, expression: 8*2}"
    assert with_calls(pieces) == (
        f"He plays 8*2={call} hours, then {{tool: calculator, expression: 1/2}} and 3  5."
    )
    assert with_results(pieces) == without_annotations(solution)
    assert annotate_gsm8k("<<8*2=16>> 16") == [" 16"]  # its result does not follow
    assert annotate_gsm8k("<<16=16>>16") == ["16"]  # nothing to compute
    assert annotate_gsm8k("<<1+1=2>>2") == [Called("{tool: calculator, expression: 1+1}", "2")]
    assert annotate_gsm8k("") == []


@given(
    st.lists(st.sampled_from(["<<1+1=2>>2", "<<1+1=3>>3", "<<3*3=9>>", "4 ", "2 + 3 = 5", "\n"]))
)
def test_running_the_calls_gives_the_text_back(parts):
    text = "".join(parts)
    for pieces, plain in (
        (annotate_gsm8k(text), without_annotations(text)),
        (annotate_arithmetic(text), text),
    ):
        assert with_results(pieces) == plain
        for piece in pieces:
            if isinstance(piece, Called):
                assert TOOLS.run(find_marker(piece.call)).text == piece.result
        neighbors = zip(pieces, pieces[1:])
        assert all(pieces) and not any(
            isinstance(a, str) and isinstance(b, str) for a, b in neighbors
        )


PIECES = ["So ", Called("{tool: f, x: 1}", "RESULT"), " and ", Called("{tool: g}", "MORE"), " end"]


def split(row):
    """(context, what counts in the loss) of a row of bytes."""
    text = bytes(i for i in row.ids.tolist() if i != END).decode()
    learnt = bytes(i for i in row.ids[row.answer].tolist() if i != END).decode()
    return text.removesuffix(learnt), learnt


def test_the_loss_is_on_text_and_calls_and_never_on_results():
    lm = text_model()
    rows = encode_calls(lm.tokenizer, "Q\nA:", PIECES, begin=(END,), end=END)
    assert [split(row) for row in rows] == [
        ("Q\nA:", "So {tool: f, x: 1}"),
        ("Q\nA:So RESULT", " and {tool: g}"),
        ("Q\nA:So RESULT and MORE", " end"),
    ]
    # Only the last row ends, and no row begins with something to predict.
    assert [row.ids[-1] == END for row in rows] == [False, False, True]
    assert all(row.ids[0] == END and not row.answer[0] for row in rows) and rows[-1].answer[-1]
    # What counts is each piece that the model writes, once, and the end.
    batch = InstructionTuning().make_batch(rows)
    assert (batch.targets >= 0).sum() == len(with_calls(PIECES)) + 1
    # The contexts have the tokens that the model reads in the loop.
    context = rows[1].ids[~rows[1].answer]
    np.testing.assert_array_equal(context, lm._ids("Q\nA:", "So RESULT")[0])


def test_with_loss_on_results_the_call_and_its_result_follow_the_same_text():
    lm = text_model()
    rows = encode_calls(lm.tokenizer, "P", PIECES, end=END, result_loss=True)
    assert [split(row) for row in rows] == [
        ("P", "So {tool: f, x: 1}"),
        ("PSo", " RESULT and {tool: g}"),
        ("PSo RESULT and", " MORE end"),
    ]


def test_a_text_that_ends_with_a_call_may_still_end():
    lm = text_model()
    pieces = PIECES[:2]
    rows = encode_calls(lm.tokenizer, "P", pieces, end=END)
    assert [split(row) for row in rows] == [("P", "So {tool: f, x: 1}"), ("PSo RESULT", "")]
    assert rows[-1].ids[rows[-1].answer].tolist() == [END]
    assert len(encode_calls(lm.tokenizer, "P", pieces)) == 1
    assert [split(row) for row in encode_calls(lm.tokenizer, "P", ["a", " b"])] == [("P", "a b")]


def test_white_space_before_a_call_belongs_to_what_the_model_writes():
    lm = text_model()
    rows = encode_calls(lm.tokenizer, "P ", [Called("{tool: f}", "1 "), "x"])
    assert [split(row) for row in rows] == [("P", " {tool: f}"), ("P 1", " x")]
