"""A run whose weights are averaged: what is validated and saved, and that it goes on."""

import numpy as np
import pytest

from tests.train.run.test_run import final, needs_fork, train, train_together
from tests.train.tiny import same_bits, tiny_config
from tinylm.errors import ConfigError
from tinylm.parallel import launch
from tinylm.train import TrainConfig, load_run
from tinylm.train import log as logs


def config(folder, **changes):
    folder.mkdir(exist_ok=True)
    return tiny_config(folder, schedule="constant", **{"average": 0.7, **changes})


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_gives_the_same_bits(tmp_path, optimizer):
    train(config(tmp_path / "one", optimizer=optimizer))
    train(config(tmp_path / "two", optimizer=optimizer, steps=5))
    train(TrainConfig(resume=str(tmp_path / "two" / "run"), steps=8))
    (arrays, state), (others, other) = (final(tmp_path / name / "run") for name in ("one", "two"))
    assert state == other
    assert all(same_bits(arrays[file], others[file]) for file in arrays)


def test_the_mean_is_saved_and_validated_and_the_last_weights_are_kept(tmp_path):
    train(config(tmp_path / "plain", average=0.0))
    train(config(tmp_path / "mean"))
    (plain, _), (mean, _) = (final(tmp_path / name / "run") for name in ("plain", "mean"))
    names = load_run(tmp_path / "plain" / "run")[0].named_parameters().keys()
    # The last weights are those of a run without a mean; the model's are not.
    last = np.sort(np.concatenate([plain["model"][name].ravel() for name in names]))
    np.testing.assert_array_equal(np.sort(mean["optimizer"]["last"]), last)
    assert not same_bits(plain["model"], mean["model"])

    def validated(name):
        return [e["loss"] for e in logs.read(tmp_path / name / "run") if e["event"] == "validation"]

    assert all(a != b for a, b in zip(validated("plain"), validated("mean")))


@needs_fork
def test_workers_have_the_same_mean(tmp_path):
    launch(train_together, 2, config(tmp_path / "shared", dtype="float64"))
    train(config(tmp_path / "alone", dtype="float64"))
    (shared, _), (alone, _) = (final(tmp_path / name / "run") for name in ("shared", "alone"))
    for name, array in alone["model"].items():
        np.testing.assert_allclose(shared["model"][name], array, rtol=1e-5, atol=1e-9)


def test_a_layout_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="mean of weights that many ranks hold"):
        config(tmp_path, parallel="dp=2").check()
