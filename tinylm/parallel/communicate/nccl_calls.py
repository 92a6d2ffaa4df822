"""Calls of NCCL through CuPy: a communicator of GPUs, streams, waiting with patience, and errors.

Nccl (nccl.py) says what is passed and in which order; this class makes the calls, asks NCCL for
errors while the GPU works, and ends what hangs. Read next: nccl.py; first: cupy_nccl.py.
"""

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import WorkerError
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.communicate.cupy_nccl import ID, CuPy, local_rank, packed_id, unpacked_id
from tinylm.parallel.communicate.simulator import Simulated

if TYPE_CHECKING:
    from tinylm.parallel.communicate.nccl import Nccl


PATIENCE = 600.0  # seconds after which a rank that waits gives up


class NcclCalls(Communicator):
    """NCCL's communicator of a group of processes, and calls on it. Arguments as those of Nccl."""

    def __init__(
        self,
        control: Simulated,
        patience: float = PATIENCE,
        check: bool = True,
        library: Any = None,
        parent: "Nccl | None" = None,
    ) -> None:
        super().__init__(control.rank, control.size)
        self._control, self._patience, self._check = control, patience, check
        self._parent, self._own = parent, None
        if parent is not None:
            self._library = parent._library
            # Messages in a group go by the communicator of all, under their ranks there.
            self._peers = [
                parent._peers[r] for r in control.all_gather(np.array(parent.rank)).tolist()
            ]
            return
        self._library = library or CuPy()
        self._library.choose(local_rank(control))
        self._peers = list(range(control.size))
        self._connected()

    @property
    def _all(self):
        """The engine of all ranks."""
        return self if self._parent is None else self._parent._all

    def _connected(self):
        """NCCL's communicator of this group, made when all first need it."""
        if self._own is None:
            nccl = self._library.nccl
            note = np.zeros(1 + ID, np.uint8)
            if self.rank == 0:
                note[:] = packed_id(nccl.get_unique_id())
            self._control.broadcast(note, 0)
            unique = unpacked_id(note)
            self._own = self._try(
                "connecting", lambda: nccl.NcclCommunicator(self.size, unique, self.rank)
            )
        return self._own

    def _try(self, what, call):
        """call(), with NCCL's errors as WorkerError."""
        try:
            return call()
        except self._library.nccl.NcclError as error:
            self._abort()
            raise WorkerError(
                f"rank {self.rank} of {self.size}: {what} failed in NCCL: {error}; with "
                "NCCL_DEBUG=INFO in the environment it says why"
            ) from error

    def _native(self, what, name, *given, beside=False):
        """Call a collective of NCCL's communicator of this group; returns _begin()'s function."""
        comm = self._connected()
        return self._begin(what, comm, lambda stream: getattr(comm, name)(*given, stream), beside)

    def _begin(self, what, comm, call, beside=False):
        """call(stream): returns a function that waits until the GPU has done it.

        comm    of NCCL, which is asked for errors meanwhile
        beside  on a stream of its own, which begins when what was computed so far is there
        """
        stream = self._library.stream(beside)
        self._try(what, lambda: call(stream))
        finished = self._library.mark(beside)
        return lambda: self._wait(what, comm, finished)

    def _wait(self, what, comm, finished):
        """Return when the GPU has come to a mark."""
        started, tries = time.monotonic(), 0
        while not finished.done:
            self._try(what, comm.check_async_error)
            tries += 1
            if tries > 1000:
                time.sleep(1e-4)
            if time.monotonic() - started > self._patience:
                self._abort()
                raise WorkerError(
                    f"rank {self.rank} of {self.size} has waited {self._patience:g} s in {what}: "
                    "some rank has not come to it, or its GPU is busy elsewhere"
                )

    def _abort(self):
        """End what hangs in NCCL, so that this process can end."""
        for engine in {self, self._all}:
            if engine._own is not None:
                engine._own.abort()
                engine._own = None

    def _at(self, array):
        return self._library.pointer(array)

    def _swap(self, what, sends, receives):
        """Send and receive between pairs of ranks at once: lists of (rank, contiguous array)."""
        nccl, comm = self._library.nccl, self._all._connected()

        def calls(stream):
            # In a group, since one after the other two ranks that both send would wait for ever.
            nccl.groupStart()
            for call, pairs in ((comm.send, sends), (comm.recv, receives)):
                for rank, array in pairs:
                    if array.size:
                        peer = self._peers[rank]
                        call(self._at(array), array.nbytes, self._bytes, peer, stream)
            nccl.groupEnd()

        self._begin(what, comm, calls)()

    @property
    def _bytes(self):
        """NCCL's type of a byte, of which all that is only moved consists."""
        return self._library.nccl.NCCL_UINT8
