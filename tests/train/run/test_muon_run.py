"""A run that Muon trains: what it updates, how workers share it, and that it goes on."""

import numpy as np
import pytest

from tests.train.run.test_run import final, needs_fork, train, train_together
from tests.train.tiny import same_bits, tiny_config
from tinylm.errors import CheckpointError, ConfigError
from tinylm.nn.linear import hidden_matrices
from tinylm.optim import Muon
from tinylm.parallel import launch
from tinylm.train import TrainConfig, prepare_run
from tinylm.train.run.run import new_trainer


def config(folder, **changes):
    return tiny_config(folder, optimizer="muon", **changes)


def test_muon_trains_the_matrices_of_the_blocks(tmp_path):
    run = prepare_run(config(tmp_path, muon_scale=3.0), lambda line: None)
    trainer = new_trainer(run, None)
    run.lock.close()
    muon, model = trainer.optimizer, trainer.model
    assert isinstance(muon, Muon) and muon.matrix_rate == 3.0
    names = hidden_matrices(model)
    parts = "attention.qkv", "attention.out", "feed_forward.hidden", "feed_forward.out"
    assert names == [f"blocks.{i}.{part}.weight" for i in range(2) for part in parts]
    sizes = [model.named_parameters()[name].size for name in names]
    assert [stop - start for start, stop, _ in muon.matrices] == sizes


def test_a_resumed_run_gives_the_same_bits(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    steady = {"schedule": "constant"}
    train(config(tmp_path / "one", **steady))
    train(config(tmp_path / "two", **steady, steps=5))
    train(TrainConfig(resume=str(tmp_path / "two" / "run"), steps=8))
    (arrays, state), (others, other) = (final(tmp_path / name / "run") for name in ("one", "two"))
    assert state == other
    assert all(same_bits(arrays[file], others[file]) for file in arrays)


@needs_fork
def test_workers_share_the_update(tmp_path):
    # Sums over workers are rounded in another order; orthogonalized directions amplify that less
    # than Adam's quotients do.
    for name in ("shared", "alone"):
        (tmp_path / name).mkdir()
    options = {"dtype": "float64", "schedule": "constant"}
    launch(train_together, 2, config(tmp_path / "shared", steps=5, **options))
    launch(train_together, 3, TrainConfig(resume=str(tmp_path / "shared" / "run"), steps=8))
    train(config(tmp_path / "alone", **options))
    (arrays, state), (expected, expected_state) = (
        final(tmp_path / name / "run") for name in ("shared", "alone")
    )
    assert state == expected_state
    for file in expected:
        for name, array in expected[file].items():
            np.testing.assert_allclose(arrays[file][name], array, rtol=1e-5, atol=1e-9)


def test_a_layout_that_cuts_matrices_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Muon needs each whole: use --workers"):
        config(tmp_path, parallel="tp=2").check()


def test_a_run_keeps_its_optimizer(tmp_path):
    train(config(tmp_path))
    with pytest.raises(CheckpointError, match="optimizer is 'muon' there and 'adamw' here"):
        prepare_run(
            TrainConfig(resume=str(tmp_path / "run"), optimizer="adamw"),
            lambda line: None,
            given=["optimizer", "resume"],
        )
