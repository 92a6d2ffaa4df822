"""The computed steps of a solution can be checked one by one."""

from pathlib import Path

import pytest

from tinylm.data.read.items import read_items
from tinylm.prompt.reasoning.annotations import annotations

# The three solutions of the book's few-shot example (section 3.1.4.5).
SOLUTIONS = {
    "Jerry": "8 games * 2 hours = <<8*2=16>>16. 16 * 2 = <<16*2=32>>32. 8 games * 4 hours = "
    "<<8*4=32>>32. 32*2 = <<32*2=64>>64. 32 + 64 = <<32+64=96>>96\n#### 96",
    "Mary": "8/2=<<8/2=4>>4 apples, 6-4=<<6-4=2>>2\n#### 2",
    "Boris": "<<100-10=90>>90, <<100-23=77>>77, <<77+10=87>>87, <<90-87=3>>3\n#### 3",
}


@pytest.mark.parametrize("name, count, last", [("Jerry", 5, 96), ("Mary", 2, 2), ("Boris", 4, 3)])
def test_every_annotation_of_the_book_computes_to_its_own_result(name, count, last):
    found = annotations(SOLUTIONS[name])
    assert len(found) == count and all(step.right for step in found)
    assert found[-1].value == last


def test_a_wrong_result_is_found_with_its_value():
    right, wrong = annotations("<<2+2=4>> and <<8*2=17>>")
    assert right.right and not wrong.right
    assert (wrong.expression, wrong.result, wrong.value) == ("8*2", "17", 16)


def test_a_result_may_be_written_in_any_form_or_rounded_as_the_calculator_does():
    for text in ("<<3/8=0.375>>", "<<3/8=37.5%>>", "<<3/8=3/8>>", "<<1/3=0.333333>>"):
        assert annotations(text)[0].right
    for text in ("<<1/3=0.33>>", "<<3/8=0.3750001>>", "<<3/8=many>>"):
        assert not annotations(text)[0].right


def test_what_cannot_be_computed_has_no_value_and_is_not_right():
    (step,) = annotations("<<7//2=3>>")
    assert step.value is None and not step.right
    assert annotations("no steps here, 2 << 3") == []


GSM8K = Path(__file__).resolve().parents[4] / "shared" / "data" / "reasoning"


@pytest.mark.skipif(not GSM8K.exists(), reason="GSM8K is not here")
def test_every_annotation_of_gsm8k_is_right():
    # Of its test questions; of the 23,716 annotations of its training set, 2 are written with //.
    items = read_items(GSM8K / "gsm8k_test.jsonl.gz")
    found = [step for item in items for step in annotations(item.rationale)]
    assert len(found) == 4282 and all(step.right for step in found)
