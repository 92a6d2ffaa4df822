"""Scores of options as lines of a file."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.prompt.evaluation.choice_scores import ItemScores, read_scores, scores_of
from tinylm.prompt.protocol.completion import NORMALIZATIONS

OPTIONS = (" a", " bcd")
VALUES = {
    "item": 3,
    "terms": [[-1.5], [-0.25, -2]],
    "prior": [-4.0, -5],
    "apart": [False, True],
    "dropped": 2,
    "error": "",
}


def test_scores_are_read_back_to_the_bit():
    scores = text_model().score("Q:", OPTIONS, unconditional="A:")
    line = json.dumps(asdict(scores_of(3, scores, 2)))
    found = read_scores(json.loads(line))
    assert (found.item, found.dropped, found.error) == (3, 2, "")
    again = found.scores(OPTIONS)
    for name in NORMALIZATIONS:
        np.testing.assert_array_equal(again.by(name), scores.by(name))
    assert again.apart == scores.apart


def test_an_item_that_failed_has_its_reason_alone():
    line = json.loads(json.dumps(asdict(ItemScores(1, error="too long"))))
    assert read_scores(line) == ItemScores(1, error="too long")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"item": True}, "item must be int"),
        ({"error": None}, "error must be str"),
        ({"terms": [[-1.5]]}, "one entry for each option"),
        ({"prior": [-4.0]}, "one entry for each option"),
        ({"apart": [False]}, "one entry for each option"),
        ({"terms": [[-1.5], []]}, "terms must be lists of numbers"),
        ({"terms": [[-1.5], -2]}, "terms must be lists of numbers"),
        ({"terms": [[-1.5], ["x"]]}, "terms must be lists of numbers"),
        ({"terms": [[-1.5], [True]]}, "terms must be lists of numbers"),
        ({"terms": [[-1.5], [float("-inf")]]}, "terms must be lists of numbers"),
        ({"prior": [-4.0, None]}, "prior must be numbers"),
        ({"apart": [False, 1]}, "apart true or false"),
        ({"more": 1}, "missing or unknown: more"),
    ],
)
def test_what_are_no_scores_is_refused(change, message):
    read_scores(VALUES)
    with pytest.raises(ValueError, match=message):
        read_scores({**VALUES, **change})
    with pytest.raises(ValueError, match="missing or unknown: prior"):
        read_scores({name: value for name, value in VALUES.items() if name != "prior"})
