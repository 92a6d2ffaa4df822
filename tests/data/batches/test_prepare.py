"""Preparing text: both sides together are the text, the counts are right, and memory stays flat."""

import hashlib
import importlib
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.batches.prepare import Prepared, prepare
from tinylm.data.read.text import stream_documents
from tinylm.errors import ConfigError, DataError


class Utf8:
    """The smallest tokenizer: a token is a byte, 256 ends a text."""

    vocab_size = 257
    special = {"<|endoftext|>": 256}

    def encode_stream(self, chunks, chunk_bytes=None):
        for chunk in chunks:
            yield np.frombuffer(chunk.encode(), np.uint8).astype(np.int32)


class Wrong(Utf8):
    vocab_size = 100  # below the ids of small letters


def decoded(tokens):
    return bytes(tokens[tokens < 256].astype(np.uint8)).decode()


texts = st.text(st.characters(blacklist_categories=("Cs",)), min_size=2, max_size=40)


@given(texts, st.sampled_from([0.1, 0.5]), st.integers(1, 7))
def test_one_text_is_cut_at_a_character_and_comes_back_whole(
    tmp_path_factory, text, fraction, chunk
):
    out = tmp_path_factory.mktemp("corpus")
    chunks = (text[i : i + chunk] for i in range(0, len(text), chunk))
    made = prepare([chunks], Utf8(), out, fraction)
    train, val = decoded(made.train.tokens), decoded(made.val.tokens)
    assert train + val == text and len(train) == min(
        max(int(len(text) * (1 - fraction)), 1), len(text) - 1
    )
    for side, part in (("train", train), ("val", val)):
        assert made.meta[side]["characters"] == len(part)
        assert made.meta[side]["bytes"] == made.meta[side]["tokens"] == len(part.encode())
    assert made.meta["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert {file.name for file in out.iterdir()} == {"train.bin", "val.bin", "meta.json"}


@given(
    st.lists(st.text("abé", max_size=9), min_size=2, max_size=9).filter(
        lambda d: len({*d} - {""}) > 1
    )
)
def test_documents_stay_whole_end_with_the_end_token_and_do_not_leak(tmp_path_factory, documents):
    made = prepare(documents, Utf8(), tmp_path_factory.mktemp("corpus"), 0.3, seed=1)
    sides = [[decoded(d) for d in side.documents] for side in (made.train, made.val)]
    assert sorted(sides[0] + sides[1]) == sorted(d for d in documents if d)
    assert not set(sides[0]) & set(sides[1])
    assert all(
        d[-1] == 256 and (d[:-1] < 256).all()
        for side in (made.train, made.val)
        for d in side.documents
    )
    assert made.meta["end_of_text"] == 256 and made.meta["val"]["documents"] == len(sides[1])


def test_chunks_of_the_spool_never_cut_a_character(tmp_path, monkeypatch):
    text = "aé€😀" * 20
    whole = prepare(text, Utf8(), tmp_path / "whole")
    # 3: shorter than the longest character. The package has a function of the name of the module.
    monkeypatch.setattr(importlib.import_module("tinylm.data.batches.prepare"), "_CHUNK", 3)
    small = prepare(text, Utf8(), tmp_path / "small")
    assert (small.train.tokens == whole.train.tokens).all() and small.meta == whole.meta


def test_a_directory_is_streamed(tmp_path):
    for name, text in [("a.txt", "first\r\n"), ("b.txt", "second")]:
        (tmp_path / name).write_bytes(text.encode())
    made = prepare(stream_documents(tmp_path), Utf8(), tmp_path / "out", val_fraction=0)
    assert decoded(made.train.tokens) == "first\nsecond" and len(made.val) == 0
    made.val.verify()


def test_opening_again_gives_the_same_and_bits_per_byte_undo_the_tokenizer(tmp_path):
    made = Prepared.open(prepare("é" * 100, Utf8(), tmp_path).directory)
    assert made.vocab_size == 257 and made.bytes_per_token() == made.bytes_per_token("train") == 1.0
    # Uniform over 256 byte values is 8 bits for each byte.
    assert made.bits_per_byte(math.log(256)) == pytest.approx(8, rel=1e-15)


def test_same_text_and_seed_give_the_same_files(tmp_path):
    documents = [f"document {i}" for i in range(9)]
    for name in ("one", "two"):
        prepare(documents, Utf8(), tmp_path / name, seed=4)
    for file in ("train.bin", "val.bin", "meta.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    line = "the same line again and again, é\n" * 1000  # 34,000 bytes

    def peak(lines, out):
        tracemalloc.start()
        prepare([(line for _ in range(lines))], Utf8(), out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(10, tmp_path / "warm")  # imports and caches
    small, large = peak(60, tmp_path / "small"), peak(600, tmp_path / "large")  # 2 MB and 20 MB
    assert Prepared.open(tmp_path / "large").meta["train"]["bytes"] > 18_000_000
    assert (
        large < small + 200_000 and large < 8_000_000
    )  # chunks of 256 kB with int32 ids: 20 times below 20 MB * 8


@pytest.mark.parametrize("texts", ["", [], ["", ""], [iter([])]])
def test_an_empty_corpus_is_refused(tmp_path, texts):
    with pytest.raises(DataError, match="the text is empty"):
        prepare(texts, Utf8(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_leaves_the_older_preparation(tmp_path):
    def broken():
        yield "some text"
        raise DataError("read text: cut off")

    prepare("older text", Utf8(), tmp_path)
    for texts, tokenizer, message in [
        ([broken()], Utf8(), "cut off"),
        ("new text", Wrong(), "token id 110.*vocabulary of 100"),  # 110 is n
        ("a\ud800b", Utf8(), "document 0 has .* at character 1, half of a surrogate"),
    ]:
        with pytest.raises(DataError, match=message):
            prepare(texts, tokenizer, tmp_path)
        made = Prepared.open(tmp_path)
        assert decoded(made.train.tokens) + decoded(made.val.tokens) == "older text"
        assert {file.name for file in tmp_path.iterdir()} == {"train.bin", "val.bin", "meta.json"}


def test_a_half_replaced_preparation_is_noticed(tmp_path):
    prepare("older text", Utf8(), tmp_path / "a")
    prepare("another text", Utf8(), tmp_path / "b")
    (tmp_path / "a" / "val.bin").write_bytes((tmp_path / "b" / "val.bin").read_bytes())
    with pytest.raises(DataError, match="val.bin is not the file meta.json describes"):
        Prepared.open(tmp_path / "a")


def test_missing_damaged_and_foreign_preparations_are_refused(tmp_path):
    with pytest.raises(DataError, match="no prepared text in"):
        Prepared.open(tmp_path)
    prepare("some text", Utf8(), tmp_path)
    with pytest.raises(
        DataError, match="token id 120, out of range for a vocabulary of 65"
    ):  # 120 is x
        Prepared.open(tmp_path, vocab_size=65)
    (tmp_path / "meta.json").write_text(json.dumps({})[:1])
    with pytest.raises(DataError, match="meta.json is damaged"):
        Prepared.open(tmp_path)
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(DataError, match="meta.json is damaged"):
        Prepared.open(tmp_path)


def test_an_unwritable_directory_and_an_impossible_fraction_are_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file.* cannot be written"):
        prepare("text", Utf8(), tmp_path / "file" / "out")
    with pytest.raises(ConfigError, match="val_fraction is 1"):
        prepare("text", Utf8(), tmp_path, val_fraction=1)
