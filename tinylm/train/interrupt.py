"""Ctrl-C and SIGTERM, politely: the first one asks for a stop at a good place.

A terminal sends Ctrl-C (SIGINT), a scheduler or `kill` sends SIGTERM when the time of a job is over. Both mean: finish
the step, save, end. A second Ctrl-C stops at once.
"""
import contextlib
import signal
import threading

STOPS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """True once somebody pressed Ctrl-C or sent SIGTERM; `signal` is which of them came, or None."""

    def __init__(self):
        self.signal = None

    def __bool__(self):
        return self.signal is not None


@contextlib.contextmanager
def finish_first(say=lambda: None):
    """Inside, Ctrl-C and SIGTERM only set the flag that is yielded and call `say()`. Ctrl-C pressed again, or after
    SIGTERM, acts as before; further SIGTERMs change nothing, because workers may get one from the scheduler and one
    from the process that started them.

    Does nothing outside the main thread, where Python delivers no signals.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in STOPS}

    def restore(number):
        # None: the handler was not installed from Python, and cannot be put back by it
        signal.signal(number, signal.SIG_DFL if before[number] is None else before[number])

    def handler(number, frame):
        first, asked.signal = not asked, asked.signal or signal.Signals(number)
        restore(signal.SIGINT)
        if first:
            say()

    for number in STOPS:
        signal.signal(number, handler)
    try:
        yield asked
    finally:
        for number in STOPS:
            restore(number)
