"""The log of a run: RUN/log.jsonl, one JSON object a line, readable while it grows.

    {"event": "start", "config": {...}, "workers": 2, "parameters": 812288, ...}
    {"event": "step", "step": 1, "loss": 6.24, "lr": 2e-05, "grad_norm": 2.1, "tokens": 1024, ...}
    {"event": "validation", "step": 250, "loss": 3.1, "perplexity": 22.2, "bits_per_byte": 1.9}

`step` counts finished updates. When a run goes on from step N, lines of later steps are dropped: they will be
written again. Read next: cli/look/plot.py, which draws it.
"""
import json
import math
import os
from pathlib import Path

from tinylm.errors import TrainingError

NAME = "log.jsonl"


class Log:
    """Append events to a run's log.

    run    directory
    after  the step at which the run goes on: later lines, and a last line that was cut short, are removed
    """

    def __init__(self, run, after=None):
        self.path = Path(run) / NAME
        try:
            if after is not None and self.path.exists():
                _truncate(self.path, after)
            self.file = open(self.path, "a", encoding="utf-8", buffering=1)      # a line at a time
        except OSError as error:
            raise self._failed(error) from None

    def write(self, event, **values):
        """Append one event; numbers that JSON does not know (inf, nan) become null."""
        try:
            self.file.write(json.dumps({"event": event, **{k: _plain(v) for k, v in values.items()}}) + "\n")
        except OSError as error:
            raise self._failed(error) from None

    def close(self):
        """Close the file; a disk that refuses the last line has already been reported."""
        try:
            self.file.close()
        except OSError:
            pass

    def _failed(self, error):
        return TrainingError(f"cannot write {self.path} ({error.strerror or error}); saved checkpoints are untouched: "
                             "free space or permit writing")


def read(run):
    """The events of a run as a list of dicts; a last line that was cut short is passed over."""
    events = []
    for line in (Path(run) / NAME).read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def _truncate(path, step):
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line).get("step", 0) <= step:
                kept.append(line + "\n")
        except (ValueError, AttributeError):
            continue
    aside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    aside.write_text("".join(kept), encoding="utf-8")
    os.replace(aside, path)


def _plain(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
