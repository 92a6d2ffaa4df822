"""Entities as tags of words: B-ORG begins one of type ORG, I-ORG continues it, O is outside of all
(Ramshaw & Marcus 1995; book section 1.4.4).

Read next: annotated.py; finetune/tasks/tagging.py, which learns the tags.
"""

from tinylm.errors import DataError

OUTSIDE = "O"


def mark_of(tag):
    """B, I, or "" for a tag that is neither, such as O or a part of speech (INTJ)."""
    mark = tag.partition("-")[0]  # not tag[0]: INTJ begins with I
    if mark in ("B", "I"):
        return mark
    return ""


def bio_encode(spans, length):
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


def bio_decode(tags):
    """The entities of a tag sequence: (type, start, stop) each, in order.

    An I that continues nothing begins an entity, as in CoNLL's own evaluation.
    """
    spans = []
    kind, start = None, None  # the open entity, if any
    for i, tag in enumerate([*tags, OUTSIDE]):  # the last O closes what is open
        mark, type_here = mark_of(tag), tag.partition("-")[2]
        continues = mark == "I" and type_here == kind
        if kind is not None and not continues:
            spans.append((kind, start, i))
            kind = None
        if kind is None and mark:
            kind, start = type_here, i
    return spans
