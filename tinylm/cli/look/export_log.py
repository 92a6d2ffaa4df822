"""The logs of runs for other programs: a table as CSV, and the event files of TensorBoard.

Both hold what the log holds, step by step, nothing averaged. Read first: plot.py, which reads the
logs. Read next: event_file.py.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinylm.cli.look.event_file import event_file
from tinylm.errors import DataError
from tinylm.files import WholeFile, write_text

FIRST = "loss", "perplexity", "bits_per_byte", "lr", "grad_norm"  # the order of the known columns
EVENTS = {"step": "training", "validation": "validation"}
# A name that TensorBoard takes for one of its own; always the same, so that a second export
# replaces the first and no point is shown twice.
FILE = "events.out.tfevents.0000000000.tinylm"


def save_csv(runs: list, path: str) -> None:
    """Write the logs of runs as one table with a line for each step and each validation.

    runs     list of (name, log of plot.read_log)
    path     of the file; the columns are run, kind (training or validation), step, and every number
             that some log has. A number that was infinite or is missing is an empty cell
    raises   DataError if it cannot be written
    """
    columns = _numbers(runs)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "kind", "step", *columns])
    for name, (_, log) in zip(names(runs), runs):
        for step, kind, record in rows(log):
            cells = [record.get(column) for column in columns]
            table.writerow([name, kind, step, *(_cell(value) for value in cells)])
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror or error})") from None


def save_events(runs: list, folder: str) -> None:
    """Write the logs of runs as event files, one folder for each run: `tensorboard --logdir DIR`.

    runs     as of save_csv;  folder  made if needed
    raises   DataError if a file cannot be written
    """
    columns = _numbers(runs)
    for name, (_, log) in zip(names(runs), runs):
        began = log["ended"] - sum(_seconds(record) for record in log["step"].values())
        points, now = [], began
        for step, kind, record in rows(log):
            if kind == "training":
                now += _seconds(record)
            found = {f"{kind}/{column}": record[column] for column in columns if column in record}
            found = {tag: float(value) for tag, value in found.items() if _is_number(value)}
            if found:
                points.append((now, step, found))
        path = Path(folder) / name / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with WholeFile(path) as file:
                file.write(event_file(began, points))
        except OSError as error:
            raise DataError(f"cannot write {path} ({error.strerror or error})") from None


def rows(log: Any) -> Any:
    """(step, kind, record) of a log, by step; a step before its validation."""
    found = [(step, order, kind) for order, kind in enumerate(EVENTS) for step in log[kind]]
    return [(step, EVENTS[kind], log[kind][step]) for step, _, kind in sorted(found)]


def names(runs: Sequence) -> list[str]:
    """A name for each run, all different: its folder's, with a number where two are the same."""
    found = []
    for run, _ in runs:
        base = name = Path(run).resolve().name or "run"
        count = 1
        while name in found:
            count += 1
            name = f"{base}-{count}"
        found.append(name)
    return found


def _numbers(runs):
    """The names of all numbers in the logs: the usual ones, then the others as they come."""
    found = {}
    for _, log in runs:
        for _, _, record in rows(log):
            for key, value in record.items():
                if value is None or _is_number(value):
                    found[key] = True
    found.pop("step", None)
    return [*(key for key in FIRST if key in found), *(key for key in found if key not in FIRST)]


def _is_number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _cell(value):
    if _is_number(value):
        return repr(value)
    return ""


def _seconds(record):
    value = record.get("seconds")
    if _is_number(value) and value > 0:
        return value
    return 0.0
