"""The results of an experiment, a line of JSON for each finished cell, so that it can be resumed.

    {"cell": {"model": "GPT", "labels": 0.1, "seed": 3, "steps": 5000}, "found": {"accuracy": 0.71},
     "seconds": 41.2, "command": "scripts/1_pretraining/sentiment.py", "processor": "AMD ..."}

A cell is all that decides the result: what is compared, the seed, and every size that an option may
change. A cell that stands in the file is not computed again, so a table grows over days, a run that
was stopped goes on where it stood, and others can add seeds of their own. Read next: script.py.
"""

import json
import sys
import time
from pathlib import Path

from tinylm.errors import DataError
from tinylm.json_text import json_text
from tinylm.machine import blas_kernels, blas_threads, processor


class Cells:
    """Finished cells, in a file that grows.

    path   of the file; None keeps them in memory only
    raises DataError for a file that holds something else
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.lines = {}
        if self.path is not None and self.path.exists():
            for number, text in enumerate(self._whole_lines(), 1):
                try:
                    line = json.loads(text)
                    self.lines[_key(line["cell"])] = line
                    line["found"]
                except (ValueError, KeyError, TypeError):
                    raise DataError(
                        f"{self.path}, line {number} is no cell of an experiment: give a file "
                        "that a script has written, or a new one"
                    ) from None

    def __contains__(self, cell):
        return _key(cell) in self.lines

    def __call__(self, cell, run):
        """What was found in a cell: as it stands in the file, or run() now.

        cell     {name: value} of text, numbers and lists
        run      function without arguments -> {name: number or list of numbers}
        returns  what run() returned, as JSON has it
        """
        key = _key(cell)
        if key not in self.lines:
            started = time.perf_counter()
            found = run()
            line = {
                "cell": cell,
                "found": found,
                "seconds": round(time.perf_counter() - started, 2),
            }
            line |= {"command": command(), "processor": machine()}
            text = json_text(line)
            self.lines[key] = json.loads(text)
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # one write a line, at the end: two processes may fill one file
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(text + "\n")
        return self.lines[key]["found"]

    def seconds(self):
        """Seconds that all the cells took."""
        return sum(line["seconds"] for line in self.lines.values())

    def _whole_lines(self):
        """The lines of the file; one that was cut short at its end is taken away."""
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with open(self.path, "r+b") as file:
                file.truncate(len(whole))
        return whole.decode("utf-8", "replace").splitlines()


def command():
    """The command of this process, for others to repeat it: paths by their last part alone."""
    words = (Path(word).name if Path(word).exists() else word for word in sys.argv)
    return " ".join(words)


def machine():
    """Processor, threads and kernels of matrix products: on what figures in time depend."""
    return f"{processor()}, {blas_threads()} threads, kernels {blas_kernels()}"


def _key(cell):
    return json.dumps(cell, sort_keys=True)
