"""The machine: memory of freed arrays, threads of matrix products, cores, and signals to end.

Read next: backend.py.
"""

import contextlib
import ctypes
import functools
import os
import platform
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Seconds within which several SIGINTs count as one Ctrl-C: `timeout -s INT` sends two, and a parent
# forwards to its workers a signal that the terminal may have sent them too.
ONE_PRESS = 1.0


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM or SIGHUP: code that cleans up after Ctrl-C cleans up after these too.

    signal  which of the two; the exit code is 128 + its number: 143 or 129, as 130 after Ctrl-C
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


def endings() -> tuple[signal.Signals, ...]:
    """The signals that request a process to end, apart from Ctrl-C: SIGTERM, and SIGHUP.

    SIGHUP means that the terminal has been closed; it is left out where it is ignored, as by nohup.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return signal.SIGTERM, hangup


def keep_freed_memory() -> bool:
    """Make glibc keep freed arrays for reuse instead of returning them to the system.

    Otherwise every large temporary of a training step is unmapped and page-faulted in again, which
    takes 12-20 % of a step at nanoGPT's CPU size. Every Trainer calls this; it does nothing where
    there is no mallopt. Returns True if it took effect.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
    settings = (
        (M_MMAP_THRESHOLD, 1 << 30),  # arrays below 1 GiB come from the heap, not from mmap
        (M_TRIM_THRESHOLD, 1 << 30),  # the heap shrinks only when 1 GiB at its end is free
        (M_TOP_PAD, 64 << 20),  # and grows by 64 MiB more than is needed
    )
    return all([mallopt(name, value) == 1 for name, value in settings])


@functools.lru_cache(maxsize=None)
def _openblas(name):
    """The function `name` of NumPy's bundled OpenBLAS, such as get_num_threads; None without it."""
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        library = ctypes.CDLL(str(path))
        for form in ("scipy_openblas_{}64_", "openblas_{}64_", "openblas_{}"):
            if hasattr(library, form.format(name)):
                return getattr(library, form.format(name))
    return None


def blas_threads(n: int | None = None) -> int | None:
    """Set the number of threads of matrix products, and return it.

    It works for NumPy's bundled OpenBLAS; elsewhere set OPENBLAS_NUM_THREADS or MKL_NUM_THREADS
    before starting.

    n        None leaves the number unchanged
    returns  the number now in use, or None if it is unknown
    """
    setter, getter = _openblas("set_num_threads"), _openblas("get_num_threads")
    if setter is None or getter is None:
        return None
    if n is not None:
        setter(int(n))
    return int(getter())


_single = {"inside": 0, "before": None}
_single_lock = threading.Lock()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Matrix products use one thread within a `with`: for threads that each compute their own.

    The number is the process's. It is set back when the last of several `with`, also in other
    threads, has ended.
    """
    with _single_lock:
        if not _single["inside"]:
            _single["before"] = blas_threads()
            if _single["before"] not in (None, 1):
                blas_threads(1)
        _single["inside"] += 1
    try:
        yield
    finally:
        with _single_lock:
            _single["inside"] -= 1
            if not _single["inside"] and _single["before"] not in (None, 1):
                blas_threads(_single["before"])


@functools.lru_cache(maxsize=None)
def blas_kernels() -> str | None:
    """The processor whose kernels OpenBLAS chose, such as "SkylakeX" or "Haswell"; None if unknown.

    The environment variable OPENBLAS_CORETYPE chooses others.
    """
    name = _openblas("get_corename")
    if name is None:
        return None
    name.restype = ctypes.c_char_p
    return name().decode()


@functools.lru_cache(maxsize=None)
def last_cache() -> int | None:
    """Bytes of the largest cache of the first core, which is shared; None where it is unknown."""
    found = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            text = path.read_text(encoding="ascii").strip()
            found.append(int(text[:-1]) << {"K": 10, "M": 20}[text[-1]])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(found, default=None)


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The name of the processor, as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(li.split(":", 1)[1].strip() for li in text.splitlines() if "model name" in li)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
