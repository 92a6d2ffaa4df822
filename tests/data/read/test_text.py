"""Text arrives whole and unchanged, or not at all with one clear reason."""

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinylm import reading
from tinylm.data.read.text import (
    frequent_characters,
    python_documentation,
    read_text,
    stream_documents,
    stream_text,
    text_files,
    without_repeats,
)
from tinylm.errors import DataError

# No NUL (that is what makes a file binary), no lone surrogate (not encodable), no CR (becomes LF).
characters = st.characters(blacklist_characters="\0\r", blacklist_categories=("Cs",))


def read_back(tmp_path_factory, data, **kwargs):
    file = tmp_path_factory.mktemp("text") / "a.txt"
    file.write_bytes(data)
    return list(stream_text(file, **kwargs))


def test_python_documentation_is_long_deterministic_english():
    text = python_documentation()
    assert text == python_documentation()
    assert len(text) > 400_000  # 465,000 in 3.11; versions differ by some thousands
    assert 'The "assert" statement' in text and text.endswith("\n")


def test_a_python_without_pydoc_data_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match="--data FILE"):
        python_documentation()


def test_without_repeats_keeps_the_first_of_equal_paragraphs_and_every_short_one():
    long, short = "x" * 80, "----"  # 80: the shortest paragraph that counts as a repeat
    text = "\n\n".join([short, long, short, long, "end"])
    assert without_repeats(text) == "\n\n".join([short, long, short, "end"])


@given(st.lists(st.sampled_from(["a" * 80, "b" * 90, "c", ""]), max_size=12))
def test_without_repeats_is_idempotent_and_loses_no_paragraph(paragraphs):
    once = without_repeats("\n\n".join(paragraphs))
    assert without_repeats(once) == once
    assert set(once.split("\n\n")) == set(paragraphs or [""])


def test_rare_characters_share_the_last_id():
    ids, kept = frequent_characters("banana b é", least=2)
    # a three times, b, n and the space twice; é once
    assert kept == [" ", "a", "b", "n"] and ids.tolist() == [2, 1, 3, 1, 3, 1, 0, 2, 0, 4]
    text = "x" * 20 + "y" * 19
    assert frequent_characters(text)[1] == ["x"]
    ids, kept = frequent_characters("", least=2)
    assert ids.shape == (0,) and kept == []


@given(st.text(characters), st.integers(1, 3))
def test_frequent_characters_come_back(text, least):
    ids, kept = frequent_characters(text, least)
    assert all(text.count(c) >= least for c in kept) and kept == sorted(set(kept))
    back = [(kept + [None])[i] for i in ids]
    assert len(back) == len(text)
    assert all(a == b or (a is None and text.count(b) < least) for a, b in zip(back, text))


@given(st.text(characters, min_size=1), st.integers(1, 9))
@example("é€😀" * 5, 4)  # characters of 2, 3 and 4 bytes, cut by every chunk size
def test_any_chunk_size_gives_the_text_back(tmp_path_factory, text, chunk_bytes):
    text = text.removeprefix("\ufeff") or "a"  # at the start it would be a byte order mark
    pieces = read_back(tmp_path_factory, text.encode(), chunk_bytes=chunk_bytes)
    assert "".join(pieces) == text and all(pieces)


@given(st.integers(1, 9))  # 1: shorter than the mark itself
def test_byte_order_mark_and_crlf_are_dropped_wherever_the_chunks_fall(
    tmp_path_factory, chunk_bytes
):
    data = b"\xef\xbb\xbf" + "é one\r\ntwo\r\n\r\nthree\r".encode()
    assert (
        "".join(read_back(tmp_path_factory, data, chunk_bytes=chunk_bytes))
        == "é one\ntwo\n\nthree\n"
    )


def test_a_file_of_only_a_byte_order_mark_yields_nothing(tmp_path_factory):
    assert read_back(tmp_path_factory, b"\xef\xbb\xbf") == []


@given(st.text(characters, max_size=30), st.integers(4, 40))
def test_undecodable_bytes_are_named_with_their_exact_offset(tmp_path_factory, before, chunk_bytes):
    data = before.removeprefix("\ufeff").encode()
    with pytest.raises(
        DataError, match=rf"a\.txt' is not utf-8: byte 0xe9 at offset {len(data)} .*iconv"
    ):
        read_back(tmp_path_factory, data + b"\xe9 latin", chunk_bytes=chunk_bytes)


def test_a_character_cut_off_at_the_end_of_the_file_is_undecodable(tmp_path_factory):
    with pytest.raises(DataError, match="byte 0xe2 at offset 2 .unexpected end of data"):
        read_back(tmp_path_factory, b"ab" + "€".encode()[:2])


def test_another_encoding_is_read_when_it_is_named(tmp_path_factory):
    assert (
        "".join(read_back(tmp_path_factory, "né\r\n".encode("latin-1"), encoding="latin-1"))
        == "né\n"
    )
    assert (
        "".join(
            read_back(tmp_path_factory, "né".encode("utf-16"), encoding="utf-16", chunk_bytes=5)
        )
        == "né"
    )


@pytest.mark.parametrize("data, offset", [(b"abc\0def", 3), (b"\x89PNG\r\n\x1a\n\0\0", 8)])
def test_binary_files_are_refused_with_the_place_of_the_nul(tmp_path_factory, data, offset):
    with pytest.raises(DataError, match=f"binary file .a NUL byte at offset {offset}"):
        read_back(tmp_path_factory, data)


def test_utf16_is_recognized_and_the_conversion_named(tmp_path_factory):
    with pytest.raises(DataError, match="looks like UTF-16.*iconv -f UTF-16"):
        read_back(tmp_path_factory, "hello".encode("utf-16"))


def test_empty_and_missing_files_are_named(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="empty.txt' is empty"):
        read_text(tmp_path / "empty.txt")
    with pytest.raises(DataError, match="no file or directory.*absent.txt"):
        read_text(tmp_path / "absent.txt")


def test_an_unreadable_file_is_named_with_the_systems_reason(tmp_path, monkeypatch):
    (tmp_path / "secret.txt").write_text("x")

    def refuse(path, *args):  # chmod does not stop root, under whom tests may run
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading, "open", refuse, raising=False)
    with pytest.raises(DataError, match="secret.txt' cannot be read .Permission denied"):
        read_text(tmp_path / "secret.txt")


def test_a_directory_is_read_recursively_in_name_order_without_other_files(tmp_path):
    for name in ["b.txt", "a/z.md", "a.rst", "a/.hidden.txt", ".git/c.txt", "image.png", "C.TXT"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty.txt").touch()
    assert read_text(tmp_path) == ["C.TXT", "a.rst", "a/z.md", "b.txt"]
    assert [file.name for file in text_files(tmp_path)] == [
        "C.TXT",
        "a.rst",
        "z.md",
        "b.txt",
        "empty.txt",
    ]
    assert ["".join(chunks) for chunks in stream_documents(tmp_path, chunk_bytes=4)] == read_text(
        tmp_path
    )


def test_directories_without_text_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no text file.*\\.txt"):
        read_text(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    with pytest.raises(DataError, match="all 2 text files .* are empty"):
        read_text(tmp_path)


def test_lines_of_json_are_documents_and_not_text(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "one\\n"}\n{"text": "two", "id": 3}\n')
    (tmp_path / "plain.txt").write_text("three")
    assert read_text(tmp_path) == ["three", "one\n", "two"]
    path.write_text('{"text": "one"}\n{"words": "two"}\n')
    with pytest.raises(DataError, match="line 2: it has the fields 'words': the one with"):
        read_text(path)
