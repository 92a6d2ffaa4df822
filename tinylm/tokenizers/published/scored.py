"""How pieces with scores are chosen: neighbors joined by the highest score, or the best row.

A `Vocabulary` holds the pieces; `Merging` (BPE) and `Likely` (Unigram) cut a text into ids with it.
Read next: pieces.py, which prepares the text.
"""

import heapq
import math
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise

from tinylm.errors import DataError
from tinylm.fields import of_type, show
from tinylm.tokenizers.published.decoders import byte_of
from tinylm.tokenizers.unigram import UNKNOWN_PENALTY

# The kinds of pieces. UNKNOWN stands for what is no piece, CONTROL for what is no text; USER pieces
# are always cut out; UNUSED ones are taken apart again; BYTE ones are single bytes. The numbers are
# the files', but for ADDED: tokens that were added to a model later and are found as in added.py.
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE, ADDED = range(1, 8)
_SINGLE = struct.Struct("f")
_HIGHEST = 1e30  # of a score, so that no sum of 32 bits overflows


class Vocabulary:
    """The pieces of a SentencePiece model: text, score and kind of each id.

    written  list of [text, score, kind]
    raises   DataError for a piece that is none, or stands twice
    """

    def __init__(self, written: Sequence[list]) -> None:
        self.pieces = [_checked(piece, i) for i, piece in enumerate(written)]
        kinds = (NORMAL, USER, UNUSED)
        self.ids = {text: i for i, (text, _, kind) in enumerate(self.pieces) if kind in kinds}
        texts = [text for text, _, _ in self.pieces]
        if len(set(texts)) < len(texts):
            place = {text: i for i, text in enumerate(texts)}
            twice = next(text for i, text in enumerate(texts) if place[text] != i)
            raise DataError(f"the piece {twice!r} stands twice; each may stand once")
        unknown = [i for i, (_, _, kind) in enumerate(self.pieces) if kind == UNKNOWN]
        self.unknown = next(iter(unknown), None)
        self.bytes = self._bytes()

    def _bytes(self):
        """The ids of the 256 bytes, a list; None without byte pieces."""
        pieces = enumerate(self.pieces)
        found = {byte_of(text): i for i, (text, _, kind) in pieces if kind == BYTE}
        if found and set(found) != set(range(256)):
            raise DataError(f"{len(found)} of the 256 bytes have a piece; all must, or none")
        if found:
            return [found[value] for value in range(256)]
        return None

    def with_unknown(self, found: Sequence[tuple[str, int | None]]) -> list[int]:
        """The ids of parts of a text; a part without id becomes its bytes, or the unknown piece.

        found   list of (text, id or None)
        raises  DataError for a part without id if the vocabulary has neither
        """
        ids = []
        for text, i in found:
            if i is not None:
                ids.append(i)
            elif self.bytes:
                ids += [self.bytes[value] for value in text.encode("utf-8")]
            elif self.unknown is None:
                raise DataError(
                    f"{text!r} is no piece of this vocabulary, which has neither bytes nor an "
                    "unknown piece"
                )
            elif not ids or ids[-1] != self.unknown:  # unknown parts side by side are one
                ids.append(self.unknown)
        return ids


def _checked(piece, i):
    """(text, score, kind) of one piece."""
    fits = isinstance(piece, list) and len(piece) == 3 and of_type(piece[0], str) and piece[0]
    fits = fits and of_type(piece[1], float) and abs(piece[1]) <= _HIGHEST
    if not fits or piece[2] not in range(NORMAL, ADDED + 1):
        raise DataError(f"pieces[{i}] is {show(piece)}; it must be [text, score, kind]")
    if piece[2] == BYTE and byte_of(piece[0]) is None:
        raise DataError(f"pieces[{i}] is {piece[0]!r}, and no byte")
    return piece[0], float(piece[1]), piece[2]


class Merging:
    """BPE by scores: of all neighbors whose union is a piece, those of the highest score are
    joined, leftmost first.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._score = [score for _, score, _ in vocabulary.pieces]
        self._unused = {text for text, _, kind in vocabulary.pieces if kind == UNUSED}

    def ids(self, word: str) -> list[int]:
        """The ids of a word, a list."""
        halves = {}  # {UNUSED piece: the two parts it was made of}
        # A stack whose top is the leftmost part; an UNUSED piece is replaced by its halves.
        stack, found = self._merged(list(word), halves)[::-1], []
        while stack:
            part = stack.pop()
            if part in self._unused and part in halves:
                stack += reversed(halves[part])
            else:
                found.append((part, self._vocabulary.ids.get(part)))
        return self._vocabulary.with_unknown(found)

    def _merged(self, parts, halves):
        """The parts of a word after all merges; characters at first. Compare `bpe.merge_long`."""
        n, get, score = len(parts), self._vocabulary.ids.get, self._score
        # The parts that are left form a linked list: the places of each part's neighbors.
        after, before = list(range(1, n + 1)), list(range(-1, n - 1))
        heap = []  # (-score, left place, right place, union): the highest score, then the leftmost

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


class Likely:
    """Unigram: the row of pieces of highest score (Kudo 2018)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        normal = [score for _, score, kind in vocabulary.pieces if kind == NORMAL]
        lowest, highest = min(normal, default=0.0), max(0.0, *normal, 0.0)
        self._known = {}
        for text, i in vocabulary.ids.items():
            _, score, kind = vocabulary.pieces[i]
            if kind == USER:  # SentencePiece's formula: they nearly always win
                score = _rounded(len(text.encode("utf-8")) * highest - 0.1)
            if kind != UNUSED:
                self._known[text] = (i, score)
        self._reach = reach_of(self._known)
        self._unknown_score = _rounded(lowest - UNKNOWN_PENALTY)

    def ids(self, word: str) -> list[int]:
        """The ids of a word, a list."""
        row = best_row(word, self._known, self._reach, self._unknown_score, _rounded)
        return self._vocabulary.with_unknown([(word[start:end], i) for start, end, i in row])


def reach_of(pieces: dict[str, tuple[int, float]]) -> dict[str, int]:
    """{first two characters: length of the longest piece that begins with them}."""
    found = {}
    for piece in pieces:
        found[piece[:2]] = max(found.get(piece[:2], 1), len(piece))
    return found


def best_row(
    text: str,
    known: dict[str, tuple[int, float]],
    reach: dict[str, int],
    unknown: float,
    rounded: Callable = float,
) -> list[tuple[int, int, int | None]]:
    """The row of pieces with the highest sum of scores (Viterbi 1967).

    known    {piece: (id, score)}
    reach    of `reach_of`: so only pieces that can begin at a place are looked for
    unknown  score of a character that is no piece
    rounded  function that rounds a sum
    returns  list of (start, end, id or None); of equal rows that with the longer last piece
    """
    n, get = len(text), known.get
    # scores[e]: the best sum of a row that ends at e; back[e] = (start, id) of its last piece.
    scores, back = [0.0] + [-math.inf] * n, [None] * (n + 1)
    for start in range(n):
        before, alone = scores[start], False  # alone: is the single character a piece?
        last = min(n, start + reach.get(text[start : start + 2], 1))
        for end in range(start + 1, last + 1):
            here = get(text[start:end])
            if here is None:
                continue
            alone = alone or end == start + 1
            score = rounded(before + here[1])
            if score > scores[end]:
                scores[end], back[end] = score, (start, here[0])
        if not alone:
            score = rounded(before + unknown)
            if score > scores[start + 1]:
                scores[start + 1], back[start + 1] = score, (start, None)
    # Backwards from the end, along the pieces that won.
    found, end = [], n
    while end:
        start, i = back[end]
        found.append((start, end, i))
        end = start
    return found[::-1]


def _rounded(number):
    """A number rounded to 32 bits, as SentencePiece adds: rounding decides between equal rows."""
    return _SINGLE.unpack(_SINGLE.pack(number))[0]
