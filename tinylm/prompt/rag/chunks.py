"""Documents as passages that fit into a prompt   (book section 3.2.5, the first step of RAG).

A passage holds whole paragraphs or sentences as far as they fit; a sentence that is too long is cut
between words, and a word between characters. Neighbors share some sentences, so that a fact and
the words that it refers to stay together somewhere. Passages are slices of their document:

    document[p.start : p.end] == p.text,      merged(passages(document, ..)) == [the document]

so nothing is lost and nothing is changed. Read next: retrievers.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from tinylm.data.clean.words import words_of
from tinylm.errors import ConfigError
from tinylm.writing import has_unspaced

# "Dr. Lee", "J. S. Bach" and "1. First" have periods that end no sentence.
_ABBREVIATION = (
    r"(?<!\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|vs|cf|al|etc|approx|Fig|Eq|e\.g|i\.e|[\p{Lu}]))"
    r"(?<!(?:^|\n)\s*\d{1,3})"  # the number of an entry in a list
)
_PARAGRAPH = r"\n[^\S\n]*\n\s*"
_SENTENCE = (
    rf"(?:[!?…]+|{_ABBREVIATION}\.+)[\p{{Pe}}\p{{Pf}}\"']*\s+(?!\p{{Ll}})"
    r"|[。！？]+[\p{Pe}\p{Pf}]*\s*"
    rf"|{_PARAGRAPH}"
)
LONG_WORD = 20  # characters; a longer word (an address, data in base64) counts as several
# From coarse to fine; each pattern matches the end of a piece. \X is a letter with its marks.
_ENDS = {
    "paragraph": regex.compile(_PARAGRAPH),
    "sentence": regex.compile(_SENTENCE),
    "word": regex.compile(r"\s+"),
    "part of a word": regex.compile(rf"\X{{{LONG_WORD}}}"),
    "character": regex.compile(r"\X"),
}


@dataclass(frozen=True)
class Passage:
    """A slice of a document.

    document    its name, or its number
    start, end  characters of the document
    text        document[start:end]
    """

    document: object
    start: int
    end: int
    text: str


def count_words(text: str) -> int:
    """The number of words of a text; in scripts without spaces, of its letters.

    A word counts once for each LONG_WORD characters that it has begun, so that a limit in words is
    one in characters too.
    """
    if text.isascii() or not has_unspaced(text):
        found = text.split()  # the same, and much faster
    else:
        found = words_of(text)
    return sum(-(-len(word) // LONG_WORD) for word in found)


def passages(
    text: str,
    size: int = 100,
    overlap: int = 20,
    unit: str = "sentence",
    measure: Callable = count_words,
    document: int | str = 0,
) -> list[Passage]:
    """A document as passages in order, which cover all of it.

    text      str
    size      most that a passage measures; only a single character that measures more is a larger
              passage
    overlap   most that two neighbors have in common; less than size
    unit      "sentence": a passage is filled with whole sentences; "paragraph": with whole
              paragraphs; "word": with words
    measure   function from a text to its size: words, or the tokens of a model, TextLM.count
    document  name of the document in every Passage
    returns   list of Passage; [] for a text of white space
    raises    ConfigError for sizes or units that do not exist
    """
    if size < 1:
        raise ConfigError(f"passages: size {size} must be 1 or more")
    if overlap < 0:
        raise ConfigError(f"passages: overlap {overlap} must be 0 or more")
    if overlap >= size:
        raise ConfigError(
            f"passages: overlap {overlap} must be less than size {size}: lower overlap, or raise "
            "size"
        )
    levels = list(_ENDS)
    if unit not in levels[:3]:
        raise ConfigError(f"passages: unit {unit!r} is none of {', '.join(levels[:3])}")
    if not text.strip():
        return []

    def fits(start, end):
        return measure(text[start:end]) <= size

    # A unit that is too large is cut by the next finer pattern.
    ends = [_ENDS[level] for level in levels[levels.index(unit) :]]
    units = list(_units(text, 0, len(text), ends, fits))  # (start, end) one after the other
    found, first = [], 0
    while True:
        begun, start = first, units[first][0]
        last = _last_that_fits(fits, units, first)
        end = units[last][1]
        found.append(Passage(document, start, end, text[start:end]))
        if last == len(units) - 1:
            return found
        # The next passage begins with the last units of this one, if its first new one still fits.
        first = last + 1
        while first - 1 > begun:
            shared = units[first - 1][0]
            if measure(text[shared:end]) > overlap or not fits(shared, units[last + 1][1]):
                break
            first -= 1


def sentence_ends(text: str) -> list[int]:
    """Where each sentence of a text ends, the white space after it included: list of int, rising,
    the last of them len(text); [] for the empty text.
    """
    if not text:
        return []
    ends = [match.end() for match in _ENDS["sentence"].finditer(text) if match.end() < len(text)]
    return [*ends, len(text)]


def all_passages(documents: dict[str, str], **options: Any) -> list[Passage]:
    """The passages of several documents.

    documents  dict from a name to a text
    options    of passages()
    returns    list of Passage
    """
    found = []
    for name, text in documents.items():
        found += passages(text, document=name, **options)
    return found


def merged(found: Sequence[Passage]) -> list[Passage]:
    """Passages of one document that overlap or touch become one.

    So two neighbors that were both retrieved are read as one text, without the repetition.

    found    list of Passage
    returns  list of Passage; each stands where the first of its parts stood
    """
    # In the order of the document, where overlaps are neighbors; i is the rank.
    order = sorted(range(len(found)), key=lambda i: (found[i].start, found[i].end))
    joined = {}  # document -> [(first place in `found`, Passage)]
    for i in order:
        one = found[i]
        parts = joined.setdefault(one.document, [])
        if parts and one.start <= parts[-1][1].end:
            place, before = parts.pop()
            # [start, before.end) is there already.
            rest = one.text[max(0, before.end - one.start) :]
            end = max(before.end, one.end)
            one = Passage(one.document, before.start, end, before.text + rest)
            i = min(i, place)
        parts.append((i, one))
    pairs = [pair for parts in joined.values() for pair in parts]
    return [one for _, one in sorted(pairs, key=lambda pair: pair[0])]


def _units(text, start, end, ends, fits):
    """The slice itself if it fits, else its pieces, cut by the first pattern of `ends`."""
    if fits(start, end) or not ends:
        yield start, end
        return
    for match in ends[0].finditer(text, start, end):
        if match.end() < end:
            yield from _units(text, start, match.end(), ends[1:], fits)
            start = match.end()
    yield from _units(text, start, end, ends[1:], fits)


def _last_that_fits(fits, units, first):
    """The number of the last unit that fits into a passage which begins with unit `first`.

    Steps double before they halve, so that a short passage of a long document costs little.
    """
    start, low, high = units[first][0], first, len(units) - 1
    step = 1
    while low + step <= high and fits(start, units[low + step][1]):
        low += step
        step *= 2
    high = min(high, low + step - 1)
    # The last one that fits is in low .. high.
    while low < high:
        middle = (low + high + 1) // 2
        if fits(start, units[middle][1]):
            low = middle
        else:
            high = middle - 1
    return low
