"""Sets of characters as ranges, and all characters in the kinds that such sets distinguish.

A set is a sorted tuple of disjoint (first, last) code points, without surrogates, which no UTF-8
text contains. An automaton need not distinguish 1,114,112 characters: those that lie in the same
sets are one kind, and a pattern has few. UTF-8 text is read byte by byte: after each byte the
character is known up to a block of code points, 64 times smaller with each byte. Read next:
expression.py.
"""

import functools
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence

LAST = 0x10FFFF  # the last code point
SURROGATES = (0xD800, 0xDFFF)  # halves of UTF-16 pairs, never in UTF-8
NOWHERE = 0  # the kind of what lies in no set
# Characters of two, three and four bytes begin here; a longer spelling of a smaller one is not
# UTF-8.
LEAST = {1: 0x80, 2: 0x800, 3: 0x10000}  # by the number of bytes after the first


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The set of all characters in some of the `ranges`, each (first, last)."""
    found = []
    for first, last in sorted(_without_surrogates(ranges)):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _without_surrogates(ranges):
    low, high = SURROGATES
    for first, last in ranges:
        if first < low:
            yield first, min(last, low - 1)
        if last > high:
            yield max(first, high + 1), last


def complement(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The set of all characters outside a set."""
    edges = [-1]
    for first, last in ranges:
        edges += [first, last]
    edges.append(LAST + 1)
    gaps = [(left + 1, right - 1) for left, right in zip(edges[::2], edges[1::2], strict=True)]
    return merged(gap for gap in gaps if gap[0] <= gap[1])


@functools.lru_cache(maxsize=None)
def category(letter: str) -> tuple[tuple[int, int], ...]:
    """What \\d, \\D, \\w, \\W, \\s, \\S match, by the definition of Python's `re` for str."""
    if letter.isupper():
        return complement(category(letter.lower()))
    everything = "".join(map(chr, range(LAST + 1)))
    runs = re.finditer(f"\\{letter}+", everything)
    return merged((run.start(), run.end() - 1) for run in runs)


class Alphabet:
    """All characters in kinds: two are of one kind if no set separates them.

    sets  sets of characters
    """

    def __init__(self, sets: Sequence[tuple[tuple, ...]]) -> None:
        flips = {0: 0}  # code point -> bit n: there set n begins or ends
        for number, ranges in enumerate(sets):
            for first, last in ranges:
                flips[first] = flips.get(first, 0) ^ 1 << number
                flips[last + 1] = flips.get(last + 1, 0) ^ 1 << number
        kinds, inside, pieces = {0: NOWHERE}, 0, []
        for start in sorted(flips):
            inside ^= flips[start]
            pieces.append((start, kinds.setdefault(inside, len(kinds))))
        self.pieces = tuple(pieces)  # (start, kind), up to the next start
        self._inside, self._members = list(kinds), {}
        self.ascii = [kind for byte in range(128) for _, kind in cut(self.pieces, byte, 1)]
        self._blocks = {byte: self._block(byte) for byte in range(0xC2, 0xF5)}

    def members(self, kind: int) -> frozenset[int]:
        """The numbers of the sets that a kind lies in; of NOWHERE, none."""
        if kind not in self._members:  # few of the kinds are met
            self._members[kind] = _bits(self._inside[kind])
        return self._members[kind]

    def block(self, byte: int) -> tuple[int, tuple[tuple, ...]]:
        """(bytes to come, pieces of the code points that can follow) of a first byte, or None."""
        return self._blocks.get(byte)

    def _block(self, byte):
        after = 1 + (byte >= 0xE0) + (byte >= 0xF0)  # bytes to come
        first = (byte & (0x3F >> after)) * 64**after
        hidden = max(LEAST[after] - first, 0)  # code points that have a shorter spelling
        seen = cut(self.pieces, first + hidden, 64**after - hidden)
        if hidden:
            seen = ((0, NOWHERE), *((start + hidden, kind) for start, kind in seen))
        return after, seen


def cut(pieces: tuple[tuple[int, int], ...], first: int, size: int) -> tuple:
    """The pieces of the block of `size` code points from `first` on, counted from its beginning."""
    at = bisect_right(pieces, first, key=lambda piece: piece[0]) - 1
    found = []
    while at < len(pieces) and pieces[at][0] < first + size:
        start, kind = pieces[at]
        if not found or found[-1][1] != kind:
            found.append((max(start - first, 0), kind))
        at += 1
    return tuple(found)


def _bits(number):
    """The positions of the ones of a number."""
    digits = bin(number)[:1:-1]  # lowest first
    return frozenset(at for at, digit in enumerate(digits) if digit == "1")
