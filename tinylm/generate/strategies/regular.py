"""Regular expressions as automata, by derivatives   (Brzozowski 1964).

The derivative of an expression by a byte is what may follow that byte: d_b(rs) = d_b(r) s | d_b(s) if r may be empty.
Expressions are kept in a normal form, so only finitely many derivatives exist: they are the states of the automaton,
and NOTHING, the expression without strings, is its only dead state. What is understood is a subset of Python's `re` on
bytes, with the same meaning as re.fullmatch: literals, . [a-z] [^a-z] \\d \\w \\s \\D \\W \\S \\n \\t, groups, | * + ? {m} {m,}
{m,n}. A character beyond ASCII is its UTF-8 bytes, as a group, and cannot stand in [ ]. Read next: constrained.py.
"""
import functools

from tinylm.errors import ConfigError

# An expression is a tuple: ("set", frozenset of bytes), ("then", r, s), ("or", frozenset of r), ("star", r), EMPTY.
EMPTY = ("empty",)                                          # the empty string alone
NOTHING = ("or", frozenset())                               # no string at all

DIGITS = frozenset(b"0123456789")
WORDS = DIGITS | frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
SPACES = frozenset(b" \t\n\r\f\v")
ALL = frozenset(range(256))
CLASSES = {"d": DIGITS, "w": WORDS, "s": SPACES, "D": ALL - DIGITS, "W": ALL - WORDS, "S": ALL - SPACES}
CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11}


def then(r, s):
    """r followed by s, in normal form: nested to the right, without EMPTY parts."""
    if NOTHING in (r, s):
        return NOTHING
    if r == EMPTY or s == EMPTY:
        return s if r == EMPTY else r
    return then(r[1], then(r[2], s)) if r[0] == "then" else ("then", r, s)


def either(*parts):
    """One of the parts, in normal form: a set, so order and repetition do not matter, with all byte sets as one."""
    flat = set()
    for part in parts:
        flat |= part[1] if part[0] == "or" else {part}
    sets = [part for part in flat if part[0] == "set"]
    if len(sets) > 1:
        flat = flat.difference(sets) | {("set", frozenset().union(*(part[1] for part in sets)))}
    return flat.pop() if len(flat) == 1 else ("or", frozenset(flat))


def star(r):
    """Any number of r."""
    return EMPTY if r in (EMPTY, NOTHING) else r if r[0] == "star" else ("star", r)


@functools.lru_cache(maxsize=None)
def nullable(r):
    """True if r matches the empty string."""
    kind = r[0]
    if kind == "then":
        return nullable(r[1]) and nullable(r[2])
    if kind == "or":
        return any(map(nullable, r[1]))
    return kind in ("empty", "star")


@functools.lru_cache(maxsize=65536)
def derivative(r, byte):
    """The expression of what may follow `byte` in strings of r."""
    kind = r[0]
    if kind == "set":
        return EMPTY if byte in r[1] else NOTHING
    if kind == "then":
        first = then(derivative(r[1], byte), r[2])
        return either(first, derivative(r[2], byte)) if nullable(r[1]) else first
    if kind == "or":
        return either(*(derivative(part, byte) for part in r[1]))
    return then(derivative(r[1], byte), r) if kind == "star" else NOTHING


class Regular:
    """A regular expression as an automaton over bytes; states are expressions.

    pattern  str, see the file's head;  raises ConfigError, naming the place, for what is not understood
    """

    def __init__(self, pattern):
        self.start = _Parser(pattern).parse()

    def step(self, state, byte):
        """The state after one byte, or None: no string of the language goes on so."""
        after = derivative(state, byte)
        return None if after == NOTHING else after

    def accepts(self, state):
        """True if the bytes so far are a whole string of the language."""
        return nullable(state)

    def matches(self, data):
        """True if the bytes `data` are a string of the language."""
        state = self.start
        for byte in data:
            state = self.step(state, byte)
            if state is None:
                return False
        return self.accepts(state)


class _Parser:
    """Recursive descent: alternatives of sequences of repeated atoms."""

    def __init__(self, pattern):
        self.pattern, self.at = pattern, 0

    def parse(self):
        """The whole pattern as an expression."""
        r = self.alternatives()
        if self.at < len(self.pattern):
            self.fail("a closing parenthesis without its opening one")
        return r

    def fail(self, what):
        raise ConfigError(f"regular expression {self.pattern!r}, position {self.at}: {what}")

    def peek(self):
        return self.pattern[self.at:self.at + 1]

    def take(self):
        self.at += 1
        return self.pattern[self.at - 1:self.at]

    def alternatives(self):
        parts = [self.sequence()]
        while self.peek() == "|":
            self.take()
            parts.append(self.sequence())
        return either(*parts)

    def sequence(self):
        parts = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated())
        return functools.reduce(lambda rest, part: then(part, rest), reversed(parts), EMPTY)

    def repeated(self):
        r, sign = self.atom(), self.peek()
        if sign and sign in "*+?{":
            self.take()
            r = {"*": star, "+": lambda r: then(r, star(r)), "?": lambda r: either(EMPTY, r), "{": self.counted}[sign](r)
            if self.peek() and self.peek() in "*+?{":
                self.fail("a repetition of a repetition; put the inner one in parentheses")
        return r

    def counted(self, r):
        low, comma, high = self.until("}").partition(",")
        if not low.isdecimal() or (high and not high.isdecimal()) or (high and int(high) < int(low)):
            self.fail("a repetition is {m}, {m,} or {m,n} with m <= n")
        tail = star(r) if comma and not high else EMPTY
        for _ in range(int(high) - int(low) if high else 0):
            tail = either(EMPTY, then(r, tail))             # (r(r(r)?)?)?: few states
        return functools.reduce(lambda rest, _: then(r, rest), range(int(low)), tail)

    def until(self, end):
        stop = self.pattern.find(end, self.at)
        if stop < 0:
            self.fail(f"{end!r} is missing")
        text, self.at = self.pattern[self.at:stop], stop + 1
        return text

    def atom(self):
        c = self.take()
        if c == "(":
            if self.peek() == "?":
                self.fail("(?..) is not understood; plain groups are")
            r = self.alternatives()
            if self.take() != ")":
                self.fail("')' is missing")
            return r
        if c == "[":
            members = self.members()
            return ("set", members) if members else NOTHING
        if c == ".":
            return ("set", ALL - {10})
        if c == "\\":
            return ("set", self.escaped())
        if c in "*+?{}]^$":
            self.fail(f"{c!r} has nothing to act on here; write \\{c} for the character")
        data = c.encode("utf-8")
        return functools.reduce(lambda rest, byte: then(("set", frozenset([byte])), rest), reversed(data), EMPTY)

    def escaped(self):
        c = self.take()
        if c in CLASSES:
            return CLASSES[c]
        if not c or c.isalnum() and c not in CONTROLS or not c.isascii():
            self.fail(f"the escape \\{c} is not understood")
        return frozenset([CONTROLS.get(c, ord(c))])

    def members(self):
        negated = self.peek() == "^" and bool(self.take())
        found = set()
        while self.peek() != "]" or not found:
            first = self.member()
            if len(first) == 1 and self.peek() == "-" and self.pattern[self.at + 1:self.at + 2] not in ("]", ""):
                self.take()
                last = self.member()
                if len(last) > 1 or min(last) < min(first):
                    self.fail("a range in [ ] goes from a character to one not before it")
                found |= set(range(min(first), min(last) + 1))
            else:
                found |= first
        self.take()
        return ALL - found if negated else frozenset(found)

    def member(self):
        c = self.take()
        if not c or not c.isascii():
            self.fail("']' is missing" if not c else f"{c!r} in [ ]: only ASCII can stand there; use (..|..)")
        return self.escaped() if c == "\\" else {ord(c)}
