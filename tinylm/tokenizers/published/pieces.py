"""SentencePiece: pieces with scores, found in text that is one row of characters, spaces among
them as "▁".

    text -> characters replaced, spaces squeezed, "▁" put first -> pieces -> ids

BPE joins again and again the two neighbors that make the piece of highest score, leftmost first;
Unigram takes the row of pieces of highest summed score. A character that is no piece becomes its
bytes <0x00> to <0xFF>, or the unknown piece. LLaMA 2, Mistral and Gemma read text this way; T5,
XLNet and others with Unigram. Book section 1.2; Kudo & Richardson 2018. Read next:
sentencepiece.py, where pieces come from.
"""

import base64
import binascii
import heapq
import math
import struct
from array import array
from itertools import pairwise

import numpy as np
import regex

from tinylm.errors import DataError
from tinylm.fields import of_type, show
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.tokenizers.published.added import AddedToken, Finder
from tinylm.tokenizers.published.charsmap import CharacterMap
from tinylm.tokenizers.published.decoders import byte_of
from tinylm.tokenizers.published.frame import framed
from tinylm.tokenizers.stream import CHUNK, read_text
from tinylm.tokenizers.unigram import UNKNOWN_PENALTY

MARK = "▁"
_SINGLE = struct.Struct("f")
# What a piece is. NORMAL; UNKNOWN stands for what is no piece; CONTROL for what is no text; USER
# pieces are always cut
# out; UNUSED ones are taken apart again; BYTE ones are single bytes. The numbers are the files',
# but for ADDED: tokens that
# were added to a model later, which are found as in added.py.
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE, ADDED = range(1, 8)


class PieceTokenizer(Tokenizer):
    """Pieces of SentencePiece.

    described  dict from `described`
    raises     DataError if its parts do not fit together
    """

    kind = "pieces"

    def __init__(self, described):
        self._source = described
        self.pieces = [_checked(piece, i) for i, piece in enumerate(described["pieces"])]
        self.frame = _frame(described.get("frame"), len(self.pieces))
        names = [
            (text, i) for i, (text, _, kind) in enumerate(self.pieces) if kind in (CONTROL, UNKNOWN)
        ]
        super().__init__([_bytes(text, kind) for text, _, kind in self.pieces], dict(names))
        self._prefix, self._squeeze = described["prefix"], described["squeeze"]
        self._each = described.get("each", True)
        self._map = CharacterMap(_decoded(described["charsmap"])) if described["charsmap"] else None
        self._before = _before(described.get("before"))
        self._byte_ids = self._bytes_found()
        self._unknown = next(
            (i for i, (_, _, kind) in enumerate(self.pieces) if kind == UNKNOWN), None
        )
        self._ids = {
            text: i
            for i, (text, _, kind) in enumerate(self.pieces)
            if kind in (NORMAL, USER, UNUSED)
        }
        self._finder = Finder(self._added(described.get("added", [])))
        users = sorted(
            (text for text, _, kind in self.pieces if kind == USER), key=len, reverse=True
        )
        self._users = regex.compile("|".join(map(regex.escape, users))) if users else None
        self._cut = _Merging(self) if described["model"] == "bpe" else _Likely(self)
        self._cache = _WordCache(self._cut.ids)
        # No piece goes on after a mark inside of it, so the text before a mark is cut by itself.
        # Sums of scores are rounded over the whole text.
        inner = described["model"] == "unigram" or any(
            MARK in text.lstrip(MARK) for text in self._ids
        )
        self._words = None if inner else regex.compile(f"{MARK}*[^{MARK}]+|{MARK}+")

    @staticmethod
    def described(model, pieces, charsmap=b"", prefix=True, squeeze=True, **others):
        """The description of a tokenizer.

        model     "bpe" or "unigram"
        pieces    list of [text, score, kind]
        charsmap  bytes of the character map, or empty
        prefix    put a mark before the text
        squeeze   take spaces off both ends, and of several keep one
        others    each: a mark is put before every part between special tokens, not only before the
                  first (default true); before: description of a normalizer for the text as it
                  comes; frame: as in frame.py, with ids; added: tokens as in a tokenizer.json that
                  have flags, or that are no special ones
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
        """All tokens that are looked for in the text as it comes: the special ones and those that
        were added.
        """
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

    def _bytes_found(self):
        """The ids of the 256 bytes; None where there are none."""
        found = {byte_of(text): i for i, (text, _, kind) in enumerate(self.pieces) if kind == BYTE}
        if found and set(found) != set(range(256)):
            raise DataError(
                f"{len(found)} of the 256 bytes have a piece; all of them must, or none"
            )
        return [found[value] for value in range(256)] if found else None

    def encode_stream(self, source, chunk_bytes=CHUNK, allow_special=False):
        """As `Tokenizer.encode_stream`; the text is held whole, for spaces at its ends are taken
        off.
        """
        text = "".join(read_text(source, chunk_bytes))
        if text:
            yield self._encode(text, allow_special, 0)

    def encode_plain(self, text, position=0):
        """The ids of a text in which no special token is looked for."""
        return self._encode(text, False, position)

    def _encode(self, text, special, position):
        utf8(text, position)
        found = array("i")
        for start, stop, token in self._finder.cut(text, special):
            if token is None:
                prefix = self._prefix and (self._each or position + start == 0)
                found.extend(self._part(text[start:stop], prefix))
            else:
                found.append(token.id)
        return np.frombuffer(found, np.int32)

    def _part(self, text, prefix):
        """The ids of a part without special tokens, a list."""
        ids = []
        text = self._before(text) if self._before else text
        for part, user in self._normalized(text, prefix):
            if user:
                ids.append(self._ids[part])
                continue
            for word in self._words.findall(part) if self._words else [part]:
                here = self._cache[word]
                joined = ids and here and ids[-1] == here[0] == self._unknown
                ids += here[1:] if joined else here  # unknown pieces side by side are one
        return ids

    def _normalized(self, text, prefix):
        """The text as it is cut: list of (part, whether it is a piece that is always cut out)."""
        done, after_space = [MARK] if prefix else [], self._squeeze
        for chunk in self._chunks(text):
            chunk = chunk.lstrip(" ") if after_space else chunk
            if chunk:
                after_space = self._squeeze and chunk.endswith(" ")
                done.append(chunk.replace(" ", MARK))
        found = "".join(done)
        return self._split(found.rstrip(MARK) if self._squeeze else found)

    def _split(self, text):
        if self._users is None or isinstance(self._cut, _Likely):  # there their scores see to it
            return [(text, False)] if text else []
        found, at = [], 0
        for match in self._users.finditer(text):
            found += [(text[at : match.start()], False), (match.group(), True)]
            at = match.end()
        return [(part, user) for part, user in [*found, (text[at:], False)] if part]

    def _chunks(self, text):
        """The replacements of a text, left to right; pieces that are always cut out stay as they
        are.
        """
        at = 0
        for match in self._users.finditer(text) if self._users else ():
            yield from self._replaced(text[at : match.start()])
            yield match.group()
            at = match.end()
        yield from self._replaced(text[at:])

    def _replaced(self, text):
        if self._map is not None:
            return self._map.by_longest(text)
        if not self._squeeze:
            return [text]
        return [f"{part} " for part in text.split(" ")[:-1]] + [text.rpartition(" ")[2]]

    def framed(self, first, second=None, limit=None, allow_special=False):
        """As `PipelineTokenizer.framed`."""
        return framed(self, first, second, limit, allow_special)

    def decode(self, ids, skip_special=False):
        """The text of token ids; the space that stands for the mark before the text is taken
        off.
        """
        ids = ids if isinstance(ids, np.ndarray) else np.array(list(ids))
        super().decode_bytes(ids)  # the checks of all tokenizers
        hidden = set(self.special.values()) if skip_special else ()
        parts = [self._token_bytes[i] for i in ids.tolist() if i not in hidden]
        if self._prefix or self._squeeze:
            for i, part in enumerate(parts):
                parts[i] = part.removeprefix(b" ")
                if parts[i] or not self._squeeze:
                    break
        return b"".join(parts).decode("utf-8", "replace")

    def with_special(self, names):
        """The same tokenizer with special tokens added after its last id."""
        pieces = [*self._source["pieces"], *([name, 0.0, CONTROL] for name in names)]
        return type(self)(self._source | {"pieces": pieces})

    def to_dict(self):
        """A JSON-able description, for `from_dict`."""
        return self._source

    @classmethod
    def from_dict(cls, described):
        """The tokenizer that `to_dict` described."""
        for name in ("prefix", "squeeze"):
            if not isinstance(described[name], bool):
                raise DataError(f"{name} is {show(described[name])}, neither true nor false")
        if described["model"] not in ("bpe", "unigram") or not isinstance(
            described["charsmap"], str
        ):
            raise DataError(
                f"model is {show(described['model'])}; it must be bpe or unigram, with a "
                f"character map"
            )
        return cls(described)


class _Merging:
    """BPE by scores: of all neighbors whose union is a piece, those of the highest score are
    joined, leftmost first.
    """

    def __init__(self, tokenizer):
        self._t, self._score = (
            tokenizer,
            {i: score for i, (_, score, _) in enumerate(tokenizer.pieces)},
        )
        self._unused = {text for text, _, kind in tokenizer.pieces if kind == UNUSED}

    def ids(self, word):
        """The ids of a word, a list."""
        halves = {}  # of pieces that are not used, to take them apart again
        found = []
        for part in self._merged(list(word), halves):
            found += self._found(part, halves)
        return _with_unknown(self._t, found)

    def _merged(self, parts, halves):
        n, get, score = len(parts), self._t._ids.get, self._score
        after, before = list(range(1, n + 1)), list(range(-1, n - 1))
        heap = []

        def enter(left, right):
            made = parts[left] + parts[right]
            token = get(made)
            if token is None:
                return
            heapq.heappush(heap, (-score[token], left, right, made))
            if made in self._unused:
                halves[made] = parts[left], parts[right]

        for left, right in pairwise(range(n)):
            enter(left, right)
        while heap:
            _, left, right, made = heapq.heappop(heap)
            if parts[left] is None or parts[right] is None or parts[left] + parts[right] != made:
                continue  # one of the two has been joined meanwhile
            parts[left], parts[right] = made, None
            after[left] = after[right]
            if after[left] < n:
                before[after[left]] = left
                enter(left, after[left])
            if before[left] >= 0:
                enter(before[left], left)
        return [part for part in parts if part is not None]

    def _found(self, part, halves):
        """[(text, id or None)]: a piece that is not used as the two it was made of."""
        if part in self._unused and part in halves:
            left, right = halves[part]
            return self._found(left, halves) + self._found(right, halves)
        return [(part, self._t._ids.get(part))]


class _Likely:
    """Unigram: the row of pieces of highest score (Kudo 2018)."""

    def __init__(self, tokenizer):
        self._t = tokenizer
        normal = [score for _, score, kind in tokenizer.pieces if kind == NORMAL]
        lowest, highest = min(normal, default=0.0), max(0.0, *normal, 0.0)
        self._known = {}
        for text, i in tokenizer._ids.items():
            _, score, kind = tokenizer.pieces[i]
            if kind == USER:  # SentencePiece's: they are nearly always taken
                score = len(text.encode("utf-8")) * highest - 0.1
            if kind != UNUSED:
                self._known[text] = (i, score)
        self._longest = max(map(len, self._known), default=0)
        self._edge = _rounded(lowest - UNKNOWN_PENALTY)

    def ids(self, word):
        """The ids of a word, a list."""
        scores, back, get = [0.0], [None], self._known.get
        for end in range(1, len(word) + 1):
            top, chosen, here = -math.inf, None, None
            for start in range(max(0, end - self._longest), end):
                here = get(word[start:end])
                if here is not None:
                    score = _rounded(scores[start] + here[1])
                    if score > top:
                        top, chosen = score, (start, here[0])
            if here is None:  # the character alone is no piece
                score = _rounded(scores[end - 1] + self._edge)
                if score > top:
                    top, chosen = score, (end - 1, None)
            scores.append(top)
            back.append(chosen)
        found, end = [], len(word)
        while end:
            start, token = back[end]
            found.append((word[start:end], token))
            end = start
        return _with_unknown(self._t, found[::-1])


def _rounded(number):
    """A number of 32 bits, as SentencePiece adds scores: where two rows are equal, its rounding
    decides.
    """
    return _SINGLE.unpack(_SINGLE.pack(number))[0]


def _with_unknown(tokenizer, found):
    """Ids, with bytes or the unknown piece where there is none."""
    ids = []
    for text, i in found:
        if i is not None:
            ids.append(i)
        elif tokenizer._byte_ids:
            ids += [tokenizer._byte_ids[value] for value in text.encode("utf-8")]
        elif tokenizer._unknown is None:
            raise DataError(
                f"{text!r} is no piece of this vocabulary, which has neither bytes nor an unknown "
                f"piece"
            )
        elif not ids or ids[-1] != tokenizer._unknown:
            ids.append(tokenizer._unknown)
    return ids


def _checked(piece, i):
    """(text, score, kind) of one piece."""
    if not isinstance(piece, list) or len(piece) != 3 or not of_type(piece[0], str) or not piece[0]:
        raise DataError(f"pieces[{i}] is {show(piece)}; it must be [text, score, kind]")
    if (
        type(piece[1]) not in (int, float)
        or not math.isfinite(piece[1])
        or piece[2] not in range(NORMAL, ADDED + 1)
    ):
        raise DataError(f"pieces[{i}] is {show(piece)}; it must be [text, score, kind]")
    if piece[2] == BYTE and byte_of(piece[0]) is None:
        raise DataError(f"pieces[{i}] is {piece[0]!r}, and no byte")
    return piece[0], float(piece[1]), piece[2]


def _bytes(text, kind):
    if kind == BYTE:
        return bytes([byte_of(text)])
    return utf8(text if kind in (CONTROL, UNKNOWN, ADDED) else text.replace(MARK, " "))


def _frame(value, size):
    """The frame as JSON has it, lists for tuples."""
    frame = value or [[["A", 0]], [["A", 0], ["B", 1]]]
    frame = tuple([(one, segment) for one, segment in items] for items in frame)
    for items in frame:
        if not all(one in ("A", "B") or type(one) is int and 0 <= one < size for one, _ in items):
            raise DataError(f"frame is {show(value)}; it must be made of A, B and ids")
    return frame


def _before(value):
    from tinylm.tokenizers.published.normalize import normalizer

    return normalizer(value, "before")


def _decoded(text):
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DataError(f"charsmap is no base64 ({error})") from None


class _WordCache(dict):
    """The ids of words met before."""

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
