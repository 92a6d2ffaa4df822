"""Text files of users, read strictly: blocks of bytes, lines of characters, JSON.

All text is read by this module, so that everywhere a byte order mark is dropped, gzip is unpacked,
another encoding is named, and damage raises an error with the file and the line. A reader of many
lines may skip bad ones and count them. Read first: files.py; read next: data/read/text.py, which
streams text.
"""

import codecs
import gzip
import json
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinylm.errors import DataError
from tinylm.files import distinct

BLOCK = 1 << 20  # bytes that are read at once
_GZIP = b"\x1f\x8b"
# Byte order marks, those of UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_UNMARKED = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
# Files that are no text, or packed by another program than gzip: their first bytes, and the remedy.
_OTHER_KINDS = (
    (rb"BZh[1-9]1AY&SY", "packed by bzip2: unpack it with: bunzip2"),
    (rb"\xfd7zXZ\0", "packed by xz: unpack it with: unxz"),
    (rb"\x28\xb5\x2f\xfd", "packed by zstd: unpack it with: unzstd"),
    (rb"\x04\x22\x4d\x18", "packed by lz4: unpack it with: unlz4"),
    (rb"PK\x03\x04", "a zip archive: unpack it with: unzip"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it with: 7z x"),
    (rb"(?s)(?=[^\0]{1,100}\0).{257}ustar", "a tar archive: unpack it with: tar xf"),
    (rb"\x1f\x8b", "packed by gzip twice: unpack it once with: gunzip"),
    (rb"%PDF-", "a PDF: make text of it with: pdftotext"),
)
_NO_TEXT = ("Cc", "Cn", "Co", "Cs")  # general categories: controls, unassigned, private, surrogates
_HEAD = 4096  # bytes from which an encoding is guessed


class BadLines:
    """The policy for lines that cannot be read: an error, or they are left out and counted.

    skip     leave them out
    count    how many were left out so far
    first    messages of the first three
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip, self.count, self.first = skip, 0, []

    def add(self, message: str) -> None:
        """Count a bad line. Raises DataError with the message if none may be left out."""
        if not self.skip:
            raise DataError(f"{message} (--skip-bad leaves such lines out and counts them)")
        self.count += 1
        if len(self.first) < 3:
            self.first.append(message)

    def report(self) -> list[str]:
        """A report of the lines left out, as lines to print; [] if there are none."""
        if not self.count:
            return []
        lines = "lines"
        if self.count == 1:
            lines = "line"
        head = f"left out {self.count:,} bad {lines} (--skip-bad):"
        return [head, *(f"  {message}" for message in self.first)]


def refuse(message: str, bad: BadLines | None = None) -> None:
    """Report a line that cannot be read to `bad`, a BadLines; raise DataError if it is None."""
    if bad is None:
        raise DataError(message)
    bad.add(message)


def blocks(path: str | Path, size: int = BLOCK) -> Iterator[bytes]:
    """The bytes of a file, unpacked if it is gzip, in blocks.

    yields   bytes, not empty
    raises   OSError if the system cannot read it; DataError with the line for damaged gzip data,
             and for files that are no text or packed by another program
    """
    line = 1
    first = True
    with open(path, "rb") as raw:
        packed = raw.peek(2)[:2] == _GZIP  # a pipe cannot go back
        if not packed and Path(path).suffix == ".gz":
            raise DataError(
                f"{path} is not gzip, though its name ends in .gz: rename it, or fetch it again"
            )
        file = raw
        if packed:
            file = gzip.GzipFile(fileobj=raw)
        try:
            while block := file.read(size):
                if first and (kind := _other_kind(block)):
                    raise DataError(f"{path} is {kind} {path}")
                first = False
                yield block
                line += block.count(b"\n")  # where damage in the next block is reported
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path}, about line {line} when unpacked: the gzip data are "
                f"damaged or cut short ({error}): fetch the file again"
            ) from None


def _other_kind(head):
    """The kind of a file by its first bytes, with the remedy; None if it may be text."""
    for begins, kind in _OTHER_KINDS:
        if re.match(begins, head):
            return kind
    return None


def marked_encoding(head: bytes | bytearray) -> str | None:
    """The encoding of the byte order mark at the beginning; None without one, or for UTF-8."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    return None


def other_encoding(head: bytes | bytearray) -> str | None:
    """The encoding of text that is not UTF-8, by its byte order mark or by the places of its NULs.

    head     the first bytes of a file
    returns  its name for iconv, or None if it cannot be guessed
    """
    head = head[:_HEAD]
    marked = marked_encoding(head)
    if marked or b"\0" not in head:
        return marked
    for name in _UNMARKED:
        if _reads_as(head, name):
            return name
    return None


def _reads_as(head, name):
    """True if bytes with NULs are text in an encoding of 2 or 4 bytes a character."""
    width = int(name[4:6]) // 8  # bytes in a unit: "UTF-16LE" -> 2
    low = -1  # index of the lowest byte in a unit
    if name.endswith("LE"):
        low = 0
    units = [head[i : i + width] for i in range(0, len(head) - width + 1, width)]
    # Of a letter below U+0100 all bytes but the lowest are NUL. Text has such letters, or at least
    # ends of lines, and no NUL elsewhere.
    ascii_units = sum(unit.count(0) == width - 1 and unit[low] != 0 for unit in units)
    if not ascii_units or any(unit[low] == 0 for unit in units):
        return False
    try:  # an incremental decoder accepts a character that is cut at the end
        text = codecs.getincrementaldecoder(name)().decode(b"".join(units))
    except UnicodeDecodeError:
        return False
    if any(unicodedata.category(c) in _NO_TEXT and c not in "\t\r\n\f" for c in text):
        return False
    # UTF-8 with a stray NUL can also be decoded as UTF-16, to random letters of many scripts. So
    # either most letters are below U+0100, or the bytes are not UTF-8.
    return 2 * ascii_units > len(units) or not _is_utf8(head)


def _is_utf8(data):
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def wrong_encoding(what: str | Path, name: str, path: str | Path | None = None) -> DataError:
    """The DataError for text in another encoding, with the command that converts it.

    what     the name of the file in the message
    path     the file, if `what` is not its path
    """
    if path is None:
        path = what
    convert = f"iconv -f {name} -t UTF-8 {path}"
    if Path(path).suffix == ".gz":
        convert = f"zcat {path} | iconv -f {name} -t UTF-8"
    return DataError(
        f"{what} looks like {name}, not UTF-8: write it as UTF-8, with: {convert} > new.txt"
    )


def numbered_lines(path: str | Path, bad: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, plain or gzip, with their numbers.

    bad      BadLines for lines that are not UTF-8
    yields   (number from 1, line without its end). LF, CRLF or CR ends a line; nothing after the
             last end is no line. A byte order mark is dropped
    raises   DataError naming the file, and the line and byte of what is not text
    """
    number, head = 0, bytearray()
    try:
        for raw in _raw_lines(path, head):
            if number == 0:  # a mark can stand only before the first line
                raw = raw.removeprefix(codecs.BOM_UTF8)
                if name := marked_encoding(head):
                    raise wrong_encoding(path, name)
            text = _decoded(path, raw, number + 1, head, bad)
            if text is None:
                number += 1
                continue
            lines = [text]
            if "\r" in text:  # of CRLF the CR is left at the end; other CRs end lines of their own
                lines = text.removesuffix("\r").split("\r")
            for line in lines:
                number += 1
                yield number, line
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}): check that it "
            "exists and that you may read it"
        ) from None


def _raw_lines(path, head):
    """The lines of a file as bytes, without "\\n". Its first bytes are put into `head`."""
    held = []  # the blocks of a line that has not ended yet
    for block in blocks(path):
        head += block[: _HEAD - len(head)]
        *whole, rest = block.split(b"\n")
        for line in whole:
            yield b"".join([*held, line])
            held = []
        held.append(rest)
    if last := b"".join(held):
        yield last


def _decoded(path, raw, number, head, bad):
    """A line as str; None if it is no text and `bad` counts it."""
    nul = raw.find(b"\0")
    try:
        if nul < 0:
            return raw.decode("utf-8")
        reason = f"byte {nul + 1} of the line is NUL: this is no text"
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        number_of_byte = error.start + 1
        reason = (
            f"byte 0x{byte:02x}, number {number_of_byte} of the line, is not UTF-8 "
            f"({error.reason}): convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8 "
            f"{path} > new.txt"
        )
    if name := other_encoding(head):
        raise wrong_encoding(path, name)
    refuse(f"{path}, line {number}: {reason}", bad)
    return None


def standard_input() -> str:
    """All of the standard input as text, with "\\n" for every end of line.

    raises   DataError if it is not UTF-8, with the line and byte, or the name of its encoding
    """
    name = "the standard input"
    data = getattr(sys.stdin, "buffer", sys.stdin).read()
    if isinstance(data, str):  # a stream of text without bytes below
        return data.removeprefix("\ufeff")
    if found := other_encoding(data[:_HEAD]):
        raise wrong_encoding(name, found, "FILE")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise DataError(
            f"{name}, line {line}: byte 0x{byte:02x} is not UTF-8 ({error.reason}): "
            "convert it, for example with: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(chunks: Iterable[str]) -> Iterator[str]:
    """The lines of a text that comes in chunks, without "\\n"; the last may be empty."""
    held = []  # the chunks of a line that has not ended yet
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for line in whole:
            yield "".join([*held, line])
            held = []
        held.append(rest)
    yield "".join(held)


def read_text_file(path: str | Path) -> str:
    """The text of a UTF-8 file, plain or gzip, with "\\n" for every end of line. DataError as
    `numbered_lines`."""
    return "".join(f"{line}\n" for _, line in numbered_lines(path))


def strict_json(text: str) -> Any:
    """The value of JSON text according to RFC 8259.

    raises   ValueError with the reason: also for NaN and Infinity, a name that occurs twice in an
             object, nesting too deep, and numbers of thousands of digits
    """
    try:
        return _JSON.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name):
    raise ValueError(f"{name} is no JSON number")


_JSON = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=distinct)


def json_lines(path: str | Path, bad: BadLines | None = None) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines.

    bad      BadLines for lines that are not JSON
    yields   (number of the line, value); lines of white space alone are skipped
    raises   DataError as `numbered_lines`, or with the line and the reason
    """
    return json_values(numbered_lines(path, bad), path, bad)


def json_values(
    lines: Iterable[tuple[int, str]], path: str | Path, bad: BadLines | None = None
) -> Iterator[tuple[int, Any]]:
    """The values of numbered lines of JSON; as `json_lines`, for lines already read."""
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = strict_json(line)
        except ValueError as error:
            refuse(f"{path}, line {number} is no JSON ({error})", bad)
            continue
        yield number, value


_NEEDED = object()  # the default of a field that must be there
_HALF = re.compile("[\ud800-\udfff]")  # half of a pair of surrogates (UTF-16)


def json_text(record: dict[str, Any], field: str, default: Any = _NEEDED) -> Any:
    """A field of a JSON object that must be text.

    default  returned if the field is missing or null; without it the field must be there
    raises   DataError naming the field if it is missing, no text, or no text that UTF-8 can write
    """
    value = record.get(field, default)
    if value is None and default is not _NEEDED:  # null where a field may be left out
        return default
    if value is _NEEDED:
        raise DataError(f"the field {field!r} is missing")
    if not isinstance(value, str):
        raise DataError(f"the field {field!r} must be text, not {value!r:.60}")
    if not value.isascii() and _HALF.search(value):  # JSON can write it, UTF-8 cannot
        raise DataError(
            f"the field {field!r} has half a character (\\ud800 to \\udfff): {value!r:.60}"
        )
    return value
