"""Logs as CSV and as event files: what was logged comes back, gaps stay gaps."""

import csv
import json

import pytest

from tinylm.cli import main
from tinylm.cli.look.export_log import FILE, names, rows
from tinylm.cli.look.plot import read_log


@pytest.fixture
def log(tmp_path):
    """A run with an infinite loss, and a figure of its own."""
    folder = tmp_path / "first"
    folder.mkdir()
    steps = [
        {"event": "step", "step": i, "loss": loss, "lr": 1e-3, "grad_norm": 0.5, "seconds": 2.0}
        for i, loss in ((1, 0.1), (2, None), (3, 0.30000000000000004))
    ]
    steps[2]["reward"] = 7
    validation = {"event": "validation", "step": 2, "loss": 2.0, "bits_per_byte": 2.5, "tokens": 9}
    events = [{"event": "start"}, *steps, validation]
    (folder / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    return str(folder)


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_line_for_each_step_and_validation(log, tmp_path, capsys):
    out = str(tmp_path / "log.csv")
    assert main(["plot", log, "--csv", out]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"  # nothing is drawn
    found = table(out)
    assert list(found[0]) == [
        *("run", "kind", "step", "loss", "bits_per_byte", "lr", "grad_norm"),
        *("seconds", "tokens", "reward"),
    ]
    assert [(r["run"], r["kind"], r["step"]) for r in found] == [
        ("first", "training", "1"),
        ("first", "training", "2"),
        ("first", "validation", "2"),
        ("first", "training", "3"),
    ]
    # Every digit; what was infinite, or is not of the line, is empty.
    assert [r["loss"] for r in found] == ["0.1", "", "2.0", "0.30000000000000004"]
    assert [r["reward"] for r in found] == ["", "", "", "7"]


def test_several_runs_are_one_table_and_have_different_names(log, tmp_path):
    out = str(tmp_path / "log.csv")
    assert main(["plot", log, log, "--csv", out]) == 0
    assert {r["run"] for r in table(out)} == {"first", "first-2"}
    assert names([("a/x", None), ("b/x", None), ("x-2", None)]) == ["x", "x-2", "x-2-2"]


def test_lines_come_by_step_and_the_step_before_its_validation(log):
    assert [(step, kind) for step, kind, _ in rows(read_log(log))] == [
        (1, "training"),
        (2, "training"),
        (2, "validation"),
        (3, "training"),
    ]


def test_a_table_that_cannot_be_written_is_one_line(log, tmp_path, capsys):
    assert main(["plot", log, "--csv", str(tmp_path / "none" / "log.csv")]) == 1
    assert capsys.readouterr().err.startswith("tinylm plot: cannot write")
    (tmp_path / "file").write_text("")
    assert main(["plot", log, "--tensorboard", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith("tinylm plot: cannot write")


def test_a_second_export_replaces_the_first(log, tmp_path):
    folder = tmp_path / "events"
    for _ in range(2):
        assert main(["plot", log, log, "--tensorboard", str(folder)]) == 0
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert found == [f"first-2/{FILE}", f"first/{FILE}"]


def test_tensorboard_shows_the_log(log, tmp_path, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "events"
    assert main(["plot", log, "--tensorboard", str(folder)]) == 0
    assert f"tensorboard --logdir {folder}" in capsys.readouterr().out
    found = accumulator.EventAccumulator(str(folder / "first"))
    found.Reload()
    assert {"training/loss", "validation/loss", "validation/bits_per_byte", "training/reward"} <= (
        set(found.Tags()["scalars"])
    )
    loss = found.Scalars("training/loss")
    assert [one.step for one in loss] == [1, 3]  # the infinite one is left out
    # Two steps of 2 s lie between the ends of step 1 and 3, also where one has no loss.
    assert loss[1].wall_time - loss[0].wall_time == pytest.approx(4.0, abs=1e-6)
