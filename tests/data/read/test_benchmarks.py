"""Benchmark questions are taken out of the instructions that hold them."""

import pytest

from tinylm.data.read.benchmarks import benchmark_fields
from tinylm.errors import DataError

CHOICE = (
    "Please choose the correct answer to the question: What is\nwet?\n\n"
    "Answer1: the sea Answer2: a stone: dry\n Answer3: fire \n\nAnswer format: "
    "answer1/answer2/answer3"
)
GOAL = (
    "Please choose the correct solution to the question: Dry it.\n\nSolution1: with Answer2: a "
    "towel \n\nSolution2: with a stone \n\nAnswer format: solution1/solution2"
)
TRUTH = (
    "Please answer the following question with true or false, question: is water wet?\n\n"
    "Answer format: true/false"
)


def record(instruction, answer, **more):
    return {"instruction": instruction, "input": "", "output": "o", "answer": answer, **more}


@pytest.mark.parametrize(
    "instruction, answer, expected",
    [
        (CHOICE, "answer2", ("What is\nwet?", "a stone: dry", ("the sea", "a stone: dry", "fire"))),
        # "Answer2:" is not a mark here: the answer format names solutions.
        (GOAL, "solution1", ("Dry it.", "with Answer2: a towel",
                             ("with Answer2: a towel", "with a stone"))),
        (TRUTH, "false", ("is water wet?", "false", ("true", "false"))),
        (" How many? ", "8.0", ("How many?", "8", ())),
    ],
)  # fmt: skip
def test_every_form_is_taken_apart(instruction, answer, expected):
    found = benchmark_fields(record(instruction, answer))
    assert (found["question"], found["answer"], found.get("options", ())) == expected
    assert found["context"] == ""
    with_passage = benchmark_fields(record(instruction, answer, input=" A passage. "))
    assert with_passage == {**found, "context": "A passage."}


@pytest.mark.parametrize(
    "written, number",
    [("8.0", "8"), ("-3.00", "-3"), ("0.50", "0.5"), ("12", "12"), (" 100.0 ", "100"),
     ("10.05", "10.05")],
)  # fmt: skip
def test_a_number_has_no_zeros_after_its_point(written, number):
    assert benchmark_fields(record("How many?", written))["answer"] == number


@pytest.mark.parametrize(
    "instruction, answer, reason",
    [
        ("How many?", "eight", "'eight' is no number"),
        ("How many?", "1,000", "'1,000' is no number"),
        (CHOICE, "answer4", "'answer4' is none of the answer format's"),
        (CHOICE, "fire", "'fire' is none of"),
        (CHOICE.replace("correct answer", "answer"), "answer1", "no form that is known"),
        (TRUTH.replace("with true or false, ", ""), "true", "no form that is known"),
        # An option that holds a mark, a mark that is missing, marks in another order.
        (CHOICE.replace("fire", "fire or Answer1: sea"), "answer1", "'Answer1:' .* 2 times"),
        (CHOICE.replace("fire", "fire Answer3:"), "answer1", "'Answer3:' .* 2 times"),
        (CHOICE.replace("Answer2:", "(2)"), "answer1", "'Answer2:' .* 0 times"),
        (CHOICE.replace("Answer2:", "Answer2:x"), "answer1", "'Answer2:' .* 0 times"),
        (CHOICE.replace("Answer2:", "xAnswer2:"), "answer1", "'Answer2:' .* 0 times"),
        (CHOICE.replace("Answer1:", "A:").replace("Answer3:", "Answer1:").replace("A:", "Answer3:"),
         "answer1", "'Answer2:' .* after those before it; it is there 1 times"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_refused_with_the_reason(instruction, answer, reason):
    with pytest.raises(DataError, match=reason):
        benchmark_fields(record(instruction, answer))


@pytest.mark.parametrize(
    "bad, reason",
    [
        (["Q"], "an object with fields"),
        (record("How many?", "8", id="3"), "'id' is not read"),
        (record("How many?", 8.0), "'answer' must be text"),
        ({"instruction": "How many?"}, "'answer' is missing"),
        ({"answer": "8", "input": ""}, "'instruction' is missing"),
    ],
)
def test_other_records_are_refused(bad, reason):
    with pytest.raises(DataError, match=reason):
        benchmark_fields(bad)
