"""The tokenizer of a tokenizer.json: added tokens, normalizer, pre-tokenizer, model,
post-processor, decoder.

    text -> parts between added tokens -> normalized -> pieces -> ids           encode
    ids -> tokens -> text                                                       decode
    texts -> ids with the special tokens around them                            framed

The format is that of Hugging Face's library `tokenizers`. All of a file is read with its meaning
or refused by name. `encode(text, allow_special=True)` gives the ids of that library's
`encode(text, add_special_tokens=False)`; without `allow_special` it is the library with
`encode_special_tokens`: no text becomes a special token. Read next: folder.py, which finds the
files.
"""

from array import array

import numpy as np

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
# How many ids are padded or cut is the caller's business here, who gives a limit and pads rows
# himself.
_CALLERS = "truncation", "padding"


class PipelineTokenizer(Tokenizer):
    """A tokenizer described in the format of tokenizer.json.

    described  dict, what the JSON gave
    clean      take spaces before English punctuation out of decoded text
    raises     DataError naming the field that is not read
    """

    kind = "pipeline"

    def __init__(self, described, clean=False):
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
        self._raw = Finder([token for token in self.added if not token.normalized])
        self._normal = Finder([token for token in self.added if token.normalized], self._normalize)
        self._finish = None
        if self._steps and self._steps[-1] is printable:  # bytes are made of distinct pieces only
            self._finish, self._steps = printable, self._steps[:-1]
        self._looks = any(
            isinstance(step, Marked) and step.scheme == "first" for step in self._steps
        )
        self._cut = cut_of(described, self.added)
        self._cache = _PieceCache(self)
        self._table = None

    def _by_id(self):
        # An added token that is looked for in normalized text is shown as it stands there.
        added = {token.id: self._shown(token) for token in self.added}
        tokens = {i: token for token, i in self.model.ids.items()} | added
        self.tokens = [None] * (max(tokens, default=-1) + 1)  # None: a number without a token
        for i, token in tokens.items():
            self.tokens[i] = token
        outside = [
            i
            for items in self.frame
            for i, _ in items
            if not isinstance(i, str) and i not in tokens
        ]
        if outside:
            raise DataError(
                f"tokenizer.json.post_processor puts the id {outside[0]}, which is no token, "
                f"around the text"
            )

    def _shown(self, token):
        if token.normalized and self._normalize:
            return self._normalize(token.content)
        return token.content

    @property
    def vocab_size(self):
        """V: the largest id and one; some numbers may have no token."""
        return len(self.tokens)

    def encode_stream(self, source, chunk_bytes=CHUNK, allow_special=False):
        """As `Tokenizer.encode_stream`; where no cut is certain the text is held whole."""
        names = [token.content for token in self.added if allow_special or not token.special]
        longest = max(map(len, names), default=0)
        parts = read_text(source, chunk_bytes)
        for position, text in certain_chunks(
            parts, chunk_bytes, self.last_cut, special_pattern(names), longest
        ):
            yield self._encode_text(text, position, allow_special)

    def last_cut(self, text, start, stop):
        """The last certain cut, or `start`."""
        if self._cut:
            return self._cut(text, start, stop)
        return start

    def encode_plain(self, text, position=0):
        """The ids of a text in which no special token is looked for."""
        return self._encode_text(text, position, False)

    def _encode_text(self, text, position, special):
        utf8(text, position)  # a lone surrogate is refused with its place
        found = bytearray()
        for start, stop, token in self._raw.cut(text, special):
            if token is None:
                self._encode_part(text[start:stop], special, position + start == 0, found)
            else:
                found += array("i", [token.id]).tobytes()
        return np.frombuffer(found, np.int32)

    def _encode_part(self, text, special, first, found):
        first = first and self._begins(text)
        if self._normalize:
            text = self._normalize(text)
        for start, stop, token in self._normal.cut(text, special):
            if token is not None:
                found += array("i", [token.id]).tobytes()
            elif start < stop:
                pieces, at_start = [text[start:stop]], first and start == 0
                for step in self._steps:
                    pieces, at_start = step(pieces, at_start)
                found += b"".join(map(self._cache.__getitem__, pieces))

    def _begins(self, text):
        """Whether the first character is still there in normalized text; asked only where a step
        looks at it.
        """
        if not (self._looks and self._normalize and text):
            return True
        return self._normalize(text[0] + "a") != self._normalize("a")

    def encode_piece(self, piece):
        """The ids of one piece, a list."""
        return self.model.encode(self._finish([piece], False)[0][0] if self._finish else piece)

    def framed(self, first, second=None, limit=None, allow_special=False):
        """The ids of one text or two with the special tokens that the model wants around them.

        limit    most ids; a longer text loses its end, of two the longer one first. None: no limit
        returns  (ids (T,) int32, segments (T,) int32)
        """
        return framed(self, first, second, limit, allow_special)

    def decode(self, ids, skip_special=False):
        """The text of token ids.

        skip_special  leave the special tokens out
        """
        ids = np.asarray(list(ids) if not isinstance(ids, np.ndarray) else ids)
        self.decode_bytes(ids)  # the checks of all tokenizers
        skipped = set(self.special.values()) if skip_special else ()
        tokens = [self.tokens[i] for i in ids.tolist() if i not in skipped]
        text = "".join(self._decode([token for token in tokens if token is not None]))
        if self.clean:
            return cleaned(text)
        return text

    @property
    def _token_bytes(self):
        """What each id gives in the middle of a text; made when first asked for."""
        if self._table is None:
            made = _bytes_table(self)
            self._table = made
        return self._table

    def with_special(self, names):
        """The same tokenizer with special tokens added after its last id."""
        first, listed = self.vocab_size, self.described.get("added_tokens") or []
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

    def to_dict(self):
        """A JSON-able description, for `from_dict`: the tokenizer.json itself."""
        return {"kind": self.kind, "clean": self.clean, "pipeline": self.described}

    @classmethod
    def from_dict(cls, described):
        """The tokenizer that `to_dict` described."""
        return cls(described["pipeline"], described.get("clean") is True)


def _special_names(listed):
    """The names of special tokens in a list of added tokens that has not been checked yet."""
    objects = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    names = [one.get("content") for one in objects if one.get("special") is True]
    return frozenset(name for name in names if isinstance(name, str))


def _bytes_table(tokenizer):
    """The bytes of each id as they stand in the middle of a text."""
    kinds = _kinds(tokenizer.described.get("decoder"))
    if "ByteLevel" in kinds:
        return [byte_values(token or "") for token in tokenizer.tokens]
    special, found = {i: name for name, i in tokenizer.special.items()}, []
    after = "".join(tokenizer._decode(["a", "b"])).removeprefix("a")
    for i, token in enumerate(tokenizer.tokens):
        value = byte_of(token) if token and "ByteFallback" in kinds else None
        if token is None:
            found.append(b"")
        elif i in special:
            found.append(special[i].encode("utf-8"))
        elif value is not None:
            found.append(bytes([value]))
        else:  # between two others, which are taken off again
            text = "".join(tokenizer._decode(["a", token, "b"]))
            found.append(text.removeprefix("a").removesuffix(after).encode("utf-8"))
    return found


def _kinds(value):
    """The types of a decoder and of those within it."""
    if not isinstance(value, dict):
        return set()
    return {value.get("type")}.union(*map(_kinds, value.get("decoders", ())))


class _PieceCache(dict):
    """The ids of pieces met before, as the bytes of int32."""

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
