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

The last three are enforced by an audit hook, which Python code cannot remove. Results come back
through a pipe of their own, after a random mark, so that nothing printed is taken for them. This
stops mistakes, not an attacker: against code that means harm use a virtual machine. Read next:
code_sandbox.py, the child's side; code_completion.py.
"""

import ast
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import ConfigError, DataError

_CHILD = Path(__file__).with_name("code_sandbox.py")
_OUTPUT = 1 << 16  # characters of output that are kept
_REPORT = 1 << 20  # bytes after which a child is ended
_NUMBERS = int, float  # bool is a kind of int, but is none of them


@dataclass(frozen=True)
class Limits:
    """What the code may use.

    seconds  of processor time, and of the wall clock: at least 1
    memory   bytes of address space, Python's own 20 to 40 MB included
    """

    seconds: int = 5
    memory: int = 512 << 20

    def __post_init__(self) -> None:
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
             did something that is not allowed;  "crashed": the process died, or the result is no
             plain value (of the types that a case may have, and no subclass of them)
    results  repr of what each call returned, up to the first that failed to return
    message  of the exception or the limit; "" if it passed
    output   what the code printed
    """

    status: str
    results: tuple = ()
    message: str = ""
    output: str = ""

    @property
    def passed(self) -> bool:
        """True if every call returned what was expected."""
        return self.status == "passed"


def run_function(
    code: str, name: str, cases: Sequence[tuple[tuple[int, ...], int]], limits: Limits = LIMITS
) -> Ran:
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
    status, results, message, output = _in_child((code, name, calls), limits)
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
        return _alike(ast.literal_eval(repr(value)), value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _same(given, wanted):
    """True if the text of a result is the expected value."""
    try:
        return _alike(ast.literal_eval(given), wanted)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False  # no literal: inf, or what is nested too deep to be read


def _alike(value, wanted):
    """True for equal values of the same types, also inside of lists and dicts: True is not 1."""
    if type(value) in _NUMBERS and type(wanted) in _NUMBERS:
        return value == wanted  # 2 and 2.0 are the same mean
    if type(value) is not type(wanted):
        return False
    if isinstance(value, (list, tuple)):
        return len(value) == len(wanted) and all(map(_alike, value, wanted))
    if isinstance(value, (set, dict)):
        keys = {key: key for key in wanted}  # equal keys may be of different types
        if len(value) != len(keys) or not all(key in keys for key in value):
            return False
        if not all(_alike(key, keys[key]) for key in value):
            return False
        return isinstance(value, set) or all(_alike(value[key], wanted[key]) for key in value)
    return value == wanted


def _in_child(task, limits):
    """Run a task in a child; returns (status or "done", results, message, output).

    raises   ConfigError on a system without limits for a process (Windows)
    """
    if not hasattr(os, "killpg"):
        raise ConfigError(
            "code of a model is run only under limits of time, memory and files, and this system "
            "(Windows) has none for a process: use Linux, also in a virtual machine"
        )
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder:
        text = repr((mark, *task))
        Path(folder, "task").write_bytes(text.encode("utf-8", "surrogatepass"))
        output, report, fault, code = _run(folder, limits)
    if fault == "timeout":
        return fault, [], f"no result after {limits.seconds} s", ""
    if fault:
        return fault, [], f"more than {_REPORT} bytes of output", output[:_OUTPUT]
    _, found, report = report.rpartition(mark)
    if found:
        try:
            status, results, message = ast.literal_eval(report)
            return status, results, message, output[:_OUTPUT]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            pass  # something else was written into it
    # No report: the process ended before it could write one.
    if code == -signal.SIGXCPU:
        message = f"no result after {limits.seconds} s of processor time"
        return "timeout", [], message, output[:_OUTPUT]
    if "MemoryError" in output:
        return "memory", [], f"more than {limits.memory} bytes", ""
    return "crashed", [], f"the process ended with code {code}", output[-_OUTPUT:]


def _run(folder, limits):
    """(output, report, what is wrong: "", "timeout" or "output"; exit code) of a child."""
    # -I no user folder or environment, -S no site packages, -B no .pyc files
    command = [sys.executable, "-I", "-S", "-B", str(_CHILD), "task"]
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as reports:
        try:
            child = subprocess.Popen(
                [*command, str(limits.seconds), str(limits.memory), str(write)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={},
                pass_fds=(write,),
                start_new_session=True,  # a group of its own, so that all of it can be killed
            )
        finally:
            os.close(write)
        with child.stdout as output:
            # The clock has two seconds more than the processor: starting Python, a busy machine.
            deadline = time.monotonic() + limits.seconds + 2
            try:
                texts, fault = _read([output, reports], deadline)
                if not fault and not _ended(child, deadline):
                    fault = "timeout"  # as it may live on after it has closed its output
            finally:
                # Also after an interrupt. It is not waited for yet, so the number is still its.
                os.killpg(child.pid, signal.SIGKILL)
                code = child.wait()
    return *texts, fault, code


def _ended(child, deadline):
    """True once a child has ended, which keeps its number; False after the deadline."""
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _read(pipes, deadline):
    """(texts that a child writes until it ends, what is wrong: "", "timeout" or "output")."""
    # Not communicate(): it would keep all that a loop prints.
    written, going, size, fault = {pipe: b"" for pipe in pipes}, list(pipes), 0, ""
    while going and not fault:
        ready, _, _ = select.select(going, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            fault = "timeout"
        for pipe in ready:
            piece = os.read(pipe.fileno(), 1 << 16)
            if not piece:
                going.remove(pipe)
            written[pipe] += piece
            size += len(piece)
        if size > _REPORT:
            fault = "output"
    return [text.decode("utf-8", "replace") for text in written.values()], fault
