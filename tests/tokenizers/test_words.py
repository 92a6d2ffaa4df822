"""The book's units: words, punctuation marks, and the endings an apostrophe attaches."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tinylm import tokenizers
from tinylm.errors import DataError
from tinylm.tokenizers import WordTokenizer, words_and_punctuation


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "I love the food here. It's amazing!",
            "I love the food here . It 's amazing !",
        ),  # the book's example
        (
            "The puppies are frolicking outside the house.",
            "The puppies are frolicking outside the house .",
        ),
        ("I don't, can't; we'll they’re", "I do n't , ca n't ; we 'll they ’re"),
        ("3,000.5 well-known (co-op)", "3,000.5 well-known ( co-op )"),
        ("naïve Ünal été", "naïve Ünal été"),
        ("", ""),
    ],
)
def test_words_and_punctuation_stand_alone(text, words):
    assert words_and_punctuation(text) == words.split()


@given(st.text())
def test_only_white_space_is_lost(text):
    assert "".join(words_and_punctuation(text)) == regex.sub(r"\s", "", text)


@given(st.text("ab .'ns\n", max_size=40), st.integers(1, 6))
def test_a_stream_encodes_as_the_whole(text, chunk):
    tokenizer = WordTokenizer.from_text("a b ab . 's n't")
    parts = [i for ids in tokenizer.encode_stream(iter(text), chunk) for i in ids.tolist()]
    assert parts == tokenizer.encode(text).tolist()


def test_frequent_words_are_kept_and_the_others_unknown():
    tokenizer = WordTokenizer.from_text(
        "the cat and the dog and the bird", most=2, special=["[CLS]"]
    )
    assert tokenizer.words == ["the", "and"] and tokenizer.special == {"[CLS]": 2, "<unk>": 3}
    assert (
        tokenizer.encode("the cat and").tolist() == [0, 3, 1]
        and tokenizer.decode([0, 1]) == "the and"
    )


def test_saving_and_loading_change_nothing(tmp_path):
    tokenizer = WordTokenizer.from_text("It's amazing!")
    tokenizer.save(tmp_path / "tokenizer.json")
    assert tokenizers.load(tmp_path / "tokenizer.json").to_dict() == tokenizer.to_dict()


def test_a_word_given_twice_is_refused():
    with pytest.raises(DataError, match="'a' is in the vocabulary twice"):
        WordTokenizer(["a", "b", "a"])


def test_a_text_is_cut_before_its_last_white_space():
    tokenizer = WordTokenizer(["a"])
    # Before the space at 4, not the one at 2; a space at the start of the range cuts off nothing.
    assert tokenizer.last_cut("ab cd ef", 0, 5) == 2 and tokenizer.last_cut("ab cd ef", 0, 6) == 5
    assert tokenizer.last_cut(" abc", 0, 4) == 0 and tokenizer.last_cut("a bc", 0, 4) == 1
    assert tokenizer.last_cut("ab cd", 2, 5) == 2
