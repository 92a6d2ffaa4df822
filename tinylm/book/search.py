"""Search that finds: a section, an equation, a table, an id, or words and abbreviations.

Terms of tables/synonyms.tsv (GQA, grouped-query attention) are one term, and name the rows to read
first. A row is found by whole words, in its concept before its code, by other forms of a word after
the word itself; by parts of words only if there is nothing else. Read next: terms.py, how texts
become words; references.py, which reads "eq 2.6" and "2.3.5".
"""

import difflib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import tinylm
from tinylm.book import contents, references
from tinylm.book.source import first_sentence
from tinylm.book.terms import STOP, Term, Text, normal, split, synonyms, texts_of, words_of

# Where a term stands decides the order: in the few words that name the concept, in the rest of it,
# in the names of its code, in the title of its section, in paths and names of tests.
WEIGHTS = {"head": 40, "concept": 25, "names": 20, "title": 10, "paths": 4}
PLACES = ("head", "concept", "names", "title")
DEFINING = 1000  # above whatever words can add up to


@dataclass
class Found:
    """What a query found."""

    rows: list  # of book.Row, best first
    first: object = None  # the row that defines the term, if one does
    section: str = ""  # the section asked for, if the query is nothing else
    note: str = ""  # what the reader should know: how the query was understood
    mentions: list = field(default_factory=list)  # of contents.Mention
    files: list = field(default_factory=list)  # (path, first sentence) of code beside the book


def search(table: list, query: str) -> Found:
    """The rows that a reader means.

    table    list of book.Row
    query    ids ("C2a-C06 C1-009"), a section ("2.1" holds 2.1.1), "eq 2.6", "Table 2.1",
             "Fig 2.5", or words and abbreviations, which must all occur; any of them together
    returns  Found; without rows, its note names the nearest terms
    """
    named = query.upper().split()
    by_id = {row.id.upper(): row for row in table}
    if named and all(name in by_id for name in named):
        return Found([by_id[name] for name in dict.fromkeys(named)])
    if named and all(re.fullmatch(r"(C\d[AB]?|D2)-\w+", name) for name in named):
        return _unknown_ids([name for name in named if name not in by_id], by_id)
    if note := references.without_chapter(query):
        return Found([], note=note)
    asked, rest = references.read(query)
    rows, note = list(table), ""
    if asked:
        rows, note = references.rows_of(table, asked)
    terms = split(rest)
    if not terms and len(asked) == 1 and asked[0].number in contents.titles():
        if asked[0].kind == "section" and not note:
            return _section(rows, asked[0].number)
    if not terms and not asked:
        return Found([], note=nearest(table, rest))
    if not terms or not rows:
        return Found(rows, note=note)
    found = _by_words(rows, terms, rest)
    if asked and not (found.rows or found.mentions):
        found = _by_words(table, terms, rest)
        if found.rows:
            note = f"Not in {' and '.join(map(str, asked))}; elsewhere:"
    found.note = " ".join(part for part in (note, found.note) if part)
    return found


def find(table: list, query: str) -> list:
    """The rows of `search`, best first."""
    return search(table, query).rows


def _section(rows, number):
    mentions = [m for m in contents.mentions() if contents.within(m.section, number)]
    return Found(rows, section=number, mentions=mentions)


def _unknown_ids(named, by_id):
    mentions = [m for m in contents.mentions() if m.id.upper() in named]
    if mentions:
        return Found([], mentions=mentions)
    near = difflib.get_close_matches(named[0], by_id, n=4, cutoff=0.6)
    return Found([], note=f"no row {named[0]}; near are {', '.join(by_id[n].id for n in near)}")


def _by_words(rows, terms, query):
    texts = {row.id: texts_of(row) for row in rows}
    found = _ranked(rows, terms, texts, PLACES)
    found = found or Found([], mentions=_mentioned(terms), files=beside(terms))
    if found.rows or found.mentions or found.files:
        return found
    known = [term for term in terms if term.rows]
    if known and len(known) < len(terms):
        found = _by_words(rows, known, query)
        words = ", ".join(repr(term.literal) for term in known)
        found.note = f"No row has all of these words; these have {words}."
        return found
    # Words of paths and tests say little: they count only where there is nothing else.
    if found := _ranked(rows, terms, texts, ("paths",)):
        return found
    pieces = [normal(query)]
    if all(len(term.literal) > 2 for term in terms):
        pieces = [term.literal for term in terms]
    parts = [row for row in rows if all(piece in texts[row.id].everything for piece in pieces)]
    if parts and len(query.strip()) > 2:
        near = nearest(rows, query)
        meant = f" ({near})" if near.startswith("near") else ""
        return Found(parts, note=f"No row has the word {query!r}{meant}; others have it inside:")
    return Found([], note=nearest(rows, query))


def _ranked(rows, terms, texts, places):
    """The rows that have all terms in one of the places, best first; None if there are none."""
    scored = {
        row.id: [_score(term, row.id, texts[row.id], places) for term in terms] for row in rows
    }
    whole = [row for row in rows if all(scored[row.id])]
    if not whole:
        return None
    whole.sort(key=lambda row: -sum(scored[row.id]))  # stable: equals as in the book
    first = None
    if len(terms) == 1 and terms[0].rows[:1] == (whole[0].id,):
        first = whole[0]
    # Where rows abound, only files that are named after the terms lead further.
    files = beside(terms, by_name=len(whole) > 3)
    return Found(whole, first, mentions=_mentioned(terms), files=files)


def _score(term: Term, id: str, text: Text, places: tuple) -> float:
    """How well a row meets a term: 0 if it does not."""
    match = 0.0
    for place in places:
        words = getattr(text, place)
        others = [0.7 * words.match(o, forms=False) for o in term.others if place != "title"]
        match = max(match, WEIGHTS[place] * max([words.match(term.words), *others]))
    if id in term.rows:
        # Among several rows that define a term the order of the table decides.
        return DEFINING - 50 * term.rows.index(id) + match / 100
    return match


def _mentioned(terms):
    def has(mention):
        return all(words_of(mention.concept).match(term.words) == 1 for term in terms)

    return [mention for mention in contents.mentions() if has(mention)]


@cache
def _headers():
    """(file, its first sentence, the words of both) of every module of tinylm."""
    root, found = Path(tinylm.__file__).parent, []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.name.startswith(("_", "cases")) or name.parts[0] in ("cli", "book"):
            continue
        with open(path, encoding="utf-8") as file:
            text = file.read(1200)
        sentence = first_sentence(text.partition('"""')[2].partition('"""')[0])
        found.append((f"tinylm/{name.as_posix()}", sentence, words_of(f"{name.stem} {sentence}")))
    return found


def beside(terms: list[Term], by_name: bool = False) -> list[tuple[str, str]]:
    """Up to three files of tinylm whose name, or first sentence, has the terms: (path, sentence).

    They lead to what the book does not have a row for: byte-pair encoding, speculative decoding.
    """

    def rank(words):
        alike = [(term.words, *term.others) for term in terms]
        return sum(max(map(words.match, phrases)) for phrases in alike)

    if all(len(term.literal) < 3 for term in terms):
        return []
    found = []
    for path, sentence, words in _headers():
        named = words_of(Path(path).stem)
        where = named if by_name else words
        if all(where.match(term.words) == 1 for term in terms):
            found.append((-rank(named), path, sentence))
    return [(path, sentence) for _, path, sentence in sorted(found)[:3]]


def nearest(rows: list, query: str) -> str:
    """A sentence with the terms nearest to a query that found nothing."""
    known = set(synonyms())
    for row in rows:
        known.update(texts_of(row).concept.words)
    near = difflib.get_close_matches(query.lower().strip(), known, n=4, cutoff=0.6)
    for word in query.lower().split():
        if word in STOP or len(word) < 3:
            continue
        near += difflib.get_close_matches(word, known, n=3, cutoff=0.7)
    near = list(dict.fromkeys(near))[:5]
    if near:
        return f"near are {', '.join(near)}"
    return "`tinylm book` lists the sections"
