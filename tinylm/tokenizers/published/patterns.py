r"""Regular expressions of published tokenizers, which are written for Oniguruma in Ruby's syntax.

The `regex` library reads nearly the same language. What differs is rewritten or refused:

    ^ $        begin and end of any line, but no line        MULTILINE; (?:^(?!(?<=\n)\Z))
               begins at the end of the text
    (?m)       the dot matches ends of lines                 (?s)
    \h \H      hexadecimal digits (in `regex`: white space)  [0-9A-Fa-f]
    \z \Z      end; end, or before a last end of line        \Z; (?=\n?\Z)
    \w \W      without the two joiners U+200C, U+200D; out   [\w--[...]]
               of a set with the signs ² ³ ¹ ¼ ½ ¾
    [:alnum:]  of all scripts; [:punct:] is refused
    x{1,2}+    repeated again (in `regex`: possessive)       (?:x{1,2})+

Sets within sets and `&&` mean the same in version 1 of `regex`, where `--`, `||` and `~~` are
operators besides: they are escaped. Read next: split.py.
"""

from collections.abc import Iterator

import regex

from tinylm.errors import DataError

_SAME = set("dDsSbBnrtfvaAR")  # escapes with one meaning in both
_JOINERS = r"\u200c\u200d"
_LATIN = r"\xb2\xb3\xb9\xbc-\xbe"  # word characters of its table for Latin-1
_POSIX = {
    "alpha": r"\p{Alphabetic}",
    "alnum": r"\p{Alphabetic}\p{Nd}",
    "digit": r"\p{Nd}",
    "space": r"\s",
    "upper": r"\p{Uppercase}",
    "lower": r"\p{Lowercase}",
    "xdigit": "0-9A-Fa-f",
}
# [:alpha:]; \p{L}; {1,2} before a "+"; the begin of a group, a look-around, or flags.
_CLASS = regex.compile(r"\[:(\^?)([a-z]+):\]")
_NAMED = regex.compile(r"\\[pP]\{\^?([\w ]+)\}")
_BRACES = regex.compile(r"\{\d*,?\d*\}(?=\+)")
_OPENINGS = regex.compile(r"\(\?(?:[:=!>#]|<[=!]|<\w+>|([imx]*)(-[imx]+)?[:)])")


def compiled(pattern: str, name: str) -> regex.Pattern:
    """A published regular expression.

    pattern  str in Ruby's syntax
    name     of the field it stands in, for messages
    returns  regex.Pattern
    raises   DataError for what is not read here
    """
    try:
        return regex.compile(_translated(pattern, name), regex.V1 | regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise DataError(
            f"{name} is {pattern!r:.200}, which is no regular expression that is read here: {error}"
        ) from None


def _translated(pattern, name):
    """The pattern in the language of `regex`, read sign by sign from left to right."""
    done, at, depth = [], 0, 0  # depth: of sets within sets
    # Where in `done` the last thing begins that can be repeated, and each group that is still open.
    item, open_groups = 0, []
    while at < len(pattern):
        c, begin = pattern[at], len(done)
        # x{1,2}+ -> (?:x{1,2})+
        if not depth and (braces := _BRACES.match(pattern, at)):
            done.insert(item, "(?:")
            done.append(f"{braces[0]})")
            at = braces.end()
            continue
        if c == "\\":
            made, length = _escape(pattern, at, depth, name)
            if not depth:
                item = begin
        elif depth:
            made, length = _in_set(pattern, at, name)
            depth += (c == "[" and made == "[") - (c == "]")
        else:
            made, length = _outside(pattern, at, name)
            depth += c == "["
            item = _item(made, begin, item, open_groups)
        # "[]a]" and "[^]a]": a bracket right at the begin of a set is a member.
        if c == "[" and depth and length == 1 and pattern[at + 1 : at + 2] == "]":
            made, length = made + r"\]", 2
        if c == "[" and depth and length == 1 and pattern[at + 1 : at + 3] == "^]":
            made, length = made + r"^\]", 3
        done.append(made)
        at += length
    return "".join(done)


def _item(made, begin, item, open_groups):
    """Where in `done` the thing begins that a repetition after this sign repeats.

    made   the sign as translated, which stands at `begin`
    item   the place before this sign
    """
    if made.startswith("(") and not made.endswith(")"):
        open_groups.append(begin)
    if made == ")":  # the whole group
        if open_groups:
            return open_groups.pop()
        return begin
    if made in "*+?{}":
        return item
    return begin


def _escape(pattern, at, in_set, name):
    """(what an escape becomes, its length)."""
    letter = pattern[at + 1 : at + 2]
    if letter == "x" and pattern[at + 2 : at + 3] == "{":
        digits = pattern[at + 3 : pattern.find("}", at)]
        return f"\\U{int(digits, 16):08x}", len(digits) + 4
    if letter in "pP" and letter:
        return _property(pattern, at, name)
    made = {
        "h": "[0-9A-Fa-f]",
        "H": "[^0-9A-Fa-f]",
        "w": rf"[[\w--[{_JOINERS}]]{_LATIN}]",
        "W": rf"[[\W{_JOINERS}]--[{_LATIN}]]",
    }
    if in_set:  # there the Latin-1 signs count as Unicode has them
        made |= {"w": rf"[[\w--[{_JOINERS}]]]", "W": rf"[\W{_JOINERS}]"}
    ends = {"z": r"\Z", "Z": r"(?=\n?\Z)"}
    if letter in made:
        return made[letter], 2
    if letter in ends and not in_set:
        return ends[letter], 2
    digits = {"x": 2, "u": 4}.get(letter, 0)  # \x41, \u0041
    if digits:
        return pattern[at : at + 2 + digits], 2 + digits
    if letter and (letter in _SAME or not letter.isalnum()):
        return f"\\{letter}", 2
    raise DataError(f"{name} is {pattern!r:.200}, in which \\{letter} is not read here")


def _property(pattern, at, name):
    r"""\p{...} as it is: general categories and scripts have the same names."""
    found = _NAMED.match(pattern, at)
    if not found:
        raise DataError(
            f"{name} is {pattern!r:.200}, in which {pattern[at : at + 4]} is not read here"
        )
    return found[0], len(found[0])


def _in_set(pattern, at, name):
    """(what a sign within [...] becomes, its length)."""
    posix = _CLASS.match(pattern, at)
    if posix:
        if posix[2] not in _POSIX:
            raise DataError(f"{name} is {pattern!r:.200}, in which {posix[0]} is not read here")
        return f"[{posix[1]}{_POSIX[posix[2]]}]", len(posix[0])
    pair = pattern[at : at + 2]
    if pair in ("--", "||", "~~"):
        return f"\\{pair[0]}\\{pair[1]}", 2
    return pattern[at], 1


def _outside(pattern, at, name):
    """(what a sign outside of sets becomes, its length)."""
    c = pattern[at]
    if c == "(" and pattern[at + 1 : at + 2] == "?":
        found = _OPENINGS.match(pattern, at)
        if not found:
            raise DataError(
                f"{name} is {pattern!r:.200}, in which {pattern[at : at + 4]!r} is not read here"
            )
        made = found[0]
        if found[1] or found[2]:  # flags
            made = made.replace("m", "s")
        return made, len(found[0])
    if c == "^":
        return r"(?:^(?!(?<=\n)\Z))", 1
    return c, 1


def matches(pattern: regex.Pattern, text: str) -> Iterator[tuple[int, int]]:
    """The matches of a pattern as Oniguruma's binding finds them: no empty one right after another.

    yields  (start, stop)
    """
    last = None
    for match in pattern.finditer(text):
        start, stop = match.span()
        if start == stop == last:  # empty, where the last match ended
            continue
        last = stop
        yield start, stop
