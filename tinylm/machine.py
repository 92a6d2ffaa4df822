"""The machine a process runs on: freed memory that is kept, threads of the matrix products,
processor cores, and a signal to end.

Read next: backend.py.
"""

import ctypes
import functools
import os
import signal
from pathlib import Path

import numpy as np

# Seconds in which several SIGINTs are one Ctrl-C: `timeout -s INT` sends two, and a process that
# starts workers hands on what some of them have had from the terminal.
ONE_PRESS = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM has come, or SIGHUP: what cleans up after Ctrl-C cleans up after it too.

    signal  which of them; the exit code is 128 and its number: 143 or 129, as 130 after Ctrl-C
    """

    def __init__(self, number=signal.SIGTERM):
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


def endings():
    """The signals that ask a process to end, apart from Ctrl-C: SIGTERM, and SIGHUP (the terminal
    has gone) unless it is ignored, as `nohup` does."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return signal.SIGTERM, hangup


def keep_freed_memory():
    """Ask glibc to keep freed arrays for reuse instead of returning them to the system.

    Without it every large temporary of a training step is unmapped and page-faulted in again: 12-20
    % of a step at nanoGPT's CPU size. The trainer calls this once; it does nothing where there is
    no mallopt. Returns True if it took effect.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
    settings = (M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 64 << 20)
    return all([mallopt(name, value) == 1 for name, value in settings])


@functools.lru_cache(maxsize=None)
def _openblas():
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        library = ctypes.CDLL(str(path))
        for names in (
            "scipy_openblas_{}_num_threads64_",
            "openblas_{}_num_threads64_",
            "openblas_{}_num_threads",
        ):
            if hasattr(library, names.format("set")):
                return getattr(library, names.format("set")), getattr(library, names.format("get"))
    return None


def blas_threads(n=None):
    """Set how many threads matrix products use (None: leave it). Returns the number now, or None if
    unknown.

    Works on NumPy's bundled OpenBLAS; elsewhere set OPENBLAS_NUM_THREADS or MKL_NUM_THREADS before
    starting.
    """
    found = _openblas()
    if found is None:
        return None
    if n is not None:
        found[0](int(n))
    return int(found[1]())


def cores():
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
