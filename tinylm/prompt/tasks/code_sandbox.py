"""The child's side of code_runner.py: sets limits, runs the code, writes a report.

Run as a script, with nothing but Python's standard library:

    python -I -S -B code_sandbox.py FILE SECONDS BYTES DESCRIPTOR

What Python code can do to this process it can do to the guard. The frames that called it hold the
mark of the report, so it may forge one; a module that is imported anew (posix) has its functions
back. Refusing either would break the standard library, and the limits of the process, which hold
for both, are the real guard: none of them is set in Python's own objects.

FILE holds the repr of (mark, code, name, calls). The report, written to the descriptor, is the mark
and the repr of (status, results, message). Read first: code_runner.py.
"""

import _posixsubprocess
import ast
import ctypes
import io
import os
import posix
import resource
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, TextIO

# Prefixes of audit events that are refused once the code begins (docs.python.org: audit events).
REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.chflags",
    "os.utime",
    "os.setxattr",
    "os.chdir",
    "shutil.",
    "tempfile.",
    "pty.",
    "fcntl.",
    "signal.",
    "resource.",
    "sys.settrace",
    "sys.setprofile",
    "gc.get",
    "ctypes.",
    "mmap.",
    "sqlite3.",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "webbrowser.",
    "syslog.",
)
# Functions without an audit event, by module.
UNWATCHED = (
    (os, ("mknod", "mkfifo", "chroot")),
    (posix, ("mknod", "mkfifo", "chroot")),
    (_posixsubprocess, ("fork_exec",)),
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ATOMS = int, float, complex, bool, str, bytes, type(None), type(...)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class Refused(BaseException):
    """Something that the code may not do. No Exception, so `except Exception` does not hide it."""


def limit(seconds: int, memory: int) -> None:
    """Set the limits of this process, and leave the network if the system allows it."""
    # At the soft limit SIGXCPU ends the process, so the parent knows why; SIGKILL a second later.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    # Further allocations raise MemoryError; writing to any file fails.
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:  # no device, not even the loopback, in a new namespace
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except (OSError, AttributeError):
        pass


def guard() -> None:
    """Install the hook that refuses events, which cannot be removed, and put functions that raise
    in the place of those without an event.
    """
    library = os.path.dirname(os.__file__)
    for module, names in UNWATCHED:
        for name in names:
            if hasattr(module, name):
                setattr(module, name, refusing(f"{module.__name__}.{name}"))

    # Everything that it uses is bound here: the code may change what the modules hold.
    def hook(
        event,
        arguments,
        refused=REFUSED,
        writing=WRITING,
        error=Refused,
        string=str,
        integer=int,
        of=isinstance,
    ):
        if event in ("open", "os.listdir", "os.scandir"):  # imports read the library
            path = arguments[0]
            inside = of(path, string) and ".." not in path
            inside = inside and (path == library or path.startswith(f"{library}/"))
            written = event == "open" and of(arguments[2], integer) and arguments[2] & writing
            if not inside or written:
                raise error(f"it opened {path!r:.80}")
        if event.startswith(refused):
            raise error(f"it used {event}")

    sys.addaudithook(hook)


def refusing(what: str) -> Callable:
    """A function in the place of one that the code may not call."""

    def refuse(*arguments, **named):
        raise Refused(f"it used {what}")

    return refuse


def is_plain(value: str, kind: str = type, atoms: Any = ATOMS) -> bool:
    """True if a value, and all inside it, is of a type that has literals, and of no subclass.

    Another object may have any text as its repr, and equal anything.
    """
    found = kind(value)
    if found is dict:
        return all(is_plain(key) and is_plain(one) for key, one in value.items())
    if found is list or found is tuple or found is set:
        return all(is_plain(one) for one in value)
    return any(found is one for one in atoms)  # not `in`, which a metaclass may answer


def run(code: str, name: str, calls: Iterable[tuple], text: Callable = repr) -> tuple:
    """(status, results, message) of a function's calls."""
    results = []
    # "generated", so that `if __name__ == "__main__"` does not run.
    space = {"__name__": "generated", "__builtins__": __builtins__}
    try:
        exec(compile(code, "<generated>", "exec"), space)
        function = space.get(name)
        if not callable(function):
            return "error", results, f"no function {name} is defined"
        for arguments in calls:
            value = function(*arguments)
            if not is_plain(value):
                return "crashed", results, "the result is no plain value"
            results.append(text(value))
    except Refused as error:
        return "refused", results, str(error)
    except MemoryError:
        return "memory", results, "MemoryError"
    except SystemExit:
        return "error", results, "SystemExit"
    except BaseException as error:
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        return "error", results, last
    return "done", results, ""


def flush(stream: TextIO) -> None:
    """Write out what was printed; code may have closed the stream, or what is below it."""
    try:
        stream.flush()
    except BaseException:  # whatever the code did to it, its results count
        pass


def main() -> None:
    """Read a task, run it, and report."""
    stream = io.TextIOWrapper(sys.stdout.buffer, "utf-8", "backslashreplace")
    sys.stdout = stream
    with open(sys.argv[1], "rb") as file:
        task = file.read().decode("utf-8", "surrogatepass")
    os.remove(sys.argv[1])
    mark, *task = ast.literal_eval(task)
    report, write, leave, text = int(sys.argv[4]), os.write, os._exit, ascii
    limit(int(sys.argv[2]), int(sys.argv[3]))
    guard()
    found = run(*task)
    flush(stream)
    rest = (mark + text(found)).encode()
    while rest:
        rest = rest[write(report, rest) :]
    # Threads that still run, and functions registered for the exit, are not waited for.
    leave(0)


if __name__ == "__main__":
    main()
