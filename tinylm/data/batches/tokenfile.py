"""Token ids in a memory-mapped file: a corpus of any size takes no memory and opens at once.

The format is 64 bytes of header, the ids as little-endian uint16 (vocabularies up to 65,536) or
uint32, then the ends of the documents as uint64. It is not `.npy`, whose header contains the shape,
while a stream has its length only at the end; and `.npy` has no place for the vocabulary size,
which detects the commonest mistake: ids of one tokenizer given to a model of another. Neither
contains pickled objects. Read next: `windows.py`.
"""

import array
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import DataError, DtypeError
from tinylm.files import WholeFile, open_regular

MAGIC, VERSION = b"TINYLMTK", 1
# Magic, version, bytes per id, ids, vocabulary size, largest id, documents, crc of the ids.
_HEADER = struct.Struct("<8sIIQQQQI")
# The crc of the header, and that of the ends; the latter is 0 in files of older versions.
_CHECKS = struct.Struct("<II")
HEADER_BYTES = 64
_CHUNK = 1 << 20  # ids at a time where a whole file is read


def checked_ids(
    ids: ArrayLike, vocab_size: int, first: int = 0, operation: str = "token ids"
) -> np.ndarray:
    """`ids` as a 1-d integer array, each in [0, vocab_size).

    first    position of ids[0] in its text, for the message
    raises   DataError with the id, its position and the vocabulary size; DtypeError if they are not
             integers
    """
    ids = np.asarray(ids)
    if ids.size == 0:
        return ids.reshape(0).astype(np.int64)
    if ids.dtype.kind not in "iu":
        raise DtypeError(
            f"{operation}: ids are {ids.dtype}, not integers: "
            "encode the text with a tokenizer first"
        )
    ids = ids.reshape(-1)
    if ids.min() < 0 or ids.max() >= vocab_size:
        at = int(np.flatnonzero((ids < 0) | (ids >= vocab_size))[0])
        raise DataError(
            f"{operation}: token id {ids[at]} at position {first + at} is out of range for a "
            f"vocabulary of {vocab_size} (ids 0 to {vocab_size - 1}): "
            "use the tokenizer that belongs to this vocabulary"
        )
    return ids


class TokenWriter:
    """Write a token file as a stream.

    The file gets its name only when all of it is on disk (files.py), so a crash or a full disk
    leaves an older file unchanged.

        with TokenWriter("train.bin", vocab_size=tokenizer.vocab_size) as out:
            for ids in tokenizer.encode_stream(chunks):
                out.append(ids)

    `end_document()` marks the end of a document (8 bytes of memory each until the end). Leaving the
    block by an exception removes the unfinished file. Raises DataError for ids outside the
    vocabulary and if the file cannot be written.
    """

    def __init__(self, path: str | Path, vocab_size: int) -> None:
        if not 1 <= vocab_size <= 2**32:
            raise DataError(
                f"write tokens: a vocabulary of {vocab_size} does not fit 32 bits: "
                "it must be 1 to 2**32"
            )
        self.path, self.vocab_size = Path(path), int(vocab_size)
        self.dtype = np.dtype("<u2" if vocab_size <= 2**16 else "<u4")
        self.count, self.largest, self.crc = 0, 0, 0
        self.ends = array.array("Q")  # the position after each document
        self._whole = self._try(WholeFile, self.path)
        self._file = self._whole.file
        self._try(self._file.write, bytes(HEADER_BYTES))  # room; `close` writes the header itself

    def append(self, ids: ArrayLike) -> None:
        """Add ids: any integer array or sequence."""
        ids = checked_ids(ids, self.vocab_size, self.count, f"write {self.path.name}")
        if ids.size == 0:
            return
        data = np.ascontiguousarray(ids, self.dtype).data.cast("B")  # a view as bytes
        self._try(self._file.write, data)
        self.crc = zlib.crc32(data, self.crc)
        self.largest = max(self.largest, int(ids.max()))
        self.count += ids.size

    def end_document(self) -> None:
        """Mark the ids since the last call as one document."""
        self.ends.append(self.count)

    def close(self) -> None:
        """Write the ends and the header, force all to disk and give the file its name."""
        padding = -self.count * self.dtype.itemsize % 8  # the ends begin at a multiple of 8
        ends = np.array(self.ends, "<u8").tobytes()
        self._try(self._file.write, bytes(padding) + ends)
        header = _HEADER.pack(
            MAGIC,
            VERSION,
            self.dtype.itemsize,
            self.count,
            self.vocab_size,
            self.largest,
            len(self.ends),
            self.crc,
        )
        # Over the room left at the beginning; the counts are known only now.
        self._try(self._file.seek, 0)
        self._try(self._file.write, header + _CHECKS.pack(zlib.crc32(header), zlib.crc32(ends)))
        self._try(self._whole.keep)

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._whole.discard()

    def _try(self, action, *args):
        try:
            return action(*args)
        except OSError as error:
            if hasattr(self, "_whole"):  # not if creating the file itself failed
                self.discard()
            raise DataError(
                f"write tokens: {self.path} cannot be written ({error.strerror or error}): "
                "free space or choose another directory; nothing that was there is lost"
            ) from None

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def write_tokens(path: str | Path, ids: ArrayLike, vocab_size: int) -> "TokenFile":
    """Write one array of ids to a token file and open it."""
    with TokenWriter(path, vocab_size) as out:
        out.append(ids)
    return TokenFile.open(path)


@dataclass(frozen=True)
class Documents:
    """The documents of a token array as a sequence of views."""

    tokens: np.ndarray
    ends: np.ndarray  # (N,) the position after each document

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> np.ndarray:
        i = range(len(self.ends))[i]  # negative counts from the end; IndexError beyond it
        start = int(self.ends[i - 1]) if i else 0
        return self.tokens[start : int(self.ends[i])]

    def sizes(self) -> np.ndarray:
        """The lengths of all documents, (N,) int64, without reading the tokens."""
        return np.diff(np.asarray(self.ends, np.int64), prepend=0)


@dataclass(frozen=True)
class TokenFile:
    """An open token file.

    tokens     (n,) a read-only view of the file
    documents  a sequence of such views; one for the whole file if no ends were marked
    crc        checksum of the ids;  ends_crc that of the ends, or 0
    """

    path: Path
    tokens: np.ndarray
    vocab_size: int
    largest: int
    documents: Documents
    crc: int
    ends_crc: int = 0

    @classmethod
    def open(cls, path: str | Path, vocab_size: int | None = None) -> "TokenFile":
        """Map the token file at `path`.

        vocab_size  of the model that will read it, if known
        raises      DataError: missing, not a token file, truncated, damaged header, or with an id
                    outside `vocab_size` (the largest id is in the header, so no token is read)
        """
        path = Path(path)
        try:
            with open_regular(path) as file:
                start = file.read(HEADER_BYTES)
                length = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(
                f"open tokens: {path} cannot be read ({error.strerror or error}): "
                "prepare the text first, or check the path"
            ) from None
        if not start.startswith(MAGIC):
            raise DataError(
                f"open tokens: {path} is not a token file (it starts with {start[:8]!r}, "
                f"not {MAGIC!r}): "
                "write it with tinylm.data.batches.prepare or tinylm.data.write_tokens"
            )
        itemsize, count, vocabulary, largest, documents, crc = _parse_header(path, start)
        ends_at = HEADER_BYTES + count * itemsize + (-count * itemsize % 8)
        expected = ends_at + 8 * documents
        if length != expected:
            raise DataError(
                f"open tokens: {path} has {length} bytes, but {count} tokens and {documents} "
                f"documents take {expected}: it is truncated or was changed; "
                "prepare the text again"
            )
        if vocab_size is not None and count and largest >= vocab_size:
            raise DataError(
                f"open tokens: {path} holds token id {largest}, out of range for a vocabulary of "
                f"{vocab_size} (it was written for {vocabulary}): "
                "use the tokenizer it was prepared with"
            )
        tokens = _mapped(path, f"<u{itemsize}", HEADER_BYTES, count)
        if documents:
            ends = _mapped(path, "<u8", ends_at, documents)
            ends_crc = _CHECKS.unpack_from(start, _HEADER.size)[1]
        else:  # no ends were marked: one document
            ends, ends_crc = np.array([count], np.uint64), 0
        return cls(path, tokens, vocabulary, largest, Documents(tokens, ends), crc, ends_crc)

    def __len__(self) -> int:
        return len(self.tokens)

    def verify(self) -> None:
        """Read everything once; raises DataError if a byte differs from what was written."""
        crc = 0
        for first in range(0, len(self.tokens), _CHUNK):
            part = self.tokens[first : first + _CHUNK]
            ids = checked_ids(part, self.vocab_size, first, f"verify {self.path.name}")
            crc = zlib.crc32(np.ascontiguousarray(ids).data.cast("B"), crc)
        ends = np.asarray(self.documents.ends, np.int64)
        ends_crc = zlib.crc32(np.ascontiguousarray(self.documents.ends))
        # Ends of an older file have no checksum: they must at least rise and lie in the text.
        damaged = self.ends_crc and ends_crc != self.ends_crc
        damaged = damaged or (np.diff(ends, prepend=0) < 0).any() or ends[-1] > len(self.tokens)
        if crc != self.crc or damaged:
            raise DataError(
                f"verify tokens: {self.path} does not match its checksum: "
                "it was changed after it was written; prepare the text again"
            )


def _parse_header(path, start):
    if len(start) < HEADER_BYTES:
        raise DataError(
            f"open tokens: {path} ends after {len(start)} of the {HEADER_BYTES} bytes of its "
            "header: it is truncated; prepare the text again"
        )
    packed = start[: _HEADER.size]
    _, version, itemsize, *rest = _HEADER.unpack(packed)
    if zlib.crc32(packed) != _CHECKS.unpack_from(start, _HEADER.size)[0]:
        raise DataError(
            f"open tokens: {path} has a damaged header (its checksum differs): "
            "prepare the text again"
        )
    if version != VERSION:
        raise DataError(
            f"open tokens: {path} is of format version {version}, this tinylm reads {VERSION}: "
            "prepare the text again, or use the tinylm that wrote it"
        )
    if itemsize not in (2, 4):
        raise DataError(
            f"open tokens: {path} has ids of {itemsize} bytes, and not of 2 or 4: "
            "prepare the text again"
        )
    return itemsize, *rest


def _mapped(path, dtype, offset, count):
    if count == 0:  # mmap rejects an empty range
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r", offset, (count,)))
