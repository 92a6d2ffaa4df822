"""WordPiece as BERT applies it: words are cut greedily into the longest pieces that the vocabulary
has (Schuster & Nakajima 2012; Devlin et al. 2019; book section 1.3.1).

First the text is normalized: control characters are removed, with `lower` also accents and upper
case, and signs and Chinese characters become words of their own. Then every word is cut from its
left; a piece that continues a word begins with "##". Normalizing loses something: decoding returns
the words, not the text. Read next: bpe.py, which merges instead.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import CheckpointError, DataError
from tinylm.reading import numbered_lines
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.writing import stream_safe

SPECIAL = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
# Characters; a longer word is unknown. Hugging Face's limit: BERT's own code has 200.
LONGEST_WORD = 100
_CACHED = 1 << 16  # words whose pieces are kept at most

# The blocks of Chinese characters in BERT's own code.
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class _Characters(dict):
    """A table for str.translate, filled in as characters occur: Unicode has too many for a list."""

    def __init__(self, becomes):
        self.becomes = becomes

    def __missing__(self, point):
        self[point] = result = self.becomes(chr(point))
        return result


def _clean(c):
    """Removes control characters, makes white space a space, and puts spaces around Chinese."""
    # Line ends are control characters by category, but white space here, as in BERT's own code.
    if c in "\t\n\r" or c.isspace() and unicodedata.category(c) != "Cc":
        return " "
    if c in "\0\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co"):
        return ""
    if any(low <= ord(c) <= high for low, high in _CHINESE):
        return f" {c} "
    return c


def _is_sign(c):
    """Punctuation, and every printable ASCII character that is no letter, digit or space."""
    ascii_sign = c.isascii() and c.isprintable() and not c.isalnum() and c != " "
    return ascii_sign or unicodedata.category(c)[0] == "P"


def _apart(c):
    """Spaces around a sign, so that it is a word of its own."""
    if _is_sign(c):
        return f" {c} "
    return c


def _lowered(c):
    """Lower case without accents, for text in NFD, where letters and accents are apart."""
    # Mn: marks without width, which is what an accent is in NFD.
    if unicodedata.category(c) == "Mn":
        return ""
    return _apart(c.lower())


_CLEAN, _APART, _LOWERED = map(_Characters, (_clean, _apart, _lowered))


def plain_words(text: str, lower: bool = True) -> list[str]:
    """The words of a text as BERT reads it: cleaned, and split at spaces and around signs.

    text     str
    lower    make it lower case and take accents off
    returns  list of str, "" where spaces stand side by side
    """
    text = text.translate(_CLEAN)
    if lower:
        # The joiner that stream_safe puts between many accents is removed together with them.
        return unicodedata.normalize("NFD", stream_safe(text)).translate(_LOWERED).split(" ")
    return text.translate(_APART).split(" ")


def _decoded(piece):
    """The bytes of a piece in decoded text: "##s" is "s", "cat" is " cat", "[CLS]" is "[CLS]"."""
    if piece in SPECIAL:
        return utf8(piece)
    if piece.startswith("##") and len(piece) > 2:
        return utf8(piece[2:])
    return utf8(" " + piece)


class WordPieceTokenizer(Tokenizer):
    """A tokenizer that cuts words into the longest pieces of its vocabulary.

    pieces   the vocabulary in the order of ids; "##" begins a piece that continues a word. The
             names in SPECIAL are special tokens where they are in it
    lower    make text lower case and take accents off
    raises   DataError for a piece given twice, or a vocabulary without [UNK]
    """

    kind = "wordpiece"

    def __init__(self, pieces: Sequence[str], lower: bool = True) -> None:
        pieces = list(pieces)
        special = {piece: i for i, piece in enumerate(pieces) if piece in SPECIAL}
        super().__init__([_decoded(piece) for piece in pieces], special)
        self.pieces, self.lower = pieces, lower
        self._ids = {piece: i for i, piece in enumerate(pieces)}
        if len(self._ids) < len(pieces):
            twice = next(p for i, p in enumerate(pieces) if self._ids[p] != i)
            raise DataError(f"piece {twice!r} is in the vocabulary twice; each may stand once")
        if "[UNK]" not in special:
            raise DataError(
                "the vocabulary has no [UNK], which stands for words that cannot be cut into "
                "pieces; add it"
            )
        self._longest = max(map(len, pieces))
        self._cache = {"": ()}  # {word: its ids}; the empty words between two spaces have none

    @classmethod
    def from_vocabulary(cls, path: str | Path, lower: bool = True) -> "WordPieceTokenizer":
        """The tokenizer of a vocab.txt, one piece a line.

        raises  CheckpointError if the file cannot be read
        """
        try:
            return cls([line for _, line in numbered_lines(path)], lower)
        except DataError as error:
            raise CheckpointError(f"cannot read the vocabulary {path}: {error}") from error

    def cut(self, word: str) -> tuple[int, ...]:
        """The ids of one word: always the longest piece that fits next; [UNK] alone if none does.

        returns  tuple of ids
        """
        if len(word) > LONGEST_WORD:
            return (self.special["[UNK]"],)
        ids, start = [], 0
        while start < len(word):
            mark = ""
            if start:
                mark = "##"
            # Greedy: from the longest stretch that may be a piece down to one character.
            for stop in range(min(len(word), start + self._longest), start, -1):
                if (found := self._ids.get(mark + word[start:stop])) is not None:
                    break
            else:
                return (self.special["[UNK]"],)
            ids.append(found)
            start = stop
        return tuple(ids)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of `text`, (T,) int32; unknown words become [UNK], never an error."""
        ids = []
        for word in plain_words(text, self.lower):
            pieces = self._cache.get(word)
            if pieces is None:
                if len(self._cache) >= _CACHED:
                    self._cache = {"": ()}
                pieces = self._cache[word] = self.cut(word)
            ids += pieces
        return np.array(ids, np.int32)

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """Words end at a space, whatever stands around it."""
        return max(start, text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))

    def framed(
        self, first: str, second: str | None = None, limit: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]   (book section 1.3.1)

        limit    most ids; a longer text loses its end, of two the longer one first. None: no limit
        returns  (ids (T,) int32, segments (T,) int32: 0 up to the first [SEP], then 1)
        """
        texts = [self.encode(text) for text in (first, second) if text is not None]
        # Of the limit, [CLS] and one [SEP] for each text are taken. The longer text loses its last
        # id; of equals the second does (`i` breaks the tie).
        while limit is not None and sum(map(len, texts)) > max(0, limit - 1 - len(texts)):
            longest = max(range(len(texts)), key=lambda i: (len(texts[i]), i))
            texts[longest] = texts[longest][:-1]
        # [CLS] first [SEP] | second [SEP]: segment 0 | segment 1.
        begin, end = [self.special["[CLS]"]], [self.special["[SEP]"]]
        parts = [np.concatenate([begin, texts[0], end])]
        parts += [np.concatenate([text, end]) for text in texts[1:]]
        segments = np.concatenate([np.full(len(part), i) for i, part in enumerate(parts)])
        return np.concatenate(parts).astype(np.int32), segments.astype(np.int32)

    def decode(self, ids: ArrayLike) -> str:
        """The words of token ids with spaces between, [UNK] for those that were unknown."""
        ids = list(ids)
        self.decode_bytes(ids)  # raises for what is no id
        data = bytearray()
        for i in map(int, ids):
            # The bytes of a word's first piece begin with a space; those of a special token are
            # its name alone.
            if self.pieces[i] in self.special:
                data += b" "
            data += self._token_bytes[i]
        return data.decode("utf-8", errors="replace").removeprefix(" ")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`."""
        return {"kind": self.kind, "pieces": self.pieces, "lower": self.lower}

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> "WordPieceTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(described["pieces"], described["lower"])
