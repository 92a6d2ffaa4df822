"""Regular expressions as automata over bytes   (Thompson 1968; states made as they are met).

The tree of a pattern (expression.py) becomes a nondeterministic automaton of places: a place waits
for a character of a set, or forks without reading. A state is the set of places that the text so
far can lead to, so every text has exactly one state and is never read twice (the subset
construction). There can be 2^places states, so a state is computed when a text leads to it, and all
are dropped when there are too many. Characters are read as their UTF-8 bytes; the whole text is
matched, as by re.fullmatch. Read next: constrained.py.
"""

from array import array
from collections.abc import Iterable
from typing import Any

from tinylm.generate.strategies.characters import Alphabet, cut
from tinylm.generate.strategies.expression import Characters, Either, Repeat, Sequence, parse

END = 0  # the place after the last character
FORK = None  # what a place without a character waits for
STATES = 4096  # cached moves; when there are more, all are dropped


class Places:
    """The places of a regular expression, which is given as a tree (expression.py).

    waits[p]  the number of the set that place p waits for, or FORK
    leads[p]  the places after it
    sets      dict from a set of characters (a tuple of ranges) to its number
    live      the places from which END can be reached
    """

    def __init__(self, tree: Any) -> None:
        self.waits, self.leads, self.sets = [FORK], [[]], {}  # place 0 is END
        self.first = self.build(tree, END)
        self.live = self._live_places()

    def add(self, waits: int | None, leads: list[int]) -> int:
        self.waits.append(waits)
        self.leads.append(leads)
        return len(self.waits) - 1

    def build(self, tree: Any, after: int) -> int:
        """Add places for `tree` that lead to the place `after`; returns the first of them."""
        # From the end to the beginning, since a place must be given the one after it.
        if isinstance(tree, Characters):
            return self.add(self.sets.setdefault(tree.ranges, len(self.sets)), [after])
        if isinstance(tree, Sequence):
            for part in reversed(tree.parts):
                after = self.build(part, after)
            return after
        if isinstance(tree, Either):
            return self.add(FORK, [self.build(part, after) for part in tree.parts])
        return self.build_repeat(tree, after)

    def build_repeat(self, tree: Repeat, after: int) -> int:
        """Copies one after the other; the last loops, or those above `low` may be skipped."""
        copies, first = tree.low, after
        if tree.high is None:
            # r* is loop: fork to (r, then loop) or to `after`. r{2,} is r r r*, with the copy of r
            # inside the loop entered first: r r+.
            loop = self.add(FORK, [])
            first = self.build(tree.part, loop)
            self.leads[loop] = [first, after]
            if tree.low == 0:
                return loop
            copies -= 1
        else:
            # r{0,3} nested as (r(r(r)?)?)?: unlike r?r?r?, every text leads to few places.
            for _ in range(tree.high - tree.low):
                first = self.add(FORK, [self.build(tree.part, first), after])
        for _ in range(copies):
            first = self.build(tree.part, first)
        return first

    def _live_places(self):
        """The set of places from which END can be reached, found backwards from END."""
        empty = self.sets.get(())  # [^\s\S] matches no character: nothing leads through it
        sources = [[] for _ in self.leads]  # the places before each place
        for place, leads in enumerate(self.leads):
            for after in leads:
                if self.waits[place] is FORK or self.waits[place] != empty:
                    sources[after].append(place)
        live, new = {END}, [END]
        while new:
            for place in sources[new.pop()]:
                if place not in live:
                    live.add(place)
                    new.append(place)
        return live

    def reached(self, places: Iterable[int]) -> bytes | None:
        """The state of some places: their forks followed to places that wait, or to END.

        returns  bytes, or None if no place is left
        """
        seen, new, found = set(), list(places), []
        while new:
            place = new.pop()
            if place in seen or place not in self.live:
                continue
            seen.add(place)
            if self.waits[place] is FORK and place != END:
                new += self.leads[place]
            else:
                found.append(place)
        if not found:
            return None
        # Sorted 16-bit numbers as bytes: equal sets are equal keys of a dict, and small ones.
        return array("H", sorted(found)).tobytes()


class Regular:
    """A regular expression as an automaton over bytes.

    pattern  str, see expression.py
    raises   ConfigError, naming the position, for syntax that is not supported or above a limit

    A state between characters is `bytes`: its places in order, two bytes each. Inside a character
    it is a tuple: the state before the character, the number of its bytes to come, and the pieces
    (start, kind) of the code points that it can still be (characters.py).
    """

    def __init__(self, pattern: str) -> None:
        self.places = Places(parse(pattern))
        self.alphabet = Alphabet(list(self.places.sets))
        self.start = self.places.reached([self.places.first]) or b""
        self._moves = {}  # (state, kind) -> state after it

    def step(
        self, state: bytes | tuple[bytes, int, tuple[tuple, ...]], byte: int
    ) -> bytes | tuple[bytes, int, tuple[tuple, ...]] | None:
        """The state after one byte, or None if no string of the language continues with it."""
        if isinstance(state, tuple):
            return self._inside(*state, byte)
        if byte < 0x80:
            return self._move(state, self.alphabet.ascii[byte])
        block = self.alphabet.block(byte)
        if block is None:
            return None
        return self._open(state, *block)

    def _inside(self, state, to_come, pieces, byte):
        """The state after a byte that continues a character."""
        if not 0x80 <= byte < 0xC0:  # continuation bytes are 10xxxxxx: six bits each
            return None
        # The byte selects one of 64 equal parts of the block of code points.
        size = 64 ** (to_come - 1)
        pieces = cut(pieces, (byte - 0x80) * size, size)
        if to_come == 1:  # one code point is left, so one piece
            return self._move(state, pieces[0][1])
        return self._open(state, to_come - 1, pieces)

    def _open(self, state, to_come, pieces):
        """The state inside a character, or None if no code point of the block is allowed."""
        kinds = {kind for _, kind in pieces}
        if all(self._move(state, kind) is None for kind in kinds):
            return None
        return state, to_come, pieces

    def _move(self, state, kind):
        """The state after a whole character of a kind, or None. Cached."""
        if (state, kind) not in self._moves:
            if len(self._moves) >= STATES:
                self._moves.clear()
            sets, places = self.alphabet.members(kind), self.places
            after = []
            for place in memoryview(state).cast("H"):
                if places.waits[place] in sets:
                    after += places.leads[place]
            self._moves[state, kind] = places.reached(after)
        return self._moves[state, kind]

    def accepts(self, state: bytes) -> bool:
        """True if the bytes so far are a whole string of the language."""
        # END is place 0 and places are sorted, so it can only be the first.
        return not isinstance(state, tuple) and END in memoryview(state).cast("H")[:1]

    def matches(self, data: str | bytes) -> bool:
        """True if `data`, bytes or str, is a string of the language."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")  # lone surrogates match nothing
        state = self.start
        for byte in data:
            state = self.step(state, byte)
            if state is None:
                return False
        return self.accepts(state)
