"""`tinylm train --checkpointing`: the same run, for every objective whose model can."""

import pytest

from tests.train.run.test_objectives import EVERY, config_for
from tests.train.run.test_run import final, quiet, same_run
from tests.train.tiny import same_bits, tiny_config
from tinylm.errors import ConfigError
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train import TrainConfig, prepare_run, train_run
from tinylm.train.precision.mixed import FORMATS


@pytest.mark.parametrize(
    "name, architecture",
    [one for one in EVERY if OBJECTIVES[one[0]].of(one[1]).model != "xlnet"],
)
def test_every_objective_ends_in_the_same_bits(tmp_path, name, architecture):
    for folder, twice in (("plain", False), ("twice", True)):
        config = config_for(
            tmp_path / folder, name, architecture, checkpointing=twice, dropout=0.2, n_layer=2
        )
        train_run(prepare_run(config, quiet), None, quiet)
    assert same_run(tmp_path / "plain" / "run", tmp_path / "twice" / "run")


@pytest.mark.parametrize("dtype", FORMATS)
def test_passes_with_fewer_digits_are_the_same_too(tmp_path, dtype):
    for folder, twice in (("plain", False), ("twice", True)):
        (tmp_path / folder).mkdir()
        train_run(tiny_config(tmp_path / folder, dtype=dtype, checkpointing=twice), None, quiet)
    assert same_run(tmp_path / "plain" / "run", tmp_path / "twice" / "run")


def test_a_run_may_begin_one_way_and_go_on_the_other(tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    train_run(tiny_config(tmp_path / "whole", steps=6, schedule="constant"), None, quiet)
    config = tiny_config(tmp_path / "parts", steps=3, schedule="constant", checkpointing=True)
    train_run(config, None, quiet)
    run = tmp_path / "parts" / "run"
    more = TrainConfig(resume=str(run), steps=6, checkpointing=False)
    again = prepare_run(more, quiet, given={"steps", "checkpointing"})
    assert not again.config.checkpointing
    train_run(again, None, quiet)
    (arrays, _), (others, _) = final(tmp_path / "whole" / "run"), final(run)
    assert same_bits(arrays["model"], others["model"])
    assert same_bits(arrays["optimizer"], others["optimizer"])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"parallel": "dp=2"}, "--checkpointing with --parallel dp=2"),
        ({"experts": 2}, "--checkpointing with --experts"),
        ({"objective": "permuted"}, "objective permuted: --checkpointing"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(checkpointing=True, **changes).check()
