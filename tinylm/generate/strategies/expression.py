"""The syntax of regular expressions: from a pattern to a tree, as Python's `re` reads it.

Supported, with the meaning of `re` for str: characters, . [ ] [^ ], ranges, \\d \\w \\s and \\D \\W
\\S, escapes (\\n \\t \\xHH \\uHHHH \\UHHHHHHHH \\N{NAME} \\012), groups ( ) and (?: ), | * + ? {m}
{m,} {,n} {m,n}, and their lazy forms, which match the same whole strings. Rejected by name:
anchors, references, look-around, flags, named groups, possessive forms. A pattern may come from an
untrusted user, so depth, counts and size have limits. Read next: regular.py.
"""

import functools
import unicodedata
from typing import Any, NamedTuple

from tinylm.errors import ConfigError
from tinylm.generate.strategies.characters import category, complement, merged

NESTING = 64  # groups inside groups
REPEATS = 4096  # the largest m or n of {m,n}
PLACES = 8192  # places of the automaton, repetitions written out

CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
HEX = {"x": 2, "u": 4, "U": 8}  # digits after \x, \u, \U
WHOLE = "the whole text is matched anyhow: leave it out"
ANCHORS = {
    "^": WHOLE,
    "$": WHOLE,
    "\\A": WHOLE,
    "\\Z": WHOLE,
    "\\b": "spell out what may stand beside the word",
    "\\B": "spell out what may stand beside the place",
}


class Characters(NamedTuple):
    """One character of a set (characters.py)."""

    ranges: tuple
    size: int = 1  # places of the automaton, in all classes of the tree


class Sequence(NamedTuple):
    """Parts one after the other."""

    parts: tuple
    size: int


class Either(NamedTuple):
    """One of several parts."""

    parts: tuple
    size: int


class Repeat(NamedTuple):
    """A part `low` to `high` times; high None: `low` times or more."""

    part: tuple
    low: int
    high: int | None
    size: int


def parse(pattern: str) -> Any:
    """The tree of a pattern; ConfigError names the position of what is unsupported or too large."""
    if not isinstance(pattern, str):
        raise ConfigError(f"regular expression: a str is needed, not {type(pattern).__name__}")
    return _Parser(pattern).parse()


@functools.lru_cache(maxsize=1)
def _dot():
    return Characters(complement(((10, 10),)))  # every character but the line break


class _Parser:
    """Recursive descent, one method for each rule of the grammar:

    alternatives = sequence | sequence '|' alternatives
    sequence     = repeated repeated ..
    repeated     = atom, or atom counts
    atom         = character, escape, '.', '[' members ']', or '(' alternatives ')'
    """

    def __init__(self, pattern):
        self.pattern, self.at, self.depth = pattern, 0, 0

    def parse(self):
        tree = self.alternatives()
        if self.at < len(self.pattern):
            self.fail("a closing parenthesis without its opening one")
        return tree

    def fail(self, what):
        shown = repr(self.pattern)
        if len(shown) > 80:
            shown = repr(self.pattern[max(self.at - 20, 0) : self.at + 20]) + " in it"
        raise ConfigError(f"regular expression {shown}, position {self.at}: {what}")

    def peek(self):
        return self.pattern[self.at : self.at + 1]

    def take(self):
        self.at += 1
        return self.pattern[self.at - 1 : self.at]

    def took(self, text):
        """True if `text` comes next; it is then read."""
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def sized(self, size):
        """`size`; raises ConfigError if it is above the limit."""
        if size > PLACES:
            self.fail(
                f"with its repetitions written out the expression has {size:,} places or "
                f"more; the limit is {PLACES:,}: lower the counts, or generate in parts"
            )
        return size

    def alternatives(self):
        parts = [self.sequence()]
        while self.took("|"):
            parts.append(self.sequence())
        if len(parts) == 1:
            return parts[0]
        size = self.sized(len(parts) + sum(part.size for part in parts))  # and a fork
        return Either(tuple(parts), size)

    def sequence(self):
        parts, size = [], 0
        while self.peek() not in ("", "|", ")"):
            part = self.repeated()
            if part.size:  # the empty text adds nothing
                parts.append(part)
            size = self.sized(size + part.size)
        if len(parts) == 1:
            return parts[0]
        return Sequence(tuple(parts), size)

    def repeated(self):
        if self.counts() is not None:
            self.fail("a repetition without anything before it; write \\ before the sign itself")
        part = self.atom()
        counts = self.counts()
        if counts is None:
            return part
        if self.took("+"):
            self.fail("a possessive repetition is no regular one; leave out its last +")
        self.took("?")  # lazy: the same whole strings
        if self.counts() is not None:
            self.fail("a repetition of a repetition; put the inner one in parentheses")
        if part.size == 0:  # the empty text again and again
            return part
        # Places of the copies and of the forks between them, as regular.py builds them.
        low, high = counts
        if high is None:
            copies, forks = max(low, 1), 1
        else:
            copies, forks = high, high - low
        return Repeat(part, low, high, self.sized(copies * part.size + forks))

    def counts(self):
        """(low, high) of a repetition if one comes next, else None; high is None without limit."""
        for sign, counts in ("*", (0, None)), ("+", (1, None)), ("?", (0, 1)):
            if self.took(sign):
                return counts
        here = self.at
        if not self.took("{") or self.peek() == "}":
            self.at = here
            return None
        low = high = self.digits()  # {m}
        if self.took(","):
            high = self.digits()
        if not self.took("}"):  # then { is a character like others
            self.at = here
            return None
        low = self.number(low or "0")
        high = self.number(high) if high else None
        if high is not None and high < low:
            self.fail("a repetition is {m}, {m,}, {,n} or {m,n} with m <= n")
        return low, high

    def digits(self):
        begin = self.at
        while self.peek() and self.peek() in "0123456789":
            self.at += 1
        return self.pattern[begin : self.at]

    def number(self, digits):
        digits = digits.lstrip("0") or "0"
        if len(digits) > len(str(REPEATS)) or int(digits) > REPEATS:
            self.fail(f"a repetition of more than {REPEATS:,} times, the limit")
        return int(digits)

    def atom(self):
        c = self.take()
        if c == "(":
            return self.group()
        if c == "[":
            return self.members()
        if c == ".":
            return _dot()
        if c in ANCHORS:
            self.fail(f"the anchor {c} is not supported: {ANCHORS[c]}, or write \\{c} for the sign")
        # Any other character is itself, } and ] without their opening ones too, as in `re`.
        if c != "\\":
            return Characters(merged([(ord(c), ord(c))]))
        return Characters(self.escaped(inside=False))

    def group(self):
        if self.peek() == "?" and not self.took("?:"):
            self.fail("of the groups that begin with (? only (?:..) is understood")
        self.depth += 1
        if self.depth > NESTING:
            self.fail(f"groups nested deeper than {NESTING}, the limit")
        part = self.alternatives()
        self.depth -= 1
        if not self.took(")"):
            self.fail("')' is missing")
        return part

    def members(self):
        negated, found = self.took("^"), []
        while not found or self.peek() != "]":  # ] as the first member is a character: []a]
            first = self.member()
            if not self.took("-"):
                found += first
            elif self.peek() == "]":  # - as the last member is a character: [a-]
                found += [*first, (ord("-"), ord("-"))]
            else:
                found.append(self.between(first, self.member()))
        self.take()
        ranges = merged(found)
        if negated:
            ranges = complement(ranges)
        return Characters(ranges)

    def between(self, first, last):
        """The range from one character to another; a category such as \\d cannot bound it."""
        if not (self.single(first) and self.single(last)) or last[0][0] < first[0][0]:
            self.fail("a range in [ ] goes from a character to one not before it")
        return first[0][0], last[0][0]

    @staticmethod
    def single(ranges):
        return isinstance(ranges, list)  # what a category gives is a tuple

    def member(self):
        c = self.take()
        if not c:
            self.fail("']' is missing")
        if c == "\\":
            return self.escaped(inside=True)
        return [(ord(c), ord(c))]

    def escaped(self, inside):
        """The set after a backslash: a tuple; a list for a single character inside [ ]."""
        c = self.take()
        if c and c in "dDwWsS":
            return category(c)
        anchor = "\\" + c
        if not inside and anchor in ANCHORS:
            self.fail(f"the anchor {anchor} is not supported: {ANCHORS[anchor]}")
        code = self.code(c, inside)
        if inside:
            return [(code, code)]
        return merged([(code, code)])

    def code(self, c, inside):
        """The code point after a backslash and c."""
        if c in CONTROLS:
            return CONTROLS[c]
        if c == "b":  # only in [ ]: elsewhere it is an anchor
            return 8
        if c in HEX:
            return self.hexadecimal(c, HEX[c])
        if c == "N":
            return self.named()
        if c and c in "0123456789":
            return self.octal(c, inside)
        if not c or c.isascii() and c.isalpha():
            self.fail(f"the escape \\{c} is not understood")
        return ord(c)

    def hexadecimal(self, c, count):
        digits = self.pattern[self.at : self.at + count]
        if len(digits) < count or not set(digits) <= set("0123456789abcdefABCDEF"):
            self.fail(f"the escape \\{c} takes {count} hexadecimal digits")
        self.at += count
        if int(digits, 16) > 0x10FFFF:
            self.fail(f"the escape \\{c}{digits} is beyond the last character, \\U0010FFFF")
        return int(digits, 16)

    def named(self):
        end = self.pattern.find("}", self.at)
        if self.peek() != "{" or end < 0:
            self.fail("the escape \\N is \\N{NAME OF A CHARACTER}")
        name, self.at = self.pattern[self.at + 1 : end], end + 1
        try:
            return ord(unicodedata.lookup(name))
        except (KeyError, TypeError):  # TypeError: a name of several characters
            self.fail(f"no character is named {name[:60]!r}")

    def octal(self, c, inside):
        # As in `re`: \0 and up to two octal digits, or three octal digits, are a character; \1 to
        # \99 are references. Inside [ ] there are no references.
        octal = self.octal_run(2)
        if c == "0" or (c in "01234567" and (inside or len(octal) == 2)):
            self.at += len(octal)
            if int(c + octal, 8) > 0o377:
                self.fail(f"the octal escape \\{c}{octal} is beyond \\377")
            return int(c + octal, 8)
        if inside:
            self.fail(f"the escape \\{c} is not understood")
        self.fail(f"a reference to a group, \\{c}, is no regular language; write the group again")

    def octal_run(self, most):
        end = self.at
        while end < min(self.at + most, len(self.pattern)) and self.pattern[end] in "01234567":
            end += 1
        return self.pattern[self.at : end]
