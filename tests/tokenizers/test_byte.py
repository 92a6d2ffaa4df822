"""One token for each byte."""

from hypothesis import given
from hypothesis import strategies as st

from tinylm.tokenizers import ByteTokenizer


@given(st.text())
def test_ids_are_the_bytes_of_utf8(text):
    assert ByteTokenizer(["<|end|>"]).encode(text).tolist() == list(text.encode())


def test_special_tokens_follow_the_bytes():
    tokenizer = ByteTokenizer(["<|end|>", "<|pad|>"])
    assert tokenizer.vocab_size == 258
    assert tokenizer.encode("a<|pad|>", allow_special=True).tolist() == [97, 257]


@given(st.binary())
def test_any_bytes_decode_exactly(data):
    assert ByteTokenizer().decode_bytes(list(data)) == data
