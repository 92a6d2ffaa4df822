"""From text to `train.bin` and `val.bin`: split, encode and count with constant memory.

The text is first copied to a temporary file while its length and checksum are computed, because a
split by fraction needs the length of the whole; then each side is read back and encoded as a
stream. Losses are per token and tokens differ between tokenizers, so the number of bytes of each
side is stored: bits per byte can be compared where nats per token cannot. Book section 2.2.1. Read
next: `windows.py`.
"""

import array
import codecs
import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tinylm.data.batches.split import check_fraction, cut_point, text_hash, validation_documents
from tinylm.data.batches.tokenfile import TokenFile, TokenWriter
from tinylm.errors import DataError
from tinylm.fields import LARGEST, Fields, of_type
from tinylm.files import open_fresh, read_json, write_text

META = "meta.json"
PREPARED = "train.bin", "val.bin", META  # the files in the order in which they are written
END_OF_TEXT = "<|endoftext|>"
_CHUNK = 1 << 18  # bytes of text in memory at once


@dataclass(frozen=True)
class Prepared:
    """A corpus prepared for training: two token files and their description.

    train, val  TokenFile; val has no token where val_fraction was 0
    meta        content of meta.json: vocab_size, sha256 of the text, val_fraction, seed,
                end_of_text, and for each of "train" and "val" the counts of documents, characters,
                bytes (UTF-8) and tokens
    """

    directory: Path
    train: TokenFile
    val: TokenFile
    meta: dict

    @classmethod
    def open(cls, directory: Path, vocab_size: int | None = None) -> "Prepared":
        """Open the files that `prepare` wrote.

        vocab_size  of the model that will read them, if known
        raises      DataError if a file is missing, damaged, or for another vocabulary
        """
        directory = Path(directory)
        try:
            meta = read_json(directory / META)
        except OSError as error:
            raise DataError(
                f"open corpus: no prepared text in {directory} ({error.strerror}): "
                "run prepare first"
            ) from None
        except ValueError as error:
            raise DataError(
                f"open corpus: {directory / META} is damaged ({error}): prepare the text again"
            ) from None
        _check_meta(meta, f"open corpus: {directory / META} is damaged")
        sides = {
            side: TokenFile.open(directory / f"{side}.bin", vocab_size) for side in ("train", "val")
        }
        # Both sides must be of the same preparation as meta.json: a crash may leave a mixture.
        for side, tokens in sides.items():
            if (len(tokens), tokens.crc) != (meta[side]["tokens"], meta[side]["crc"]):
                raise DataError(
                    f"open corpus: {directory}/{side}.bin is not the file {META} describes: "
                    "a preparation was cut short; prepare the text again"
                )
        return cls(directory, sides["train"], sides["val"], meta)

    def verify(self) -> None:
        """Read every token once; raises DataError if a byte differs from what was written."""
        for tokens in (self.train, self.val):
            tokens.verify()

    @property
    def vocab_size(self) -> int:
        return self.meta["vocab_size"]

    def bytes_per_token(self, side: str = "val") -> float:
        """UTF-8 bytes of the text per token, of "val" or "train"."""
        counts = self.meta[side]
        return counts["bytes"] / max(counts["tokens"], 1)

    def bits_per_byte(self, loss: float, side: str = "val") -> float:
        """A mean loss in nats per token as bits per byte: loss / ln 2 / bytes_per_token."""
        return loss / math.log(2) / self.bytes_per_token(side)


def _check_meta(meta, where):
    """Raise DataError with the name of a field that is missing or that `prepare` does not write."""
    fields = Fields(meta, where, DataError)
    fields.integer("vocab_size", 1)
    fields.one_of("format", [1])
    fields.text("sha256")
    fields.number("val_fraction")
    fields.integer("seed", -LARGEST)
    fields.take("end_of_text", lambda value: of_type(value, int | None), "an id or null")
    # "val" has these fields too, zeros, where val_fraction is 0.
    for side in map(fields.object, ("train", "val")):
        for name in ("documents", "tokens", "crc"):
            side.integer(name)
        # Bytes >= characters >= 1 if there is a token: bits_per_byte divides by them.
        least = min(1, side.integer("tokens"))
        side.integer("bytes", side.integer("characters", least))


class StreamTokenizer(Protocol):
    """What `prepare` needs of a tokenizer."""

    vocab_size: int

    def encode_stream(self, source: Iterable[str]) -> Iterator[np.ndarray]:
        """Arrays of ids, which follow one another."""


def prepare(
    texts: Iterable,
    tokenizer: StreamTokenizer,
    out_dir: Path,
    val_fraction: float = 0.1,
    seed: int = 0,
    end_of_text: int | None = None,
) -> Prepared:
    """Split and encode a corpus into `out_dir`.

    texts         one str, or an iterable of documents; a document is a str or an iterator of str
                  chunks, so `stream_documents(path)` streams files larger than memory
    tokenizer     has `vocab_size` and `encode_stream(chunks)`, an iterator of id arrays
    val_fraction  of the characters. One document is cut once, its end is for validation; of
                  several, each goes whole to one side, equal ones together (split.py).
    seed          of the choice of validation documents
    end_of_text   id put after each of several documents; by default the tokenizer's
                  "<|endoftext|>", if it has one
    returns       Prepared. Memory: a few chunks of text, and a few hundred bytes a document.
    raises        DataError, and the errors of the source of the text; an older preparation is then
                  kept
    """
    check_fraction(val_fraction)
    out_dir = Path(out_dir)
    spool = out_dir / "text.part"
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        if isinstance(texts, str):
            texts = [texts]
        index = _spool(texts, spool, seed)
        return _encode(index, spool, tokenizer, out_dir, val_fraction, seed, end_of_text)
    except OSError as error:
        raise DataError(
            f"prepare: {error.filename or out_dir} cannot be written ({error.strerror}): "
            "free space or choose another directory"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # it may not exist
            spool.unlink()


def training_documents(
    read: Callable[[], Iterable], val_fraction: float = 0.1, seed: int = 0
) -> Iterator[Iterable[str]]:
    """The documents that `prepare` puts on the training side, in order.

    A tokenizer is learnt from these alone: merges that were learnt from the validation text too
    make it cheaper than unseen text is. The corpus is read twice, and never held in memory.

    read     function without arguments -> texts, as of prepare; they are the same each time
    others   as of prepare
    yields   str, or iterator of str chunks; of one text its beginning
    """
    check_fraction(val_fraction)
    if not val_fraction:
        yield from _documents(read)
        return
    characters, digests = [], []
    for document in _documents(read):
        count, hashed = 0, text_hash(seed)
        for chunk in document:
            count += len(chunk)
            hashed.update(chunk.encode("utf-8", "surrogatepass"))  # prepare refuses these later
        characters.append(count)
        digests.append(hashed.digest())
    filled = sum(map(bool, characters))  # prepare leaves out empty ones
    if filled == 1:
        for document, count in zip(_documents(read), characters):
            if count:
                yield _between(document, 0, cut_point(count, val_fraction))
        return
    kept = [i for i, count in enumerate(characters) if count]
    sides = validation_documents(
        [digests[i] for i in kept], [characters[i] for i in kept], val_fraction
    )
    chosen = {i for i, for_validation in zip(kept, sides) if not for_validation}
    for i, document in enumerate(_documents(read)):
        if i in chosen:
            yield document


def _documents(read):
    """The documents of a corpus, each as an iterator of chunks."""
    texts = read()
    return map(_pieces, [texts] if isinstance(texts, str) else texts)


@dataclass
class _Index:
    """Position, length and digest of each document in the spool file, and its checksum."""

    ends: array.array  # in bytes
    characters: array.array  # number of them
    digests: list  # of text_hash
    sha256: str  # of the whole


def _spool(documents, path, seed):
    """Copy all text except empty documents to `path` as UTF-8; returns its _Index."""
    index = _Index(array.array("Q"), array.array("Q"), [], "")
    whole, position = hashlib.sha256(), 0
    with open_fresh(path) as file:
        for document in documents:
            characters, hashed = 0, text_hash(seed)  # of this document
            for chunk in _pieces(document):
                try:
                    data = chunk.encode()
                except UnicodeEncodeError as error:
                    raise DataError(
                        f"prepare: document {len(index.ends)} has {chunk[error.start]!r} at "
                        f"character {characters + error.start}, half of a surrogate pair and no "
                        "character: read the text with errors='strict'"
                    ) from None
                file.write(data)
                hashed.update(data)
                whole.update(data)
                characters += len(chunk)
                position += len(data)
            if characters:
                index.ends.append(position)
                index.characters.append(characters)
                index.digests.append(hashed.digest())
    if not index.ends:
        raise DataError("prepare: the text is empty: give at least a few thousand characters")
    index.sha256 = whole.hexdigest()
    return index


def _pieces(document):
    """The chunks of a document; a str in slices, so that no encoded copy of it is in memory."""
    if not isinstance(document, str):
        return document
    return (document[i : i + _CHUNK] for i in range(0, len(document), _CHUNK))


def _encode(index, spool, tokenizer, out_dir, val_fraction, seed, end_of_text):
    """Write both token files and meta.json from the spool file; returns Prepared."""
    several = len(index.ends) > 1
    if several and end_of_text is None:
        end_of_text = (getattr(tokenizer, "special", None) or {}).get(END_OF_TEXT)
    with contextlib.ExitStack() as stack:
        files = {
            side: TokenWriter(out_dir / f"{side}.bin", tokenizer.vocab_size)
            for side in ("train", "val")
        }
        writers = {
            side: _Side(stack.enter_context(tokens), tokenizer) for side, tokens in files.items()
        }
        file = stack.enter_context(open(spool, "rb"))
        if several:
            chosen = validation_documents(index.digests, index.characters, val_fraction)
            start = 0
            for end, for_validation in zip(index.ends, chosen):
                side = "val" if for_validation else "train"
                writers[side].add(_characters(file, start, end), end_of_text)
                start = end
        else:
            length = index.characters[0]
            cut = cut_point(length, val_fraction)
            writers["train"].add(_between(_characters(file, 0, index.ends[0]), 0, cut))
            if val_fraction:
                writers["val"].add(_between(_characters(file, 0, index.ends[0]), cut, length))
    # Both token files are complete now. meta.json is written last: it makes the corpus valid.
    meta = {
        "format": 1,
        "vocab_size": int(tokenizer.vocab_size),
        "sha256": index.sha256,
        "val_fraction": val_fraction,
        "seed": seed,
        "end_of_text": end_of_text if several else None,
        **{side: writer.counts() for side, writer in writers.items()},
    }
    write_text(out_dir / META, json.dumps(meta, indent=2) + "\n")
    return Prepared.open(out_dir)


class _Side:
    """The writer of one side, with counts of its text."""

    def __init__(self, tokens, tokenizer):
        self.tokens, self.tokenizer = tokens, tokenizer
        self.characters = self.bytes = 0

    def add(self, chunks, end_of_text=None):
        for ids in self.tokenizer.encode_stream(self._counted(chunks)):
            self.tokens.append(ids)
        if end_of_text is not None:
            self.tokens.append([end_of_text])
        self.tokens.end_document()

    def _counted(self, chunks):
        for chunk in chunks:  # counted on the way to the tokenizer, which reads them once
            self.characters += len(chunk)
            self.bytes += len(chunk.encode())
            yield chunk

    def counts(self):
        return {
            "documents": len(self.tokens.ends),
            "characters": self.characters,
            "bytes": self.bytes,
            "tokens": self.tokens.count,
            "crc": self.tokens.crc,
        }


def _characters(file, start, end):
    """Bytes start .. end-1 of the spool file as str chunks."""
    decoder = codecs.getincrementaldecoder("utf-8")()  # a chunk may cut a character
    while start < end:
        file.seek(start)
        data = file.read(min(_CHUNK, end - start))
        start += len(data)
        if text := decoder.decode(data):
            yield text


def _between(chunks, start, stop):
    """Characters start .. stop-1 of a text that comes in chunks."""
    at = 0  # characters before this chunk
    for chunk in chunks:
        part = chunk[max(start - at, 0) : max(stop - at, 0)]
        at += len(chunk)
        if part:
            yield part
        if at >= stop:
            return
