"""One rule for the tokens where prompt and continuation meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.prompt.protocol.seam import Seam, prompt_ids, seam, split_space
from tinylm.tokenizers import BPETokenizer

# Bytes, then two merges: " a" is token 256 and "ab" token 257.
BPE = BPETokenizer([bytes([i]) for i in range(256)] + [b" a", b"ab"], [(32, 97), (97, 98)])


def ids(text):
    return list(text.encode())


def test_white_space_at_the_end_of_a_prompt_moves_to_the_continuation():
    assert split_space("Answer: \n") == ("Answer:", " \n")
    assert seam(BPE, "x ", "a") == seam(BPE, "x", " a") == Seam(ids("x"), [256])


def test_both_are_encoded_together():
    # Apart, "b" would be one token all the same: together the rest begins behind the prompt's.
    assert seam(BPE, "x", "ab") == Seam(ids("x"), [257])


def test_a_token_that_would_cross_the_seam_is_never_made():
    # "xab" has the token "ab", which belongs to neither side of x a | b.
    assert BPE.encode("xab").tolist() == [*ids("x"), 257]
    assert seam(BPE, "xa", "b") == Seam(ids("xa"), ids("b"), apart=True)


def test_ids_that_begin_a_text_come_first_and_are_no_text():
    assert seam(BPE, "x", "ab", begin=(7, 8)) == Seam([7, 8, *ids("x")], [257])
    assert prompt_ids(BPE, "", (7,)) == [7]


def test_an_empty_prompt_is_the_token_that_begins_a_text():
    assert seam(BPE, "", "ab", start=300) == Seam([300], [257])
    assert seam(BPE, " ", "a", start=300) == Seam([300], [256])
    with pytest.raises(DataError, match="no token that begins a text: .* start= of TextModel.of"):
        seam(BPE, "", "ab")


def test_an_empty_continuation_is_refused():
    with pytest.raises(DataError, match="a continuation is empty"):
        seam(BPE, "x", "")
    assert seam(BPE, "x ", "").continuation == ids(" ")


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_text_is_lost_or_added(prompt, continuation):
    found = seam(BPE, prompt, continuation, start=0)
    before = found.prompt if prompt.rstrip() else []
    text = BPE.decode_bytes(before + found.continuation)
    assert text.decode() == prompt + continuation
    assert found.continuation
