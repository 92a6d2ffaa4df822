"""WordPiece as BERT applies it: words are cut greedily into the longest pieces that the vocabulary
has (Schuster & Nakajima 2012; Devlin et al. 2019; book section 1.3.1).

First the text is made plain: control characters go, accents and case too if asked, signs and
Chinese characters stand alone. Then every word is cut from its left; a piece that continues a word
begins with "##". What was made plain does not come back: decoding gives the words, not the text.
Read next: bpe.py, which merges instead.
"""

import unicodedata

import numpy as np

from tinylm.errors import CheckpointError, DataError
from tinylm.reading import numbered_lines
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.writing import stream_safe

SPECIAL = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
LONGEST_WORD = 100  # characters; a longer one is unknown, as in BERT's own code
_REMEMBERED = 1 << 16  # words whose pieces are kept at most

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
    """A table for str.translate that finds out what a character becomes when it first meets it."""

    def __init__(self, becomes):
        self.becomes = becomes

    def __missing__(self, point):
        self[point] = result = self.becomes(chr(point))
        return result


def _clean(c):
    """Control characters go, white space becomes a space, Chinese characters stand alone."""
    if c in "\t\n\r" or c.isspace() and unicodedata.category(c) != "Cc":
        return " "
    if c in "\0\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co"):
        return ""
    if any(low <= ord(c) <= high for low, high in _CHINESE):
        return f" {c} "
    return c


def _is_sign(c):
    """Punctuation, and every ASCII character that is no letter, digit or space."""
    return (
        c.isascii()
        and c.isprintable()
        and not c.isalnum()
        and c != " "
        or unicodedata.category(c)[0] == "P"
    )


def _apart(c):
    if _is_sign(c):
        return f" {c} "
    return c


def _lowered(c):
    """Lower case, accents gone: for text taken apart into letters and accents (NFD)."""
    if unicodedata.category(c) == "Mn":
        return ""
    return _apart(c.lower())


_CLEAN, _APART, _LOWERED = map(_Characters, (_clean, _apart, _lowered))


def plain_words(text, lower=True):
    """The words of a text as BERT reads it: split at white space and around signs, cleaned, lower
    case if `lower`.

    text     str
    returns  list of str
    """
    text = text.translate(_CLEAN)
    if lower:
        # The joiner that stream_safe puts between many accents goes with them.
        return unicodedata.normalize("NFD", stream_safe(text)).translate(_LOWERED).split(" ")
    return text.translate(_APART).split(" ")


class WordPieceTokenizer(Tokenizer):
    """Words cut into pieces.

    pieces   the vocabulary in the order of ids; "##" begins a piece that continues a word. The
             names in SPECIAL are special tokens where they are in it
    lower    make text lower case and take accents off
    raises   DataError for a piece given twice, or a vocabulary without [UNK]
    """

    kind = "wordpiece"

    def __init__(self, pieces, lower=True):
        pieces = list(pieces)
        special = {piece: i for i, piece in enumerate(pieces) if piece in SPECIAL}
        super().__init__(
            [
                utf8(p)
                if p in special
                else utf8(p[2:])
                if p.startswith("##") and len(p) > 2
                else utf8(" " + p)
                for p in pieces
            ],
            special,
        )
        self.pieces, self.lower = pieces, lower
        self._ids = {piece: i for i, piece in enumerate(pieces)}
        if len(self._ids) < len(pieces):
            twice = next(p for i, p in enumerate(pieces) if self._ids[p] != i)
            raise DataError(f"piece {twice!r} is in the vocabulary twice; each may stand once")
        if "[UNK]" not in special:
            raise DataError(
                "the vocabulary has no [UNK], which stands for words that cannot be cut into pieces; add it"
            )
        self._longest, self._known = max(map(len, pieces)), {"": ()}

    @classmethod
    def from_vocabulary(cls, path, lower=True):
        """The tokenizer of a vocab.txt, one piece a line. Raises CheckpointError if the file cannot
        be read.
        """
        try:
            return cls([line for _, line in numbered_lines(path)], lower)
        except DataError as error:
            raise CheckpointError(f"cannot read the vocabulary {path}: {error}") from error

    def cut(self, word):
        """The ids of one word's pieces: always the longest that fits next; [UNK] alone if one does
        not. Returns a tuple.
        """
        if len(word) > LONGEST_WORD:
            return (self.special["[UNK]"],)
        ids, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for stop in range(min(len(word), start + self._longest), start, -1):
                if (found := self._ids.get(mark + word[start:stop])) is not None:
                    break
            else:
                return (self.special["[UNK]"],)
            ids.append(found)
            start = stop
        return tuple(ids)

    def encode_plain(self, text, position=0):
        """The ids of `text`, (T,) int32; unknown words become [UNK], never an error."""
        ids = []
        for word in plain_words(text, self.lower):
            pieces = self._known.get(word)
            if pieces is None:
                if len(self._known) >= _REMEMBERED:
                    self._known = {"": ()}
                pieces = self._known[word] = self.cut(word)
            ids += pieces
        return np.array(ids, np.int32)

    def last_cut(self, text, start, stop):
        """Words end at a space, whatever stands around it."""
        return max(start, text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))

    def framed(self, first, second=None, limit=None):
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]   (book section 1.3.1)

        limit    most ids; a longer text loses its end, of two the longer one first. None: no limit
        returns  (ids (T,) int32, segments (T,) int32: 0 up to the first [SEP], then 1)
        """
        texts = [self.encode(text) for text in (first, second) if text is not None]
        while limit is not None and sum(map(len, texts)) > max(0, limit - 1 - len(texts)):
            longest = max(range(len(texts)), key=lambda i: (len(texts[i]), i))
            texts[longest] = texts[longest][:-1]
        end = [self.special["[SEP]"]]
        parts = [
            np.concatenate([start, text, end])
            for start, text in zip(([self.special["[CLS]"]], []), texts)
        ]
        segments = np.concatenate([np.full(len(part), i) for i, part in enumerate(parts)])
        return np.concatenate(parts).astype(np.int32), segments.astype(np.int32)

    def decode(self, ids):
        """The words of token ids with spaces between, [UNK] among them; what they were made from is
        not known any more.
        """
        data = b"".join(
            b" " + self._token_bytes[i] if self._is_special(i) else self._token_bytes[i]
            for i in self._checked(ids)
        )
        return data.decode("utf-8", errors="replace").removeprefix(" ")

    def _checked(self, ids):
        ids = list(ids)
        self.decode_bytes(ids)
        return map(int, ids)

    def _is_special(self, i):
        return self.pieces[i] in self.special

    def to_dict(self):
        """A JSON-able description, for `from_dict`."""
        return {"kind": self.kind, "pieces": self.pieces, "lower": self.lower}

    @classmethod
    def from_dict(cls, described):
        """The tokenizer that `to_dict` described."""
        return cls(described["pieces"], described["lower"])
