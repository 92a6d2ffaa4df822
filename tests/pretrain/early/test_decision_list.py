"""Yarowsky's decision lists on plants that live and plants that make things."""

import math

import pytest

from tinylm.errors import ConfigError
from tinylm.pretrain.early.decision_list import (
    decide,
    decision_list,
    one_sense_per_discourse,
    yarowsky,
)

CONTEXTS = [
    {"life", "animal"},
    {"animal", "species"},
    {"species", "grow"},
    {"manufacturing", "worker"},
    {"worker", "union"},
    {"union", "strike"},
    {"strange"},
]
SEEDS = {"life": "living", "manufacturing": "factory"}


def test_rules_are_ordered_by_their_log_ratio():
    rules = decision_list([{"a", "b"}, {"a"}, {"b"}], ["x", "x", "y"], smoothing=0.5)
    # a: 2 of x, 0 of y: log(2.5 / 0.5). b: one of each: log 1 = 0, no rule
    assert rules == [(math.log(5), "a", "x")]
    assert decide(rules, {"a", "b"}) == ("x", math.log(5)) and decide(rules, {"b"}) == (None, 0.0)


def test_only_the_surest_rule_decides():
    rules = [(3.0, "a", "x"), (2.0, "b", "y"), (1.9, "c", "y")]
    assert decide(rules, {"a", "b", "c"}) == (
        "x",
        3.0,
    )  # 3.0 against 2.0 + 1.9: nothing is added up


def test_seeds_spread_round_by_round_to_a_fixed_point():
    labels, rules, history = yarowsky(CONTEXTS, SEEDS)
    assert history[0] == ["living", None, None, "factory", None, None, None]
    assert history[1][1] == "living" and history[1][4] == "factory"
    assert labels == ["living"] * 3 + ["factory"] * 3 + [None]
    assert len(history) < 20 and yarowsky(CONTEXTS, SEEDS, rounds=len(history))[0] == labels
    assert rules[0][0] == math.inf  # seeds stay


def test_one_sense_per_discourse_labels_what_no_rule_reaches():
    assert one_sense_per_discourse(["x", None, "y", "x", None], [0, 0, 0, 0, 1]) == [
        "x",
        "x",
        "x",
        "x",
        None,
    ]
    assert one_sense_per_discourse(["x", "y"], [0, 0]) == ["x", "y"]  # a tie
    labels, _, _ = yarowsky(CONTEXTS, SEEDS, discourses=[0, 0, 0, 1, 1, 2, 0])
    assert labels[6] == "living"  # a strange context in a text about living plants


def test_it_needs_a_seed():
    with pytest.raises(ConfigError, match="no seed"):
        yarowsky(CONTEXTS, {})


def test_a_collocation_that_leans_to_no_sense_is_no_rule():
    contexts = [{"even", "left"}, {"even", "right"}]
    rules = decision_list(contexts, ["a", "b"])
    assert [(feature, sense) for _, feature, sense in rules] == [("left", "a"), ("right", "b")]
    # log((1 + 0.1) / (0 + 0.1)) with the smoothing of 0.1
    assert rules[0][0] == pytest.approx(math.log(11), rel=1e-12)


def test_smoothing_counts_once_for_each_other_sense():
    three = decision_list([{"a"}, {"a"}, {"b"}, {"c"}], ["x", "x", "y", "z"], smoothing=0.5)
    assert three[0] == (math.log(2.5 / 1.0), "a", "x")  # (2 + s) / (0 + 2 s)
    # b and c are as sure as one another: by their names
    assert three[1:] == [(math.log(1.5), "b", "y"), (math.log(1.5), "c", "z")]
    one = decision_list([{"a"}, {"a"}, {"b"}], ["x", "x", None], smoothing=0.5)
    assert one == [(math.log(5), "a", "x")]  # of a single sense (2 + s) / s; no label, no count


def test_a_rule_at_the_threshold_labels_and_one_below_does_not():
    """With one added, what stood once with a sense has the log ratio of (1 + 1) / (0 + 1)."""
    contexts = [{"life", "animal"}, {"animal"}]
    options = dict(seeds={"life": "living"}, smoothing=1.0)
    assert yarowsky(contexts, threshold=math.log(2), **options)[0] == ["living", "living"]
    assert yarowsky(contexts, threshold=math.log(2.1), **options)[0] == ["living", None]


def test_after_one_round_seeds_alone_have_labeled_and_stand_above_what_was_learnt():
    labels, rules, history = yarowsky(CONTEXTS, SEEDS, rounds=1)
    assert history == [labels] and labels.count(None) == 5
    assert [rule[1:] for rule in rules[:2]] == [("life", "living"), ("manufacturing", "factory")]
    assert all(ratio >= 1 for ratio, _, _ in rules)
