"""The tokenizer of a tokenizer.json: a pipeline of six components.

    text -> parts between added tokens -> normalized -> pieces -> ids           encode
    ids -> tokens -> text                                                       decode
    texts -> ids with the special tokens around them                            framed

In the words of the format: added tokens, normalizer, pre-tokenizer, model; decoder; post-processor.
The format is that of Hugging Face's library `tokenizers`. Every field of a file is read, or refused
by name. `encode(text, allow_special=True)` gives the ids of that library's
`encode(text, add_special_tokens=False)`; without `allow_special` it is the library with
`encode_special_tokens`: no text becomes a special token. Read next: folder.py, which finds the
files.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import DataError
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.tokenizers.published.added import Finder, read_added
from tinylm.tokenizers.published.cuts import cut_of
from tinylm.tokenizers.published.decoders import byte_of, byte_values, cleaned, decoder
from tinylm.tokenizers.published.frame import frame, framed
from tinylm.tokenizers.published.models import model
from tinylm.tokenizers.published.normalize import normalizer
from tinylm.tokenizers.published.split import Marked, pre_tokenizer, printable
from tinylm.tokenizers.published.strict import Described
from tinylm.tokenizers.stream import CHUNK, certain_chunks, read_text, special_pattern

VERSIONS = ("1.0",)
# Not read: the caller pads rows, and passes a limit where ids are to be cut.
_CALLERS = "truncation", "padding"


class PipelineTokenizer(Tokenizer):
    """A tokenizer described in the format of tokenizer.json.

    described  dict, the parsed JSON
    clean      take spaces before English punctuation out of decoded text
    raises     DataError naming the field that is not read
    """

    kind = "pipeline"

    def __init__(self, described: dict[str, Any], clean: bool = False) -> None:
        given = Described(described, "tokenizer.json")
        self.described, self.clean = described, bool(clean)
        given.only("version", *VERSIONS)
        for field in _CALLERS:
            given.take(field, dict | None, None)
        listed = given.raw("added_tokens")
        self.model = model(given.raw("model"), _special_names(listed))
        self.added = read_added(listed, self.model.ids)
        self._normalize = normalizer(given.raw("normalizer"))
        self._steps = pre_tokenizer(given.raw("pre_tokenizer"))
        self.frame = frame(given.raw("post_processor"))
        self._decode = decoder(given.raw("decoder"))
        given.close()
        self._by_id()
        self.special = {token.content: token.id for token in self.added if token.special}
        # Added tokens are found in two rounds: in the text as it comes, and in normalized text.
        self._raw = Finder([token for token in self.added if not token.normalized])
        self._normal = Finder([token for token in self.added if token.normalized], self._normalize)
        # The last step to bytes is left to `encode_piece`: the cache is looked up by text, and
        # only distinct pieces are converted.
        self._finish = None
        if self._steps and self._steps[-1] is printable:
            self._finish, self._steps = printable, self._steps[:-1]
        # Does a step depend on whether a piece is the begin of the text?
        self._first_matters = any(
            isinstance(step, Marked) and step.scheme == "first" for step in self._steps
        )
        self._cut = cut_of(described, self.added)
        self._cache = _PieceCache(self)
        self._table = None

    def _by_id(self):
        """Make `tokens`, the list from id to token, and check the ids of the frame."""
        # An added token that is searched in normalized text decodes to its normalized content.
        added = {token.id: self._shown(token) for token in self.added}
        tokens = {i: token for token, i in self.model.ids.items()} | added
        self.tokens = [None] * (max(tokens, default=-1) + 1)  # None: an id without a token
        for i, token in tokens.items():
            self.tokens[i] = token
        single, pair = self.frame
        framing = [item for item, _ in [*single, *pair] if not isinstance(item, str)]
        outside = [i for i in framing if i not in tokens]
        if outside:
            raise DataError(
                f"tokenizer.json.post_processor puts the id {outside[0]}, which is no token, "
                f"around the text"
            )

    def _shown(self, token):
        """What an added token decodes to."""
        if token.normalized and self._normalize:
            return self._normalize(token.content)
        return token.content

    @property
    def vocab_size(self) -> int:
        """V, the largest id + 1; some ids may have no token."""
        return len(self.tokens)

    def encode_stream(
        self, source: str, chunk_bytes: int = CHUNK, allow_special: bool = False
    ) -> Iterator[np.ndarray]:
        """As `Tokenizer.encode_stream`; a text without certain cuts is held whole."""
        names = [token.content for token in self.added if allow_special or not token.special]
        longest = max(map(len, names), default=0)
        parts = read_text(source, chunk_bytes)
        pattern = special_pattern(names)
        for position, text in certain_chunks(parts, chunk_bytes, self.last_cut, pattern, longest):
            yield self._encode_text(text, position, allow_special)

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """The last certain cut, or `start`."""
        if self._cut:
            return self._cut(text, start, stop)
        return start

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of a text whose special tokens count as plain text, (T,) int32."""
        return self._encode_text(text, position, False)

    def _encode_text(self, text, position, special):
        """The ids of a text that begins at `position` of the whole, (T,) int32."""
        utf8(text, position)  # raises DataError with the position of a lone surrogate
        found = bytearray()
        for start, stop, token in self._raw.cut(text, special):
            if token is None:
                self._encode_part(text[start:stop], special, position + start == 0, found)
            else:
                found += array("i", [token.id]).tobytes()
        return np.frombuffer(found, np.int32)

    def _encode_part(self, text, special, first, found):
        """Append to `found` the ids of a part without added tokens, as the bytes of int32.

        first  whether the part is the begin of the text
        """
        first = first and self._begins(text)
        if self._normalize:
            text = self._normalize(text)
        for start, stop, token in self._normal.cut(text, special):
            if token is not None:
                found += array("i", [token.id]).tobytes()
            elif start < stop:
                pieces = self._pieces(text[start:stop], first and start == 0)
                found += b"".join(map(self._cache.__getitem__, pieces))

    def _pieces(self, text, at_start):
        """The pieces of a normalized text without added tokens, each encoded by itself."""
        pieces = [text]
        for step in self._steps:
            pieces, at_start = step(pieces, at_start)
        return pieces

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, each encoded by itself; added tokens are left out."""
        found = []
        for start, stop, token in self._raw.cut(text, False):
            part = text[start:stop]
            if token is None and part:
                first = start == 0 and self._begins(part)
                part = self._normalize(part) if self._normalize else part
                found += self._pieces(part, first)
        return found

    def _begins(self, text):
        """Whether the first character of `text` survives normalizing; True where it matters not."""
        if not (self._first_matters and self._normalize and text):
            return True
        # With an "a" behind, a space is not taken off as the end of the text.
        return self._normalize(text[0] + "a") != self._normalize("a")

    def encode_piece(self, piece: str) -> list[int]:
        """The ids of one piece, a list."""
        return self.model.encode(self._finished(piece))

    def steps_of_piece(self, piece: str) -> list[tuple]:
        """How a model of merges encodes a piece, merge by merge: `bpe.merge_steps`."""
        return self.model.steps(self._finished(piece))

    def _finished(self, piece):
        """A piece as the model takes it."""
        if self._finish:
            (piece,), _ = self._finish([piece], False)
        return piece

    def framed(
        self,
        first: str,
        second: str | None = None,
        limit: int | None = None,
        allow_special: bool = False,
    ) -> tuple[np.ndarray, ...]:
        """The ids of one text or two with the special tokens that belong around them.

        limit    most ids; a longer text loses its end, of two the longer one first. None: no limit
        returns  (ids (T,) int32, segments (T,) int32)
        """
        return framed(self, first, second, limit, allow_special)

    def decode(self, ids: ArrayLike, skip_special: bool = False) -> str:
        """The text of token ids.

        skip_special  leave the special tokens out
        """
        if not isinstance(ids, np.ndarray):
            ids = np.array(list(ids))
        self.decode_bytes(ids)  # the checks of all tokenizers
        skipped = set()
        if skip_special:
            skipped = set(self.special.values())
        # ids -> tokens -> parts of the text, one for each token or joined, as the decoder has it
        tokens = [self.tokens[i] for i in ids.tolist() if i not in skipped]
        text = "".join(self._decode([token for token in tokens if token is not None]))
        if self.clean:
            return cleaned(text)
        return text

    @property
    def _token_bytes(self):
        """The bytes of each id in the middle of a text; built at the first use."""
        if self._table is None:
            self._table = _bytes_table(self)
        return self._table

    def with_special(self, names: Sequence[str]) -> "PipelineTokenizer":
        """The same tokenizer with special tokens added after its last id."""
        first, listed = self.vocab_size, self.described.get("added_tokens") or []
        # Described like any other, so that the new tokenizer is checked and saved as one file.
        new = [
            {
                "id": first + i,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i, name in enumerate(names)
        ]
        return type(self)(self.described | {"added_tokens": [*listed, *new]}, self.clean)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`: the tokenizer.json itself."""
        return {"kind": self.kind, "clean": self.clean, "pipeline": self.described}

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> "PipelineTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(described["pipeline"], described.get("clean") is True)


def _special_names(listed):
    """The names of special tokens in a list of added tokens that has not been checked yet."""
    if not isinstance(listed, list):
        return frozenset()
    objects = [one for one in listed if isinstance(one, dict)]
    names = [one.get("content") for one in objects if one.get("special") is True]
    return frozenset(name for name in names if isinstance(name, str))


def _bytes_table(tokenizer):
    """The bytes of each id as they stand in the middle of a text."""
    kinds = _kinds(tokenizer.described.get("decoder"))
    if "ByteLevel" in kinds:  # every token is bytes, whatever its neighbors
        return [byte_values(token or "") for token in tokenizer.tokens]
    special = {i: name for name, i in tokenizer.special.items()}
    found = []
    # A decoder may treat the first and the last token differently, so a token is decoded between
    # two others, whose text is taken off again.
    after = "".join(tokenizer._decode(["a", "b"])).removeprefix("a")
    for i, token in enumerate(tokenizer.tokens):
        value = None
        if token and "ByteFallback" in kinds:
            value = byte_of(token)
        if token is None:
            found.append(b"")
        elif i in special:
            found.append(special[i].encode("utf-8"))
        elif value is not None:
            found.append(bytes([value]))
        else:
            text = "".join(tokenizer._decode(["a", token, "b"]))
            found.append(text.removeprefix("a").removesuffix(after).encode("utf-8"))
    return found


def _kinds(value):
    """The types of a decoder and of those within it."""
    if not isinstance(value, dict):
        return set()
    return {value.get("type")}.union(*map(_kinds, value.get("decoders", ())))


class _PieceCache(dict):
    """The ids of pieces encoded before, as the bytes of int32."""

    MOST, LONGEST = 1 << 17, 64

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, piece):
        ids = array("i", self.tokenizer.encode_piece(piece)).tobytes()
        if len(piece) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[piece] = ids
        return ids
