"""A thread that sends messages in order, for programs in which two ranks send each other large
arrays at times of their own. Read next: shared.py.
"""

import queue
import threading
from collections.abc import Callable

import numpy as np


class Outbox:
    """A thread that sends what is put in, in order. send: function of an array and a rank."""

    def __init__(self, send: Callable) -> None:
        self._send, self._failure = send, None
        self._queue = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, array: np.ndarray, to: int) -> None:
        """Send it as soon as those before it have gone."""
        self._queue.put((array, to))

    def flush(self) -> None:
        """Return when all have gone; raises the first failure."""
        self._queue.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _run(self):
        while True:
            array, to = self._queue.get()
            try:
                if self._failure is None:
                    self._send(array, to)
            except BaseException as error:
                self._failure = error
            self._queue.task_done()
