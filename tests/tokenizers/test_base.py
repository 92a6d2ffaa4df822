"""The protocol, kept by every kind of tokenizer."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm import tokenizers
from tinylm.errors import CheckpointError, DataError, ShapeError
from tinylm.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, UnigramTokenizer

# One special token is the beginning of another, one looks like text, one is outside ASCII.
SPECIAL = ["<|end|>", "<|end|><|end|>", "the", "<é>"]
ALPHABET = "the <|end|>é中🙂'sll 12 arot\n"
TEXTS = ["the then the other's 12 hats", "é中🙂" * 3, "\n\n  the end"]

KINDS = {
    "characters": CharTokenizer.from_text(ALPHABET, SPECIAL),
    "byte": ByteTokenizer(SPECIAL),
    "bpe": BPETokenizer.train(TEXTS, 300, SPECIAL),
    "unigram": UnigramTokenizer.train(TEXTS, 300, SPECIAL),
    "bpe-whole": BPETokenizer.train(TEXTS, 300, SPECIAL, pattern="whole"),
}
TEXT = st.lists(st.one_of(st.sampled_from(ALPHABET), st.sampled_from(SPECIAL))).map("".join)

every_kind = pytest.mark.parametrize("tokenizer", KINDS.values(), ids=KINDS)


@every_kind
@given(text=TEXT, allow_special=st.booleans())
def test_decoding_gives_the_text_back(tokenizer, text, allow_special):
    ids = tokenizer.encode(text, allow_special)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids.tolist()) == text.encode()
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()


@pytest.mark.parametrize("kind", ["byte", "bpe", "bpe-whole", "unigram"])
@given(text=st.text())
def test_bytes_can_write_any_text(kind, text):
    assert KINDS[kind].decode(KINDS[kind].encode(text)) == text


@every_kind
@given(text=TEXT)
def test_plain_text_never_becomes_a_special_token(tokenizer, text):
    assert not np.isin(tokenizer.encode(text), list(tokenizer.special.values())).any()


@every_kind
def test_the_longest_of_overlapping_special_tokens_wins(tokenizer):
    ids = tokenizer.encode("<|end|>" * 3 + "the<é>", allow_special=True)
    assert [tokenizer.token_bytes(i).decode() for i in ids] == [
        "<|end|><|end|>",
        "<|end|>",
        "the",
        "<é>",
    ]
    assert [tokenizer.special[tokenizer.token_bytes(i).decode()] for i in ids] == ids.tolist()


@every_kind
@given(text=TEXT, chunk=st.integers(1, 8), part=st.integers(1, 8), allow_special=st.booleans())
@settings(max_examples=200)  # short examples, and rare ones are what it is about
def test_a_stream_encodes_as_the_whole(tokenizer, text, chunk, part, allow_special):
    whole = tokenizer.encode(
        text, allow_special
    ).tolist()  # shorter than one chunk of `encode`, so never cut
    data = text.encode()
    sources = [
        io.BytesIO(data),
        io.StringIO(text, newline=""),
        io.StringIO(text, newline="").readlines(),
        [data[i : i + part] for i in range(0, len(data), part)],
    ]
    for source in sources:
        chunks = list(tokenizer.encode_stream(source, chunk, allow_special))
        assert all(c.dtype == np.int32 for c in chunks)
        assert [i for c in chunks for i in c.tolist()] == whole


@every_kind
def test_a_stream_holds_no_more_than_it_must(tokenizer):
    chunks = list(tokenizer.encode_stream(iter(["the hat "] * 100), chunk_bytes=16))
    # 800 characters, at most about two chunks of 16 at a time; the whole pattern cannot be cut.
    assert len(chunks) == 1 if tokenizer is KINDS["bpe-whole"] else len(chunks) >= 800 / 32


@every_kind
def test_nothing_encodes_to_nothing(tokenizer):
    for ids in (tokenizer.encode(""), tokenizer.encode("", allow_special=True)):
        assert ids.shape == (0,) and ids.dtype == np.int32
    assert tokenizer.decode([]) == "" and tokenizer.decode(np.empty(0, np.int32)) == ""
    assert list(tokenizer.encode_stream(io.BytesIO(b""))) == []


@every_kind
def test_an_id_outside_the_vocabulary_is_named(tokenizer):
    size = tokenizer.vocab_size
    for token in (size, -1):
        with pytest.raises(
            DataError, match=f"token id {token} at position 1 is outside the vocabulary of {size}"
        ):
            tokenizer.decode([0, token])
        with pytest.raises(DataError, match=f"token id {token} "):
            tokenizer.token_bytes(token)


def test_ids_that_are_no_sequence_of_integers_are_refused():
    with pytest.raises(ShapeError, match=r"shape \(2, 3\)"):
        ByteTokenizer().decode(np.zeros((2, 3), np.int32))
    with pytest.raises(DataError, match="dtype float64"):
        ByteTokenizer().decode([1.0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_ids_of_any_integer_type_decode(dtype):
    assert (
        ByteTokenizer().decode(np.array([[104, 0], [105, 0]], dtype)[:, 0]) == "hi"
    )  # strided, too


def test_broken_utf8_shows_as_the_replacement_character():
    tokenizer = ByteTokenizer()
    half = tokenizer.encode("é")[:1]
    assert tokenizer.decode(half) == "\N{REPLACEMENT CHARACTER}"
    assert tokenizer.decode_bytes(half) == b"\xc3"


@pytest.mark.parametrize("kind", ["byte", "bpe", "unigram"])
def test_a_lone_surrogate_is_named_with_its_position_in_the_stream(kind):
    for encode in (KINDS[kind].encode, lambda text: list(KINDS[kind].encode_stream(list(text), 1))):
        with pytest.raises(DataError, match=r"U\+D800 at position 5"):
            encode("the 1\ud800")


def test_text_must_be_str():
    with pytest.raises(DataError, match="text is bytes, not str"):
        ByteTokenizer().encode(b"a")


@pytest.mark.parametrize("special", [["a", "a"], [""], "name", [3]])
def test_special_tokens_are_distinct_names(special):
    for make in (
        ByteTokenizer,
        lambda names: CharTokenizer("xyz", names),
        lambda names: BPETokenizer.train("text", 300, names),
    ):
        with pytest.raises(DataError, match="list of distinct names"):
            make(special)


@every_kind
def test_saving_and_loading_change_nothing(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]  # nothing is left aside
    again = tokenizers.load(tmp_path / "tokenizer.json")
    assert type(again) is type(tokenizer) and again.to_dict() == tokenizer.to_dict()
    assert again.special == tokenizer.special and again.vocab_size == tokenizer.vocab_size
    text = "".join(SPECIAL) + TEXTS[0]
    for allow_special in (False, True):
        assert (
            again.encode(text, allow_special).tolist()
            == tokenizer.encode(text, allow_special).tolist()
        )


@every_kind
def test_a_description_is_plain_json(tokenizer):
    described = tokenizer.to_dict()
    assert json.loads(json.dumps(described)) == described


@every_kind
def test_a_damaged_file_is_one_clear_error(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    whole = path.read_bytes()
    for damage in (whole[:-1], whole[: len(whole) // 2], b"", b"\xff" + whole, b"[]", b"3"):
        path.write_bytes(damage)
        with pytest.raises(CheckpointError, match="tokenizer.json"):
            tokenizers.load(path)
    described = tokenizer.to_dict()
    for key in described:
        edits = [{key: 3}, {key: [1]}, {key: [None, 2]}, {key: "!!"}, {}]
        for edit in (
            edits[:3] + edits[4:] if key == "unk" else edits
        ):  # "!!" is a possible name for <unk>
            path.write_text(json.dumps({k: v for k, v in described.items() if k != key} | edit))
            with pytest.raises(CheckpointError, match="tokenizer.json"):
                tokenizers.load(path)


def test_a_missing_file_and_an_unknown_kind_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="none.json: No such file"):
        tokenizers.load(tmp_path / "none.json")
    with pytest.raises(DataError, match="kind 'words'; the kinds are characters, byte, bpe"):
        tokenizers.from_dict({"kind": "words"})


def test_saving_over_a_file_that_cannot_be_replaced_loses_nothing(tmp_path):
    path = tmp_path / "tokenizer.json"
    ByteTokenizer().save(path)
    before = path.read_bytes()
    broken = ByteTokenizer()
    broken.to_dict = lambda: {
        "kind": "\ud800"
    }  # has no UTF-8, so it fails while writing, as a full disk would
    with pytest.raises(UnicodeEncodeError):
        broken.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [
        "tokenizer.json"
    ]
