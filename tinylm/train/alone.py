"""The communicator of a process on its own, and a text sent to all processes, as training needs
them.

Several processes bring their own communicator (parallel/communicate/). Read next: trainer.py.
"""

import numpy as np


class Alone:
    """The communicator of a process on its own, as far as training needs one: nothing to add,
    nothing to fetch.
    """

    rank, size = 0, 1

    def slice(self, n):
        return 0, n

    def all_reduce(self, array, op="sum"):
        return array

    def broadcast(self, array, root=0):
        return array

    def reduce_scatter_(self, flat):
        return flat

    def all_gather_(self, flat):
        return flat


ALONE = Alone()


def broadcast_text(comm, text, root=0):
    """The text that rank `root` holds, on every rank; what the others pass is ignored."""
    data = np.frombuffer(text.encode(), np.uint8)
    size = int(comm.broadcast(np.array([len(data)]), root)[0])
    data = data.copy() if comm.rank == root else np.zeros(size, np.uint8)
    return bytes(comm.broadcast(data, root) if size else b"").decode()
