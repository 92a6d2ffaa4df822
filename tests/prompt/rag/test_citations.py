"""Marks in brackets: which texts they mean, and whether the texts have the words."""

import numpy as np
import pytest

from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.rag.citations import (
    Citation,
    citation_scores,
    find_citations,
    without_citations,
)

TEXTS = ["The Games are held in Los Angeles.", "In 1984 the city was host.", "Birds fly."]


def numbers(answer, texts=TEXTS):
    return [one.number for one in find_citations(answer, texts)]


def test_each_mark_belongs_to_the_words_before_it():
    found = find_citations("Yes. It is held in Los Angeles [1], as in 1984 [2][3].", TEXTS)
    assert found == [
        Citation(1, "It is held in Los Angeles", 4 / 6),  # it, is: not in the text
        Citation(2, "as in 1984", 2 / 3),
        Citation(3, "as in 1984", 0.0),
    ]


def test_forms_of_marks():
    assert numbers("a [1, 3] b [2; 1] c [1-3] d [2–3], e [ 1 ]") == [1, 3, 2, 1, 1, 2, 3, 2, 3]
    assert numbers("none (1) [a] [] [1 2] [-1]") == []


def test_numbers_that_are_not_all_texts_are_no_mark_and_are_reported():
    found = find_citations("The war [1914-1918] ended [1].", TEXTS)
    assert [(one.number, one.known) for one in found] == [(1914, False), (1918, False), (1, True)]
    # One text too many, and a range that runs back: as written, not expanded.
    assert numbers("a [1-4]") == [1, 4] and numbers("a [3-1]") == [3, 1]
    assert not any(one.known for one in find_citations("a [1, 4] b [3-1] c [0-2]", TEXTS))
    assert all(one.known for one in find_citations("a [1-3] b [2-2]", TEXTS))


def test_a_text_that_was_not_given_is_unknown():
    found = find_citations("Birds fly [3][4][0].", TEXTS)
    assert [(one.number, one.known, one.support) for one in found] == [
        (3, True, 1.0),
        (4, False, None),
        (0, False, None),
    ]


def test_a_mark_without_words_supports_nothing():
    assert find_citations("[1]", TEXTS) == [Citation(1, "", 0.0)]
    assert find_citations("No mark.", TEXTS) == []


def test_a_statement_ends_where_a_sentence_or_a_mark_does():
    found = find_citations("Fish swim! Birds fly. [3] They sing [3]", TEXTS)
    assert [one.statement for one in found] == ["Birds fly", "They sing"]


def test_words_that_repeat_count_each_time():
    (one,) = find_citations("fly fly swim [3]", TEXTS)
    assert one.support == 2 / 3


@pytest.mark.parametrize(
    "answer, bare",
    [
        ("Los Angeles [1].", "Los Angeles."),
        ("[1] a [2, 3] b\n[1]", "a b"),
        ("a [b] c", "a [b] c"),
        ("It is x[0].", "It is x[0]."),
        ("The war [1914-1918] ended [3].", "The war [1914-1918] ended."),
        ("a [1, 4] [4] b", "a [1, 4] [4] b"),
    ],
)
def test_an_answer_without_its_marks(answer, bare):
    assert without_citations(answer, 3) == bare


def test_a_statement_is_supported_by_half_of_its_words():
    found = find_citations("Birds sing [3]. Some birds sing [3]. Birds fly [3][4].", TEXTS)
    assert [(one.support, one.supported) for one in found] == [
        (0.5, True),
        (1 / 3, False),
        (1.0, True),
        (None, False),
    ]


def answered(text, texts=("a", "b", "c"), refused=None):
    """An answer with the citations that its text has."""
    return Answer(text, text, {"citations": find_citations(text, texts), "refused": refused})


def test_precision_and_recall_of_citations():
    answers = [
        answered("Oslo [1]. It is [1]."),  # a source, cited twice
        answered("Bergen [2][3]."),  # one of two
        answered("Moss [9]."),  # a text that was not given
        answered("Hamar."),  # a source, and not cited
        answered("Molde [1]."),  # no text holds it
        answered("No answer!", refused="words"),
    ]
    sources = [{1}, {3}, {2}, {1}, set(), {2}]
    found = citation_scores(answers, sources)
    assert found["precision"] == 2 / 5  # of the texts 1, 2, 3, 9 and 1
    assert found["recall"] == 2 / 4  # of those with a source that do not refuse
    assert found["cited"] == 4 / 5
    nothing = citation_scores([answered("No answer!", refused="words")], [{1}])
    assert all(np.isnan(value) for value in nothing.values()) and len(nothing) == 3
    with pytest.raises(DataError, match="1 sources of 0 answers"):
        citation_scores([], [{1}])
