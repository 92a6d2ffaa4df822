"""A token file gives back what was written, or says what is wrong with it."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm.data.batches.tokenfile as module
from tinylm.data.batches.tokenfile import HEADER_BYTES, TokenFile, TokenWriter, write_tokens
from tinylm.errors import DataError, DtypeError


@given(
    st.lists(st.lists(st.integers(0, 299), max_size=9), max_size=6),
    st.sampled_from([300, 2**16, 2**16 + 1]),
)
def test_tokens_and_documents_come_back_as_they_were_written(
    tmp_path_factory, documents, vocab_size
):
    path = tmp_path_factory.mktemp("tokens") / "a.bin"
    with TokenWriter(path, vocab_size) as out:
        for document in documents:
            out.append(document[:3])  # in two pieces
            out.append(np.array(document[3:], np.int32))
            out.end_document()
    file = TokenFile.open(path, vocab_size)
    file.verify()
    flat = sum(documents, [])
    assert file.tokens.tolist() == flat and len(file) == len(flat)
    assert [d.tolist() for d in file.documents] == (documents or [[]])
    assert file.documents.sizes().tolist() == [len(d) for d in documents or [[]]]
    assert (file.vocab_size, file.largest) == (vocab_size, max(flat, default=0))
    assert file.tokens.dtype.itemsize == (2 if vocab_size <= 2**16 else 4)


def test_tokens_are_mapped_and_read_only(tmp_path):
    file = write_tokens(tmp_path / "a.bin", [1, 2, 3], vocab_size=4)
    assert isinstance(file.tokens.base, np.memmap) and type(file.tokens) is np.ndarray
    with pytest.raises(ValueError):
        file.tokens[0] = 0


def test_the_largest_ids_of_each_width_survive(tmp_path):
    for top in (2**16 - 1, 2**32 - 1):
        assert write_tokens(tmp_path / "a.bin", [top], top + 1).tokens.tolist() == [top]


def test_a_file_without_marked_documents_is_one_document(tmp_path):
    file = write_tokens(tmp_path / "a.bin", [1, 2, 3], vocab_size=4)
    assert len(file.documents) == 1 and file.documents[-1].tolist() == [1, 2, 3]
    with pytest.raises(IndexError):
        file.documents[1]


@pytest.mark.parametrize(
    "ids, shown", [([1, 300], "300 at position 6"), ([-1], "-1 at position 5")]
)
def test_an_id_outside_the_vocabulary_is_named_and_nothing_is_left(tmp_path, ids, shown):
    with pytest.raises(
        DataError, match=f"token id {shown} is out of range for a vocabulary of 256"
    ):
        with TokenWriter(tmp_path / "a.bin", 256) as out:
            out.append([0] * 5)
            out.append(ids)
    assert list(tmp_path.iterdir()) == []


def test_ids_that_are_not_integers_are_refused(tmp_path):
    with pytest.raises(DtypeError, match="float64, not integers"):
        write_tokens(tmp_path / "a.bin", [0.5], 4)


@pytest.mark.parametrize("vocab_size", [0, 2**32 + 1])
def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path, vocab_size):
    with pytest.raises(DataError, match="does not fit 32 bits"):
        TokenWriter(tmp_path / "a.bin", vocab_size)


def test_a_model_with_a_smaller_vocabulary_is_told_before_it_reads_a_token(tmp_path):
    write_tokens(tmp_path / "a.bin", [5, 99], vocab_size=100)
    with pytest.raises(
        DataError, match="token id 99, out of range for a vocabulary of 65 .it was written for 100"
    ):
        TokenFile.open(tmp_path / "a.bin", vocab_size=65)


@given(st.data())
def test_every_truncation_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("tokens") / "a.bin"
    write_tokens(path, [1, 2, 3, 4, 5], vocab_size=6)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match="truncated|not a token file"):
        TokenFile.open(path)


@given(
    st.integers(8, HEADER_BYTES - 9), st.integers(1, 255)
)  # magic is tested below; the last 8 bytes are unused
def test_every_changed_header_byte_is_noticed(tmp_path_factory, at, flip):
    path = tmp_path_factory.mktemp("tokens") / "a.bin"
    write_tokens(path, [1, 2, 3], vocab_size=6)
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= flip
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged header"):
        TokenFile.open(path)


def test_verify_notices_a_changed_token(tmp_path):
    path = tmp_path / "a.bin"
    write_tokens(path, [1, 2, 3], vocab_size=6)
    for changed, message in [
        (4, "does not match its checksum"),
        (7, "token id 7 at position 1.*vocabulary of 6"),
    ]:
        damaged = bytearray(path.read_bytes())
        damaged[HEADER_BYTES + 2] = changed  # low byte of the second uint16
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=message):
            TokenFile.open(path).verify()


def test_verify_walks_a_file_longer_than_its_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    write_tokens(tmp_path / "a.bin", np.arange(11), vocab_size=11).verify()


def test_files_of_other_kinds_and_versions_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x80\x04 pickle")
    with pytest.raises(DataError, match="not a token file"):
        TokenFile.open(path)
    with pytest.raises(DataError, match="absent.bin cannot be read .No such file"):
        TokenFile.open(tmp_path / "absent.bin")
    with monkeypatch.context() as patch:
        patch.setattr(module, "VERSION", 2)
        write_tokens(path, [1], 2)
    with pytest.raises(DataError, match="format version 2, this tinylm reads 1"):
        TokenFile.open(path)


def test_an_interrupted_write_leaves_the_older_file(tmp_path):
    write_tokens(tmp_path / "a.bin", [1, 2], vocab_size=4)
    with pytest.raises(KeyboardInterrupt):
        with TokenWriter(tmp_path / "a.bin", 4) as out:
            out.append([3])
            raise KeyboardInterrupt
    assert TokenFile.open(tmp_path / "a.bin").tokens.tolist() == [1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    write_tokens(tmp_path / "a.bin", [1, 2], vocab_size=4)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="a.bin cannot be written .No space left"):
        write_tokens(tmp_path / "a.bin", [3], vocab_size=4)
    assert TokenFile.open(tmp_path / "a.bin").tokens.tolist() == [1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere.*cannot be written"):
        write_tokens(tmp_path / "nowhere" / "a.bin", [1], 2)


def test_a_changed_end_of_a_document_is_noticed(tmp_path):
    with TokenWriter(tmp_path / "t.bin", 9) as out:
        for document in ([1, 2, 3], [4, 5]):
            out.append(document)
            out.end_document()
    TokenFile.open(tmp_path / "t.bin").verify()
    data = bytearray((tmp_path / "t.bin").read_bytes())
    data[-16] = 2  # the first of two ends, of 8 bytes each
    (tmp_path / "t.bin").write_bytes(data)
    with pytest.raises(DataError, match="does not match its checksum"):
        TokenFile.open(tmp_path / "t.bin").verify()
    data[56:60] = bytes(4)  # a file of before ends had a checksum
    data[-16] = 3
    (tmp_path / "t.bin").write_bytes(data)
    TokenFile.open(tmp_path / "t.bin").verify()
