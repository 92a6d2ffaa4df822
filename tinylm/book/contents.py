"""The table of contents: the book's chapters and sections with their titles, and what of each is
built.

A concept of the index is built. What the book only names in passing (tables/mentioned.tsv: systems,
surveys, pointers) is not, and is counted beside it. Read first: __init__.py, the rows.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tinylm import book

TABLES = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Mention:
    """Something that the book names in passing, without a row of the index."""

    id: str
    section: str
    concept: str


@dataclass
class Section:
    """A chapter or a section: what stands in it itself, without its subsections."""

    number: str  # "2", "2.1", "2.1.1", "D2L 11.9"
    title: str
    rows: list = field(default_factory=list)  # of book.Row
    mentions: list = field(default_factory=list)  # of Mention

    @property
    def depth(self) -> int:
        """0 for a chapter, 1 for its sections, and so on; the other book's chapter 11 is one."""
        return self.number.count(".")


@cache
def titles() -> dict[str, str]:
    """Section number -> title, in the order of the book."""
    return {n: title for _, (n, title) in book.table(TABLES / "titles.tsv", ["section", "title"])}


@cache
def mentions() -> list[Mention]:
    """What the book names in passing and tinylm does not build."""
    columns = ["id", "section", "concept"]
    return [Mention(*values) for _, values in book.table(TABLES / "mentioned.tsv", columns)]


def sections(rows: list) -> list[Section]:
    """Every section of the book in its order, with its rows and mentions.

    rows     of the index; a row of several sections stands in the first
    raises   KeyError for a row whose section has no title
    """
    found = {number: Section(number, title) for number, title in titles().items()}
    for row in rows:
        found[book.section_number(row)].rows.append(row)
    for mention in mentions():
        found[mention.section].mentions.append(mention)
    return list(found.values())


def within(number: str, section: str) -> bool:
    """Whether a section is `section` or one of its subsections: 2.1 holds 2.1.1 and not 2.10."""
    return f"{number}.".startswith(f"{section}.")


def path(number: str) -> list[str]:
    """The chapter, the section, .. down to this one: 2.3.4 gives 2, 2.3, 2.3.4; known ones only."""
    parts = number.split(".")
    above = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return [part for part in above if part in titles()]


def page_of(number: str) -> str:
    """The section whose page a section stands on: 2.3.3.2 stands on that of 2.3.3."""
    return ".".join(number.split(".")[:3])
