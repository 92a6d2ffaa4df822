"""Passages cover their document, fit, and share whole sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import text_model
from tinylm.data.clean.words import words_of
from tinylm.errors import ConfigError
from tinylm.prompt.rag.chunks import LONG_WORD, Passage, all_passages, count_words, merged, passages

TEXT = "One two three. Four five! Six seven eight nine? Ten.\n\nEleven twelve thirteen."


def texts(found):
    return [one.text for one in found]


def test_sentences_fill_a_passage_as_far_as_they_fit():
    assert texts(passages(TEXT, 5, 0)) == [
        "One two three. Four five! ",  # 3 + 2 words
        "Six seven eight nine? Ten.\n\n",
        "Eleven twelve thirteen.",
    ]
    # 3 + 2 + 4 words would be more than 8
    assert texts(passages(TEXT, 8, 0))[0] == "One two three. Four five! "
    assert texts(passages(TEXT, 9, 0))[0] == "One two three. Four five! Six seven eight nine? "


def test_neighbors_share_the_last_sentences_that_fit_into_the_overlap():
    assert texts(passages(TEXT, 6, 2)) == [
        "One two three. Four five! ",
        "Four five! Six seven eight nine? ",  # two words shared
        "Ten.\n\nEleven twelve thirteen.",  # four words are more than the overlap
    ]
    # The shared sentence would leave no room for the next one: nothing is shared.
    assert texts(passages(TEXT, 5, 2))[1] == "Six seven eight nine? Ten.\n\n"
    # Two short sentences are shared together.
    text = "Ab cd. Ef. Gh. Ij kl mn."
    assert texts(passages(text, 5, 2)) == ["Ab cd. Ef. Gh. ", "Ef. Gh. Ij kl mn."]
    assert texts(passages(text, 5, 1)) == ["Ab cd. Ef. Gh. ", "Gh. Ij kl mn."]


def test_paragraphs_stay_whole_where_they_fit():
    text = "A b. C d.\n\nE f g.\n \nH i. J k l m n."
    assert texts(passages(text, 7, 0, "paragraph")) == [
        "A b. C d.\n\nE f g.\n \n",  # 4 + 3 words
        "H i. J k l m n.",
    ]
    # A paragraph that is too long is cut between sentences.
    assert texts(passages(text, 5, 0, "paragraph")) == [
        "A b. C d.\n\n",
        "E f g.\n \nH i. ",
        "J k l m n.",
    ]


def test_what_is_too_long_is_cut_between_words_and_then_characters():
    assert texts(passages("one two three four", 3, 0)) == ["one two three ", "four"]
    assert texts(passages("one two three four", 3, 1)) == ["one two three ", "three four"]
    assert texts(passages("ab cdefgh", 4, 0, measure=len)) == ["ab c", "defg", "h"]
    assert texts(passages("a b. c d", 3, 0, "word")) == ["a b. c ", "d"]
    assert texts(passages("cafe\u0301s", 1, 0, measure=len)) == ["c", "a", "f", "e\u0301", "s"]


@pytest.mark.parametrize(
    "text, first",
    [
        ("Dr. No met J. Bond. He left.", "Dr. No met J. Bond. "),
        ("It costs approx. ten. Yes.", "It costs approx. ten. "),
        ("It rose by 3.5 points. Yes.", "It rose by 3.5 points. "),
        ('"Stop!" he cried. Yes.', '"Stop!" he cried. '),
        ("(Really?) Yes.", "(Really?) "),
        ("Wait ... what? Yes.", "Wait ... what? "),
        ("他来了。她走了。", "他来了。"),
        ("a line\n\nanother", "a line\n\n"),
        ("1. First of all. Then.", "1. First of all. "),
        ("In 1932. Then.", "In 1932. "),
    ],
)
def test_a_sentence_ends_at_its_mark_and_not_inside(text, first):
    size = count_words(first)
    assert passages(text, size, 0)[0].text == first
    if size > 1:  # and with one word less it is cut in two
        assert passages(text, size - 1, 0)[0].text != first


@given(st.text("ab,.-' \n\té漢。", max_size=30))
def test_words_are_counted_as_they_are_written(text):
    assert count_words(text) == len(words_of(text))


DOCUMENTS = st.text("ab. \n!é漢。", max_size=60)


@given(
    DOCUMENTS,
    st.integers(1, 8),
    st.integers(0, 7),
    st.sampled_from(["paragraph", "sentence", "word"]),
    st.sampled_from([count_words, len]),
)
def test_nothing_is_lost_and_everything_fits(text, size, overlap, unit, measure):
    overlap = min(overlap, size - 1)
    found = passages(text, size, overlap, unit, measure)
    assert bool(found) == bool(text.strip())
    for one in found:
        assert one.text == text[one.start : one.end] and measure(one.text) <= size
    for one, two in zip(found, found[1:]):
        assert one.start < two.start <= one.end < two.end
        assert measure(text[two.start : one.end]) <= overlap
    if found:
        assert merged(found) == merged(found[::-1]) == [Passage(0, 0, len(text), text)]


def test_a_size_in_tokens_is_that_of_the_model():
    lm = text_model()  # tokens are bytes
    found = passages("é é é", 5, 0, measure=lm.count)
    assert texts(found) == ["é ", "é é"]  # 2 bytes for a letter


def test_a_long_word_counts_as_several_and_is_cut():
    assert [count_words("a" * n) for n in (1, 20, 21, 40, 41)] == [1, 1, 2, 2, 3]
    assert count_words("a" * 21 + " b " + "猫") == 2 + 1 + 1
    assert LONG_WORD == 20
    # Data without a space, in base64 or as minified code, is cut as other texts are.
    found = passages("see " + "A" * 100, 3, 1)
    assert texts(found) == ["see " + "A" * 40, "A" * 60, "A" * 40]  # 20 letters are shared
    assert merged(found) == [Passage(0, 0, 104, "see " + "A" * 100)]


def test_measures_are_few_on_long_documents():
    lengths = []

    def measure(text):
        lengths.append(len(text))
        return count_words(text)

    found = passages("Word after word. " * 2000, 30, 6, measure=measure)
    assert len(found) > 200
    assert len(lengths) < 15 * len(found) + 4000  # and one for each sentence, when it is cut
    assert sum(lengths) < 40 * 34_000


def test_passages_of_several_documents_keep_their_names():
    found = all_passages({"x": "A b.", "y": "", "z": "C d. E f."}, size=2, overlap=0)
    assert [(p.document, p.start, p.end) for p in found] == [("x", 0, 4), ("z", 0, 5), ("z", 5, 9)]


def test_merged_passages_stand_where_the_first_of_them_stood():
    x, y = "abcdefgh", "uvwxyz"
    found = [
        Passage("x", 4, 6, x[4:6]),
        Passage("y", 0, 2, y[0:2]),
        Passage("x", 0, 2, x[0:2]),
        Passage("x", 1, 4, x[1:4]),
        Passage("y", 3, 4, y[3:4]),
        Passage("x", 2, 3, x[2:3]),  # inside another
    ]
    assert merged(found) == [
        Passage("x", 0, 6, x[0:6]),
        Passage("y", 0, 2, y[0:2]),
        Passage("y", 3, 4, y[3:4]),
    ]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 0}, "size 0 must be 1"),
        ({"overlap": -1}, "overlap -1 must be 0"),
        ({"size": 5}, "overlap 20 must be less than size 5"),
        ({"size": 5, "overlap": 5}, "overlap 5 must be less than size 5"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=f"^passages: {message}"):
        passages("a", **options)


def test_units_that_do_not_exist_are_refused():
    for unit in "character", "line":
        with pytest.raises(
            ConfigError, match=f"unit '{unit}' is none of paragraph, sentence, word"
        ):
            passages("a", unit=unit)
