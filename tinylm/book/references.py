"""References to the book: "eq 2.6", "equation (2.6)", "Table 2.1", "Fig 2.5", "2.3.5", "chapter 3".

Rows carry them in their section column ("2.3.4, eqs (2.70)-(2.71)") and some in their concept. Read
first: search.py.
"""

import re
from dataclasses import dataclass

from tinylm import book
from tinylm.book import contents

_NUMBER = r"\d\.\d+"
_MARK = rf"[(\[]?\s*({_NUMBER})\s*[)\]]?"
_PATTERNS = (
    ("equation", rf"(?:\beqn?s?\b\.?|\bequations?\b|\bformulas?\b)\s*{_MARK}"),
    ("table", rf"\btab(?:le)?s?\b\.?\s*{_MARK}"),
    ("figure", rf"\bfig(?:ure)?s?\b\.?\s*{_MARK}(?:\s*\(?[a-z]\)?(?=\s|$))?"),
    ("equation", rf"(?<!\w)\(\s*({_NUMBER})\s*\)"),
)
_SECTION = re.compile(
    r"(?:\bd2l\s*(11(?:\.\d+)*)?|(?:\bsections?|\bsec\.?|§+|\bchapters?|\bch\.?)\s*(\d+(?:\.\d+)*)|"
    r"(?<![\w.-])(\d+(?:\.\d+){1,3})(?![\w.-]*\w))\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reference:
    """What a reader asks for by number: the kind is equation, table, figure or section."""

    kind: str
    number: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


def read(query: str) -> tuple[list[Reference], str]:
    """The references of a query, and the query without them."""
    found = []

    def take(kind):
        def replace(match):
            found.append(Reference(kind, next(filter(None, match.groups()), "")))
            return " "

        return replace

    for kind, pattern in _PATTERNS:
        query = re.sub(pattern, take(kind), query, flags=re.IGNORECASE)
    if re.fullmatch(r"\s*\d\s*", query):  # a chapter
        return [*found, Reference("section", query.strip())], ""
    query = _SECTION.sub(take("section"), query)
    found = [_with_book(reference) for reference in found]
    return found, " ".join(query.split())


def without_chapter(query: str) -> str:
    """A sentence for "equation 1", which no chapter numbers so; "" for any other query."""
    kinds = r"(eqn?s?|equations?|formulas?|tab|tables?|fig|figures?)\b\.?"
    match = re.fullmatch(rf"{kinds}\s*\(?\s*(\d+)\s*\)?", query.strip(), re.IGNORECASE)
    if not match:
        return ""
    kind, number = match.groups()
    return f'the book numbers them by chapter: `tinylm book "{kind} 2.{number}"`'


def _with_book(reference):
    # The other book's chapter is the only one numbered 11.
    if reference.kind == "section" and reference.number.split(".")[0] in ("", "11"):
        return Reference("section", f"D2L {reference.number or '11'}")
    return reference


def rows_of(table: list, asked: list[Reference]) -> tuple[list, str]:
    """The rows that meet every reference, and a note: how a number was understood, or why nothing
    was found.
    """
    rows, notes = list(table), []
    for reference in asked:
        if reference.kind == "section":
            rows, note = _in_section(rows, reference.number)
        else:
            rows, note = _numbered(rows, table, reference)
        notes += [note] if note else []
    return rows, " ".join(notes)


def _in_section(rows, number):
    chosen = [row for row in rows if contents.within(book.section_number(row), number)]
    if number in contents.titles():
        return chosen, ""
    # 2.6 is no section, but an equation.
    if equations := [row for row in rows if number in numbers(row, "equation")]:
        return equations, f"The book has no section {number}; this is equation ({number})."
    above = contents.path(number)
    if not above:
        chapters = ", ".join(n for n in contents.titles() if "." not in n)
        return [], f"the book has no section {number}: chapters are {chapters}"
    wider = [row for row in rows if contents.within(book.section_number(row), above[-1])]
    title = contents.titles()[above[-1]]
    return wider, f"The book has no section {number}; this is {above[-1]}, {title}."


def _numbered(rows, table, reference):
    chosen = [row for row in rows if reference.number in numbers(row, reference.kind)]
    # Rows that carry the number in their section column come before those that mention it.
    chosen.sort(key=lambda row: reference.number not in _numbers(row.section, reference.kind))
    if chosen:
        return chosen, ""
    known = {number for row in table for number in numbers(row, reference.kind)}
    near = sorted(known, key=lambda number: _distance(number, reference.number))[:3]
    near = ", ".join(sorted(near, key=book.section_key))
    return [], f"no row is about {reference.kind} {reference.number}; near are {near}"


def _distance(one, other):
    (a, b), (c, d) = (map(int, number.split(".")) for number in (one, other))
    return 1000 * abs(a - c) + abs(b - d)


def numbers(row: book.Row, kind: str) -> set[str]:
    """The equations, tables or figures of a row: {"2.70", "2.71"} of "eqs (2.70)-(2.71)"."""
    return _numbers(f"{row.section}; {row.concept}", kind)


def _numbers(text, kind):
    start = {"equation": r"\beqs?\b\.?", "table": r"\btables?\b", "figure": r"\bfig(?:ure)?s?\b\.?"}
    one = rf"\(?{_NUMBER}\)?(?:\s*\([a-z]\))?"
    lists = rf"{start[kind]}\s*({one}(?:(?:\s*[-,]\s*|\s+and\s+){one})*)"
    found = set()
    for match in re.finditer(lists, text, re.IGNORECASE):
        for first, last in re.findall(rf"({_NUMBER})\)?(?:\s*-\s*\(?({_NUMBER}))?", match[1]):
            chapter, low = first.split(".")
            high = (last or first).split(".")[1]
            found |= {f"{chapter}.{n}" for n in range(int(low), int(high) + 1)}
    return found
