"""One token for each character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.tokenizers import CharTokenizer


def test_ids_follow_the_order_of_code_points():
    tokenizer = CharTokenizer.from_text("hello", special=["<pad>"])
    assert (
        tokenizer.characters == "ehlo"
        and tokenizer.special == {"<pad>": 4}
        and tokenizer.vocab_size == 5
    )
    assert tokenizer.encode("hello").tolist() == [1, 0, 2, 2, 3]


@given(st.text())
def test_a_text_is_written_with_its_own_characters(text):
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.vocab_size == len(set(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "stranger", ["a", "m", "z", "🙂", "\ud800"]
)  # below, between, above the known ones; no text
def test_an_unknown_character_is_named_with_its_position(stranger):
    with pytest.raises(
        DataError, match=rf"\(U\+{ord(stranger):04X}\) at position 2 is not among the 3 .* unk="
    ):
        CharTokenizer("bnx").encode("bn" + stranger)


def test_the_position_counts_from_the_start_of_the_stream():
    tokenizer = CharTokenizer("ab", special=["<s>"])
    for encode in (
        tokenizer.encode,
        lambda text, special: list(tokenizer.encode_stream(iter(text), 1, special)),
    ):
        with pytest.raises(DataError, match=r"'\?' .* at position 7 "):
            encode("ab<s>ab?", True)
        with pytest.raises(DataError, match=r"'\?' .* at position 1 "):
            encode("a?b<s>ab", True)
        with pytest.raises(DataError, match=r"'\?' .* at position 6 "):
            encode("ab<s>a?<s>", True)


def test_an_unknown_character_can_become_a_special_token():
    tokenizer = CharTokenizer("ab", special=["<pad>"], unk="<unk>")
    assert tokenizer.special == {"<pad>": 2, "<unk>": 3}
    assert tokenizer.encode("a?b🙂").tolist() == [0, 3, 1, 3]
    assert tokenizer.decode([0, 3]) == "a<unk>"
    assert CharTokenizer("ab", ["<unk>", "<pad>"], unk="<unk>").special == {
        "<unk>": 2,
        "<pad>": 3,
    }  # added once


def test_an_empty_alphabet_knows_nothing():
    tokenizer = CharTokenizer("")
    assert tokenizer.encode("").tolist() == []
    with pytest.raises(DataError, match="position 0 is not among the 0"):
        tokenizer.encode("\0")


def test_a_character_given_twice_is_refused():
    with pytest.raises(DataError, match="'a' is in the vocabulary twice"):
        CharTokenizer("aba")


@pytest.mark.parametrize(
    "known, character, mend",
    [
        ("abc", "B", "write 'b' in its place"),
        ("abe", "é", "write 'e' in its place"),
        ("ab'", "’", 'write "\'" in its place'),
        ("ab.", "…", "write '...' in its place"),
        ("abc", "日", "leave it out, or take a tokenizer that writes any character"),
        ("", "a", "leave it out"),
    ],
)
def test_an_unknown_character_names_what_can_stand_for_it(known, character, mend):
    with pytest.raises(DataError) as found:
        CharTokenizer(known).encode(character)
    assert mend in str(found.value) and "--tokenizer bpe" in str(found.value)


def test_the_place_of_an_unknown_character_is_shown():
    with pytest.raises(DataError, match=r"position 4 is .* in 'abcd\?abc'"):
        CharTokenizer("abcd").encode("abcd?abc")
