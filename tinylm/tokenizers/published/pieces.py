"""SentencePiece: pieces with scores, in a text whose spaces are characters like others, "▁".

    text -> characters replaced, spaces squeezed, "▁" put first -> pieces -> ids

BPE always joins the two neighbors that make the piece of highest score, leftmost first; Unigram
takes the row of pieces of the highest summed score. A character that is no piece becomes its bytes
<0x00> to <0xFF>, or the unknown piece. LLaMA 2, Mistral and Gemma read text with BPE; T5, XLNet and
others with Unigram. Book section 1.2; Kudo & Richardson 2018. Read next: scored.py, which chooses;
sentencepiece.py, where pieces come from.
"""

import base64
import binascii
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import regex

from tinylm.errors import DataError
from tinylm.fields import show
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.tokenizers.published.added import AddedToken, Finder
from tinylm.tokenizers.published.charsmap import CharacterMap
from tinylm.tokenizers.published.decoders import byte_of
from tinylm.tokenizers.published.frame import framed
from tinylm.tokenizers.published.normalize import normalizer
from tinylm.tokenizers.published.scored import (
    ADDED,
    BYTE,
    CONTROL,
    UNKNOWN,
    USER,
    Likely,
    Merging,
    Vocabulary,
)
from tinylm.tokenizers.stream import CHUNK, read_text, special_pattern

MARK = "▁"


class PieceTokenizer(Tokenizer):
    """The tokenizer of a SentencePiece model.

    described  dict, as the static method `described` makes it
    raises     DataError if its parts do not fit together
    """

    kind = "pieces"

    def __init__(self, described: dict[str, Any]) -> None:
        self._source = described
        vocabulary = Vocabulary(described["pieces"])  # checks each piece
        self.pieces, self._ids = vocabulary.pieces, vocabulary.ids
        self._unknown = vocabulary.unknown
        self.frame = _frame(described.get("frame"), len(self.pieces))
        kinds = CONTROL, UNKNOWN
        special = {text: i for i, (text, _, kind) in enumerate(self.pieces) if kind in kinds}
        super().__init__([_bytes(text, kind) for text, _, kind in self.pieces], special)
        self._prefix, self._squeeze = described["prefix"], described["squeeze"]
        self._each = described.get("each", True)
        self._map = None
        if described["charsmap"]:
            self._map = CharacterMap(_decoded(described["charsmap"]))
        self._before = normalizer(described.get("before"), "before")
        self.added = self._added(described.get("added", []))
        self._finder = Finder(self.added)
        # USER pieces are cut out of the text before BPE merges anything; for Unigram their scores
        # are so high that it nearly always takes them.
        users = [text for text, _, kind in self.pieces if kind == USER]
        self._users = special_pattern(users)
        self._ranked = described["model"] == "bpe"
        chooser = Likely
        if self._ranked:
            chooser = Merging
        self._cache = _WordCache(chooser(vocabulary).ids)
        # Words are cut one by one, and cached, where no piece goes on across a mark. Not for
        # Unigram, whose sums are rounded over the whole text.
        self._words = None
        inner = any(MARK in text.lstrip(MARK) for text in self._ids)
        if self._ranked and not inner:
            self._words = regex.compile(f"{MARK}*[^{MARK}]+|{MARK}+")

    @staticmethod
    def described(
        model: str,
        pieces: Sequence[list],
        charsmap: bytes = b"",
        prefix: bool = True,
        squeeze: bool = True,
        **others: Any,
    ) -> dict[str, Any]:
        """The description of a tokenizer.

        model     "bpe" or "unigram"
        pieces    list of [text, score, kind]
        charsmap  bytes of the character map, or empty
        prefix    put a mark before the text
        squeeze   take spaces off both ends, and keep one of several
        others    each: a mark is put before every part between special tokens, not only before the
                  first (default true); before: description of a normalizer for the text as it
                  comes; frame: as in frame.py, with ids; added: tokens as in a tokenizer.json, for
                  those that have flags or are not special
        """
        return {
            "kind": PieceTokenizer.kind,
            "model": model,
            "pieces": pieces,
            "prefix": prefix,
            "squeeze": squeeze,
            "charsmap": base64.b64encode(charsmap).decode(),
            **others,
        }

    def _added(self, listed):
        """All tokens that are searched in the text as it comes: the special and the added ones."""
        tokens = {
            name: AddedToken(name, i, True, normalized=False) for name, i in self.special.items()
        }
        for i, one in enumerate(listed):
            token = AddedToken.read(one, f"added[{i}]")
            if token.id >= len(self.pieces) or self.pieces[token.id][0] != token.content:
                raise DataError(
                    f"added[{i}] is {token.content!r} with the id {token.id}, which is that of "
                    f"another piece"
                )
            tokens[token.content] = token
        return list(tokens.values())

    def encode_stream(
        self, source: str, chunk_bytes: int = CHUNK, allow_special: bool = False
    ) -> Iterator[np.ndarray]:
        """As `Tokenizer.encode_stream`; the text is held whole, because its ends are stripped."""
        text = "".join(read_text(source, chunk_bytes))
        if text:
            yield self._encode(text, allow_special, 0)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of a text whose special tokens count as plain text, (T,) int32."""
        return self._encode(text, False, position)

    def _encode(self, text, special, position):
        utf8(text, position)  # raises DataError with the position of a lone surrogate
        found = array("i")
        # Each stretch between special tokens is normalized and cut by itself.
        for start, stop, token in self._finder.cut(text, special):
            if token is None:
                # The mark before the text: before its first stretch, or with `each` before all.
                prefix = self._prefix and (self._each or position + start == 0)
                found.extend(self._part(text[start:stop], prefix))
            else:
                found.append(token.id)
        return np.frombuffer(found, np.int32)

    def _part(self, text, prefix):
        """The ids of a part without special tokens, a list."""
        # text -> before -> characters replaced, spaces squeezed, mark -> words -> ids
        ids = []
        if self._before:
            text = self._before(text)
        for part, user in self._normalized(text, prefix):
            if user:
                ids.append(self._ids[part])
                continue
            words = [part]
            if self._words:
                words = self._words.findall(part)
            for word in words:
                here = self._cache[word]
                if ids and here and ids[-1] == here[0] == self._unknown:
                    here = here[1:]  # unknown pieces side by side are one
                ids += here
        return ids

    def _normalized(self, text, prefix):
        """The text as it is cut: list of (part, whether it is a USER piece)."""
        done, after_space = [], self._squeeze  # the begin squeezes like the place after a space
        if prefix:
            done.append(MARK)
        # Chunks come one by one: whether a space is squeezed may depend on the chunk before.
        for chunk in self._chunks(text):
            if after_space:
                chunk = chunk.lstrip(" ")
            if chunk:
                after_space = self._squeeze and chunk.endswith(" ")
                done.append(chunk.replace(" ", MARK))
        found = "".join(done)
        if self._squeeze:
            found = found.rstrip(MARK)
        return self._split(found)

    def _split(self, text):
        """A text cut at USER pieces, for BPE: list of (part, whether it is one), none empty."""
        if not text:
            return []
        if self._users is None or not self._ranked:
            return [(text, False)]
        found, at = [], 0
        for match in self._users.finditer(text):
            found += [(text[at : match.start()], False), (match.group(), True)]
            at = match.end()
        found.append((text[at:], False))
        return [(part, user) for part, user in found if part]

    def _chunks(self, text):
        """The replacements of a text, left to right; USER pieces are not replaced."""
        at = 0
        if self._users:
            for match in self._users.finditer(text):
                yield from self._replaced(text[at : match.start()])
                yield match.group()
                at = match.end()
        yield from self._replaced(text[at:])

    def _replaced(self, text):
        """The chunks of a text, each replaced; where spaces are squeezed, each ends at a space."""
        if self._map is not None:
            return self._map.by_longest(text)
        if not self._squeeze:
            return [text]
        # "a  b" -> "a ", " ", "b": the caller drops a space that follows another.
        return [f"{part} " for part in text.split(" ")[:-1]] + [text.rpartition(" ")[2]]

    def framed(
        self,
        first: str,
        second: str | None = None,
        limit: int | None = None,
        allow_special: bool = False,
    ) -> tuple[np.ndarray, ...]:
        """As `PipelineTokenizer.framed`."""
        return framed(self, first, second, limit, allow_special)

    def decode(self, ids: np.ndarray, skip_special: bool = False) -> str:
        """The text of token ids, without the space of the mark before the text."""
        if not isinstance(ids, np.ndarray):
            ids = np.array(list(ids))
        super().decode_bytes(ids)  # the checks of all tokenizers
        hidden = set()
        if skip_special:
            hidden = set(self.special.values())
        parts = [self._token_bytes[i] for i in ids.tolist() if i not in hidden]
        if self._prefix or self._squeeze:
            # One space off the first part; where spaces are squeezed, off every part up to the
            # first with other characters.
            for i, part in enumerate(parts):
                parts[i] = part.removeprefix(b" ")
                if parts[i] or not self._squeeze:
                    break
        return b"".join(parts).decode("utf-8", "replace")

    def with_special(self, names: Sequence[str]) -> "PieceTokenizer":
        """The same tokenizer with special tokens added after its last id."""
        # CONTROL pieces are never found in plain text, so their score does not matter.
        pieces = [*self._source["pieces"], *([name, 0.0, CONTROL] for name in names)]
        return type(self)(self._source | {"pieces": pieces})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`."""
        return self._source

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> "PieceTokenizer":
        """The tokenizer that `to_dict` described."""
        for name in ("prefix", "squeeze"):
            if not isinstance(described[name], bool):
                raise DataError(f"{name} is {show(described[name])}, neither true nor false")
        known = described["model"] in ("bpe", "unigram")
        if not known or not isinstance(described["charsmap"], str):
            raise DataError(
                f"model is {show(described['model'])}; it must be bpe or unigram, with a "
                f"character map"
            )
        return cls(described)


def _bytes(text, kind):
    """What a piece decodes to: "<0x41>" is one byte, "▁the" is " the", a special token its name."""
    if kind == BYTE:
        return bytes([byte_of(text)])
    if kind in (CONTROL, UNKNOWN, ADDED):
        return utf8(text)
    return utf8(text.replace(MARK, " "))


def _frame(value, size):
    """The frame of a description, in which JSON has lists for tuples; the texts alone for None."""
    frame = value or [[["A", 0]], [["A", 0], ["B", 1]]]
    frame = tuple([(one, segment) for one, segment in items] for items in frame)
    # An id outside the vocabulary would fail only when a text is framed.
    for items in frame:
        if not all(one in ("A", "B") or type(one) is int and 0 <= one < size for one, _ in items):
            raise DataError(f"frame is {show(value)}; it must be made of A, B and ids")
    return frame


def _decoded(text):
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DataError(f"charsmap is no base64 ({error})") from None


class _WordCache(dict):
    """The ids of words encoded before."""

    MOST, LONGEST = 1 << 17, 64

    def __init__(self, ids):
        super().__init__()
        self.ids = ids

    def __missing__(self, word):
        ids = self.ids(word)
        if len(word) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[word] = ids
        return ids
