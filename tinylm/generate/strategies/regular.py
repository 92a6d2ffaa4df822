"""Regular expressions as automata over bytes   (Thompson 1968; states made as they are met).

The tree of a pattern (expression.py) becomes places: a place waits for a character of a set, or
forks without reading. A state is the set of places in which the reader may be, so every text has
exactly one state and no text is read twice. There can be 2^places of them, so a state is made when
it is met and forgotten when there are too many. Characters are read as their UTF-8 bytes; the whole
text is matched as by re.fullmatch. Read next: constrained.py.
"""

from array import array

from tinylm.generate.strategies.characters import Alphabet, cut
from tinylm.generate.strategies.expression import Characters, Either, Repeat, Sequence, parse

END = 0  # the place after the last character
FORK = None  # what a place without a character waits for
STATES = 4096  # states that are kept before all are forgotten


class Places:
    """The places of a tree.

    waits[p]  the number of the set that place p waits for, or FORK
    leads[p]  the places after it
    """

    def __init__(self, tree):
        self.waits, self.leads, self.sets = [FORK], [[]], {}
        self.first = self.build(tree, END)
        self._keep_live_ones()

    def add(self, waits, leads):
        self.waits.append(waits)
        self.leads.append(leads)
        return len(self.waits) - 1

    def build(self, tree, after):
        """Places for `tree` that lead to the place `after`; returns the first of them."""
        if isinstance(tree, Characters):
            return self.add(self.sets.setdefault(tree.ranges, len(self.sets)), [after])
        if isinstance(tree, Sequence):
            for part in reversed(tree.parts):
                after = self.build(part, after)
            return after
        if isinstance(tree, Either):
            return self.add(FORK, [self.build(part, after) for part in tree.parts])
        return self.build_repeat(tree, after)

    def build_repeat(self, tree: Repeat, after):
        """Copies one after the other; the last loops, or those above `low` may be left out."""
        copies, first = tree.low, after
        if tree.high is None:
            loop = self.add(FORK, [])
            first = self.build(tree.part, loop)
            self.leads[loop] = [first, after]
            if tree.low == 0:
                return loop
            copies -= 1  # r{2,} is r r+
        else:
            for _ in range(tree.high - tree.low):  # (r(r(r)?)?)?: few places in a state
                first = self.add(FORK, [self.build(tree.part, first), after])
        for _ in range(copies):
            first = self.build(tree.part, first)
        return first

    def _keep_live_ones(self):
        """Find the places from which the end is reached: none leads there through [^\\s\\S]."""
        empty = self.sets.get(())
        sources = [[] for _ in self.leads]
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
        self.live = live

    def reached(self, places):
        """The state of some places: where forks lead that waits, or ends; None if nowhere."""
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
        if found:
            return array("H", sorted(found)).tobytes()
        return None


class Regular:
    """A regular expression as an automaton over bytes.

    pattern  str, see expression.py
    raises   ConfigError, naming the place, for what is not understood or above a limit

    A state between characters is `bytes`, its places in order, two bytes each. Inside a character
    it is a tuple: the state before, the number of bytes to come, the kinds of what they may be.
    """

    def __init__(self, pattern):
        self.places = Places(parse(pattern))
        self.alphabet = Alphabet(list(self.places.sets))
        self.start = self.places.reached([self.places.first]) or b""
        self._moves = {}  # (state, kind) -> state after it

    def step(self, state, byte):
        """The state after one byte, or None: no string of the language goes on so."""
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
        if not 0x80 <= byte < 0xC0:
            return None
        size = 64 ** (to_come - 1)
        pieces = cut(pieces, (byte - 0x80) * size, size)
        if to_come == 1:
            return self._move(state, pieces[0][1])
        return self._open(state, to_come - 1, pieces)

    def _open(self, state, to_come, pieces):
        """The state inside a character, or None if no end of it would do."""
        kinds = {kind for _, kind in pieces}
        if all(self._move(state, kind) is None for kind in kinds):
            return None
        return state, to_come, pieces

    def _move(self, state, kind):
        """The state after a whole character of a kind, or None."""
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

    def accepts(self, state):
        """True if the bytes so far are a whole string of the language."""
        return not isinstance(state, tuple) and END in memoryview(state).cast("H")[:1]

    def matches(self, data):
        """True if `data`, bytes or str, is a string of the language."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")  # lone surrogates match nothing
        state = self.start
        for byte in data:
            state = self.step(state, byte)
            if state is None:
                return False
        return self.accepts(state)
