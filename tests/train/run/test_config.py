"""A configuration refuses what cannot work before anything is computed, and knows what a run must
keep.
"""

import dataclasses
import importlib
import json
import math
from pathlib import Path

import pytest

from tinylm.cli.options import parse
from tinylm.errors import CheckpointError, ConfigError
from tinylm.models import GPTConfig
from tinylm.train.run.config import MAY_CHANGE, TrainConfig, as_json
from tinylm.train.run.recorded import continued, from_json


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lr": math.inf}, "lr must be a finite number above 0, not inf"),
        ({"lr": math.nan}, "lr must be a finite number"),
        ({"lr": 0.0}, "lr must be a finite number above 0"),
        ({"min_lr": 1.0}, "min_lr 1 is above lr 0.004"),
        ({"context": 0}, "context must be at least 1, not 0"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        (
            {"d_model": 10, "n_head": 4},
            "d_model 10 does not divide into 4 heads: choose a multiple, such as 12",
        ),
        ({"n_kv_head": 3}, "n_head 4 is not a multiple of n_kv_head 3"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\)"),
        ({"schedule": "cosinus"}, "schedule must be one of constant, cosine"),
        ({"dtype": "float4"}, "dtype must be one of float32, float64, float16, bfloat16, float8"),
        ({"batch_size": 3, "workers": 4}, "4 workers cannot share a batch of 3"),
        ({"dtype": "bfloat16", "parallel": "dp=2"}, "exchange sums in float32 .*: use --workers N"),
        ({"workers": 2, "device": "gpu"}, "2 workers share memory of the cpu"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes).check()


def test_defaults_are_possible_and_every_field_is_explained():
    assert TrainConfig().check()
    once = TrainConfig(steps=1).check()  # four fifths of one step are none
    assert (once.context, once.short_context, once.short_steps) == (256, 0, 0)
    assert all(field.metadata["help"] for field in dataclasses.fields(TrainConfig))


def test_every_part_that_gpt_2_and_llama_differ_in_can_be_chosen():
    chosen = {f.name for f in dataclasses.fields(GPTConfig)} & {
        f.name for f in dataclasses.fields(TrainConfig)
    }
    assert chosen >= {
        "norm",
        "norm_placement",
        "activation",
        "positions",
        "rope_base",
        "bias",
        "tied",
        "n_kv_head",
        "d_hidden",
    }
    model = TrainConfig(norm="rms", activation="swiglu", n_kv_head=2).model(77)
    assert (model.vocab_size, model.norm, model.activation, model.n_kv_head) == (
        77,
        "rms",
        "swiglu",
        2,
    )


def test_a_configuration_survives_json():
    config = TrainConfig(lr=3e-4, betas=(0.8, 0.9), n_kv_head=2)
    assert from_json(json.loads(json.dumps(as_json(config))), "here") == config


def test_a_configuration_of_another_version_is_refused():
    values = as_json(TrainConfig())
    with pytest.raises(CheckpointError, match="here: .*another version.*differs in flavor"):
        from_json({**values, "flavor": 1}, "here")
    with pytest.raises(CheckpointError, match="differs in lr"):
        from_json({k: v for k, v in values.items() if k != "lr"}, "here")
    with pytest.raises(CheckpointError, match="impossible: lr"):
        from_json({**values, "lr": -1.0}, "here")
    with pytest.raises(CheckpointError, match="impossible"):
        from_json({**values, "lr": "fast"}, "here")


def test_differing_settings_are_listed_with_both_values():
    saved = TrainConfig(d_model=64, batch_size=8, lr=1e-3)
    with pytest.raises(
        CheckpointError, match="d_model is 64 there and 32 here, batch_size is 8 there and 4 here"
    ):
        continued(saved, TrainConfig(d_model=32, batch_size=4))
    with pytest.raises(
        CheckpointError, match="d_model is 64 there and 128 here"
    ):  # the default, but asked for
        continued(saved, TrainConfig(), given=["d_model"])


def test_length_and_rate_may_change_when_a_run_goes_on():
    saved = TrainConfig(d_model=64, steps=100, lr=1e-3, workers=2, out="there")
    longer = dataclasses.replace(saved, steps=200, resume="there")
    assert continued(saved, TrainConfig(resume="there", steps=200)) == longer
    assert continued(saved, TrainConfig(), given=[]) == saved
    assert continued(saved, TrainConfig(), given=["steps"]).steps == TrainConfig().steps
    assert set(saved.fingerprint()) | set(MAY_CHANGE) == {
        f.name for f in dataclasses.fields(TrainConfig)
    }
    assert set(MAY_CHANGE).isdisjoint(saved.fingerprint())


FIRST = (
    "objective architecture data dictionary tokenizer vocab_size val_fraction n_layer n_head "
    "n_kv_head d_model d_hidden context norm norm_placement activation positions rope_base bias "
    "tied dropout steps short_context short_steps patience batch_size micro_batch lr min_lr warmup "
    "schedule weight_decay betas clip seed dtype device workers eval_every eval_batches "
    "checkpoint_every keep out resume"
).split()


def test_runs_of_before_a_setting_was_added_are_read_as_they_were_trained():
    values = as_json(TrainConfig())
    found = from_json({name: values[name] for name in FIRST}, "run")
    assert found == TrainConfig(init="gpt2")
    with pytest.raises(CheckpointError, match="differs in steps"):
        from_json({name: values[name] for name in FIRST if name != "steps"}, "run")


def test_experts_stand_in_every_layer():
    shape = TrainConfig(experts=3, experts_per_token=1).model(10)
    assert (shape.feed_forward, shape.experts, shape.experts_per_token) == (("experts",), 3, 1)
    assert TrainConfig().model(10).feed_forward == ("dense",)
    for settings, words in (
        ({"experts": 1}, "experts_per_token 2 of 1 experts: choose at most 1"),
        ({"experts": -1}, "experts"),
        (
            {"experts": 4, "objective": "masked"},
            "masked: its loss does not keep experts in balance",
        ),
        (
            {"experts": 4, "objective": "prefix"},
            "prefix: its loss does not keep experts in balance",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            TrainConfig(**settings).check()


def test_the_last_rung_of_the_ladder_is_the_default_run(monkeypatch):
    scripts = Path(__file__).parents[3] / "scripts" / "2_2_training_at_scale"
    monkeypatch.syspath_prepend(str(scripts))
    ladder = importlib.import_module("learning_per_second")
    rungs = ladder.cumulative(ladder.RUNGS)
    words = [word for pair in list(rungs.values())[-1].items() for word in pair]
    asked = parse([*words, "--steps", "2500"], TrainConfig, verb="train", about="", examples=())
    expected = TrainConfig()
    assert as_json(asked) == as_json(expected) | {
        "short_steps": asked.short_steps,
    }
    assert asked.short_steps == expected.short_steps == ladder.SHORT * 2500
    assert asked.model(9) == expected.model(9)


def test_the_scripts_of_learning_refuse_options_that_they_do_not_read(monkeypatch, capsys):
    scripts = Path(__file__).parents[3] / "scripts" / "2_2_training_at_scale"
    monkeypatch.syspath_prepend(str(scripts))
    for name, words, refused in (
        ("learning_per_second", ["--data", "book.txt"], "unrecognized arguments: --data"),
        ("nanogpt_record", ["--data", "a.txt", "--beside"], "unrecognized arguments: --beside"),
        ("nanogpt_record", [], "required: --data"),
    ):
        with pytest.raises(SystemExit):
            importlib.import_module(name).main(words)
        assert refused in capsys.readouterr().err
