"""Headings in the outline that a model writes   (book section 3.2.2).

    Section 1: Privacy      I. Privacy      1. Privacy      ## Privacy      **Privacy**
    - online games          A. online games 1.1 online games ..

Models write one outline in many forms, but each keeps to its own. So the form is chosen for the
whole text, and what has another mark below a heading is a point. The numbers of headings count from
1; numbers that begin again in each part are those of points. Read next: outline.py.
"""

import re
from collections.abc import Sequence

# What may stand before a number: a "#", a bullet, bold type.
_BEFORE = r"(?P<indent> *)(?:#+ +|[-*+•] +)?(?:\*\*|__)?"
_NUMBERED = (
    re.compile(
        _BEFORE + r"(?:section|part|chapter) +(?P<number>[0-9]+)(?:[.:)]| +[-–—]) +(?P<title>.+)",
        re.IGNORECASE,
    ),
    re.compile(_BEFORE + r"(?P<number>[IVX]+)[.)] +(?P<title>.+)"),
    re.compile(_BEFORE + r"(?P<number>[0-9]+)[.:)] +(?P<title>.+)"),
)
_HASHES = re.compile(r"(?P<level>#+) +(?P<title>.+)")
_BOLD = re.compile(r"(?P<level>\*\*|__)(?P<title>.+?)(?:\*\*:?|__:?)")
_POINT = re.compile(
    r"\s*(?:[-*+•]|\(?(?:[0-9]+|[a-zA-Z]|[ivx]+)[.)]|[0-9]+(?:\.[0-9]+)+\.?) +(?P<text>.+)"
)
ROMAN = dict(zip("I II III IV V VI VII VIII IX X XI XII XIII XIV XV".split(), range(1, 16)))


def headings(lines: Sequence[str]) -> tuple[dict[int, str], int]:
    """The lines of an outline that are headings: ({line number: title}, the number of its lines).

    They have the first of these forms that is in the text. A "#", a bullet, and ** around a number
    or a title are no part of them.

    1. "Section 1: T", also Part, Chapter
    2. "I. T", with Roman numbers
    3. "1. T", "1) T" or "1: T"
    4. "# T", at the highest level that occurs twice
    5. "**T**" or "__T__" alone on its line, twice or more

    Where the number 1 comes again with the same title, the outline has ended: the text follows.
    """
    unnumbered = _unnumbered(lines)
    for form in _NUMBERED:
        found, end = _counted(lines, form)
        # A heading without number between the numbers: they count the points below it.
        between = [
            title
            for i, title in unnumbered.items()
            if found and min(found) < i < max(found) and i not in found
        ]
        if found and all(map(point, between)):
            return found, end
    return unnumbered, len(lines)


def point(line: str) -> str:
    """The text of a line with a bullet, a number such as 1., 1.1 or (2), or a letter; or None."""
    found = _POINT.fullmatch(line)
    if found is None:
        return None
    return _plain(found["text"])


def _counted(lines, form):
    """Headings of one form, whose numbers are 1, 2, 3, .. ; see headings().

    Lines with another number, or indented by 2 or more, are none. No line is, if 1 comes again with
    another title.
    """
    found = {}
    for i, line in enumerate(lines):
        match = form.fullmatch(line.rstrip())
        if match is None or len(match["indent"]) > 1:
            continue
        title, number = _plain(match["title"]), _value(match["number"])
        if number == 1 and found:
            if title == next(iter(found.values())):
                return found, i
            return {}, len(lines)
        if number == len(found) + 1 and title:
            found[i] = title
    return found, len(lines)


def _unnumbered(lines):
    for form in (_HASHES, _BOLD):
        matches = {i: form.fullmatch(line.strip()) for i, line in enumerate(lines)}
        matches = {i: match for i, match in matches.items() if match and _plain(match["title"])}
        levels = [len(match["level"]) for match in matches.values()]
        # A level that occurs once is the title of the whole.
        twice = [level for level in levels if levels.count(level) > 1]
        if twice:
            top = min(twice)
            return {i: _plain(m["title"]) for i, m in matches.items() if len(m["level"]) == top}
    return {}


def _value(number):
    if number.isdigit():
        return int(number)
    return ROMAN.get(number)


def _plain(title):
    """A title without bold type and the colon that may end it."""
    return title.replace("**", "").strip("*_: \t")
