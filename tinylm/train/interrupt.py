"""Ctrl-C, politely: the first one asks for a stop at a good place, the second stops at once."""
import contextlib
import signal
import threading


class Asked:
    """True once somebody pressed Ctrl-C."""

    def __init__(self):
        self.value = False

    def __bool__(self):
        return self.value


@contextlib.contextmanager
def finish_first(say=lambda: None):
    """Inside, Ctrl-C only sets the flag that is yielded and calls `say()`; pressed again it acts as before.

    Does nothing outside the main thread, where Python delivers no signals.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(number, frame):
        asked.value = True
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
        say()

    signal.signal(signal.SIGINT, handler)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
