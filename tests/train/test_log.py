"""The log is JSON lines, readable at any moment, and continues where its run does."""

import errno
import json
import math
import os

import pytest

from tinylm.errors import TrainingError
from tinylm.train import log as log_module
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
    log.file.write('{"event": "step", "st')  # what a killed process leaves
    log.close()
    write_steps(tmp_path, 4, 6, after=3).close()
    assert [(event["event"], event["step"]) for event in read(tmp_path)] == [
        ("step", s) for s in (1, 2, 3, 4, 5, 6)
    ]
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


def line(**values):
    return json.dumps({"event": "step", "step": 2, "loss": 1.0, **values}).encode()


DAMAGED = {
    "half": line()[:20],
    "no json": b"garbage",
    "no utf-8": b"\xff\xfe{}",
    "zeros": b"\0" * 50,
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "deep value": line(loss=[])[:-2] + b"[" * 100_000,
    "digits": line()[:-4] + b"1" * 5000 + b"}",
    "list": b"[]",
    "number": b"1",
    "null": b"null",
    "no event": b'{"step": 1}',
    "event is a list": line(event=[]),
    "no step": b'{"event": "step", "loss": 1}',
    "no loss": b'{"event": "step", "step": 2}',
    "loss is text": line(loss="1"),
    "loss is true": line(loss=True),
    "loss is nan": line(loss=math.nan),
    "loss is infinite": line(loss=1.0)[:-4] + b"1e999}",
    "loss is huge": line(loss=10**400),
    "lr is a list": line(lr=[1]),
    "step is null": line(step=None),
    "step is text": line(step="2"),
    "step is half": line(step=1.5),
    "step is nan": line(step=math.nan),
    "step is true": line(step=True),
    "step is below 0": line(step=-1),
    "step is huge": line(step=10**400),
    "step is an object": line(step={}),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_keeps_nobody_from_going_on(tmp_path, damaged):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line(step=1) + b"\n" + damaged + b"\n" + line(step=3) + b"\n")
    said = []
    assert [event["step"] for event in read(tmp_path, said.append)] == [1, 3]
    assert "1 damaged line passed over, the first is line 2" in said[0]
    log = Log(tmp_path, after=1)
    log.close()
    assert log.damaged == 1 and path.read_bytes() == line(step=1) + b"\n"


def test_a_log_that_is_a_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").write_bytes(line(step=1) + b"\n" + line(step=2) + b"\n")
    (tmp_path / "log.jsonl").symlink_to("elsewhere")
    write_steps(tmp_path, 2, 2, after=1).close()
    assert (tmp_path / "log.jsonl").is_symlink()
    assert [event["step"] for event in read(tmp_path / "elsewhere")] == [1, 2]


def test_a_log_with_damaged_lines_is_kept_as_it_was(tmp_path):
    for number in (1, 2):
        (tmp_path / "log.jsonl").write_bytes(line(step=number) + b"\nnotes of mine\n")
        assert Log(tmp_path, after=5).damaged == 1
        kept = (tmp_path / f"log.damaged-{number}.jsonl").read_bytes()
        assert kept == line(step=number) + b"\nnotes of mine\n"
        assert (tmp_path / "log.jsonl").read_bytes() == line(step=number) + b"\n"


def test_another_file_that_a_log_links_to_is_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years\nof work\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").symlink_to("../thesis.txt")
    write_steps(tmp_path / "run", 4, 4, after=3).close()
    assert (tmp_path / "thesis.txt").read_text() == "years\nof work\n"
    assert [event["step"] for event in read(tmp_path / "run")] == [4]


def test_a_pipe_in_place_of_a_log_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(TrainingError, match="it is a pipe"):
        Log(tmp_path, after=1)


def test_a_giant_line_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_LONGEST", 100)  # bytes; a line of a step has about 50
    (tmp_path / "log.jsonl").write_bytes(
        line(step=1) + b"\n" + b"\0" * 250 + b"\n" + line(step=3) + b"\n"
    )
    found = list(log_module.scan(tmp_path / "log.jsonl"))
    assert max(len(raw) for _, raw, _ in found) <= 100
    assert [(number, event["step"]) for number, _, event in found if event] == [(1, 1), (3, 3)]
