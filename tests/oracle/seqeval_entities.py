"""Makes seqeval_entities.json: the entities that seqeval reads from tags, and their scores.

Run once, by hand, away from tinylm; nothing is fetched:

    pip install seqeval==1.2.2
    python -m tests.oracle.seqeval_entities

Tags are a formula, so the file holds results alone. tests/data/read/test_against_seqeval.py
compares them, and all short sequences where seqeval is installed. Read next: that test.
"""

import json
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
MARKS = {"iob1": "BI", "iob2": "BI", "iobes": "BIES", "bilou": "BILU"}
SENTENCES, WORDS = 40, 9
# bilou is strict alone: seqeval's lenient reading knows no L and no U.
LENIENT = ("iob1", "iob2", "iobes")


def numbers(seed):
    """Whole numbers from 0 to 2^31 - 1, the same everywhere   (Lewis, Goodman & Miller 1969)."""
    state = seed + 1
    while True:
        state = state * 16807 % (2**31 - 1)
        yield state


def written(scheme, spans):
    """The tags of spans (type, start, stop), as a scheme writes them."""
    tags, before = ["O"] * WORDS, (None, None)
    for kind, start, stop in spans:
        marks = ["I"] * (stop - start)
        if scheme != "iob1" or before == (kind, start):
            marks[0] = "B"
        if scheme in ("iobes", "bilou"):
            last, alone = {"iobes": "ES", "bilou": "LU"}[scheme]
            marks[-1] = last
            if stop - start == 1:
                marks = [alone]
        tags[start:stop] = [f"{mark}-{kind}" for mark in marks]
        before = kind, stop
    return tags


def case(scheme):
    """(right tags, tags of a tagger that errs): two lists of sentences."""
    draw, right, found = numbers(len(scheme)), [], []
    for _ in range(SENTENCES):
        spans, at = [], next(draw) % 3
        while at < WORDS:
            stop = min(WORDS, at + 1 + next(draw) % 3)
            spans.append(("XY"[next(draw) % 2], at, stop))
            at = stop + next(draw) % 2
        tags = written(scheme, spans)
        right.append(tags)
        # A fifth of the tags is any tag of the scheme.
        others = ["O"] + [f"{mark}-{kind}" for mark in MARKS[scheme] for kind in "XY"]
        found.append(
            [others[next(draw) % len(others)] if next(draw) % 5 == 0 else tag for tag in tags]
        )
    return right, found


def main():
    """Write the file."""
    from seqeval.metrics import f1_score, precision_score, recall_score
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

    classes = {"iob1": IOB1, "iob2": IOB2, "iobes": IOBES, "bilou": BILOU}
    scores = precision_score, recall_score, f1_score
    results = {"seqeval": version("seqeval")}
    for scheme, kind in classes.items():
        right, found = case(scheme)
        result = {}
        if scheme in LENIENT:
            result["lenient"] = [
                [(one, start, last + 1) for one, start, last in get_entities(tags)]
                for tags in found
            ]
            result["lenient scores"] = [float(score(right, found)) for score in scores]
        # seqeval's IOB1 reads an entity in the middle of one that no IOB1 writes: right tags alone.
        read = found
        if scheme == "iob1":
            read = right
        result["strict"] = [
            [(one.tag, one.start, one.end) for one in Tokens(tags, kind).entities] for tags in read
        ]
        if scheme != "iob1":
            strict = {"mode": "strict", "scheme": kind}
            result["strict scores"] = [float(score(right, found, **strict)) for score in scores]
        results[scheme] = result
    FILE.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
