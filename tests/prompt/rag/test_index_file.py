"""An index as a file: the same when it is read back, and refused when it is damaged."""

import json

import numpy as np
import pytest

from tinylm.errors import CheckpointError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.rag.index_file import StoredIndex, read_index, write_index

SOURCE = {"path": "a.txt", "bytes": 9, "mtime": 5, "sha256": "00"}
TEXTS = ["The cat sat. Ein Bär.", "the 猫 dog"]
SPANS = [(0, 0, 12), (0, 13, 21), (1, 0, 9)]


def stored(vectors=None):
    one = StoredIndex(
        {"size": 3}, [SOURCE, SOURCE | {"path": "b"}], list(TEXTS), np.array(SPANS), vectors=vectors
    )
    one.count_words()
    return one


def test_what_was_written_is_read_back(tmp_path):
    for vectors in None, np.array([[1, 0], [0, 1], [0.5, -2]], np.float32):
        write_index(tmp_path / "i", stored(vectors))
        found = read_index(tmp_path / "i")
        assert (found.settings, found.sources) == ({"size": 3}, stored().sources)
        assert found.texts == TEXTS and found.spans.tolist() == [list(span) for span in SPANS]
        assert found.words == ["bär", "cat", "dog", "ein", "sat", "the", "猫"]
        np.testing.assert_array_equal(found.vectors, vectors)
    assert [path.name for path in tmp_path.iterdir()] == ["i"]  # nothing is left beside it


def test_the_index_searches_as_one_that_was_just_made():
    one = stored()
    assert one.passage_texts() == ["The cat sat.", "Ein Bär.", "the 猫 dog"]
    made = InvertedIndex(one.passage_texts())
    for query in "cat", "the cat", "猫 dog the", "bär", "zebra", "":
        assert one.inverted().search(query, 3) == made.search(query, 3)
    assert one.get("the") == [(0, 1), (2, 1)] and one.get("zebra") == () and one.get("x", 3) == 3
    assert one.lengths.tolist() == [3, 2, 3]
    repeated = StoredIndex({}, [SOURCE], ["a b a", "b"], np.array([(0, 0, 5), (1, 0, 1)]))
    repeated.count_words()
    assert repeated.get("a") == [(0, 2)] and repeated.get("b") == [(0, 1), (1, 1)]


def test_the_stemmer_is_stored_by_its_name(tmp_path):
    one = StoredIndex({"stem": "porter"}, [SOURCE], ["towns"], np.array([(0, 0, 5)]))
    one.count_words()
    write_index(tmp_path / "i", one)
    found = read_index(tmp_path / "i")
    assert found.words == ["town"] and len(found.inverted().search("towns", 1)) == 1
    assert stored().inverted().stem is None  # of a file without this setting, too


def test_an_index_without_words(tmp_path):
    one = StoredIndex({}, [SOURCE], ["..."], np.array([(0, 0, 3)]))
    one.count_words()
    write_index(tmp_path / "i", one)
    assert read_index(tmp_path / "i").inverted().search("a", 1) == []


def header(**changes):
    fields = {
        "format": "tinylm passages 1",
        "settings": {"size": 3},
        "sources": [SOURCE, SOURCE],
        "lengths": [22, 11],
    }
    return np.frombuffer(json.dumps(fields | changes).encode(), np.uint8)


def ints(*values):
    return np.array(values, np.int64)


BEGIN = ints(0, 1, 2, 3, 4, 5, 7, 8)
PASSAGE = ints(1, 0, 2, 1, 0, 0, 2, 2)
COUNT = ints(1, 1, 1, 1, 1, 1, 1, 1)


def test_the_arrays_of_the_damaged_ones_below_are_right_but_for_the_damage(tmp_path):
    one = stored()
    for name, value in ("begin", BEGIN), ("passage", PASSAGE), ("count", COUNT):
        np.testing.assert_array_equal(getattr(one, name), value)
    write_index(tmp_path / "i", one)
    with np.load(tmp_path / "i") as file:
        np.savez(tmp_path / "j.npz", **{**file, "header": header()})
    read_index(tmp_path / "j.npz")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"header": header(format="other")}, "the format is 'other'"),
        ({"header": header(sources=[SOURCE])}, "do not fit together"),
        ({"header": header(settings=3)}, "do not fit together"),
        ({"header": header(settings={"stem": "other"})}, "the stemmer is 'other'"),
        ({"header": header(sources=[SOURCE, SOURCE | {"bytes": "9"}])}, "a source is"),
        ({"header": header(sources=[SOURCE, {"path": "a"}])}, "a source is"),
        ({"header": header(sources=3)}, "cannot be read"),
        ({"header": header(lengths=[22, 10])}, "33 bytes, and 32 by"),
        ({"header": header(lengths=[22, 12])}, "33 bytes, and 34 by"),
        ({"header": header(lengths=[33, -0.0])}, "length -0.0"),
        ({"header": header(lengths=[34, -1])}, "length -1"),
        ({"header": header(lengths=[True, 32])}, "length True"),
        ({"header": header(lengths=[19, 14])}, "codec can't decode"),  # inside a letter
        ({"header": np.frombuffer(b"[]", np.uint8)}, "cannot be read"),
        ({"header": np.frombuffer(b"{", np.uint8)}, "cannot be read"),
        ({"header": np.frombuffer(b"{}", np.uint8)}, "cannot be read"),
        ({"words": np.frombuffer(b"\xff", np.uint8)}, "cannot be read"),
        ({"words": None}, "it holds begin, count"),
        ({"more": ints(1)}, "it holds begin, count, header, lengths, more"),
        ({"begin": BEGIN.astype(np.int32)}, "begin is int32 (8,)"),
        ({"spans": ints(1, 2, 3)}, "spans is int64 (3,)"),
        ({"spans": np.array(SPANS)[:, :2]}, "do not fit together"),
        ({"lengths": ints(3, 2)}, "do not fit together"),
        ({"count": COUNT[1:]}, "do not fit together"),
        ({"spans": np.array([*SPANS[:2], (2, 0, 9)])}, "of no document"),
        ({"spans": np.array([*SPANS[:2], (-1, 0, 9)])}, "of no document"),
        ({"spans": np.array([*SPANS[:2], (1, -1, 9)])}, "outside of its document"),
        ({"spans": np.array([*SPANS[:2], (1, 3, 3)])}, "outside of its document"),
        ({"spans": np.array([*SPANS[:2], (1, 0, 10)])}, "outside of its document"),
        ({"words": np.frombuffer("a\nb\nc\nd\ne\ng\nf".encode(), np.uint8)}, "not in order"),
        ({"words": np.frombuffer(b"a\nb\nc\nd\ne\nf\nf", np.uint8)}, "not in order"),
        ({"words": np.frombuffer(b"a\nb", np.uint8)}, "not in order"),
        ({"begin": ints(1, 1, 2, 3, 4, 5, 7, 8)}, "a word has no passages"),
        ({"begin": ints(0, 1, 2, 3, 4, 5, 7, 7)}, "a word has no passages"),
        ({"begin": ints(0, 1, 2, 2, 4, 5, 7, 8)}, "a word has no passages"),
        ({"passage": ints(1, 0, 2, 1, 0, 0, 2, 3)}, "in no passage"),
        ({"passage": ints(1, 0, 2, 1, 0, 0, 2, -1)}, "in no passage"),
        ({"count": ints(1, 1, 1, 1, 1, 1, 1, 0)}, "in no passage"),
        ({"count": ints(1, 1, 1, 1, 1, 1, 1, 2)}, "do not add up"),
        ({"vectors": np.zeros((3, 2))}, "vectors is float64 (3, 2) for 3 passages"),
        ({"vectors": np.zeros((2, 2), np.float32)}, "vectors is float32 (2, 2) for 3"),
        ({"vectors": np.zeros(3, np.float32)}, "vectors is float32 (3,)"),
        ({"vectors": np.full((3, 2), np.inf, np.float32)}, "not finite"),
        ({"begin": np.array([None] * 8)}, "no .npz file"),  # objects would run code
    ],
)
def test_a_damaged_index_is_refused(tmp_path, changes, reason):
    path = tmp_path / "i.npz"
    write_index(path, stored())
    with np.load(path) as file:
        arrays = {**file, "header": header()} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(CheckpointError) as caught:
        read_index(path)
    assert reason in str(caught.value) and str(path) in str(caught.value)
    assert "Delete it" in str(caught.value)


def test_other_files_are_no_index(tmp_path):
    path = tmp_path / "i.npz"
    write_index(path, stored())
    data = path.read_bytes()
    for damaged in b"", b"PK", data[:100], data[:-30], data.replace(b"cat", b"cut"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="no .npz file.* Delete it"):
            read_index(path)
    # Perhaps a document, which nobody should delete.
    for other in b"text", b"P", b"\x93NUMPY", b"XPK":
        path.write_bytes(other)
        with pytest.raises(
            CheckpointError, match=f"{path} is no index: give another path"
        ) as caught:
            read_index(path)
        assert "elete" not in str(caught.value)
    for none in "none", "":  # "" is the folder
        with pytest.raises(OSError):
            read_index(tmp_path / none)


@pytest.mark.parametrize(
    "at, bit, reason",
    [
        (6, 0, "encrypted"),  # flag 0 of the general purpose flags
        (6, 5, "compressed patched data"),
        (8, 1, "compression method"),
        (4, 6, "zip file version"),
    ],
)
def test_bits_that_mean_another_kind_of_archive(tmp_path, at, bit, reason):
    path = tmp_path / "i.npz"
    write_index(path, stored())
    data = bytearray(path.read_bytes())
    # The same field stands 2 bytes later in the directory at the end, which is read first.
    data[data.index(b"PK\x01\x02") + at + 2] ^= 1 << bit
    if at == 6:
        data[at] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{path} .*no .npz file.*{reason}"):
        read_index(path)


def test_a_directory_that_begins_before_the_file(tmp_path):
    path = tmp_path / "i.npz"
    write_index(path, stored())
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = (len(data) * 2).to_bytes(4, "little")  # bytes of the directory
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="no .npz file"):
        read_index(path)


def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path):
    path = tmp_path / "i.npz"
    write_index(path, stored())
    data = path.read_bytes()
    for at in range(0, len(data), 7):  # a seventh of the bytes: those of each field are met
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            found = read_index(path)
        except CheckpointError as error:
            assert str(path) in str(error)
        else:
            assert found.texts == TEXTS and found.words == stored().words
