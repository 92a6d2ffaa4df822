"""Book table 1.1, all fifteen rows, letter by letter."""

import pytest

from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.pretrain.table import table_1_1

ALL = "The1 kitten2 is3 chasing4 the5 ball6 .7"
BOTH = ALL + " The8 ball9 rolls10 away11 swiftly12 .13"
PRINTED = [
    ("Causal LM", "ds", "", ALL),
    ("Prefix LM", "ds", "[C] The kitten is", "chasing1 the2 ball3 .4"),
    ("Masked LM", "es", "[C] The kitten [M] chasing the [M] .", "_ _ is _ _ ball _"),
    ("MASS-style", "es", "[C] The kitten [M] [M] [M] ball .", "_ _ is chasing the _ _"),
    ("BERT-style", "es", "[C] The kitten [M] playing the [M] .", "_ kitten is chasing _ ball _"),
    (
        "Permuted LM",
        "e",
        "[C] The kitten is chasing the ball .",
        "The5 kitten7 is6 chasing1 the4 ball2 .3",
    ),
    (
        "Next Sentence Prediction",
        "e",
        "[C] The kitten is chasing the ball . Birds eat worms .",
        "Pr(IsNext | representation-of-[C])",
    ),
    ("Sentence Comparison", "e", "encode a sentence as h_a and another as h_b", "Score(h_a,h_b)"),
    (
        "Token Classification",
        "e",
        "[C] The kitten is chasing the ball .",
        "Pr(.|The) Pr(.|kitten) Pr(.|is) Pr(.|chasing) Pr(.|the) Pr(.|ball) Pr(.|.)",
    ),
    ("Token Reordering", "s", "[C] . kitten the chasing The is ball", ALL),
    ("Token Deletion", "s", "[C] The kitten is chasing the ball .", ALL),
    ("Span Masking", "s", "[C] The kitten [M] is [M] .", ALL),
    ("Sentinel Masking", "s", "[C] The kitten [X] the [Y]", "[X]1 is2 chasing3 [Y]4 ball5 .6"),
    (
        "Sentence Reordering",
        "s",
        "[C] The ball rolls away swiftly . The kitten is chasing the ball .",
        BOTH,
    ),
    (
        "Document Rotation",
        "s",
        "[C] chasing the ball . The ball rolls away swiftly . The kitten is",
        BOTH,
    ),
]


@pytest.mark.parametrize(
    "row, printed",
    list(zip(table_1_1(), PRINTED, strict=True)),
    ids=lambda x: getattr(x, "method", ""),
)
def test_every_row_is_as_printed(row, printed):
    method, trains, source, target = printed
    # Which tokens the book strikes out in "Token Deletion" is only known from its typesetting: ~
    # marks ours.
    assert (row.method, row.input.replace("~", ""), row.output) == (method, source, target)
    assert (row.encoder, row.decoder, row.seq2seq) == tuple(letter in trains for letter in "eds")
    assert ("~" in row.input) == (method == "Token Deletion")


@pytest.mark.parametrize("row", table_1_1(), ids=lambda row: row.method)
def test_every_row_is_a_registered_objective_for_its_architectures(row):
    trains = {name for name in ("encoder", "decoder", "seq2seq") if getattr(row, name)}
    assert set(OBJECTIVES[row.objective].trains) == trains
