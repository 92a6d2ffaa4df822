"""One warm interpreter that runs tests in forked children; audit.py starts it with `python -c`.

A child begins with NumPy, pytest and hypothesis already imported and imports tinylm itself, from
the tree that it is sent to, so it alone sees that tree's mutant. A line of JSON comes in for each
run, {"tree": folder, "tests": [ids], "seconds": limit}, and one goes out: the exit status of
pytest, or null when the time was over.
"""

import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import hypothesis  # noqa: F401   imported for the children
import numpy  # noqa: F401
import pytest
import regex  # noqa: F401

MEMORY = 16 << 30  # bytes of address space: a mutated size must not fill the machine
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]


def child(tree: str, tests: Sequence[str], seconds: int) -> None:
    """Run pytest in `tree` and end the process with its status."""
    os.setsid()  # what a test leaves running goes with the group
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(tree)
    sys.path.insert(0, tree)
    os.environ["PYTHONPATH"] = tree  # for tests that start `python -m tinylm`
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        signal.alarm(seconds)  # the default action ends the process
        status = int(pytest.main([*OPTIONS, *tests]))
    os._exit(status)


def serve(incoming: Any, outgoing: Any) -> None:
    """Answer every line of `incoming` with a line on `outgoing`."""
    for line in incoming:
        job = json.loads(line)
        process = os.fork()
        if process == 0:
            try:
                child(job["tree"], job["tests"], job["seconds"])
            finally:
                os._exit(70)
        _, code = os.waitpid(process, 0)
        try:
            os.killpg(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = os.waitstatus_to_exitcode(code)
        if status == -signal.SIGALRM:
            status = None
        outgoing.write(json.dumps(status) + "\n")
        outgoing.flush()


serve(sys.stdin, sys.stdout)
