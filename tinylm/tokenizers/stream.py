"""Text that arrives in parts: decode it, and re-cut it where cutting cannot change the tokens.

A tokenizer looks ahead (is the next character still part of this word? does a special token begin
here?), so a file cannot be encoded in blocks of fixed size. `certain_chunks` holds back the end of
what it has read until it knows a position where any tokenization has a border. Read next:
`base.py`, which encodes the chunks.
"""

import codecs
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TextIO

import regex

from tinylm.errors import DataError
from tinylm.reading import blocks, other_encoding, wrong_encoding

# Bytes of text in work at a time: beyond this, encoding gets no faster and memory grows.
CHUNK = 1 << 18

# Where text comes from, see `read_text`.
Source = str | os.PathLike | BinaryIO | TextIO | Iterable[str | bytes]


def read_text(source: Source, chunk_bytes: int = CHUNK) -> Iterator[str]:
    """The text of `source` in parts of at most `chunk_bytes` characters.

    source   str: the text itself; Path: a file of UTF-8; an open file, text or binary (UTF-8); or
             an iterable of str or bytes, such as the lines of a file, whose concatenation is the
             text
    yields   str
    raises   DataError if a file cannot be read, or with the offset of the first byte that is not
             UTF-8
    """
    if chunk_bytes < 1:
        raise DataError(f"read_text: chunk_bytes is {chunk_bytes}; it must be 1 or more")
    if isinstance(source, os.PathLike):
        yield from _of_file(source, chunk_bytes)
    elif isinstance(source, (str, bytes)):
        yield from _text([source], chunk_bytes)
    elif hasattr(source, "read"):
        yield from _text(_blocks(source, chunk_bytes), chunk_bytes)
    else:
        yield from _text(source, chunk_bytes)


def _of_file(path, chunk_bytes):
    """The text of a file, plain or gzip, without its byte order mark."""
    try:
        parts = blocks(path, max(chunk_bytes, 4))  # 4: a byte order mark must arrive whole
        first = next(parts, b"")
        if name := other_encoding(first):
            raise wrong_encoding(os.fspath(path), name)
        plain = first.removeprefix(codecs.BOM_UTF8)
        yield from _text(
            itertools.chain([plain], parts), chunk_bytes, os.fspath(path), len(first) - len(plain)
        )
    except OSError as error:
        raise DataError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error


def _text(parts, chunk_bytes, name="text", offset=0):
    """The characters of str or bytes, the first at byte `offset` of the source `name`."""
    # A block may end within a character: the decoder keeps its first bytes for the next block.
    decoder = codecs.getincrementaldecoder("utf-8")()
    for part in parts:
        if not isinstance(part, str):
            part, offset = _decoded(decoder, part, offset, name), offset + len(part)
        for start in range(0, len(part), chunk_bytes):
            yield part[start : start + chunk_bytes]
    _decoded(decoder, b"", offset, name, final=True)  # raises if the last character is cut short


def _blocks(file, size):
    """What is left of an open file, `size` bytes or characters at a time."""
    try:
        while block := file.read(size):
            yield block
    except UnicodeDecodeError as error:  # a file opened as text decodes itself
        byte, name = error.object[error.start], getattr(file, "name", "text file")
        raise DataError(
            f"{name} holds the byte 0x{byte:02x}, which is not {error.encoding} ({error.reason}); "
            "open the file with its own encoding"
        ) from None


def _decoded(decoder, data, offset, name, final=False):
    """The characters completed by `data`, which starts at byte `offset` of the source `name`.

    A character cut short at the end stays in the decoder, unless `final`.
    """
    waiting = len(decoder.getstate()[0])
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        raise DataError(
            # `start` counts from the bytes that were waiting, `offset` from those of `data`.
            f"{name} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
            f"{offset - waiting + error.start} ({error.reason}); convert the file to UTF-8 "
            "(iconv -f latin1 -t utf-8), or open it with its own encoding"
        ) from None


def special_pattern(names: Iterable[str]) -> regex.Pattern | None:
    """A compiled pattern of the special tokens `names`, or None if there are none.

    Where several begin at one place, it matches the longest.
    """
    if names:
        return regex.compile("|".join(map(regex.escape, sorted(names, key=len, reverse=True))))
    return None


def certain_chunks(
    parts: Iterable[str],
    size: int,
    last_cut: Callable,
    special: regex.Pattern | None = None,
    longest: int = 0,
) -> Iterator[tuple[int, str]]:
    """Re-cut a text so that encoding the chunks one by one gives the tokens of the whole.

    parts     iterable of str
    size      characters to gather before a cut is sought; a chunk may be longer where no cut is
              certain
    last_cut  function (text, start, stop) -> the last certain cut c, start < c <= stop, or `start`
              if none
    special   compiled pattern of special tokens, or None if they count as plain text
    longest   characters in the longest special token
    yields    (position of the chunk in the text, chunk)
    """
    held, have, need, position = [], 0, size, 0
    for part in parts:
        held.append(part)
        have += len(part)
        if have < need:
            continue
        text = "".join(held)
        cut = _certain_cut(text, last_cut, special, longest)
        if cut:  # 0: nothing is certain yet, so all of it is held
            yield position, text[:cut]
        position += cut
        held, have = [text[cut:]], len(text) - cut
        # A long run without a cut is searched again only when it has doubled: linear in all.
        need = max(size, 2 * have)
    if have:
        yield position, "".join(held)


def _certain_cut(text, last_cut, special, longest):
    """The last position before which the tokens do not depend on what follows `text`, or 0."""
    start, stop = 0, len(text)
    if special:
        # A special token that begins at `stop` or later may still be incomplete, or the beginning
        # of a longer one.
        stop = len(text) - longest + 1
        for match in special.finditer(text):
            if match.start() >= stop:
                break
            start = match.end()
    if start < stop:
        return last_cut(text, start, stop)
    return start
