"""Bytes, lines and JSON of users' files: read whole, or refused with file and line."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.growth import superlinear
from tinylm.data.clean.toxicity import read_words
from tinylm.data.read.conll import read_conll
from tinylm.data.read.conllu import read_conllu
from tinylm.data.read.documents import read_documents
from tinylm.data.read.instructions import read_instructions
from tinylm.data.read.labeled import read_columns, read_labeled
from tinylm.data.read.preferences import read_preferences
from tinylm.data.read.text import read_text, stream_text
from tinylm.errors import DataError, TinylmError
from tinylm.reading import BadLines, json_lines, numbered_lines, other_encoding, strict_json
from tinylm.tokenizers.gpt2 import load_gpt2
from tinylm.tokenizers.stream import read_text as read_training_text
from tinylm.tokenizers.wordpiece import WordPieceTokenizer
from tinylm.train.run.words import read_dictionary

CONLLU = "1\té\t_\tX\t_\t_\t0\troot\t_\t_\n"
# Every reader of text: the end of the file's name, a text that it reads, and the reader.
READERS = {
    "text": (".txt", "é one\n", read_text),
    "documents": (".txt", "é one\n", lambda p: list(read_documents([p]))),
    "lines": (".txt", "é one\n", lambda p: list(read_documents([p], "line"))),
    "records": (".jsonl", '{"text": "é"}\n', lambda p: list(read_documents([p]))),
    "instructions": (".jsonl", '{"prompt": "é", "completion": "b"}\n', read_instructions),
    "list": (".json", '[{"prompt": "é", "completion": "b"}]\n', read_instructions),
    "preferences": (".jsonl", '{"prompt": "é", "chosen": "b", "rejected": ""}\n', read_preferences),
    "labeled": (".txt", "é one\t1\n", read_labeled),
    "tabs": (".tsv", "é\tb\n", lambda p: read_columns(p, 0, 1)),
    "commas": (".csv", '"é, a",b\n', lambda p: read_columns(p, 0, 1)),
    "conll": (".conll", "é O\n", read_conll),
    "conllu": (".conllu", CONLLU, read_conllu),
    "words": (".txt", "é\n", read_words),
    "dictionary": (".tsv", "é\tb\n", read_dictionary),
    "tokenizer": (".txt", "é one\n", lambda p: list(read_training_text(p))),
    "pieces": (".txt", "é\n[UNK]\n", lambda p: WordPieceTokenizer.from_vocabulary(p).pieces),
}


@pytest.fixture(params=READERS)
def reader(request, tmp_path):
    suffix, text, read = READERS[request.param]

    def write(data, more=""):
        path = tmp_path / f"a{suffix}{more}"
        path.write_bytes(data)
        return path

    return text, read, write


def test_a_byte_order_mark_and_gzip_change_nothing(reader):
    text, read, write = reader
    plain = read(write(text.encode()))
    assert read(write(codecs.BOM_UTF8 + text.encode())) == plain
    assert (
        read(write(gzip.compress(text.encode()), ".gz"))
        == plain
        == read(write(gzip.compress(text.encode())))
    )


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-32-le",
        "utf-32-be",
    ],
)
def test_other_encodings_are_named_with_the_command_that_converts(reader, encoding):
    text, read, write = reader
    path, name = write(text.encode(encoding)), encoding.upper()[:6]
    with pytest.raises(
        TinylmError, match=f"a[.].* looks like {name}.*iconv -f {name}.*{path.name}"
    ):
        read(path)


def test_bytes_that_are_not_utf8_are_named_with_their_line_and_byte(reader):
    text, read, write = reader
    with pytest.raises(TinylmError, match="a[.].*0xff"):
        read(write(text.encode() + b"x \xff\n"))


@pytest.mark.parametrize("damage", ["cut", "middle", "checksum", "no gzip", "more"])
def test_damaged_gzip_is_named(reader, damage):
    text, read, write = reader
    noise = "".join(f"# {i * 7919 % 10007}\n" for i in range(300)) if text == CONLLU else text * 40
    data = bytearray(gzip.compress((noise + text).encode()))
    if damage == "cut":
        del data[-12:]
    elif damage == "middle":
        data[len(data) // 2 - 4 : len(data) // 2 + 4] = b"\xff" * 8
    elif damage == "checksum":
        data[-8] ^= 1
    elif damage == "no gzip":
        data = text.encode()
    else:
        data += b"tail"
    with pytest.raises(TinylmError, match="a[.].*gz.*gzip"):
        read(write(bytes(data), ".gz"))


@pytest.mark.parametrize(
    "data, lines",
    [
        (b"a\r\nb\rc\n\nd", ["a", "b", "c", "", "d"]),
        (b"", []),
        (b"\n", [""]),
        (b"a\n", ["a"]),
        (codecs.BOM_UTF8, [""]),
        ("a\x85b\u2028c\x0bd\n".encode(), ["a\x85b\u2028c\x0bd"]),
    ],
)
def test_lines_end_as_in_an_editor_and_nowhere_else(tmp_path, data, lines):
    (tmp_path / "a").write_bytes(data)
    assert list(numbered_lines(tmp_path / "a")) == list(enumerate(lines, 1))


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=2),
    st.sampled_from(["utf-16-le", "utf-32-be"]),
)
@example("中文\n", "utf-16-le")
def test_no_text_is_taken_for_another_encoding(text, encoding):
    assert other_encoding(text.encode()) is None or text.startswith("\ufffe")
    assert other_encoding(b"abc\0def") is None
    assert other_encoding(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") is None
    assert other_encoding("中文\n第二行\n".encode("utf-16-le")) == "UTF-16LE"


@pytest.mark.parametrize(
    "line, reason",
    [
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "digits"),
        ("NaN", "NaN is no JSON number"),
        ('{"a": -Infinity}', "Infinity is no"),
        ('{"text": "a", "text": "b"}', "'text' stands twice"),
        ("'a'", "Expecting"),
        ('{"a": 1} x', "Extra data"),
        ('"a\tb"', "control character"),
        ("\ufeff{}", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_what_is_no_json_is_a_value_error(line, reason):
    with pytest.raises(ValueError, match=reason):
        strict_json(line)


BAD_RECORDS = [
    b"{",
    b"[" * 50_000,
    b'{"text": NaN}',
    b"9" * 5000,
    b'{"text": "a", "text": "b"}',
    b'{"text": "\xff"}',
    b'{"text": "a\0"}',
    b"null",
    b"[]",
    b'{"text": 3}',
    b'{"body": "a"}',
    b"3",
    b'"text"',
]


@pytest.mark.parametrize("line", BAD_RECORDS)
def test_a_bad_line_is_named_or_left_out_and_counted(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one"}\n' + line + b'\n{"text": "two"}\n')
    with pytest.raises(DataError, match="a.jsonl, line 2"):
        list(read_documents([path]))
    with pytest.raises(DataError, match="line 2.*--skip-bad"):
        list(read_documents([path], bad=BadLines()))
    bad = BadLines(skip=True)
    assert list(read_documents([path], bad=bad)) == ["one", "two"]
    assert bad.count == 1 and "a.jsonl, line 2" in bad.report()[1]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"prompt": 1}',
        b'{"prompt": "a", "completion": "\\ud800"}',
        b"\xff",
        b"[3]",
        b"{}",
    ],
)
def test_a_bad_sample_is_named_or_left_out_and_counted(tmp_path, line):
    path, good = tmp_path / "a.jsonl", b'{"prompt": "a", "completion": "b"}\n'
    path.write_bytes(good + line + b"\n" + good)
    with pytest.raises(DataError, match="a.jsonl, line 2"):
        read_instructions(path)
    bad = BadLines(skip=True)
    assert len(read_instructions(path, bad)) == 2 and bad.count == 1


def test_bad_rows_are_left_out_and_counted(tmp_path):
    path, bad = tmp_path / "a.tsv", BadLines(skip=True)
    path.write_bytes(b"a\t1\nb\n\xff\t2\nc\t3\td\n\t4\ne\t5\n")
    assert (
        read_columns(path, 0, 1, bad=bad)
        == [
            ("a", "1"),
            ("", "4"),
            ("e", "5"),
        ]
        and bad.count == 3
    )
    assert read_labeled(path, BadLines(skip=True)) == [("a", 1), ("e", 5)]


@pytest.mark.parametrize(
    "text, rows",
    [
        ('a,"b, ""c""\nd"\ne,f\n', [("a", 'b, "c"\nd'), ("e", "f")]),
        ("a,\n,b", [("a", ""), ("", "b")]),
        ('"","x"\r\n', [("", "x")]),
        ("\na,b\r\n\r\nc,d\n\n", [("a", "b"), ("c", "d")]),
    ],
)
def test_quotes_of_comma_separated_values_hide_commas_and_line_ends(tmp_path, text, rows):
    (tmp_path / "a.csv").write_text(text, newline="")
    assert read_columns(tmp_path / "a.csv", 0, 1) == rows


@pytest.mark.parametrize(
    "text, reason",
    [
        ('a,b\nc,"d\n', "line 2: a quote"),
        ('a,b\nc"d",e\n', "line 2: a quote"),
        ('a,b\n"c"d,e\n', "line 2: a quote"),
        ("a,b\nc\n", "line 2: has 1 columns"),
        ("a,b\nc,d,e\n", "line 2: has 3 columns, the lines before have 2"),
        ('a,b\n""\n', "line 2: has 1 columns"),
    ],
)
def test_malformed_comma_separated_values_have_their_line(tmp_path, text, reason):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_columns(tmp_path / "a.csv", 0, 1)


def test_quotes_between_tabs_are_letters(tmp_path):
    (tmp_path / "a.tsv").write_text('"a\tb"\n')
    assert read_columns(tmp_path / "a.tsv", 0, 1) == [('"a', 'b"')]


def test_a_damaged_vocabulary_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(DataError, match="a.json is not JSON.*nested"):
        load_gpt2(tmp_path / "a.json", tmp_path / "merges.txt")


@pytest.mark.parametrize(
    "run",
    [
        "x",
        "é",
        "\n",
        "\r",
        "\r\n",
        " ",
        "x\n",
        '"',
        ",",
        "\t",
        '{"text": "a"}\n',
        "[",
        "{}\n",
        "\0",
    ],
)
def test_time_grows_with_the_length_of_a_file(tmp_path, run):
    def read(text):
        for suffix in (".txt", ".jsonl", ".csv"):
            path = tmp_path / f"a{suffix}"
            path.write_text(text, newline="")
            for use in (
                list(numbered_lines(path, BadLines(skip=True))),
                list(json_lines(path, BadLines(skip=True))),
            ):
                assert use is not None
        try:
            read_columns(tmp_path / "a.csv", 0)
        except DataError as error:
            assert "line" in str(error)

    assert superlinear(read, [run], size=3000) == []


SPLICED = st.sampled_from(
    [
        b"\0",
        b"\xff",
        b"\t",
        b"\n",
        b'"',
        b"{",
        b"[",
        b"]",
        b",",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"null",
        b"1e999",
        b"NaN",
        b"-",
        b".",
        b"9" * 5000,
        b"[" * 2000,
        b"\\ud800",
        b"\r",
        b" ",
        b"true",
        b":",
    ]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), SPLICED), min_size=1, max_size=4)


@given(st.sampled_from(sorted(READERS)), EDITS, st.booleans())
def test_damage_of_any_kind_is_an_error_that_names_the_file(tmp_path_factory, name, edits, packed):
    suffix, text, read = READERS[name]
    data = gzip.compress(text.encode(), mtime=0) if packed else text.encode()
    for place, removed, put in edits:
        at = round(place * len(data))
        data = data[:at] + put + data[at + removed :]
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(data)
    try:
        read(path)
    except TinylmError as error:
        assert "a." in str(error)


def test_time_grows_with_the_fields_of_an_object():
    def read(text):
        fields = ",".join(f'"{i}": 1' for i in range(len(text)))
        with pytest.raises(ValueError, match="'0' stands twice"):
            strict_json(f'{{{fields}, "0": 2}}')

    assert superlinear(read, ["a"]) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no names for open pipes here")
def test_what_comes_through_a_pipe_is_read(tmp_path):
    for data in b"a\nb\n", gzip.compress(b"a\nb\n"):
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        assert [line for _, line in numbered_lines(f"/proc/self/fd/{reader}")] == ["a", "b"]
        os.close(reader)


def test_lines_are_json_values_with_their_numbers(tmp_path):
    (tmp_path / "a").write_text("\n" + json.dumps([1]) + "\n \n2\n")
    assert list(json_lines(tmp_path / "a")) == [(2, [1]), (4, 2)]


def packed(name):
    text = b"some text\n" * 30
    if name == "tar":
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.txt"))
        return buffer.getvalue()
    if name == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.txt", text)
        return buffer.getvalue()
    # bz2, lzma and gzip are what Python packs with; zstd and PDF are shown by how they begin.
    return {
        "bzip2": bz2.compress(text),
        "xz": lzma.compress(text),
        "PDF": b"%PDF-1.7\nabc\n",
        "zstd": b"\x28\xb5\x2f\xfd\nabc\n",
        "gzip twice": gzip.compress(gzip.compress(text)),
    }[name]


@pytest.mark.parametrize("name", ["bzip2", "xz", "zip", "tar", "PDF", "zstd", "gzip twice"])
@pytest.mark.parametrize("skip", [False, True])
def test_what_is_packed_otherwise_is_named_and_never_read_as_lines(tmp_path, name, skip):
    path = tmp_path / "a.txt"
    path.write_bytes(packed(name))
    with pytest.raises(DataError, match=name):
        list(numbered_lines(path, BadLines(skip)))
    with pytest.raises(DataError, match=name):
        list(stream_text(path, bad=BadLines(skip)))


def test_an_encoding_is_named_though_the_first_line_does_not_tell_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("今天天气很好\n".encode("utf-16-le") * 9)  # no NUL in the first line
    with pytest.raises(DataError, match="UTF-16LE"):
        list(numbered_lines(path))
