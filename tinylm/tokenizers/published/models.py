"""Models of tokenizer.json: how one piece of text becomes ids.

BPE merges, WordPiece and Unigram choose among tokens, WordLevel looks up. Each has `ids`, {token:
id}, and `encode(piece)`, a list of ids. The list may be empty, as in the published code. Read next:
added.py.
"""

from collections.abc import Collection, Sequence
from typing import Any

from tinylm.errors import DataError
from tinylm.fields import of_type
from tinylm.tokenizers.bpe import SHORT, merge_long, merge_short, merge_steps
from tinylm.tokenizers.published.scored import best_row, reach_of
from tinylm.tokenizers.published.strict import built
from tinylm.tokenizers.unigram import UNKNOWN_PENALTY

# The names of byte tokens, fixed in the library's code.
BYTE_NAMES = [f"<0x{value:02X}>" for value in range(256)]
# A table of ids is a list: an absurd id in a damaged file must not fill the memory.
MOST_IDS = 1 << 24


def model(value: dict[str, Any], special: Collection[str] = (), name: str = "model") -> Any:
    """The model of a description.

    value    object; in files older than the field "type", the other fields decide
    special  names of special tokens: no text is cut into one of them
    """
    if isinstance(value, dict) and "type" not in value:
        value = {"type": _kind_of(value)} | value
    return built(value, name, KINDS, special=special)


def _kind_of(value):
    """The type of a model by its fields."""
    if "merges" in value:
        return "BPE"
    if isinstance(value.get("vocab"), list):
        return "Unigram"
    if "continuing_subword_prefix" in value:
        return "WordPiece"
    return "WordLevel"


def _vocabulary(described):
    """{token: id}, no id twice; some ids may be missing."""
    ids = described.take("vocab", dict)
    for token, i in ids.items():
        # type(...) is int: True is an instance of int, but no id.
        if type(i) is not int or not 0 <= i < MOST_IDS:
            raise described.wrong(
                f"vocab[{token!r}]", i, f"a whole number from 0 to {MOST_IDS - 1}"
            )
    if len(set(ids.values())) < len(ids):
        raise DataError(f"{described.name}.vocab gives two tokens the same id")
    return ids


class MergeModel:
    """BPE over characters: merges in the order in which they were learnt (Sennrich, Haddow & Birch
    2016).

    ids       {token: id}
    merges    list of (left, right), texts
    unknown   token for a character without one; None: such characters are left out
    fuse      unknown characters side by side are one token
    fallback  a character without a token becomes its bytes <0x00> to <0xFF>, where all of them are
              tokens
    whole     a piece that is a token itself is not merged: it is that token
    inside    put before every character but the first of a piece; left out of what a merge makes
    last      put behind the last character of a piece
    """

    def __init__(
        self,
        ids: dict[str, int],
        merges: Sequence[list[str]],
        unknown: str | None = None,
        fuse: bool = False,
        fallback: bool = False,
        whole: bool = False,
        inside: str = "",
        last: str = "",
    ) -> None:
        self.ids = ids
        self.unknown = unknown
        self.fuse = fuse
        self.fallback = fallback
        self.whole = whole
        self.inside, self.last = inside, last
        self.merges = merges
        # As `bpe.merge_short` takes them: {(left id, right id): rank}, and the id of each union.
        self._ranks, self._products = {}, []
        for rank, (left, right) in enumerate(merges):
            made = left + right[len(inside) :]  # ("un", "##it") -> "unit"
            # Checked here, so that encoding needs no checks.
            lacking = [token for token in (left, right, made) if token not in ids]
            if lacking:
                raise DataError(
                    f"model.merges[{rank}] is {left!r} {right!r}, and {lacking[0]!r} is no token"
                )
            self._ranks[ids[left], ids[right]] = rank
            self._products.append(ids[made])

    def encode(self, piece: str) -> list[int]:
        """The ids of a piece."""
        if self.whole and piece in self.ids:  # LLaMA 3: even where merges lead to other tokens
            return [self.ids[piece]]
        ids = self._characters(piece)
        if len(ids) <= SHORT:
            return merge_short(ids, self._ranks, self._products)
        return merge_long(ids, self._ranks, self._products)

    def steps(self, piece: str) -> list[tuple]:
        """How a piece is encoded, merge by merge: `bpe.merge_steps` of its characters."""
        if self.whole and piece in self.ids:
            return []
        return merge_steps(self._characters(piece), self._ranks, self._products)

    def _characters(self, piece):
        """The ids before any merge."""
        found = []
        unknown = False  # an unknown token is due; it waits for others to be fused with it
        end = len(piece) - 1
        for i, c in enumerate(piece):
            token = c
            if i > 0:
                token = self.inside + token
            if i == end:
                token += self.last
            if token in self.ids:
                if unknown:
                    found.append(self._unknown_id(token))
                    unknown = False
                found.append(self.ids[token])
                continue
            bytes_ = self._bytes(token)
            if bytes_ is not None:  # before an unknown token that is due, as in the library
                found += bytes_
            elif self.unknown is not None:
                if unknown and not self.fuse:
                    found.append(self._unknown_id(token))
                unknown = True
        if unknown:
            return [*found, self._unknown_id(piece)]
        return found

    def _bytes(self, token):
        """The ids of a token's bytes; None without byte fallback, or if one byte has no token."""
        if not self.fallback:
            return None
        found = [self.ids.get(BYTE_NAMES[value]) for value in token.encode("utf-8")]
        if None in found:
            return None
        return found

    def _unknown_id(self, piece):
        if self.unknown not in self.ids:
            raise DataError(
                f"{piece!r} is unknown, and the unknown token {self.unknown!r} is not in the "
                f"vocabulary"
            )
        return self.ids[self.unknown]


def _bpe(described, special):
    ids = _vocabulary(described)
    described.only("dropout", None, 0, 0.0)  # random segmentations, for training only
    options = {
        "unknown": described.take("unk_token", str | None, None),
        "fuse": described.take("fuse_unk", bool, False),
        "fallback": described.take("byte_fallback", bool, False),
        "whole": described.take("ignore_merges", bool, False),
        "inside": described.take("continuing_subword_prefix", str | None, None) or "",
        "last": described.take("end_of_word_suffix", str | None, None) or "",
    }
    written = described.take("merges", list)
    merges = [_merge(described, i, one) for i, one in enumerate(written)]
    return MergeModel(ids, merges, **options)


def _merge(described, i, written):
    """A merge, "left right" in older files and ["left", "right"] in newer ones."""
    pair = written
    if isinstance(written, str):
        pair = written.split(" ")
    if not isinstance(pair, list) or len(pair) != 2 or not all(of_type(half, str) for half in pair):
        raise described.wrong(f"merges[{i}]", written, "'left right' or ['left', 'right']")
    return pair


class GreedyModel:
    """WordPiece: always the longest token that fits next (Schuster & Nakajima 2012).

    ids      {token: id}
    unknown  token for a piece that cannot be cut, or has more than `most` characters
    inside   begins a token that continues a piece
    """

    def __init__(self, ids: dict[str, int], unknown: str, inside: str, most: int) -> None:
        if unknown not in ids:
            raise DataError(f"model.unk_token is {unknown!r}, which is not in the vocabulary")
        self.ids, self.unknown, self.inside, self.most = ids, unknown, inside, most
        self._longest = max(map(len, ids), default=0)

    def encode(self, piece: str) -> list[int]:
        """The ids of a piece."""
        if len(piece) > self.most:
            return [self.ids[self.unknown]]
        found, start = [], 0
        while start < len(piece):
            mark = ""
            if start:
                mark = self.inside
            # From the longest stretch that may be a token down to one character.
            stops = range(min(len(piece), start + self._longest), start, -1)
            stop = next((stop for stop in stops if mark + piece[start:stop] in self.ids), None)
            if stop is None:  # the whole piece is unknown, not only its rest
                return [self.ids[self.unknown]]
            found.append(self.ids[mark + piece[start:stop]])
            start = stop
        return found


def _wordpiece(described, special):
    ids, most = _vocabulary(described), described.take("max_input_chars_per_word", int, 100)
    return GreedyModel(
        ids,
        described.take("unk_token", str, "[UNK]"),
        described.take("continuing_subword_prefix", str, "##"),
        most,
    )


class LikelyModel:
    """Unigram: the most probable way to cut a piece (Kudo 2018).

    pieces   list of (token, log-probability), in the order of ids
    unknown  id for characters without a token, or None: they are an error
    fallback True: unknown characters become their bytes <0x00> to <0xFF>, where all are tokens
    hidden   tokens that no text is cut into: special ones
    """

    def __init__(
        self,
        pieces: Sequence[tuple[str, float]],
        unknown: int,
        fallback: bool,
        hidden: Collection[str] = (),
    ) -> None:
        self.ids = {token: i for i, (token, _) in enumerate(pieces)}
        self.unknown, self.fallback = unknown, fallback
        self._known = {
            token: (self.ids[token], score)
            for token, score in pieces
            if token and token not in hidden
        }
        # An unknown character costs more than any piece, so it is used only where nothing fits.
        lowest = min((score for _, score in pieces), default=0.0)
        self._reach = reach_of(self._known)
        self._unknown_score = lowest - UNKNOWN_PENALTY  # per unknown character

    def encode(self, piece: str) -> list[int]:
        """The ids of a piece."""
        ids, at = [], -1  # at: where a stretch of unknown characters began, -1 outside of one
        row = best_row(piece, self._known, self._reach, self._unknown_score)
        for start, _, token in row:
            if token is not None and token != self.unknown:
                if at >= 0:
                    ids += self._of_unknown(piece[at:start])
                ids.append(token)
                at = -1
            elif at < 0:
                at = start
        if at >= 0:
            ids += self._of_unknown(piece[at:])
        return ids

    def _of_unknown(self, text):
        """The ids of a stretch of unknown characters: its own, its bytes, or the unknown token."""
        if text in self._known:
            return [self.ids[text]]
        if self.fallback:
            found = [self.ids.get(BYTE_NAMES[value]) for value in text.encode("utf-8")]
            if None not in found:
                return found
        if self.unknown is None:
            raise DataError(f"{text!r} is no token of this vocabulary, whose model.unk_id is null")
        return [self.unknown]


def _unigram(described, special):
    written, pieces = described.take("vocab", list), []
    for i, one in enumerate(written):
        if (
            not isinstance(one, list)
            or len(one) != 2
            or not of_type(one[0], str)
            or not of_type(one[1], float)
        ):
            raise described.wrong(f"vocab[{i}]", one, "[token, log-probability]")
        pieces.append((one[0], float(one[1])))
    # null: a character without a token is an error.
    unknown = described.take("unk_id", int | None, None)
    if unknown is not None and not 0 <= unknown < len(pieces):
        raise described.wrong("unk_id", unknown, f"null or an id of the {len(pieces)} tokens")
    return LikelyModel(pieces, unknown, described.take("byte_fallback", bool, False), special)


class WordModel:
    """WordLevel: every piece is one token, or the unknown token."""

    def __init__(self, ids: dict[str, int], unknown: str) -> None:
        self.ids, self.unknown = ids, unknown

    def encode(self, piece: str) -> list[int]:
        """The ids of a piece."""
        if piece in self.ids:
            return [self.ids[piece]]
        if self.unknown not in self.ids:
            raise DataError(
                f"{piece!r} is unknown, and the unknown token {self.unknown!r} is not in the "
                f"vocabulary"
            )
        return [self.ids[self.unknown]]


def _word_level(described, special):
    return WordModel(_vocabulary(described), described.take("unk_token", str, "<unk>"))


# {type: function (Described, special) -> model}
KINDS = {"BPE": _bpe, "WordPiece": _wordpiece, "Unigram": _unigram, "WordLevel": _word_level}
