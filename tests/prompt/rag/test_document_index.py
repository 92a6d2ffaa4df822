"""Documents are read once, again when they change, and named when they cannot be read."""

import os

import numpy as np
import pytest

from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.prompt.rag import document_index
from tinylm.prompt.rag.document_index import NAME, open_index
from tinylm.prompt.rag.retrievers import find_texts

A = "Oslo is in Norway. Kyoto is in Japan."
B = "Quito is in Ecuador."


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text(A)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.md").write_text(B)
    return tmp_path


def write(path, text, step=0):
    """Write a file whose time of change is surely another one than before."""
    path.write_text(text)
    time = path.stat().st_mtime_ns + step
    os.utime(path, ns=(time, time))


def test_documents_become_passages_with_their_places(folder):
    index = open_index([folder], size=4, overlap=0)
    assert index.documents == ["Oslo is in Norway. ", "Kyoto is in Japan.", B]
    assert [(p.document, p.start) for p in index.passages] == [
        ("a.txt", 0),
        ("a.txt", 19),
        ("in/b.md", 0),
    ]
    assert [number for number, _ in index.search("Where is Kyoto?", 1)] == [1]
    assert index.read == ["a.txt", "in/b.md"] and index.left_out == {} and index.saved
    assert (folder / NAME).is_file()
    # Both passages of a.txt as one text, since they touch.
    assert find_texts(index, "Oslo Kyoto Japan", 2).texts == [A]


def test_a_second_call_reads_no_document(folder, monkeypatch):
    first = open_index([folder], size=4, overlap=0)
    before = (folder / NAME).stat().st_mtime_ns
    monkeypatch.setattr(document_index, "_text", None)
    monkeypatch.setattr(document_index, "_hash", None)
    index = open_index(folder, size=4, overlap=0)
    assert index.read == [] and index.documents == first.documents and index.saved
    assert index.passages == first.passages
    assert index.search("Japan Quito", 3) == first.search("Japan Quito", 3)
    assert (folder / NAME).stat().st_mtime_ns == before


def test_what_changed_is_read_again(folder):
    open_index([folder])
    write(folder / "a.txt", A.replace("Oslo", "Bonn"), 1)  # of the same size
    (folder / "c.txt").write_text("Lima is in Peru.")
    index = open_index([folder])
    assert index.read == ["a.txt", "c.txt"]
    assert index.documents == [A.replace("Oslo", "Bonn"), "Lima is in Peru.", B]
    assert index.search("Bonn", 1) and not index.search("Oslo", 1)
    (folder / "a.txt").unlink()
    index = open_index([folder])
    assert index.read == [] and index.documents == ["Lima is in Peru.", B]
    assert [p.document for p in index.passages] == ["c.txt", "in/b.md"]
    assert not index.search("Bonn", 1)
    again = open_index([folder])
    assert again.read == [] and again.documents == index.documents


def test_a_new_time_with_the_same_content_is_no_change(folder):
    open_index([folder])
    write(folder / "a.txt", A, 10)
    assert open_index([folder]).read == []
    before = (folder / NAME).stat().st_mtime_ns
    assert open_index([folder]).read == []  # the new time was kept: nothing is hashed or written
    assert (folder / NAME).stat().st_mtime_ns == before


def test_a_new_size_at_the_same_time_is_a_change(folder):
    open_index([folder])
    time = (folder / "a.txt").stat().st_mtime_ns
    (folder / "a.txt").write_text(A + " More.")
    os.utime(folder / "a.txt", ns=(time, time))
    assert open_index([folder]).read == ["a.txt"]


@pytest.mark.parametrize("options", [{"size": 50}, {"overlap": 10}])
def test_other_passages_are_made_of_all_documents(folder, options):
    open_index([folder])
    assert open_index([folder], **options).read == ["a.txt", "in/b.md"]
    assert open_index([folder], size=100, overlap=20).read == ["a.txt", "in/b.md"]  # the defaults


def test_with_another_stemmer_words_are_counted_again_and_nothing_is_read(folder):
    assert open_index([folder]).search("wide countries norways", 3) == []
    write(folder / "a.txt", "Oslo is in Norway.")
    stemmed = open_index([folder], stem="porter")
    assert stemmed.read == ["a.txt"] and len(stemmed.search("norways", 3)) == 1
    again = open_index([folder], stem="porter")
    assert again.read == [] and again.search("norways", 3) == stemmed.search("norways", 3)
    plain = open_index([folder])
    assert plain.read == [] and plain.search("norways", 3) == []
    with pytest.raises(ConfigError, match="no stemmer 'snowball'; there are None and 'porter'"):
        open_index([folder], stem="snowball")


def test_files_that_are_no_text_are_named(folder):
    (folder / "x.txt").write_bytes(b"a\0b")
    (folder / "empty.txt").write_text("")
    (folder / "white.txt").write_text(" \n")
    (folder / "long.txt").write_text("word " * 20)
    index = open_index([folder], longest=99)
    assert set(index.left_out) == {"x.txt", "empty.txt", "white.txt", "long.txt"}
    assert "more than 99 characters" in index.left_out["long.txt"]
    assert "empty" in index.left_out["empty.txt"] and "white space" in index.left_out["white.txt"]
    assert index.documents == [A, B]
    assert "long.txt" not in open_index([folder], longest=100).left_out
    assert "long.txt" in open_index([folder], longest=99).left_out  # also where it was read before
    with pytest.raises(DataError, match="no document can be read: 'x.txt': "):
        open_index([folder / "x.txt"], folder / "i")


def test_files_that_are_no_text_by_their_names_are_counted(folder):
    assert open_index([folder]).not_text == ""
    (folder / "x.bin").write_bytes(b"a")
    (folder / "y.bin").write_bytes(b"a")
    for _ in range(2):  # also where nothing has changed
        assert open_index([folder]).not_text.startswith("left out 2 files not named like a text")
    (folder / "a.txt").write_text("another text")
    assert "2 .bin" in open_index([folder]).not_text


def test_a_pipe_is_left_out_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    index = open_index([folder / "pipe", folder / "a.txt"])
    assert index.left_out == {
        "pipe": "it is a pipe or a device: write it into a file, and give that"
    }
    assert index.documents == [A]


def test_two_processes_write_an_index_that_is_whole(folder):
    # The first is about to write when the second has written: the last one stands.
    first, written = document_index._saved, []

    def second(path, stored):
        if not written:
            written.append(True)
            (folder / "c.txt").write_text("Lima is in Peru.")
            assert open_index([folder]).read == ["a.txt", "c.txt", "in/b.md"]
        return first(path, stored)

    document_index._saved = second
    try:
        assert len(open_index([folder]).documents) == 2
    finally:
        document_index._saved = first
    # Its documents are those of the first, and what it lacks is found again.
    index = open_index([folder])
    assert index.read == ["c.txt"] and len(index.documents) == 3


def test_a_document_that_disappears_while_it_is_read_is_left_out(folder, monkeypatch):
    hashed = document_index._hash

    def gone(file):
        found = hashed(file)
        if file.name == "a.txt":
            file.unlink()
        return found

    monkeypatch.setattr(document_index, "_hash", gone)
    index = open_index([folder])
    assert list(index.left_out) == ["a.txt"] and index.documents == [B]
    monkeypatch.undo()
    assert open_index([folder]).left_out == {}


def test_a_document_that_changes_while_it_is_read_is_read_again(folder, monkeypatch):
    hashed = document_index._hash

    def changed(file):
        found = hashed(file)
        if file.name == "a.txt":
            write(file, "Oslo has another text.", 10)
        return found

    monkeypatch.setattr(document_index, "_hash", changed)
    open_index([folder])
    monkeypatch.undo()
    # Its hash was that of the text before the change, and so was its time.
    index = open_index([folder])
    assert index.read == ["a.txt"] and "Oslo has another text." in index.documents


def test_links_that_lead_back_are_followed_once(folder):
    (folder / "in" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    index = open_index([folder])
    assert index.documents == [A, B] and "Too many levels" in index.left_out["self"]


def test_a_file_that_is_much_too_long_is_not_even_hashed(folder, monkeypatch):
    monkeypatch.setattr(document_index, "_hash", lambda file: file.name)
    monkeypatch.setattr(document_index, "_text", lambda file, longest: "y")
    write(folder / "a.txt", "x" * 40)  # could be 10 characters of 4 bytes
    assert open_index([folder], longest=10).read == ["a.txt", "in/b.md"]
    write(folder / "a.txt", "x" * 41)
    assert "more than 10 characters" in open_index([folder], longest=10).left_out["a.txt"]


def test_lines_of_json_are_texts(folder):
    path = folder / "c.jsonl"
    path.write_text('{"text": "Lima is in Peru."}\n{"text": "Bonn"}\n')
    index = open_index([path], folder / "own")
    assert index.documents == ["Lima is in Peru.\n\nBonn"] and (folder / "own").is_file()
    path.write_text('{"title": "Lima"}\n')
    with pytest.raises(DataError, match="'c.jsonl': .*line 1"):
        open_index([path], folder / "own")


def test_the_index_stands_where_all_documents_are(folder):
    open_index([folder / "in" / "b.md"])
    assert (folder / "in" / NAME).is_file() and not (folder / NAME).exists()
    open_index([folder / "in" / "b.md", folder / "a.txt"])
    assert (folder / NAME).is_file()
    moved = folder.parent / f"{folder.name}-moved"
    folder.rename(moved)
    assert open_index([moved / "in" / "b.md", moved / "a.txt"]).read == []
    own = open_index([moved], moved / "own.txt")  # a name that looks like a text
    assert open_index([moved], moved / "own.txt").documents == own.documents
    assert "own.txt" not in own.left_out


def test_an_index_that_cannot_be_written_is_used_all_the_same(folder, monkeypatch):
    def fail(path, stored):
        raise OSError("read-only")

    monkeypatch.setattr(document_index, "write_index", fail)
    index = open_index([folder])
    assert not index.saved and index.search("Oslo", 1)


def test_a_damaged_index_is_refused(folder):
    (folder / NAME).write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="Delete it"):
        open_index([folder])


def test_an_index_that_cannot_be_read_is_named(folder, monkeypatch):
    (folder / "i").mkdir()
    with pytest.raises(ConfigError, match="i is a folder: give the path of a file"):
        open_index([folder], folder / "i")

    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(document_index, "read_index", fail)
    with pytest.raises(DataError, match=r"index .*npz cannot be read \(Permission denied\)"):
        open_index([folder])


def test_one_odd_document_is_left_out(folder):
    (folder / "half.jsonl").write_text('{"text": "Lima \\ud83d is in Peru"}\n')
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "loop").symlink_to("loop")
    index = open_index([folder])
    assert index.documents == [A, B] and index.saved
    assert set(index.left_out) == {"half.jsonl", "loop", "loop.txt"}
    assert "'\\ud83d', half of a character, at 5" in index.left_out["half.jsonl"]
    for name in "loop", "loop.txt":
        assert "symbolic links" in index.left_out[name]


def test_passages_by_another_rule_are_made_again(folder, monkeypatch):
    open_index([folder])
    monkeypatch.setattr(document_index, "LONG_WORD", 30)
    assert open_index([folder]).read == ["a.txt", "in/b.md"]


def letters(texts):
    """The counts of o, j and q: a meaning that can be computed by hand."""
    return np.array([[t.lower().count(letter) + 0.01 for letter in "ojq"] for t in texts])


def test_vectors_are_kept_and_made_for_new_passages_alone(folder):
    embedded = []

    def embed(texts):
        embedded.extend(texts)
        return letters(texts)

    options = {"size": 4, "overlap": 0, "embed": embed, "embedder": "letters"}
    first = open_index([folder], **options)
    assert sorted(embedded) == sorted(first.documents)
    # No word in common with the query: found by its vector.
    assert first.search("jjj", 1)[0][0] == 1
    embedded.clear()
    write(folder / "a.txt", "A new one.", 1)
    index = open_index([folder], **options)
    assert embedded == ["A new one."] and index.documents == ["A new one.", B]
    np.testing.assert_allclose(index.stored.vectors, letters(index.documents), rtol=1e-6)
    embedded.clear()
    again = open_index([folder], **options)
    assert embedded == [] and again.read == []
    np.testing.assert_array_equal(again.stored.vectors, index.stored.vectors)
    # Another embedder: new vectors of the texts that are there; then none.
    other = open_index([folder], **{**options, "embedder": "other"})
    assert len(embedded) == 2 and other.read == []
    plain = open_index([folder], size=4, overlap=0)
    assert plain.stored.vectors is None and plain.read == [] and plain.search("jjj", 1) == []
    embedded.clear()
    assert open_index([folder], **options).read == [] and len(embedded) == 2
    with pytest.raises(ConfigError, match="name of the embedder"):
        open_index([folder], embed=embed)


def test_documents_over_ten_million_characters_are_left_out_by_default():
    assert document_index.LONGEST == 10_000_000
