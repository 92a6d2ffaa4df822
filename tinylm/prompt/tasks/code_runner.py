"""Runs generated code in a child process with limits, and compares what a function returns   (book
section 3.1.4.3; Chen et al. 2021 for the way to judge code).

Code is judged by running it, and generated code may loop forever, take all memory or delete files.
Here it runs in a process of its own:

    time       RLIMIT_CPU, and a wall clock that kills the whole process group
    memory     RLIMIT_AS; of what it prints a megabyte
    files      an empty folder to work in, RLIMIT_FSIZE 0 so nothing is written, no file is opened
               but those of Python itself
    processes  none is started
    network    a network namespace without a device where the system allows one; no sockets

The last three are enforced by an audit hook, which Python code cannot remove. This stops mistakes,
not an attacker: against code that means harm use a virtual machine. Read next: code_sandbox.py, the
child's side; code_completion.py.
"""

import ast
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import ConfigError, DataError

_CHILD = Path(__file__).with_name("code_sandbox.py")
_MARK = "\x1e"  # record separator: begins the child's report on standard output
_OUTPUT = 1 << 16  # characters of output that are kept
_REPORT = 1 << 20  # bytes after which a child is ended


@dataclass(frozen=True)
class Limits:
    """What the code may use.

    seconds  of processor time, and of the wall clock: at least 1
    memory   bytes of address space, Python's own 20 to 40 MB included
    """

    seconds: int = 5
    memory: int = 512 << 20

    def __post_init__(self):
        if self.seconds < 1 or self.memory < 64 << 20:
            raise ConfigError(
                f"Limits: {self.seconds} s and {self.memory} bytes; Python itself needs 1 s, 64 MiB"
            )


LIMITS = Limits()


@dataclass(frozen=True)
class Ran:
    """What became of the code.

    status   "passed": every call returned what was expected;  "failed": one returned something
             else;  "error": an exception;  "timeout", "memory", "output": a limit;  "refused": it
             did something that is not allowed;  "crashed": the process died
    results  repr of what each call returned, up to the first that failed to return
    message  of the exception or the limit; "" if it passed
    output   what the code printed
    """

    status: str
    results: tuple = ()
    message: str = ""
    output: str = ""

    @property
    def passed(self):
        """True if every call returned what was expected."""
        return self.status == "passed"


def run_function(code, name, cases, limits=LIMITS):
    """Define a function by running code, call it, and compare what it returns.

    code     Python text
    name     of the function
    cases    list of (arguments, expected): a tuple of arguments, and what the call must return.
             Both are numbers, texts, lists, tuples, dicts, sets, True, False and None
    limits   Limits of all of it
    returns  Ran
    raises   DataError for no cases, or values that cannot be written as Python literals
    """
    # Values go to the child and back as literals, which can run nothing (unlike pickle).
    calls = [tuple(arguments) for arguments, _ in cases]
    if not calls:
        raise DataError(
            "run_function: without a case nothing is tested; give (arguments, expected)"
        )
    expected = [result for _, result in cases]
    for value in (*calls, *expected):
        if not _is_literal(value):
            raise DataError(f"run_function: {value!r:.60} cannot be written as a Python literal")
    if not name.isidentifier():
        raise DataError(f"run_function: {name!r} is no name of a function")
    status, results, message, output = _in_child(repr((code, name, calls)), limits)
    if status == "done":
        status = "passed"
        for arguments, given, wanted in zip(calls, results, expected):
            if not _same(given, wanted):
                status = "failed"
                shown = ", ".join(map(repr, arguments))
                message = f"{name}({shown:.100}) is {given:.100}, not {wanted!r:.100}"
                break
    return Ran(status, tuple(results), message, output)


def _is_literal(value):
    try:
        return ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _same(given, wanted):
    """True if the text of a result is the expected value, of the same type: True is not 1."""
    try:
        value = ast.literal_eval(given)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False  # an object that is no literal, such as <function f>
    numbers = (int, float)
    # bool is a kind of int, but is not in `numbers`.
    if type(value) in numbers and type(wanted) in numbers:
        return value == wanted  # 2 and 2.0 are the same mean
    return type(value) is type(wanted) and value == wanted


def _in_child(task, limits):
    """Run a task in a child; returns (status or "done", results, message, output)."""
    with tempfile.TemporaryDirectory() as folder:
        # -I no user folder or environment, -S no site packages, -B no .pyc files
        command = [sys.executable, "-I", "-S", "-B", str(_CHILD)]
        Path(folder, "task").write_bytes(task.encode("utf-8", "surrogatepass"))
        child = subprocess.Popen(
            [*command, "task", str(limits.seconds), str(limits.memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={},
            start_new_session=True,  # a group of its own, so that all of it can be killed
        )
        # The clock has two seconds more than the processor: starting Python, a busy machine.
        deadline = time.monotonic() + limits.seconds + 2
        with child.stdout as pipe:
            written, fault = _read(pipe, deadline)
        if not fault:
            fault = _wait(child, deadline)
        if fault:
            os.killpg(child.pid, signal.SIGKILL)  # not waited for yet, so the number is still its
        code = child.wait()
    if fault == "timeout":
        return fault, [], f"no result after {limits.seconds} s", ""
    if fault:
        return fault, [], f"more than {_REPORT} bytes of output", written[:_OUTPUT]
    # The report is what follows the last mark: printed marks do not matter.
    output, mark, report = written.rpartition(_MARK)
    # No report: the process ended before it could write one.
    if not mark:
        if code == -signal.SIGXCPU:
            return "timeout", [], f"no result after {limits.seconds} s of processor time", report
        if "MemoryError" in report:
            return "memory", [], f"more than {limits.memory} bytes", ""
        return "crashed", [], f"the process ended with code {code}", report[-_OUTPUT:]
    status, results, message = ast.literal_eval(report)
    return status, results, message, output[:_OUTPUT]


def _wait(child, deadline):
    """What is wrong: "timeout" if a child lives on, as it may after it has closed its output."""
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "timeout"
    return ""


def _read(pipe, deadline):
    """(what a child writes until it ends, what is wrong: "", "timeout" or "output")."""
    # Not communicate(): it would keep all that a loop prints.
    pieces, size = [], 0
    while size <= _REPORT:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return "", "timeout"
        piece = os.read(pipe.fileno(), 1 << 16)
        if not piece:
            return b"".join(pieces).decode("utf-8", "replace"), ""
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces).decode("utf-8", "replace"), "output"
