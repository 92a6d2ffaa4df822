"""The log is JSON lines, readable at any moment, and continues where its run does."""
import errno
import json
import os

import pytest

from tinylm.errors import TrainingError
from tinylm.train.log import Log, read


def write_steps(run, first, last, after=None):
    log = Log(run, after)
    for step in range(first, last + 1):
        log.write("step", step=step, loss=1 / step)
    return log


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    log = write_steps(tmp_path, 1, 3)
    assert [event["step"] for event in read(tmp_path)] == [1, 2, 3]
    log.close()


def test_going_on_from_a_step_drops_the_lines_after_it(tmp_path):
    log = write_steps(tmp_path, 1, 5)
    log.write("validation", step=5, loss=2.0)
    log.file.write('{"event": "step", "st')                # what a killed process leaves
    log.close()
    write_steps(tmp_path, 4, 6, after=3).close()
    assert [(event["event"], event["step"]) for event in read(tmp_path)] == [("step", s) for s in (1, 2, 3, 4, 5, 6)]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_every_line_is_strict_json(tmp_path):
    log = Log(tmp_path)
    log.write("step", step=1, loss=float("nan"), grad_norm=float("inf"))
    log.close()

    def refuse(name):
        raise ValueError(name)
    assert json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)["loss"] is None


def test_a_disk_that_refuses_is_one_clear_error(tmp_path):
    log = Log(tmp_path)

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    log.file = Full()
    with pytest.raises(TrainingError, match="log.jsonl .No space left.*checkpoints are untouched"):
        log.write("step", step=1)
    with pytest.raises(TrainingError, match="cannot write"):
        Log(tmp_path / "nowhere")
