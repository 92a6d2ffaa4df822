"""The child's side of code_runner.py: sets limits, runs the code, writes a report.

Run as a script, with nothing but Python's standard library:

    python -I -S -B code_sandbox.py FILE SECONDS BYTES

FILE holds the repr of (code, name, calls). The report is a record separator and the repr of
(status, results, message), after whatever the code printed. Read first: code_runner.py.
"""

import ast
import ctypes
import io
import os
import resource
import sys
import traceback

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
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class Refused(BaseException):
    """Something that the code may not do. No Exception, so `except Exception` does not hide it."""


def limit(seconds, memory):
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


def guard():
    """Install the hook that refuses events. It cannot be removed."""
    library = os.path.dirname(os.__file__)

    # Everything that it uses is bound here: the code may change what the modules hold.
    def hook(
        event, arguments, refused=REFUSED, error=Refused, string=str, integer=int, of=isinstance
    ):
        if event in ("open", "os.listdir", "os.scandir"):  # imports read the library
            path = arguments[0]
            inside = of(path, string) and path.startswith(library) and ".." not in path
            written = event == "open" and of(arguments[2], integer) and arguments[2] & 3
            if not inside or written:
                raise error(f"it opened {path!r:.80}")
        if event.startswith(refused):
            raise error(f"it used {event}")

    sys.addaudithook(hook)


def run(code, name, calls):
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
            results.append(repr(function(*arguments)))
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


def main():
    """Read a task, run it, and report."""
    # A descriptor of its own, as the code may close or replace sys.stdout.
    report = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "utf-8", "backslashreplace")
    with open(sys.argv[1], "rb") as file:
        task = file.read().decode("utf-8", "surrogatepass")
    os.remove(sys.argv[1])
    code, name, calls = ast.literal_eval(task)
    limit(int(sys.argv[2]), int(sys.argv[3]))
    guard()
    found = run(code, name, calls)
    sys.stdout.flush()
    report.write("\x1e" + ascii(found))
    report.flush()
    # Threads that still run, and functions registered for the exit, are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
