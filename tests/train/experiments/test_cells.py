"""Finished cells of an experiment stand in a file and are not computed again."""

import json

import pytest

from tinylm.errors import DataError
from tinylm.train.experiments.cells import Cells

CELL = {"model": "GPT", "seed": 3, "shares": [0.1, 1.0]}


def never():
    raise AssertionError("the cell was computed again")


def test_a_cell_is_computed_once_and_read_by_the_next_process(tmp_path):
    path = tmp_path / "results" / "cells.jsonl"
    first = Cells(path)
    assert CELL not in first
    assert first(CELL, lambda: {"accuracy": 0.5, "curve": (1, 2)}) == {
        "accuracy": 0.5,
        "curve": [1, 2],
    }
    again = Cells(path)
    assert dict(reversed(CELL.items())) in again
    assert again(CELL, never) == {"accuracy": 0.5, "curve": [1, 2]}


def test_another_size_is_another_cell(tmp_path):
    cells = Cells(tmp_path / "cells.jsonl")
    for seed in (0, 1):
        cells({"seed": seed}, lambda seed=seed: {"loss": seed + 0.25})
    assert [Cells(cells.path)({"seed": seed}, never)["loss"] for seed in (0, 1)] == [0.25, 1.25]
    assert {"seed": 2} not in cells


def test_a_line_says_how_it_came_about(tmp_path, monkeypatch):
    words = ["scripts/x.py", "--steps", "5", "--data=/home/me/data", "--out", "/new/c.jsonl"]
    monkeypatch.setattr("sys.argv", words)
    Cells(tmp_path / "cells.jsonl")(CELL, lambda: {"loss": float("nan")})
    line = json.loads((tmp_path / "cells.jsonl").read_text())
    assert line["cell"] == CELL and line["found"] == {"loss": None}
    assert line["command"] == "x.py --steps 5 --data=data --out c.jsonl"
    assert line["seconds"] >= 0 and "kernels" in line["processor"]


def test_a_run_that_fails_leaves_no_line_and_one_cut_short_is_computed_again(tmp_path):
    path = tmp_path / "cells.jsonl"
    cells = Cells(path)
    cells({"seed": 0}, lambda: {"loss": 1.0})
    with pytest.raises(ZeroDivisionError):
        cells({"seed": 1}, lambda: {"loss": 1 / 0})
    with path.open("a") as file:
        file.write('{"cell": {"seed": 1}, "fou')
    again = Cells(path)
    assert {"seed": 1} not in again
    assert again({"seed": 1}, lambda: {"loss": 2.0}) == {"loss": 2.0}
    assert len(Cells(path).lines) == 2


def test_seconds_are_those_of_all_cells(tmp_path):
    path = tmp_path / "cells.jsonl"
    lines = [{"cell": {"seed": n}, "found": {}, "seconds": n + 0.5} for n in range(3)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert Cells(path).seconds() == 4.5


@pytest.mark.parametrize("text", ["[1, 2]", "loss 3.2", '{"cell": {"seed": 1}}', "17"])
@pytest.mark.parametrize("end", ["\n", "\n\n", ""])
def test_another_file_is_refused_and_left_as_it_is(tmp_path, text, end):
    path = tmp_path / "log.jsonl"
    written = '{"cell": {}, "found": {}, "seconds": 1}\n' + text + end
    path.write_text(written)
    if not end and text.startswith('{"cell"'):  # a line of this program that was cut short
        assert len(Cells(path).lines) == 1
        return
    with pytest.raises(DataError, match="log.jsonl, line 2 is no cell"):
        Cells(path)
    assert path.read_text() == written


def test_a_text_without_a_line_end_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(DataError, match="notes.txt, line 1 is no cell"):
        Cells(path)
    assert path.read_text() == "hello"


def test_a_cell_whose_line_end_was_lost_is_kept_and_the_next_has_a_line_of_its_own(tmp_path):
    path = tmp_path / "cells.jsonl"
    Cells(path)({"seed": 0, "kind": "a\u2028b"}, lambda: {"loss": 1.0})
    path.write_bytes(path.read_bytes()[:-1])
    again = Cells(path)
    again({"seed": 1}, lambda: {"loss": 2.0}, seconds=7)
    assert len(Cells(path).lines) == 2 and again.seconds() >= 7


def test_without_a_file_cells_are_kept_in_memory():
    cells = Cells()
    assert cells(CELL, lambda: {"loss": 1.0}) == cells(CELL, never)
