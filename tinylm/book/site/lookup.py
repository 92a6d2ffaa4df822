"""The data of the search on the pages: the words of every row, as search.py compares them.

Written to index.js as one assignment; book.js holds the same rules as search.py and terms.py, and a
test in a browser compares the first rows that both find. Paths and names of tests are left out:
they say little, and would be most of the file.
"""

import json

from tinylm import book
from tinylm.book import contents, facts, references
from tinylm.book.terms import STOP, synonyms, texts_of


def data(rows: list, pages: dict[str, str]) -> dict:
    """What book.js searches in.

    rows     list of book.Row that have a page
    pages    section -> file of its page
    returns  dict: rows as [id, file, section, name, words of name, of concept, of code, of title,
             equations, tables, figures], terms as [[words of each synonym], [numbers of rows]],
             titles as section -> [title, file or ""], stop: words that say nothing
    """
    at = {row.id: i for i, row in enumerate(rows)}
    terms = {}
    for known in synonyms().values():
        terms.setdefault(known.rows + (frozenset([known.words, *known.others]),), known)
    return {
        "rows": [_row(row, pages) for row in rows],
        "terms": [
            [
                sorted({" ".join(words) for words in (known.words, *known.others)}),
                [at[id] for id in known.rows if id in at],
            ]
            for known in terms.values()
        ],
        "titles": {
            number: [title, pages.get(contents.page_of(number), "")]
            for number, title in contents.titles().items()
        },
        "stop": sorted(STOP),
    }


def _row(row, pages):
    text, section = texts_of(row), book.section_number(row)
    numbers = [sorted(references.numbers(row, kind)) for kind in ("equation", "table", "figure")]
    return [
        row.id,
        pages[contents.page_of(section)],
        section,
        facts.halves(row.concept)[0],
        *(" ".join(words.words) for words in (text.head, text.concept, text.names, text.title)),
        *numbers,
    ]


def script(rows: list, pages: dict[str, str]) -> str:
    """index.js: JSON is JavaScript too; without a "<" it could stand in a page as well."""
    text = json.dumps(data(rows, pages), ensure_ascii=False, separators=(",", ":"))
    return "window.BOOK=" + text.replace("<", "\\u003c") + ";\n"
