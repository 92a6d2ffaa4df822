"""What all tokenizers share: special tokens, decoding, streaming, and files.

A kind of tokenizer is a table of bytes, one entry for each token id, plus a way to encode plain
text. It defines `encode_plain`, `last_cut`, `to_dict` and `from_dict`; everything else stands here.
Read next: `characters.py`, the simplest kind; `stream.py`, how text larger than memory is cut.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import DataError, ShapeError
from tinylm.files import write_text
from tinylm.tokenizers.stream import CHUNK, Source, certain_chunks, read_text, special_pattern


class Tokenizer:
    """A two-way table between text and token ids; see the package's docstring for the protocol.

    token_bytes  list of V bytes objects: what each id decodes to; a special token decodes to its
                 name
    special      {name: id} of the special tokens
    """

    kind = None  # the name under which `tokenizers.load` finds the class

    def __init__(self, token_bytes: Sequence[bytes], special: dict[str, int]) -> None:
        for name, token in special.items():
            if not name or token_bytes[token] != utf8(name):
                raise DataError(
                    f"special token {name!r} with id {token}: its bytes must be its name, "
                    "and not empty"
                )
        self.special = dict(special)
        self._token_bytes = token_bytes
        self._special_pattern = special_pattern(self.special)
        self._longest_special = max(map(len, self.special), default=0)

    @property
    def vocab_size(self) -> int:
        """V, the number of token ids: 0 .. V - 1, special tokens included."""
        return len(self._token_bytes)

    def encode(self, text: str, allow_special: bool = False) -> np.ndarray:
        """The token ids of `text`.

        text           str
        allow_special  False: the name of a special token in the text is plain text, so that no
                       input can forge one. True: it becomes the special token (the longest name
                       where several begin)
        returns        (T,) int32
        raises         DataError for text that this tokenizer cannot represent, with the position
        """
        if not isinstance(text, str):
            raise DataError(
                f"encode: text is {type(text).__name__}, not str; decode bytes first "
                "(.decode('utf-8'))"
            )
        # One way for short and long texts: the stream cuts only where no token can span the cut.
        parts = list(self.encode_stream(text, allow_special=allow_special))
        if len(parts) > 1:
            return np.concatenate(parts)
        if parts:
            return parts[0]
        return np.empty(0, np.int32)

    def encode_stream(
        self, source: Source, chunk_bytes: int = CHUNK, allow_special: bool = False
    ) -> Iterator[np.ndarray]:
        """The token ids of a text that need not fit in memory, chunk by chunk.

        source       str, Path, open file or iterable of str or bytes: see `read_text`
        chunk_bytes  about how much text is in work at a time; it does not change the ids
        yields       (t,) int32 arrays whose concatenation is `encode(whole text, allow_special)`
        raises       DataError as `encode` and `read_text` do
        """
        special = None
        if allow_special:
            special = self._special_pattern
        parts = read_text(source, chunk_bytes)
        longest = self._longest_special
        chunks = certain_chunks(parts, chunk_bytes, self.last_cut, special, longest)
        for position, text in chunks:
            yield self._encode_chunk(text, position, special)

    def _encode_chunk(self, text, position, special):
        """The ids of one chunk, (t,) int32; what the pattern `special` finds is a special token."""
        if special is None:
            return self.encode_plain(text, position)
        # plain, special, plain, special, ..., plain: each plain stretch is encoded by itself.
        ids, at = [], 0
        for match in special.finditer(text):
            ids += [
                self.encode_plain(text[at : match.start()], position + at),
                [self.special[match.group()]],
            ]
            at = match.end()
        ids.append(self.encode_plain(text[at:], position + at))
        return np.concatenate(ids, dtype=np.int32)

    def decode(self, ids: ArrayLike) -> str:
        """The text of token ids. Bytes that are not UTF-8, as in a character half generated, become
        U+FFFD.

        ids      (T,) integers, array or sequence
        returns  str
        raises   as `decode_bytes`
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """The bytes of token ids, whether or not they are UTF-8.

        ids      (T,) integers, array or sequence
        returns  bytes
        raises   DataError for an id outside the vocabulary or not an integer, ShapeError if ids are
                 not 1-D
        """
        if not isinstance(ids, np.ndarray):
            ids = np.array(list(ids))
        if ids.ndim != 1:
            raise ShapeError(
                f"decode: ids have shape {ids.shape}, but one sequence (T,) is decoded at a time; "
                "loop over the rows of a batch"
            )
        if ids.size == 0:  # an empty list has become floats: before the look at the type
            return b""
        if ids.dtype.kind not in "iu":
            raise DataError(f"decode: ids have dtype {ids.dtype}, but token ids are integers")
        outside = (ids < 0) | (ids >= self.vocab_size)
        if outside.any():
            where = int(outside.argmax())
            raise DataError(
                f"decode: token id {int(ids[where])} at position {where} is outside the "
                f"vocabulary of {self.vocab_size} (0 to {self.vocab_size - 1}); was it made by "
                "another tokenizer?"
            )
        # A memoryview yields Python's own integers, which index a list faster than NumPy's do.
        return b"".join(map(self._token_bytes.__getitem__, memoryview(ids)))

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token id; for a special token, its name.

        raises  DataError for an id outside the vocabulary
        """
        return self.decode_bytes([token])

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to `path` as JSON, for `tokenizers.load`; all or nothing (files.py).

        raises  DataError if it cannot be written
        """
        try:
            write_text(path, json.dumps(self.to_dict(), ensure_ascii=False))
        except OSError as error:
            raise DataError(
                f"tokenizer: {path} cannot be written ({error.strerror or error}): free "
                "space, or choose another path"
            ) from None


def utf8(text: str, position: int = 0) -> bytes:
    """`text` as UTF-8.

    position  where `text` begins in a longer one, for the message
    raises    DataError with the position of a lone surrogate, half of a UTF-16 pair
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"text holds the lone surrogate U+{ord(text[error.start]):04X} at position "
            f"{position + error.start}, which is not a character and has no UTF-8; remove it "
            "(text.encode('utf-8', 'replace').decode())"
        ) from None


def numbered(names: Sequence[str], first: int) -> dict[str, int]:
    """{name: id} for special tokens numbered from `first` in the order given.

    raises  DataError if a name is empty or given twice, or if `names` is a single string
    """
    given = names
    if not isinstance(names, str):
        given = list(names)
    if (
        isinstance(given, str)  # one name without its list: its letters would become tokens
        or not all(isinstance(name, str) and name for name in given)
        or len(set(given)) < len(given)
    ):
        raise DataError(f"special tokens must be a list of distinct names, got {given!r}")
    return {name: first + i for i, name in enumerate(given)}
