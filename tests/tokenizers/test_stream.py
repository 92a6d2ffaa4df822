"""Text comes in whole from any source, and chunks are cut where told."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.tokenizers.stream import certain_chunks, read_text, special_pattern


@given(st.text(), st.integers(1, 7))
def test_every_source_gives_the_text(text, size):
    data = text.encode()
    sources = [
        text,
        data,
        io.BytesIO(data),
        io.StringIO(text, newline=""),
        [text, ""],
        [data[i : i + size] for i in range(0, len(data), size)],
    ]  # parts that split characters
    for source in sources:
        assert "".join(read_text(source, size)) == text


def test_a_path_is_read_as_utf8_with_its_line_ends(tmp_path):
    file = tmp_path / "text"
    file.write_bytes("é\r\n中".encode())
    assert "".join(read_text(file, 1)) == "é\r\n中"


def test_parts_are_no_longer_than_asked():
    assert list(read_text("abcde", 2)) == ["ab", "cd", "e"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_bad_byte_is_reported_with_its_offset(size):
    # "é" takes the bytes 1 and 2, so the first bad byte is number 3, in whatever block it comes.
    with pytest.raises(DataError, match="byte 0xff at offset 3 "):
        list(read_text(io.BytesIO(b"a\xc3\xa9\xffz"), size))


@pytest.mark.parametrize("size", [1, 100])
def test_a_character_cut_short_at_the_end_is_reported(size):
    with pytest.raises(DataError, match="byte 0xe4 at offset 1 "):
        list(read_text(io.BytesIO("a中".encode()[:-1]), size))


def test_a_bad_byte_in_a_file_opened_as_text_is_reported(tmp_path):
    file = tmp_path / "latin"
    file.write_bytes(b"caf\xe9")
    with (
        file.open(encoding="utf-8") as opened,
        pytest.raises(DataError, match="latin holds the byte 0xe9"),
    ):
        list(read_text(opened))


def test_a_missing_file_and_an_impossible_size_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="cannot read .*nothing: No such file"):
        list(read_text(tmp_path / "nothing"))
    with pytest.raises(DataError, match="chunk_bytes is 0"):
        list(read_text("a", 0))


def cut_at_spaces(text, start, stop):
    """Cuts are certain before spaces."""
    return max(text.rfind(" ", start + 1, stop), start)


@given(st.text(st.sampled_from("a "), max_size=40), st.integers(1, 5), st.integers(1, 9))
def test_chunks_join_to_the_text_and_begin_where_they_say(text, part, size):
    parts = [text[i : i + part] for i in range(0, len(text), part)]
    chunks = list(certain_chunks(parts, size, cut_at_spaces))
    assert "".join(chunk for _, chunk in chunks) == text
    for position, chunk in chunks:
        assert chunk == text[position : position + len(chunk)]
        assert position == 0 or chunk[0] == " "


def test_an_uncut_run_is_searched_a_logarithmic_number_of_times():
    searched = []

    def never(text, start, stop):
        searched.append(len(text))
        return start

    chunks = list(certain_chunks(["a"] * 1024, 1, never))
    assert chunks == [(0, "a" * 1024)]
    assert searched == [
        2**k for k in range(11)
    ]  # 1, 2, 4 .. 1024: the work doubles, so the sum is linear


@given(st.text(st.sampled_from("<ab>"), max_size=30), st.integers(1, 6))
@settings(max_examples=200)  # short examples, and rare ones are what it is about
def test_special_tokens_are_never_cut_through(text, size):
    names = [
        "<a>",
        "<a><b>",
        "b>",
        "<",
    ]  # overlapping: one contains, one begins inside, one begins another
    special = special_pattern(names)
    chunks = certain_chunks(
        list(text), size, lambda text, start, stop: stop, special, max(map(len, names))
    )
    found = [
        (position + m.start(), m.group())
        for position, chunk in chunks
        for m in special.finditer(chunk)
    ]
    assert found == [(m.start(), m.group()) for m in special.finditer(text)]
