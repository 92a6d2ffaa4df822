"""Solutions of GSM8K are taken apart into the steps and the number."""

import pytest

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.gsm8k import ANNOTATION, gsm8k_fields, without_annotations
from tinylm.errors import DataError

# The arithmetic of the book's two demonstrations and its query (section 3.1.4.5).
BOOK = [
    ("8 games * 2 hours/game = <<8*2=16>>16 hours. 16 * 2 = <<16*2=32>>32. 8 games * 4 hours = "
     "<<8*4=32>>32. 32*2 = <<32*2=64>>64. 32 + 64 = <<32+64=96>>96", "96"),
    ("8/2=<<8/2=4>>4. 6-4=<<6-4=2>>2", "2"),
    ("100-10=<<100-10=90>>90. 100-23=<<100-23=77>>77. 77+10=<<77+10=87>>87. 90-87=<<90-87=3>>3",
     "3"),
]  # fmt: skip


@pytest.mark.parametrize("solution, answer", BOOK)
def test_the_examples_of_the_book(solution, answer):
    found = gsm8k_fields({"question": " Q? ", "answer": f"{solution}\n#### {answer}"})
    assert found == {"question": "Q?", "answer": answer, "rationale": solution}
    # The last step computes the answer.
    assert ANNOTATION.findall(solution)[-1][1] == answer


def test_numbers_lose_their_commas():
    found = gsm8k_fields({"question": "Q?", "answer": "so\n#### -1,234.5 "})
    assert found["answer"] == "-1234.5" and canonical_number(found["answer"]) == -1234.5


def test_people_write_solutions_without_annotations():
    assert without_annotations("8*2=<<8*2=16>>16, $<<9*2=18>>18, a << b >> c") == (
        "8*2=16, $18, a << b >> c"
    )


@pytest.mark.parametrize(
    "answer", ["16", "#### ", "#### sixteen", "#### 16 hours", "#### $16", "#### 16\nor 17"]
)
def test_a_solution_without_one_number_at_its_end_is_refused(answer):
    with pytest.raises(DataError, match="ends with #### and a number"):
        gsm8k_fields({"question": "Q?", "answer": answer})


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"question": "Q?"}, "has the fields"),
        ({"question": "Q?", "answer": "#### 1", "id": 3}, "has the fields"),
        (["Q?"], "has the fields"),
        ({"question": 3, "answer": "#### 1"}, "'question' must be text"),
        ({"question": "Q?", "answer": 3}, "'answer' must be text"),
    ],
)
def test_other_records_are_refused(record, reason):
    with pytest.raises(DataError, match=reason):
        gsm8k_fields(record)
