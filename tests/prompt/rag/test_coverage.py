"""How much of a question the texts have words for."""

import math

import pytest

from tinylm.generate import InvertedIndex
from tinylm.prompt.rag.coverage import QUESTION_WORDS, coverage, stem

DOCUMENTS = ["the bridge was opened by Voss", "the mill burned down", "the bread is baked"]
INDEX = InvertedIndex(DOCUMENTS)


def test_words_count_by_their_rarity():
    # idf = log(1 + (N - n + 1/2) / (n + 1/2)), N = 3: bridge n = 1, king n = 0.
    bridge, king = math.log(1 + 2.5 / 1.5), math.log(1 + 3.5 / 0.5)
    share, missing = coverage(INDEX, "The king? The bridge!", DOCUMENTS[:1])
    assert share == pytest.approx(bridge / (bridge + king)) and missing == ["king"]


def test_only_the_texts_that_were_found_count():
    assert coverage(INDEX, "mill bridge", DOCUMENTS) == (1, [])
    share, missing = coverage(INDEX, "mill bridge", DOCUMENTS[:1])
    assert share == pytest.approx(0.5) and missing == ["mill"]
    assert coverage(INDEX, "mill Bread", DOCUMENTS[:1]) == (0, ["mill", "bread"])
    assert coverage(INDEX, "mill", []) == (0, ["mill"])


def test_words_of_any_question_are_left_out():
    # "where" and "does" are in no document: they would weigh most of all.
    assert coverage(INDEX, "Where is the mill, and who does it belong to?", DOCUMENTS)[1] == [
        "belong"
    ]
    assert coverage(INDEX, "Who is it?", []) == coverage(INDEX, "?!", []) == (1, [])
    assert QUESTION_WORDS.isdisjoint(["king", "spain", "mill"])


@pytest.mark.parametrize(
    "forms",
    [
        "sleep sleeps sleeping",
        "bake bakes baked baking",
        "run runs running",
        "tell tells telling",
        "city cities",
        "study studies studied studying",
        "dog dogs",
        "class classes",
        "agree agrees agreed",
        "box boxes",
        "1990 1990s",
    ],
)
def test_forms_of_a_word_have_one_stem(forms):
    assert len({stem(word) for word in forms.split()}) == 1


@pytest.mark.parametrize("word", ["king", "bus", "bed", "red", "ice", "die", "was", "see", "猫"])
def test_short_words_are_their_own_stems(word):
    assert stem(word) == word


def test_other_words_have_other_stems():
    found = [stem(word) for word in "ring run rung bake bread bird birth one on by bee be".split()]
    assert len(set(found)) == len(found)


def test_a_word_is_found_in_another_form():
    documents = ["the cat sleeps here", "dogs sleep", "it sleeps", "a fish"]
    index = InvertedIndex(documents)
    assert coverage(index, "Where does a cat sleep?", documents[:1]) == (1, [])
    # "sleeping" is in no document, but no rarer than "sleeps" (n = 2), as the texts have it.
    sleeps, moon = math.log(1 + 2.5 / 2.5), math.log(1 + 4.5 / 0.5)
    share, missing = coverage(index, "sleeping moons", documents[:1])
    assert share == pytest.approx(sleeps / (sleeps + moon)) and missing == ["moons"]
