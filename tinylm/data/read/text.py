"""Where text comes from: the English inside every CPython, or one's own files, read strictly.

Errors in training data are rarely noticed later, so a file that is not valid text raises DataError
with its name, the position and the mend; replacement characters are never inserted. Files are read
in chunks that never cut a character, so a corpus may be larger than memory. Book section 2.2.1.
Read next: `batches/split.py`, `batches/prepare.py`.
"""

import codecs
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tinylm.data.read.sources import shown, text_files, unreadable
from tinylm.errors import DataError
from tinylm.reading import (
    BadLines,
    blocks,
    json_lines,
    numbered_lines,
    other_encoding,
    refuse,
    wrong_encoding,
)

_BOMS = {"utf-8": codecs.BOM_UTF8}


def python_documentation() -> str:
    """The language reference that `help()` shows, as one text: the default corpus, part of Python.

    returns  str, the topics of `pydoc_data.topics` in alphabetical order with a blank line between:
             about 465,000 characters, the same for the same Python version. About a fifth of it are
             paragraphs that several topics share; `without_repeats` removes them, which a fair
             validation split needs.
    raises   DataError where a distribution has removed pydoc_data
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError(
            "this Python comes without pydoc_data, the built-in corpus (a stripped distribution): "
            "give a text of your own with --data FILE, or use the Python from python.org"
        ) from None
    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def without_repeats(text: str, shortest: int = 80) -> str:
    """`text` without the paragraphs that are exact copies of an earlier one.

    A contiguous split of a text with repetitions puts the same paragraphs on both sides, and
    validation then rewards memorization (Lee et al. 2022, deduplicating training data).

    shortest  characters; shorter paragraphs (headings, rules, one-line examples) are always kept
    returns   str; paragraphs are separated by blank lines. Applying it twice changes nothing more.
    """
    seen, kept = set(), []
    for paragraph in text.split("\n\n"):
        if len(paragraph) >= shortest:
            if paragraph in seen:
                continue
            seen.add(paragraph)
        kept.append(paragraph)
    return "\n\n".join(kept)


def frequent_characters(text: str, least: int = 20) -> tuple[np.ndarray, list[str]]:
    """A text as ids of its frequent characters; the rare ones share one id.

    least    how often a character must occur
    returns  (ids, characters): ids (n,) int64 of a text of n characters, below len(characters) + 1;
             the frequent characters by code point, whose places are their ids. The last id is that
             of all others, whether there is one or not
    """
    points = np.array([ord(c) for c in text], np.int64)
    kept, counts = np.unique(points, return_counts=True)
    kept = kept[counts >= least]
    ids = np.where(np.isin(points, kept), np.searchsorted(kept, points), len(kept))
    return ids, [chr(point) for point in kept]


def stream_text(
    path: str | Path,
    encoding: str = "utf-8",
    chunk_bytes: int = 1 << 20,
    bad: BadLines | None = None,
) -> Iterator[str]:
    """The text of one file, plain or gzip, in pieces, so that it may be larger than memory.

    chunk_bytes  how much is read at once; no piece cuts a character or a line ending in two
    bad          reading.BadLines that takes lines that are not UTF-8; by default they raise
    yields       non-empty str. A byte order mark is dropped; CRLF and lone CR become LF.
    raises       DataError, when reading reaches the fault: missing, unreadable, empty, damaged
                 gzip, binary (a NUL byte), in another encoding, or a byte that is not of the
                 encoding, with its line and offset
    """
    if bad is not None and bad.skip:
        yield from (f"{line}\n" for _, line in numbered_lines(path, bad))
        return
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    reader = _Decoder(path, encoding, "" if bad is None else "; --skip-bad leaves such lines out")
    mark = _BOMS.get(codecs.lookup(encoding).name, b"")
    try:
        for chunk in blocks(path, max(chunk_bytes, 4)):  # 4: a byte order mark must arrive whole
            skip = 0
            if not reader.seen and chunk.startswith(mark):
                skip = len(mark)  # 0 where the encoding has no mark
            # A CR at the end of a piece waits in `newlines`: an LF may follow.
            if text := newlines.decode(reader(chunk, skip)):
                yield text
        if not reader.seen:
            raise DataError(f"read text: {str(path)!r} is empty: give a file with text in it")
        if text := newlines.decode(reader(b"", final=True), final=True):
            yield text
    except OSError as error:
        raise unreadable(path, error) from None


class _Decoder:
    """Chunks of a file as str, with the position of errors in the file."""

    def __init__(self, path, encoding, mend=""):
        self.path, self.encoding, self.mend = path, encoding, mend
        self.seen, self.lines = 0, 0  # bytes and line ends decoded so far
        self.head = b""  # the first 4096 bytes, from which other encodings are recognized
        self.decoder = codecs.getincrementaldecoder(encoding)()

    def __call__(self, chunk, skip=0, final=False):
        """The characters completed by `chunk`, without its first `skip` bytes."""
        self.head += chunk[: 4096 - len(self.head)]
        pending = len(self.decoder.getstate()[0])  # bytes of a character cut by the last chunk
        try:
            text = self.decoder.decode(chunk[skip:], final)
        except UnicodeDecodeError as error:
            # The likeliest cause first: another encoding, a binary file, or one wrong byte.
            self.refuse_kind()
            if (nul := chunk.find(b"\0")) >= 0:
                raise self.binary(nul) from None
            # error.start counts from the pending bytes, which were in the chunk before.
            raise self.not_encoded(error, chunk, error.start + skip - pending) from None
        if "\0" in text:
            self.refuse_kind()
            raise self.binary(chunk.find(b"\0"))
        self.seen += len(chunk)
        self.lines += text.count("\n")
        return text

    def refuse_kind(self):
        """Raise DataError if the beginning of the file is in another known encoding."""
        if codecs.lookup(self.encoding).name == "utf-8" and (name := other_encoding(self.head)):
            raise wrong_encoding(f"read text: {str(self.path)!r}", name, self.path)

    def binary(self, nul):
        """The DataError for the NUL byte `nul` of a chunk."""
        return DataError(
            f"read text: {str(self.path)!r} is a binary file "
            f"(a NUL byte at offset {self.seen + nul}): give plain text"
        )

    def not_encoded(self, error, chunk, at):
        """The DataError for byte `at` of a chunk; below 0 it is in the chunk before."""
        line = self.lines + chunk[: max(at, 0)].count(b"\n") + 1
        byte = error.object[error.start]
        return DataError(
            f"read text: {str(self.path)!r} is not {self.encoding}: byte 0x{byte:02x} at offset "
            f"{self.seen + at} ({error.reason}), line {line}: convert it, for example with: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {self.path} > new.txt{self.mend}"
        )


def holds_json_lines(path: str | Path) -> bool:
    """True for a file with a suffix of JSON lines, compressed or not."""
    return str(path).lower().endswith((".jsonl", ".jsonl.gz", ".ndjson"))


def json_texts(path: str | Path, key: str = "text", bad: BadLines | None = None) -> Iterator[str]:
    """The text under `key` in every line of a file of JSON objects.

    bad     reading.BadLines that takes lines that cannot be read; by default they raise
    raises  DataError with file and line if a line is not a JSON object with such a text
    """
    for number, record in json_lines(path, bad):
        if not isinstance(record, dict) or not isinstance(record.get(key), str):
            refuse(f"documents: {path}, line {number}: {_no_text(record, key)}", bad)
            continue
        yield record[key]


def _no_text(record, key):
    """Why a line of JSON has no text."""
    if isinstance(record, dict) and key not in record:
        fields = ", ".join(map(repr, record)) or "(none)"
        return f"it has the fields {fields}: the one with the text must be called {key!r}"
    return f"{record!r:.60} is no JSON object with the text under {key!r}"


def stream_documents(
    path: str | Path | Sequence,
    encoding: str = "utf-8",
    chunk_bytes: int = 1 << 20,
    bad: BadLines | None = None,
) -> Iterator[Iterator[str]]:
    """Every file at `path` as a document that is itself a stream:
    `prepare(stream_documents(folder), ...)`.

    In a file of JSON lines every line's "text" is a document of its own.

    path    a file, folder or pattern, or several of them (sources.py)
    yields  one iterator of str per file, in `text_files` order, which must be read before the next
            one. Empty files among others are skipped; DataError if all are empty, and as
            `stream_text`.
    """
    files = text_files(path)
    try:
        filled = [file for file in files if len(files) == 1 or file.stat().st_size > 0]
    except OSError as error:
        raise unreadable(path, error) from None
    if not filled:
        raise DataError(
            f"read text: all {len(files)} text files in {shown(path)} are empty: "
            "give files with text in them"
        )
    for file in filled:
        if holds_json_lines(file):
            yield from ([text] for text in json_texts(file, bad=bad))
        else:
            yield stream_text(file, encoding, chunk_bytes, bad)


def read_text(path: str | Path, encoding: str = "utf-8") -> list[str]:
    """The documents of `stream_documents` in memory: a list of one str per file."""
    return ["".join(chunks) for chunks in stream_documents(path, encoding)]
