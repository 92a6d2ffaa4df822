"""Entities of tags and their F1 are those of seqeval 1.2.2, lenient and strict, in every scheme.

The numbers were made by tests/oracle/seqeval_entities.py. Where seqeval is installed, all sequences
of up to three tags are compared too. One difference is meant: of "B-X I-X", which IOB1 never
writes, seqeval's strict IOB1 reads the second word as an entity, and here there is none.
"""

import itertools
import json

import pytest

from tests.oracle.seqeval_entities import FILE, LENIENT, MARKS, case
from tinylm.data.read.bio import bio_decode, strict_decode
from tinylm.finetune.metrics import entity_f1

KEPT = json.loads(FILE.read_text())


def read(tags, scheme, how):
    if how == "lenient":
        return bio_decode(tags)
    return strict_decode(tags, scheme)


@pytest.mark.parametrize(
    "scheme, how",
    [(scheme, how) for scheme in MARKS for how in ("lenient", "strict") if how in KEPT[scheme]],
)
def test_entities_and_scores_of_tags_that_err(scheme, how):
    right, found = case(scheme)
    asked = found
    if (scheme, how) == ("iob1", "strict"):
        asked = right
    entities = [read(tags, scheme, how) for tags in asked]
    assert entities == [[tuple(one) for one in sentence] for sentence in KEPT[scheme][how]]
    assert sum(map(len, entities)) > 60  # of 40 sentences
    if f"{how} scores" in KEPT[scheme]:
        scores = entity_f1(entities, [read(tags, scheme, how) for tags in right])
        expected = dict(zip(("precision", "recall", "f1"), KEPT[scheme][f"{how} scores"]))
        assert scores == pytest.approx(expected, abs=1e-12) and 0.2 < scores["f1"] < 0.9


def test_nothing_to_find_and_nothing_found_is_right():
    # seqeval gives 0 here, with a warning; an empty text that is read as empty is no error.
    assert entity_f1([[]], [[]]) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_all_short_sequences_where_seqeval_is_installed():
    pytest.importorskip("seqeval")
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import BILOU, IOB2, IOBES, Tokens

    for scheme, kind in (("iob2", IOB2), ("iobes", IOBES), ("bilou", BILOU)):
        tags = ["O"] + [f"{mark}-{one}" for mark in MARKS[scheme] for one in "XY"]
        for length in (1, 2, 3):
            for row in itertools.product(tags, repeat=length):
                theirs = [(e.tag, e.start, e.end) for e in Tokens(list(row), kind).entities]
                assert strict_decode(row, scheme) == theirs, row
                if scheme in LENIENT:
                    theirs = [
                        (one, first, last + 1) for one, first, last in get_entities(list(row))
                    ]
                    assert bio_decode(row) == theirs, row
