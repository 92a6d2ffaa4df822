"""Words: how a query and a row of the index become words that can be compared.

Hyphens and capitals do not count, nor do modelling and modeling differ; a word matches itself, its
plural, and, less, other forms (mask, masked, masking). Read first: search.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from tinylm import book
from tinylm.book import contents

STOP = frozenset(
    "a an the of in is are what whats how does do to for and with on which why show me explain "
    "about where find tell definition define meaning please it works work i my can you compute use "
    "using implement implemented code formula example paper".split()
)


@dataclass(frozen=True)
class Term:
    """A part of a query: its words, the words of its synonyms, and the rows that define it."""

    literal: str
    words: tuple
    others: tuple = ()  # each a tuple of words
    rows: tuple = ()  # ids, the one to read first in front


class Words:
    """A text as words; `match` asks whether a phrase stands in it."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._plain = " " + " ".join(self.words) + " "
        self._single = " " + " ".join(map(singular, self.words)) + " "

    @cached_property
    def _roots(self):
        return " " + " ".join(map(root, self.words)) + " "

    def match(self, phrase: tuple, forms: bool = True) -> float:
        """1 for the words themselves, .95 in singular and plural, .6 in another form (if `forms`),
        0 for none.
        """
        plain, single, roots = _forms(phrase)
        if plain in self._plain:
            return 1.0
        if single in self._single:
            return 0.95
        if forms and roots in self._roots:
            return 0.6
        return 0.0


@cache
def _forms(phrase):
    """A phrase as it stands in a text: itself, in the singular, in roots."""
    forms = [phrase, map(singular, phrase), map(root, phrase)]
    return [f" {' '.join(words)} " for words in forms]


@dataclass(frozen=True)
class Text:
    """The texts of a row by where they stand."""

    head: Words  # what the concept is called
    concept: Words
    names: Words  # of functions and classes
    title: Words  # of the section
    paths: Words
    everything: str


@cache
def normal(text: str) -> str:
    """A text in lower case, with one spelling for words that have several."""
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"\b(pre|fine|auto|re|co)-(?=[a-z])", r"\1", text)
    text = re.sub(r"is(ation|ed|ing|es|e)\b", r"iz\1", text)
    return re.sub(r"ll(ing|ed|er)\b", r"l\1", text)


def words_of(text: str) -> Words:
    """The words of a text."""
    return Words(re.findall(r"[^\W_]+", normal(text)))


@cache
def singular(word: str) -> str:
    """A word without the ending of the plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@cache
def root(word: str) -> str:
    """What is left of a word without its usual endings: mask of masked, masks and masking."""
    short = re.sub(r"(ations?|ions?|ings?|ed|ers?|ors?|es|s|e)$", "", word)
    if len(short) >= 4:
        return short
    return word


@cache
def synonyms() -> dict[str, Term]:
    """Each term of tables/synonyms.tsv, as a reader may type it, with the others of its line."""
    found = {}
    for _, (terms, rows) in book.table(contents.TABLES / "synonyms.tsv", ["terms", "rows"]):
        alike = [term.strip() for term in terms.split(";")]
        words = {term: words_of(term).words for term in alike}
        for term in alike:
            others = tuple(w for other, w in words.items() if other != term)
            found[term] = Term(term, words[term], others, tuple(rows.split()))
    return found


@cache
def _by_words():
    found = {}
    for term in synonyms().values():
        found.setdefault(term.words, term)  # kv cache and kv-cache are the same words
    return found


def split(query: str) -> list[Term]:
    """A query as terms: the longest that the table of synonyms has, then single words.

    Words such as "how" and "the" count only if there are no others.
    """
    words, known, found, single = words_of(query).words, _by_words(), [], []
    longest = max(map(len, known), default=0)
    i = 0
    while i < len(words):
        lengths = range(min(longest, len(words) - i), 0, -1)
        n = next((n for n in lengths if words[i : i + n] in known), 0)
        if n:
            found.append(known[words[i : i + n]])
        else:
            n, single = 1, [*single, words[i]]
            if words[i] not in STOP:
                found.append(Term(words[i], (words[i],)))
        i += n
    return found or [Term(word, (word,)) for word in single]


@cache
def texts_of(row: book.Row) -> Text:
    """The texts of a row that a search looks at."""
    head = re.split(r"[:;.](?:\s|$)", row.concept, maxsplit=1)[0]
    symbols = row.symbol.replace(",", " ").split()
    last = " ".join(symbol.rpartition(":")[2] for symbol in symbols)
    titles = contents.titles()
    title = " ".join(titles[part] for part in contents.path(book.section_number(row))[1:])
    paths = f"{row.id} {row.symbol} {row.test} {row.script}"
    return Text(
        words_of(head),
        words_of(row.concept),
        words_of(f"{last} {_humps(last)}"),
        words_of(title),
        words_of(f"{paths} {_humps(paths)}"),
        normal(f"{row.concept} {paths}"),
    )


def _humps(names):
    """MaskedLM as "Masked LM", causal_attention as "causal attention"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", names)
    return apart.replace("_", " ")
