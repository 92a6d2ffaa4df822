"""Ctrl-C, SIGTERM and SIGHUP: the first one ends training after the current step.

A terminal sends Ctrl-C (SIGINT), a scheduler or `kill` sends SIGTERM when the time of a job is
over, and a terminal that is closed sends SIGHUP, which `nohup` has the process ignore. All of them
mean: finish the step, save, end. A second Ctrl-C, a moment later, stops at once. Read next:
trainer.py, whose run() passes a signal on to all workers.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinylm.machine import ONE_PRESS, endings

# The signals that end training; if several have come, the first here gives the exit code.
STOPS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)
)


class Received:
    """The signal that has come; True once there is one.

    signal     which, or None
    pressed    when the last SIGINT came, in seconds of a monotonic clock; None: there was none
    listeners  functions that are called at the first signal
    """

    def __init__(self) -> None:
        self.signal = None
        self.pressed = None
        self.listeners = []

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def finish_first(say: Callable = lambda: None) -> Iterator[Received]:
    """A context in which a signal does not end the process: it is recorded, and `say()` called.

    A second Ctrl-C, or one after another signal, acts as before; further SIGTERMs and SIGHUPs
    change nothing, because workers may get one from the scheduler and one from the process that
    started them. For the same reason SIGINTs within ONE_PRESS of the first are one Ctrl-C.

    yields  Received. Inside another finish_first() it is the outer one's, so that there is no
            moment in between when a signal would end the process. Outside the main thread, where
            Python delivers no signals, it stays empty
    """
    if threading.current_thread() is not threading.main_thread():
        yield Received()
    elif _outer:
        with _listening(_outer[0], say):
            yield _outer[0]
    else:
        _outer.append(Received())
        try:
            with _handled(_outer[0]), _listening(_outer[0], say):
                yield _outer[0]
        finally:
            _outer.clear()


_outer = []  # the Received of the outermost finish_first() that is open
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_outer.clear)  # a worker handles its own


@contextlib.contextmanager
def _listening(received, say):
    """Call `say()` when a signal comes, or now if one has come already."""
    received.listeners.append(say)
    try:
        if received:
            _call(say)
        yield
    finally:
        received.listeners.pop()


def _call(say):
    with contextlib.suppress(OSError):  # the terminal is closed: saving continues
        say()


@contextlib.contextmanager
def _handled(received):
    """Record signals instead of ending the process; see finish_first."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *endings())}

    def restore(number):
        handler = before[number]
        if handler is None:  # it was not installed from Python, and cannot be put back by it
            handler = signal.SIG_DFL
        signal.signal(number, handler)

    def handler(number, frame):
        if received and number == signal.SIGINT:
            now = time.monotonic()
            if received.pressed is None or now - received.pressed >= ONE_PRESS:
                restore(number)  # the second Ctrl-C acts as without this handler
                signal.raise_signal(number)
            return
        if number == signal.SIGINT:
            received.pressed = time.monotonic()
        if not received:
            received.signal = signal.Signals(number)
            for say in received.listeners:
                _call(say)

    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in before:
            restore(number)


def marks(stop: Any) -> list[float]:
    """The signal that a worker received, as numbers that workers can add: [0, 0, 1] for Ctrl-C.

    stop  one of STOPS, or None; True counts as Ctrl-C
    """
    if stop is True:
        stop = signal.SIGINT
    return [float(stop == number) for number in STOPS]


def marked(counts: Sequence[float]) -> Any:
    """The signal of STOPS that some worker received, from the sum of their marks(); or None."""
    for number, count in zip(STOPS, counts, strict=True):
        if count:
            return number
    return None
