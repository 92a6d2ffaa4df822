"""How much of a question the texts have words for."""

import math

import pytest

from tinylm.generate import InvertedIndex
from tinylm.prompt.rag.coverage import coverage

DOCUMENTS = ["the bridge was opened by Voss", "the mill burned down", "the bread is baked"]
INDEX = InvertedIndex(DOCUMENTS)


def test_words_count_by_their_rarity():
    # idf = log(1 + (N - n + 1/2) / (n + 1/2)), N = 3: bridge n = 1, the n = 3, king n = 0.
    bridge, the, king = math.log(1 + 2.5 / 1.5), math.log(1 + 0.5 / 3.5), math.log(1 + 3.5 / 0.5)
    found = coverage(INDEX, "The king? The bridge!", DOCUMENTS[:1])
    assert found == pytest.approx((the + bridge) / (the + bridge + king))


def test_only_the_texts_that_were_found_count():
    assert coverage(INDEX, "mill bridge", DOCUMENTS) == 1
    assert coverage(INDEX, "mill bridge", DOCUMENTS[:1]) == pytest.approx(0.5)
    assert coverage(INDEX, "mill", DOCUMENTS[:1]) == coverage(INDEX, "mill", []) == 0


def test_a_question_without_words_asks_for_nothing():
    assert coverage(INDEX, "?!", []) == 1
