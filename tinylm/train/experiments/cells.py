"""The results of an experiment, a line of JSON for each finished cell, so that it can be resumed.

    {"cell": {"model": "GPT", "labels": 0.1, "seed": 3, "steps": 5000}, "found": {"accuracy": 0.71},
     "seconds": 41.2, "command": "sentiment --out cells.jsonl", "processor": "AMD ..., 1 threads"}

A cell is all that decides the result: what is compared, the seed, and every size that an option may
change. A cell that stands in the file is not computed again, so a table grows over days, a run that
was stopped goes on where it stood, and others can add seeds of their own. Read next: script.py.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinylm.errors import DataError
from tinylm.json_text import json_text
from tinylm.machine import blas_kernels, blas_threads, processor

BEGINNING = b'{"cell"'  # of every line that is written here


class Cells:
    """Finished cells, in a file that grows.

    path   of the file; None keeps them in memory only
    raises DataError for a file that holds something else
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.lines = {}
        if self.path is not None and self.path.exists():
            *whole, rest = self.path.read_bytes().split(b"\n")
            for number, text in enumerate(whole, 1):
                if not self._read(text):
                    self._refuse(number)
            # Behind the last line end: nothing, a cell, one that was cut short, or something else.
            if rest and self._read(rest):
                with open(self.path, "ab") as file:
                    file.write(b"\n")
            elif rest.startswith(BEGINNING) or BEGINNING.startswith(rest) and whole:
                with open(self.path, "r+b") as file:
                    file.truncate(sum(len(text) + 1 for text in whole))
            elif rest:
                self._refuse(len(whole) + 1)

    def _read(self, text):
        """Take a line over; False if it is no cell."""
        try:
            line = json.loads(text)
            if "found" not in line:
                return False
            self.lines[_key(line["cell"])] = line
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def _refuse(self, number):
        raise DataError(
            f"{self.path}, line {number} is no cell of an experiment: give a file that a script "
            "has written, or a new one"
        )

    def __contains__(self, cell: dict[str, Any]) -> bool:
        return _key(cell) in self.lines

    def __call__(
        self, cell: dict[str, Any], run: Callable[[], dict[str, Any]], seconds: float | None = None
    ) -> Any:
        """What was found in a cell: as it stands in the file, or run() now.

        cell     {name: value} of text, numbers and lists
        run      function without arguments -> {name: number or list of numbers}
        seconds  what it took, where it has been computed before
        returns  what run() returned, as JSON has it
        """
        key = _key(cell)
        if key not in self.lines:
            started = time.perf_counter()
            found = run()
            if seconds is None:
                seconds = time.perf_counter() - started
            line = {"cell": cell, "found": found, "seconds": round(seconds, 2)}
            line |= {"command": command(), "processor": machine()}
            text = json_text(line)
            self.lines[key] = json.loads(text)
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # one write a line, at the end: two processes may fill one file
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(text + "\n")
        return self.lines[key]["found"]

    def seconds(self) -> float:
        """Seconds that all the cells took."""
        return sum(line["seconds"] for line in self.lines.values())


def command() -> str:
    """The command of this process, for others to repeat it: paths by their last part alone."""
    return " ".join(re.sub(r"^(--[\w-]+=)?.*/", r"\1", word) for word in sys.argv)


def machine() -> str:
    """Processor, threads and kernels of matrix products: on what figures in time depend."""
    return f"{processor()}, {blas_threads()} threads, kernels {blas_kernels()}"


def _key(cell):
    return json.dumps(cell, sort_keys=True)
