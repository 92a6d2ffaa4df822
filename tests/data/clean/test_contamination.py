"""Test text in training text is found, in both directions."""

import numpy as np
import pytest

from tinylm.data.clean.contamination import Contamination
from tinylm.data.synthetic.junk import good_page
from tinylm.errors import DataError


def test_a_document_with_a_test_example_is_found_whatever_stands_around_it():
    rng = np.random.default_rng(0)
    examples, pages = [good_page(rng, 1) for _ in range(20)], [good_page(rng) for _ in range(40)]
    rule = Contamination(examples)
    assert all(map(rule, pages))  # 13 words of the grammar in the same order do not happen
    leaked = [
        f"{page} {example.upper().replace(',', '')} {page}"
        for page, example in zip(pages, examples[:5])
    ]
    assert not any(map(rule, leaked))
    np.testing.assert_array_equal(rule.examples(), [1.0] * 5 + [0.0] * 15)


def test_the_part_of_a_text_that_is_shared_by_hand():
    rule = Contamination(["a b c d"], n=2, most=0.5)  # ab, bc, cd
    assert rule.overlap("a b x y") == pytest.approx(1 / 3)  # ab, bx, xy
    assert rule("a b x y") and not rule("a b c x")
    assert rule.examples().tolist() == pytest.approx([2 / 3])  # cd was met nowhere


def test_an_ngram_of_two_examples_counts_for_both():
    rule = Contamination(["a b c", "b c d"], n=2)
    rule("b c")
    assert rule.examples().tolist() == [0.5, 0.5]


def test_a_short_example_is_found_as_a_whole():
    rule = Contamination(["two words"])
    assert not rule("Two words!") and rule("two words more")


def test_an_empty_test_set_is_refused():
    with pytest.raises(DataError, match="test set is empty"):
        Contamination([])
