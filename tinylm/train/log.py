"""The log of a run: RUN/log.jsonl, one JSON object a line, readable while it grows.

    {"event": "start", "config": {...}, "workers": 2, "parameters": 812288, ...}
    {"event": "step", "step": 1, "loss": 6.24, "lr": 2e-05, "grad_norm": 2.1, "tokens": 1024, ...}
    {"event": "validation", "step": 250, "loss": 3.1, "perplexity": 22.2, "bits_per_byte": 1.9}

`step` counts finished updates. When a run is resumed from step N, lines of later steps are dropped:
they will be written again. Damaged lines are skipped and counted, and stop nothing. Read next:
cli/look/plot.py, which draws it.
"""

import errno
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinylm.errors import TrainingError
from tinylm.files import WholeFile, parse_json
from tinylm.json_text import finite

NAME = "log.jsonl"
_NUMBERS = ("loss", "lr", "grad_norm", "tokens_per_second", "perplexity", "bits_per_byte")
_MOST_STEPS = 2**53  # as many as a float counts
_LARGEST = 1e300  # the difference of two is still finite
_LONGEST = 1 << 24  # bytes of a line: the paths of a large corpus take a tenth of that


class Log:
    """Append events to a run's log.

    run    directory
    after  the step from which the run is resumed: later lines are removed. If some are damaged,
           the log as it was is kept beside the new one, as log.damaged-1.jsonl

    damaged  the number of damaged lines; a last one that was cut short does not count
    """

    def __init__(self, run: str | Path, after: int | None = None) -> None:
        self.path, self.damaged = Path(run) / NAME, 0
        try:
            if self.path.is_fifo():  # opening it would wait for a reader
                raise OSError(errno.EINVAL, "it is a pipe")
            # A resumed run writes the lines after its checkpoint again.
            if after is not None and self.path.is_file():
                self.damaged = _truncate(self.path, after)
            self.file = open(self.path, "a", encoding="utf-8", buffering=1)  # a line at a time
        except OSError as error:
            raise self._failed(error) from None

    def write(self, event: str, **values: Any) -> None:
        """Append one event; numbers that JSON does not have (inf, nan) become null."""
        line = json.dumps(finite({"event": event, **values}))
        try:
            self.file.write(line + "\n")
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file; a disk that refuses the last line has already been reported."""
        try:
            self.file.close()
        except OSError:
            pass

    def _failed(self, error):
        return TrainingError(
            f"cannot write {self.path} ({error.strerror or error}); saved checkpoints are "
            "untouched: free space or permit writing"
        )


def read(path: str | Path, report: Callable = lambda line: None) -> list[dict[str, Any]]:
    """The events of a log, a list of dicts.

    path     of a run, or of the log itself
    report   called with a line of text if damaged lines were skipped
    """
    path = Path(path)
    if path.is_dir():
        path = path / NAME
    events, damaged = [], []
    for number, line, event in scan(path):
        if event is None:
            damaged.append((number, line))
        else:
            events.append(event)
    if damaged:
        report(passed_over(path, damaged))
    return events


def passed_over(path: str | Path, damaged: Sequence[tuple[int, bytes]]) -> str:
    """A line of text for the user about damaged lines, [(number, bytes), ...]."""
    number, line = damaged[0]
    count = "1 damaged line"
    if len(damaged) > 1:
        count = f"{len(damaged)} damaged lines"
    return f"{path}: {count} passed over, the first is line {number}: {line[:60]!r}"


def scan(path: str | Path, parse: Callable | None = None) -> Iterator[tuple[int, bytes, Any]]:
    """Yield (number, line, event) for every line of a log, in bytes without its end.

    parse    (JSON value of a line) -> event, or ValueError; None: the events of a run
    event    None for a damaged line. A last line that was cut short is left out: a killed process
             leaves one behind
    """
    if parse is None:
        parse = _event
    with open(path, "rb") as file:
        number = 1
        while line := file.readline(_LONGEST):
            try:
                event = parse(parse_json(line))
            except ValueError:
                event = None
            # A line longer than _LONGEST is read in pieces, each of which counts as damaged.
            whole = line.endswith(b"\n") or len(line) == _LONGEST
            if line.strip() and (event is not None or whole):
                yield number, line.rstrip(b"\r\n"), event
            number += line.endswith(b"\n")


def _event(value):
    """`value` if it is an event that `Log.write` could have written; ValueError otherwise."""
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        raise ValueError("no event")
    finished = value["event"] in ("step", "validation")  # these need a step and a loss
    step = value.get("step")
    if step is None and "step" not in value and not finished:
        step = 0
    if type(step) is not int or not 0 <= step < _MOST_STEPS:
        raise ValueError(f"step {step!r}")
    if finished and "loss" not in value:
        raise ValueError("no loss")
    for name in _NUMBERS:
        number = value.get(name)
        if number is not None and not (type(number) in (int, float) and abs(number) < _LARGEST):
            raise ValueError(f"{name} {number!r}")  # text, true, nan, 1e999
    return value


def _truncate(path, step):
    """Remove the lines after a step, and damaged ones. Returns the number of damaged lines."""
    damaged = sum(event is None for _, _, event in scan(path))
    before = path
    if damaged:
        # The file may be no log at all, by a link or by mistake: it is renamed, not overwritten.
        names = (
            path.with_name(f"{path.stem}.damaged-{i}{path.suffix}") for i in itertools.count(1)
        )
        before = next(name for name in names if not os.path.lexists(name))
        os.rename(path, before)
    with WholeFile(path) as kept:
        for _, line, event in scan(before):
            if event is not None and event.get("step", 0) <= step:
                kept.write(line + b"\n")
    return damaged
