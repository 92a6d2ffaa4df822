"""`tinylm train --dtype`: runs whose passes have fewer digits than the weights they save."""

import numpy as np
import pytest

from tests.train.run.test_objectives import EVERY, config_for
from tests.train.run.test_run import final, losses, quiet, same_run
from tests.train.tiny import same_bits, tiny_config
from tinylm.errors import CheckpointError
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train import checkpoint, load_run, prepare_run, train_run
from tinylm.train import log as logs
from tinylm.train.precision.mixed import FORMATS
from tinylm.train.run.config import DTYPES


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_saves_and_loads_weights_of_the_usual_type(tmp_path, dtype):
    lines = []
    summary = train_run(tiny_config(tmp_path, dtype=dtype), None, lines.append)
    model, _, config = load_run(tmp_path / "run")
    wide = np.float64 if dtype == "float64" else np.float32
    assert config.dtype == dtype and {p.dtype for p in model.parameters()} == {np.dtype(wide)}
    assert np.isfinite(summary["validation_loss"]) and summary["step"] == 8
    says = [line for line in lines if line.startswith(f"passes in {dtype}")]
    assert len(says) == (dtype in FORMATS)
    events = [e for e in logs.read(tmp_path / "run") if e["event"] == "step"]
    scales = [e.get("scale") for e in events]
    assert scales == ([2.0**15] * 8 if dtype == "float16" else [None] * 8)


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path, dtype):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    train_run(tiny_config(tmp_path / "a", dtype=dtype), None, quiet)
    train_run(tiny_config(tmp_path / "b", dtype=dtype, keep=9), None, quiet)
    run = tmp_path / "b" / "run"
    for step, path in checkpoint.steps(run).items():
        if step > 3:
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    train_run(prepare_run(tiny_config(tmp_path / "b", resume=str(run), out=""), quiet), None, quiet)
    assert same_run(tmp_path / "a" / "run", run)
    assert final(run)[1]["loss_scale"]["good"] == 8


def test_a_step_that_is_left_out_is_said_logged_and_counted(tmp_path, capsys, monkeypatch):
    from tinylm.train.precision import mixed

    monkeypatch.setattr(mixed, "LARGEST", 2.0**17)  # infinite as a cotangent of float16, twice
    lines = []
    summary = train_run(tiny_config(tmp_path, dtype="float16"), None, lines.append)
    assert (summary["skipped"], summary["scale"]) == (2, 2.0**15)
    assert "steps left out: 2, loss scale 32768" in lines[-1]
    said = capsys.readouterr().err
    assert "step 1 left out: its gradient is not finite in float16" in said
    assert "the loss scale is now 65536" in said and "the loss scale is now 32768" in said
    events = [e for e in logs.read(tmp_path / "run") if e["event"] == "step"]
    assert [e["skipped"] for e in events] == [1] + [2] * 7
    assert events[0]["grad_norm"] is None and np.isfinite(events[0]["loss"])
    assert final(tmp_path / "run")[1]["optimizer"]["t"] == 6  # two of eight steps were no updates
    assert final(tmp_path / "run")[1]["loss_scale"]["skipped"] == 2


def test_the_format_of_a_run_may_not_change(tmp_path):
    train_run(tiny_config(tmp_path, dtype="bfloat16"), None, quiet)
    again = tiny_config(tmp_path, dtype="float16", resume=str(tmp_path / "run"), out="", steps=9)
    with pytest.raises(CheckpointError, match="dtype is 'bfloat16' there and 'float16' here"):
        prepare_run(again, quiet, {"dtype", "steps"})


# One objective of each model and loss; the others differ in their batches alone.
KINDS = {(OBJECTIVES[n].of(a).model, OBJECTIVES[n].of(a).paired): (n, a) for n, a in EVERY}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name, architecture", [*KINDS.values(), ("contrastive", "encoder")])
def test_every_model_trains_in_sixteen_bits(tmp_path, name, architecture, dtype):
    train_run(config_for(tmp_path / "a", name, architecture), None, quiet)
    train_run(config_for(tmp_path / "b", name, architecture, dtype=dtype), None, quiet)
    expected, found = (losses(tmp_path / run / "run") for run in "ab")
    # The first loss has the same weights, but for their digits: half a last place of each format,
    # relative, adds up over the operations of a pass.
    digits = {"float16": 2**-9, "bfloat16": 2**-6}[dtype]
    assert found["step", 1] == pytest.approx(expected["step", 1], rel=digits)
    assert not same_bits(*({"": np.array(list(x.values()))} for x in (expected, found)))
