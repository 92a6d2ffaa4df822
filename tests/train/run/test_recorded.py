"""Configurations out of files: those of older runs too, and what was left open then."""

import pytest

from tinylm.errors import CheckpointError
from tinylm.train.run.build import new_model
from tinylm.train.run.config import TrainConfig, as_json
from tinylm.train.run.recorded import ADDED, continued, from_json


def test_what_a_run_has_chosen_is_read_as_it_was_chosen():
    # An encoder's choices differ from a decoder's, and stand in the file as numbers.
    for objective in ("causal", "masked"):
        chosen = TrainConfig(objective=objective, steps=40)
        assert from_json(as_json(chosen), "run") == chosen


def test_an_older_run_is_no_run_of_today_s_defaults():
    values = as_json(TrainConfig(weight_decay=0.1, dropout=0.0, context=64))
    old = {name: value for name, value in values.items() if name not in ADDED}
    found = from_json(old, "run")
    assert (found.init, found.optimizer, found.average) == ("gpt2", "adamw", 0.0)
    assert (found.weight_decay, found.dropout, found.short_steps) == (0.1, 0.0, 0)


def test_more_steps_leave_the_rows_of_a_run_as_they_were():
    # Without `given`, what is not the default was set: 400 steps were, 320 short ones follow.
    saved = TrainConfig(steps=200)
    found = continued(saved, TrainConfig(steps=400))
    assert (found.steps, found.short_steps) == (400, 160)
    with pytest.raises(CheckpointError, match="short_steps is 160 there and 7 here"):
        continued(saved, TrainConfig(steps=400, short_steps=7))


def test_positions_that_a_run_chose_by_itself_may_be_named():
    saved = TrainConfig(steps=200)
    found = continued(saved, TrainConfig(positions="rope"), given=["positions"])
    assert found == saved and found.positions == "rope"
    with pytest.raises(CheckpointError, match="positions is 'rope' there and 'learned' here"):
        continued(saved, TrainConfig(positions="learned"), given=["positions"])


@pytest.mark.parametrize(
    "objective, architecture, then, now",
    [
        ("causal", None, "rope", "rope"),
        ("masked", None, "learned", "rope"),
        ("span-boundary", None, "learned", "rope"),
        ("sentinels", None, "learned", "t5"),
        ("ul2", None, "learned", "t5"),
        ("causal", "seq2seq", "learned", "learned"),
        ("bart", None, "learned", "learned"),
        ("permuted", None, "auto", "auto"),
    ],
)
def test_older_runs_keep_the_positions_that_they_left_open(objective, architecture, then, now):
    config = TrainConfig(objective=objective, architecture=architecture).check()
    assert config.positions == now
    assert from_json(as_json(config), "here") == config
    assert from_json(as_json(config) | {"positions": "auto"}, "older").positions == then


@pytest.mark.parametrize("objective", ["masked", "span-boundary", "replaced", "sentinels"])
def test_places_come_from_a_table_where_one_is_asked_for(objective):
    for given, wanted in ({}, False), ({"positions": "learned"}, True):
        config = TrainConfig(objective=objective, n_layer=1, d_model=8, n_head=1, **given).check()
        names = new_model(config, config.special(20)).named_arrays()
        assert any("positions.table" in name for name in names) == wanted
