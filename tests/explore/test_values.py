"""Values travel into a page and back without loss, and no text of theirs can leave its element."""

import base64
import json

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.errors import DataError
from tinylm.explore.values import encoded, token, tokens_of
from tinylm.tokenizers import BPETokenizer, ByteTokenizer

NASTY = "</script><script>alert(1)</script><!-- & \u2028\u2029 \ud83d"


def test_no_text_can_end_the_element_that_holds_it():
    text = encoded({NASTY: NASTY})
    assert not set("<>&\u2028\u2029") & set(text) and text.isascii()
    assert json.loads(text) == {NASTY: NASTY}


def test_what_is_no_number_travels_by_name():
    assert json.loads(encoded([float("nan"), np.inf, -np.inf, 0.1])) == [
        {"$number": "nan"},
        {"$number": "inf"},
        {"$number": "-inf"},
        0.1,
    ]


@pytest.mark.parametrize(
    "array, code, read",
    [
        (np.array([[1.5, np.nan], [np.inf, -0.0]], np.float32), "f4", "<f4"),
        (np.array([0.1, 1e300]), "f4", "<f4"),  # float64 is rounded; too large is inf
        (np.array([0.1, -2], np.float16), "f2", "<f2"),
        (np.array([[-3], [2**31 - 1]]), "i4", "<i4"),
        (np.array([True, False]), "b1", np.uint8),
        (np.arange(6, dtype=np.float32).reshape(2, 3).T, "f4", "<f4"),  # not contiguous
        (np.zeros((0, 3), np.float32), "f4", "<f4"),
    ],
)
def test_arrays_are_little_endian_rows(array, code, read):
    sent = json.loads(encoded(array))
    back = np.frombuffer(base64.b64decode(sent["data"]), read).reshape(sent["shape"])
    assert sent["$array"] == code
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(back, array.astype(read))


def test_tensors_and_numbers_of_numpy_are_values_too():
    sent = [Tensor([1.0]), np.float64(0.1), np.int64(3), np.bool_(True), np.array(2.5)]
    assert json.loads(encoded(sent))[1:] == [0.1, 3, True, 2.5]


@pytest.mark.parametrize(
    "value", [{1: 2}, {"$array": 1}, object(), 2**60, np.array(["a"]), np.array([2**40]), {3}]
)
def test_what_has_no_form_is_refused(value):
    with pytest.raises(DataError, match="a page"):
        encoded(value)


def test_half_of_a_character_shows_its_bytes():
    assert token("é".encode()) == {"text": "é"}
    assert token(b"\xc3")["bytes"] == "c3"
    assert token(b"")["text"] == ""


def test_tokens_join_to_the_bytes_of_the_text():
    text = "naïve 日本 שלום 🙂"
    tokenizer = BPETokenizer.train([text] * 3, 262)
    ids = tokenizer.encode(text)
    found = tokens_of(ids, tokenizer)
    assert any("bytes" in each for each in found)  # some are halves of characters
    whole = b"".join(
        bytes.fromhex(each["bytes"]) if "bytes" in each else each["text"].encode() for each in found
    )
    assert whole.decode() == text


def test_ids_beyond_the_tokenizer_have_names():
    tokenizer = ByteTokenizer()
    V = tokenizer.vocab_size
    assert tokens_of([V, V + 1], tokenizer, {V: "[MASK]"}) == [
        {"text": "[MASK]", "special": True},
        {"text": f"<{V + 1}>", "special": True},
    ]
