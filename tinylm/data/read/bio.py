"""Entities as tags of words: B-ORG begins one of type ORG, I-ORG continues it, O is outside of all
(Ramshaw & Marcus 1995; book section 1.4.4).

IOB1 writes B only where an entity follows another of its type, IOB2 at the beginning of each. IOBES
(BILOU) also marks the last word by E (L), and an entity of one word by S (U). What a model writes
need not be of any scheme: `bio_decode` reads it as CoNLL's evaluation does, `strict_decode` leaves
out what the scheme does not write. Read next: annotated.py; finetune/tasks/tagging.py, which learns
the tags; finetune/metrics.py, F1 of entities.
"""

from collections.abc import Sequence

from tinylm.errors import ConfigError, DataError

OUTSIDE = "O"
INNER = ("I", "E", "L")  # continue the word before, if it is of the same type
LAST = ("E", "L", "S", "U")  # nothing continues them
# The first and the last mark of a whole entity of several words, and the mark of one word.
WHOLE = {"iob2": ("B", "BI", "B"), "iobes": ("B", "E", "S"), "bilou": ("B", "L", "U")}


def mark_of(tag: str) -> str:
    """B, I, or "" for a tag that is neither, such as O or a part of speech (INTJ)."""
    mark = tag.partition("-")[0]  # not tag[0]: INTJ begins with I
    if mark in ("B", "I"):
        return mark
    return ""


def bio_encode(spans: Sequence[tuple[str, int, int]], length: int) -> list[str]:
    """Entities as tags.

    spans    (type, start, stop) each, words start .. stop-1; no two share a word
    length   words of the sentence
    returns  list of str
    raises   DataError for a span that is empty, leaves the sentence or overlaps another
    """
    tags = [OUTSIDE] * length
    for kind, start, stop in spans:
        if not 0 <= start < stop <= length or any(tag != OUTSIDE for tag in tags[start:stop]):
            raise DataError(
                f"bio_encode: the span {(kind, start, stop)} lies outside {length} words "
                "or upon another span"
            )
        tags[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return tags


def bio_decode(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities of a tag sequence: (type, start, stop) each, in order.

    An I (E, L) that continues nothing begins an entity, as in CoNLL's own evaluation (Tjong Kim
    Sang & Buchholz 2000); marks of all schemes are read.
    """
    spans = []
    kind, start = None, None  # the open entity, if any
    for i, tag in enumerate([*tags, OUTSIDE]):  # the last O closes what is open
        mark, type_here = _parts(tag)
        continues = mark in INNER and type_here == kind
        if kind is not None and not continues:
            spans.append((kind, start, i))
            kind = None
        if kind is None and mark:
            kind, start = type_here, i
        if mark in LAST:
            spans.append((kind, start, i + 1))
            kind = None
    return spans


def strict_decode(tags: Sequence[str], scheme: str) -> list[tuple[str, int, int]]:
    """The entities that are written as a scheme writes them; others are left out.

    scheme   "iob1", "iob2", "iobes" or "bilou"
    returns  as bio_decode
    raises   ConfigError for another scheme; DataError for a mark that it does not have
    """
    if scheme not in ("iob1", *WHOLE):
        raise ConfigError(
            f"strict_decode: no scheme {scheme!r}; there are iob1, {', '.join(WHOLE)}"
        )
    marks = [_parts(tag)[0] for tag in tags]
    known = "".join(["BI", *WHOLE.get(scheme, ())])
    odd = [tag for tag, mark in zip(tags, marks) if mark and mark not in known]
    if odd:
        raise DataError(f"strict_decode: the tag {odd[0]!r} is not one of {scheme.upper()}")
    found, before = [], (None, None)  # type and end of the entity before
    for kind, start, stop in bio_decode(tags):
        if scheme == "iob1":
            # B stands right after an entity of its type, and nowhere else.
            whole = marks[start] == "I" or before == (kind, start)
        elif stop - start == 1:
            whole = marks[start] in WHOLE[scheme][2]
        else:
            first, last, _ = WHOLE[scheme]
            whole = marks[start] == first and marks[stop - 1] in last
        if whole:
            found.append((kind, start, stop))
        before = kind, stop
    return found


def _parts(tag):
    """(mark, type) of a tag, the mark "" if it is none of a scheme."""
    mark, dash, kind = tag.partition("-")  # not tag[0]: INTJ begins with I
    if mark in ("B", "I") or dash and mark in LAST:
        return mark, kind
    return "", kind
