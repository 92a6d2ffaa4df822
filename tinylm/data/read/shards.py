"""A corpus in many files, read as one stream with constant memory.

Documents are written as JSON lines into compressed shards of about equal size, with an index of
their contents. For every epoch, a reader draws a new order of the shards and mixes their documents
in a buffer: nearly a shuffle, with only the buffer's documents in memory. Workers compute their
share of the shards without communication. Book section 2.2.1. Read next: batches/prepare.py, which
turns a stream of documents into tokens.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.fields import Fields
from tinylm.files import inside, open_regular, read_json, write_text

INDEX = "index.json"
GZIP = 31  # of zlib: the largest window, and the header and the end of a .gz file
# What reading a damaged or replaced shard can raise: the file, gzip, UTF-8 and JSON, its content.
_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, zlib.error)


class ShardWriter:
    """Write documents into `folder`: `with ShardWriter(folder) as shards: shards.add(text)`.

    shard_bytes  of text (UTF-8, before compression) after which the next shard begins
    raises       DataError if the folder holds shards already, or cannot be written

    The index is written last: a folder without one is incomplete, and `Shards` rejects it.
    """

    def __init__(self, folder: str | Path, shard_bytes: int = 64 << 20) -> None:
        if shard_bytes < 1:
            raise ConfigError(f"shards: shard_bytes is {shard_bytes}; it must be 1 or more")
        self.folder, self.shard_bytes = Path(folder), shard_bytes
        self.shards, self._file = [], None
        if (self.folder / INDEX).exists():
            raise DataError(
                f"shards: {folder} holds a corpus already: choose another folder or remove it"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"shards: {folder} cannot be written ({error.strerror})") from None

    def __enter__(self) -> "ShardWriter":
        return self

    def add(self, text: str) -> None:
        """Append one document, a str."""
        record = json.dumps({"text": text}, ensure_ascii=False)
        line = record.encode("utf-8", "surrogatepass") + b"\n"  # lone surrogates survive
        if self._file is None:
            self._begin_shard()
        self._file.write(self._packer.compress(line))
        shard = self.shards[-1]
        shard["documents"] += 1
        shard["bytes"] += len(line)
        shard["crc"] = zlib.crc32(line, shard["crc"])
        if shard["bytes"] >= self.shard_bytes:
            self._end_shard()

    def _begin_shard(self):
        name = f"{len(self.shards):05d}.jsonl.gz"
        try:
            # "x" never overwrites. A GzipFile would hold itself and its buffers in a circle.
            self._file = open(self.folder / name, "xb")
            self._packer = zlib.compressobj(6, wbits=GZIP)  # without a time: the same bytes again
        except FileExistsError:
            raise DataError(
                f"shards: {self.folder / name} exists already and is not overwritten: "
                "choose another folder, or remove the file"
            ) from None
        self.shards.append({"name": name, "documents": 0, "bytes": 0, "crc": 0})

    def _end_shard(self):
        if self._file is not None:
            with self._file:
                self._file.write(self._packer.flush())
            self._file = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_shard()
        if kind is None:
            described = json.dumps({"format": 1, "shards": self.shards}, indent=1)
            write_text(self.folder / INDEX, described + "\n")


class Shards:
    """A corpus that `ShardWriter` wrote.

    raises  DataError if the folder has no index, or a damaged one

    documents, bytes  of all shards
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            index = read_json(self.folder / INDEX)
        except OSError as error:
            raise DataError(
                f"shards: {folder} has no {INDEX} ({error.strerror}): its writing was not finished"
            ) from None
        except ValueError as error:
            raise DataError(f"shards: {self.folder / INDEX} is damaged ({error})") from None
        fields = Fields(index, f"shards: {self.folder / INDEX} is damaged", DataError)
        fields.one_of("format", [1])
        self.shards = [self._described(one) for one in fields.objects("shards")]
        self.documents = sum(shard["documents"] for shard in self.shards)
        self.bytes = sum(shard["bytes"] for shard in self.shards)

    def _described(self, shard):
        """A shard's {"name", "documents", "bytes", "crc"}, checked: its file is in the folder."""
        for number in ("documents", "bytes", "crc"):
            shard.integer(number)
        try:
            inside(self.folder, shard.text("name"))
        except ValueError as error:
            raise DataError(f"{shard.where}: {shard.name}.name: {error}") from None
        return shard.values

    def __len__(self) -> int:
        return self.documents

    def read(self, shard: dict[str, Any]) -> Iterator[str]:
        """The documents of one shard, in order.

        yields  str
        raises  DataError if the file cannot be read; at the end, if it is not the one written
        """
        path, crc, documents = self.folder / shard["name"], 0, 0
        try:
            with open_regular(path) as packed, gzip.open(packed, "rb") as file:
                for line in file:  # one document: JSON escapes its line ends
                    crc = zlib.crc32(line, crc)
                    documents += 1
                    text = json.loads(line.decode("utf-8", "surrogatepass"))["text"]
                    if not isinstance(text, str):
                        raise ValueError(f"document {documents} is no text")
                    yield text
        except _DAMAGED as error:
            raise DataError(
                f"shards: {path} cannot be read ({error}): write the corpus again"
            ) from None
        # Only at the end: a stream cannot be checked before it is read.
        if (crc, documents) != (shard["crc"], shard["documents"]):
            raise DataError(
                f"shards: {path} is not the file that {INDEX} describes: write the corpus again"
            )

    def stream(
        self,
        epoch: int | None = None,
        seed: int = 0,
        buffer: int = 0,
        rank: int = 0,
        size: int = 1,
        skip: int = 0,
    ) -> Iterator[str]:
        """The documents of one epoch.

        epoch   None: in the order they were written. Otherwise shards in a random order, a function
                of (seed, epoch)
        buffer  documents held back and drawn from at random; the more, the closer to a full shuffle
        rank, size  read shards number rank, rank + size, ... of that order: together, `size`
                    workers read everything once
        skip    documents to skip at the beginning: where to resume
        yields  str. Memory: `buffer` documents and a block of one file
        """
        if not 0 <= rank < size:
            raise ConfigError(f"shards: rank {rank} is not one of {size} readers (0 to {size - 1})")
        if epoch is None:
            order = range(len(self.shards))
        else:
            order = Random(seed, "shards", epoch).permutation(len(self.shards))
        # The order does not depend on rank, so every worker can compute it by itself.
        found = (text for i in list(order)[rank::size] for text in self.read(self.shards[int(i)]))
        if epoch is not None and buffer > 1:
            found = _mixed(found, buffer, Random(seed, "buffer", epoch, rank))
        # Skipped documents are read and mixed too, so that the rest comes out the same.
        for at, text in enumerate(found):
            if at >= skip:
                yield text


def _mixed(documents, room, random):
    """Hold back `room` documents; each new one replaces a random one, which is yielded."""
    held, draws = [], []
    for text in documents:
        if len(held) < room:
            held.append(text)
            continue
        if not draws:  # many at a time: one call a document would be slow
            draws = random.integers(0, room, (1024,)).tolist()
        slot = draws.pop()
        held[slot], text = text, held[slot]
        yield text
    for i in random.permutation(len(held)):
        yield held[i]
