"""Ctrl-C, SIGTERM and SIGHUP, politely: the first one asks for a stop at a good place.

A terminal sends Ctrl-C (SIGINT), a scheduler or `kill` sends SIGTERM when the time of a job is
over, and a terminal that is closed sends SIGHUP, which `nohup` has the process ignore. All of them
mean: finish the step, save, end. A second Ctrl-C, a moment later, stops at once.
"""

import contextlib
import os
import signal
import threading
import time

from tinylm.machine import ONE_PRESS, endings

# All that may ask; where several have come, the exit code is that of the first here.
STOPS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)
)


class Asked:
    """True once a signal to stop has come; `signal` is which, `pressed` when the last SIGINT came,
    or None. `told` are called then."""

    def __init__(self):
        self.signal, self.pressed, self.told = None, None, []

    def __bool__(self):
        return self.signal is not None


@contextlib.contextmanager
def finish_first(say=lambda: None):
    """Inside, signals to end only set the flag that is yielded and call `say()`. Ctrl-C pressed
    again, or after another signal, acts as before; further SIGTERMs and SIGHUPs change nothing,
    because workers may get one from the scheduler and one from the process that started them. For
    the same reason SIGINTs within ONE_PRESS of the first are one Ctrl-C.

    Inside another finish_first() it is the same flag, without a moment in between when a signal
    would end the process. Does nothing outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Asked()
    elif _outer:
        with _told(_outer[0], say):
            yield _outer[0]
    else:
        _outer.append(Asked())
        try:
            with _handled(_outer[0]), _told(_outer[0], say):
                yield _outer[0]
        finally:
            _outer.clear()


_outer = []  # the Asked of the outermost finish_first() that is open
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_outer.clear)  # a worker handles its own


@contextlib.contextmanager
def _told(asked, say):
    """Call `say()` when a signal comes, or now if one has come already."""
    asked.told.append(say)
    try:
        if asked:
            _call(say)
        yield
    finally:
        asked.told.pop()


def _call(say):
    with contextlib.suppress(OSError):  # the terminal is gone: saving goes on
        say()


@contextlib.contextmanager
def _handled(asked):
    """Let signals to end set a flag; see finish_first."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *endings())}

    def restore(number):
        # None: the handler was not installed from Python, and cannot be put back by it
        signal.signal(number, signal.SIG_DFL if before[number] is None else before[number])

    def handler(number, frame):
        if asked and number == signal.SIGINT:
            if asked.pressed is None or time.monotonic() - asked.pressed >= ONE_PRESS:
                restore(number)
                signal.raise_signal(number)
            return
        if number == signal.SIGINT:
            asked.pressed = time.monotonic()
        first, asked.signal = not asked, asked.signal or signal.Signals(number)
        if first:
            for say in asked.told:
                _call(say)

    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in before:
            restore(number)


def marks(stop):
    """Which of STOPS a worker was sent, as numbers that workers can add: [0, 0, 1] for Ctrl-C.

    stop  the signal, or None; True counts as Ctrl-C
    """
    asked = signal.SIGINT if stop is True else stop
    return [float(asked == number) for number in STOPS]


def marked(counts):
    """The signal of STOPS that some worker was sent, from the sum of their marks(); or None."""
    return next((number for number, count in zip(STOPS, counts, strict=True) if count), None)
