"""A stand-in for Windows: `python tests/windows.py CODE` runs CODE as if on a system without what
only Unix has.

tinylm sees an `os`, `signal`, `mmap` and so on without their Unix names, and cannot import modules
that Windows does not have. A file that is open can be neither removed nor replaced. A signal 0,
which would end a process there, is an error. The library of Python itself stays as it is: its own
Windows is not what is tested. Text that is opened without an encoding is an error (`-X
warn_default_encoding`), since it would be read as cp1252.
"""

import builtins
import os
import shutil
import sys
import types
import warnings
from pathlib import Path

MISSING = (
    *("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "readline", "curses", "syslog"),
    *("posix", "mpi4py", "cupy"),
)
HIDDEN = {
    "os": (
        *("fork", "forkpty", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "pread"),
        *("pwrite", "preadv", "pwritev", "mkfifo", "mknod", "getuid", "geteuid", "getgid", "uname"),
        *(
            "getegid",
            "statvfs",
            "fstatvfs",
            "fchmod",
            "chown",
            "fchown",
            "lchown",
            "killpg",
            "nice",
        ),
        *("getpgid", "setsid", "setpgid", "wait", "wait3", "wait4", "waitid", "WNOHANG", "sysconf"),
        *("WIFEXITED", "WEXITSTATUS", "WIFSIGNALED", "WTERMSIG", "getloadavg", "O_NONBLOCK"),
        *("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "posix_fallocate", "posix_fadvise", "sendfile"),
        *("fdatasync", "confstr", "openpty", "ttyname", "getpriority", "chroot", "posix_spawn"),
        *("fchdir", "getgroups", "memfd_create", "getresuid", "sched_yield", "copy_file_range"),
    ),
    "signal": (
        *("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGQUIT"),
        *("SIGXCPU", "SIGXFSZ", "SIGCONT", "SIGSTOP", "SIGWINCH", "alarm", "setitimer"),
        *("pthread_sigmask", "pthread_kill", "sigwait", "pause", "siginterrupt", "sigpending"),
    ),
    "mmap": (
        *("MAP_SHARED", "MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_NORESERVE", "PROT_READ", "PROT_WRITE"),
    ),
    "select": ("poll", "epoll"),
    "socket": ("AF_UNIX",),
    "time": ("clock_gettime", "tzset", "pthread_getcpuclockid"),
}
_import = builtins.__import__


def seen_by_us(name):
    """A module as tinylm sees it: a copy without the names that Windows does not have."""
    real = _import(name)
    copy = types.ModuleType(name, real.__doc__)
    copy.__dict__.update({k: v for k, v in vars(real).items() if k not in HIDDEN[name]})
    if name == "os":
        copy.name, copy.kill = "nt", kill
    return copy


def kill(process, number):
    """os.kill, which on Windows ends the process whatever the signal."""
    raise AssertionError(f"os.kill({process}, {number}) would end process {process}")


def imported(name, globals=None, locals=None, fromlist=(), level=0):
    """builtins.__import__ for a program of which only tinylm is on Windows."""
    ours = (globals or {}).get("__name__", "").split(".")[0] in ("tinylm", "__windows__")
    if ours and not level:
        top = name.split(".")[0]
        if top in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if top in HIDDEN and (name == top or not fromlist):
            return SEEN[top]
    return _import(name, globals, locals, fromlist, level)


def refuse_open(operation, *places):
    """`operation` of os, that fails where the file at one of its argument `places` is open."""

    def checked(*arguments, **options):
        if not options.get("dir_fd") and not options.get("src_dir_fd"):
            for place in places:
                if (found := held(arguments[place])) is not None:
                    raise PermissionError(13, f"this process has it open: {found}", str(found))
        return operation(*arguments, **options)

    return checked


def held(path):
    """The open or mapped file that is at a path, or below it; None where there is none."""
    path, found = os.path.realpath(path), set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found |= {line.split(maxsplit=5)[-1].rstrip("\n") for line in maps if "/" in line}
    return next((one for one in found if one == path or one.startswith(path + "/")), None)


SEEN = {name: seen_by_us(name) for name in HIDDEN}


def disguise():
    """Make the process the stand-in; what is imported from here on is on Windows."""
    assert not any(name.startswith("tinylm") for name in sys.modules)
    builtins.__import__ = imported
    places = {"unlink": (0,), "remove": (0,), "rmdir": (0,), "replace": (0, 1), "rename": (0, 1)}
    for name, which in places.items():
        setattr(os, name, refuse_open(getattr(os, name), *which))
        setattr(SEEN["os"], name, getattr(os, name))
    shutil._use_fd_functions = False  # Windows removes by path
    warnings.simplefilter("ignore", EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module="tinylm")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    disguise()
    exec(
        compile(sys.argv[1], "<windows>", "exec"), {"__name__": "__windows__", "argv": sys.argv[2:]}
    )
