"""What a run takes where nothing is said: fixed values, or all from one number, the depth."""

import dataclasses

import pytest

from tests.train.tiny import tiny_config
from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.sizes import count_block
from tinylm.train import TrainConfig, prepare_run, train_run
from tinylm.train.run.defaults import (
    HEAD_WIDTH,
    SHAPE,
    WIDTH_PER_LAYER,
    block_parameters,
    dial_line,
    tokens_read,
)
from tinylm.train.run.recorded import continued


def test_the_ratios_are_those_of_the_default_model():
    assert SHAPE["d_model"] == WIDTH_PER_LAYER * SHAPE["n_layer"] == HEAD_WIDTH * SHAPE["n_head"]
    plain, dialed = TrainConfig(), TrainConfig(depth=4)
    for name in ("n_layer", "n_head", "d_model", "context", "batch_size", "dropout"):
        assert getattr(plain, name) == getattr(dialed, name)
    assert plain.peak_lr == dialed.lr == 4e-3  # (128 / 128)^0.5 = 1


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 12, 24])
def test_a_depth_sets_width_heads_rate_and_steps(depth):
    c = TrainConfig(depth=depth).check()
    assert (c.n_layer, c.d_model, c.n_head) == (depth, 32 * depth, depth)
    assert c.lr == pytest.approx(4e-3 * (128 / c.d_model) ** 0.5)
    # Twenty tokens for each parameter, to the step.
    a_step = c.batch_size * c.context
    assert 0 <= tokens_read(c) - 20 * block_parameters(c) < 2 * a_step


def test_the_parameters_are_the_matrices_of_the_blocks():
    shape = dict(vocab_size=9, context=8, n_layer=3, n_head=2, d_model=16)
    for more in ({}, {"d_hidden": 20}, {"activation": "swiglu"}):
        model = GPTConfig(**shape, bias=False, norm="rms", **more)
        config = TrainConfig(n_layer=3, n_head=2, d_model=16, **more)
        # A block has two gains of D besides.
        assert 3 * (count_block(model) - 2 * 16) == block_parameters(config)


def test_what_is_set_wins_and_the_rest_follows_from_it():
    c = TrainConfig(depth=2, d_model=96)
    assert (c.n_layer, c.d_model, c.n_head) == (2, 96, 3)
    assert c.lr == pytest.approx(4e-3 * (128 / 96) ** 0.5)
    assert TrainConfig(depth=2, n_layer=5).n_layer == 5
    assert TrainConfig(depth=2, n_head=4).n_head == 4
    assert TrainConfig(depth=2, lr=0.5).lr == 0.5
    assert TrainConfig(depth=2, steps=7).steps == 7
    # Ten tokens for each parameter take half the steps; twice the batch does, too.
    steps = TrainConfig(depth=2).steps
    assert TrainConfig(depth=2, tokens_per_parameter=10).steps == steps / 2
    assert TrainConfig(depth=2, batch_size=16).steps == steps / 2


def test_objectives_keep_their_own_rate_and_rows():
    c = TrainConfig(depth=2, objective="masked").check()
    assert (c.context, c.batch_size, c.short_context) == (64, 16, 0)
    assert c.lr == pytest.approx(1e-3 * (128 / 64) ** 0.5)
    assert 0 <= tokens_read(c) - 20 * block_parameters(c) < 64 * 16


@pytest.mark.parametrize(
    "width, groups, heads",
    [(32, None, 1), (96, None, 3), (100, None, 4), (7, None, 1), (96, 2, 4), (128, 8, 8)],
)
def test_heads_divide_the_width_and_are_about_32_wide(width, groups, heads):
    # 100 in heads of 25 or 50: 25 is nearer by ratio. 96 with two groups: 4 of 24, not 2 of 48.
    c = TrainConfig(depth=3, d_model=width, n_kv_head=groups).check()
    assert c.n_head == heads


@pytest.mark.parametrize("given", [0, 10, 10_000])
def test_steps_with_short_rows_that_are_given_count(given):
    c = TrainConfig(depth=1, short_context=16, short_steps=given)
    read = c.batch_size * (min(given, c.steps) * 16 + max(c.steps - given, 0) * c.context)
    assert 0 <= read - 20 * block_parameters(c) < c.batch_size * c.context


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"depth": 0}, "depth must be between 1 and 1000"),
        ({"depth": 1001}, "depth must be between"),
        ({"depth": 2, "tokens_per_parameter": 0}, "tokens_per_parameter must be"),
        ({"tokens_per_parameter": 10}, "give --depth too"),
        ({"depth": 2, "d_model": 0}, "d_model must be"),
        ({"depth": 2, "batch_size": 0}, "batch_size must be"),
        ({"depth": 2, "context": -1}, "context must be"),
        ({"depth": 2, "objective": "nothing"}, "objective must be"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**changes).check()


def test_heads_of_a_width_beyond_all_reason_are_found_at_once():
    assert TrainConfig(depth=2, d_model=2**62, steps=1).n_head == 4096  # of those looked at


def test_a_depth_is_shown_before_anything_runs(capsys):
    with pytest.raises(SystemExit):
        parse(["--depth", "2", "--show-config"], TrainConfig)
    shown = capsys.readouterr().out
    for line in ("n_layer = 2", "d_model = 64", "n_head = 2", "lr = 0.00565685", "steps = 2400"):
        assert line in shown


def test_a_run_says_what_its_depth_has_come_to(tmp_path):
    lines = []
    config = tiny_config(
        tmp_path, depth=1, n_layer=None, n_head=None, d_model=None, steps=None, context=64
    )
    config = dataclasses.replace(config, steps=3)
    run = prepare_run(config, lines.append)
    (line,) = [line for line in lines if line.startswith("depth 1:")]
    assert (
        "layers 1, width 32, heads 1, rate" in line and "3 steps = 768 tokens" in line
    )  # 3 x 4 x 64
    assert "12,288 parameters" in line and "teaches less" not in line  # 12 x 32^2
    assert "teaches less than new text" in dial_line(config, 100)
    train_run(run, None, lambda line: None)


def test_a_run_of_a_depth_goes_on_as_it_is():
    saved = TrainConfig(depth=2, out="there")
    longer = continued(saved, TrainConfig(resume="there", steps=saved.steps + 5))
    assert (longer.d_model, longer.lr, longer.steps) == (64, saved.lr, saved.steps + 5)
    assert continued(saved, TrainConfig(depth=2, resume="there")) == dataclasses.replace(
        saved, resume="there"
    )
