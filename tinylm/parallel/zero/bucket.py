"""A bucket: parameters one after another in a buffer, of which every data rank keeps a slice.

    buffer    W_1 | W_2 | b_1 | ..        (n,), reduced and gathered by one collective
    slices    rank 0 | rank 1 | ..        cut without regard to where a parameter ends
    pieces    W_1 | W_2's beginning       of this rank's slice, which its optimizer updates

What a rank holds between passes depends on the stage: the whole buffer of parameters up to stage 2,
the whole buffer of gradients up to stage 1, else its slice; moments of its slice from stage 1 on.
Read next: units.py.
"""

from collections.abc import Iterator

import numpy as np

from tinylm.autograd import Tensor
from tinylm.optim.flat import FlatParameters, decays
from tinylm.parallel.communicate.communicator import Communicator


class Bucket:
    """Parameters that are gathered, reduced and updated together.

    tensors  {name: Tensor}, which become views of the bucket's buffer
    comm     Communicator of the ranks that hold the same ones and read different tokens
    stage    of ZeRO, 0 to 3

    n        numbers in the bucket
    kept     (start, stop): what this rank updates; its slice, or at stage 0 all
    flat     FlatParameters of that part, for an optimizer
    """

    def __init__(self, tensors: dict[str, Tensor], comm: Communicator, stage: int) -> None:
        self.tensors, self.comm, self.stage = tensors, comm, stage
        sizes = [p.size for p in tensors.values()]
        self.offsets = np.concatenate(([0], np.cumsum(sizes))).tolist()
        self.n = self.offsets[-1]
        self.own = comm.slice(self.n)
        self.kept = self.own if stage else (0, self.n)
        self.data = self._empty()
        for p, view in self._views(self.data):
            view[...] = p.data
            p.data = view
        self.grad = None  # of a backward pass
        if stage < 2:
            self.open()
        start, stop = self.kept
        mine = self.data[start:stop]
        if stage == 3:
            mine = mine.copy()
        self.flat = self._flat(mine)
        for p in tensors.values():
            p._version = self.flat.version  # one buffer, one version
        if stage == 3:
            self.release()

    def _empty(self):
        first = next(iter(self.tensors.values())).data
        return np.empty_like(first, shape=(self.n,))

    def _views(self, buffer):
        """(Tensor, its part of a buffer in its shape) pairs."""
        for p, start in zip(self.tensors.values(), self.offsets):
            yield p, buffer[start : start + p.size].reshape(p.shape)

    def pieces(self) -> Iterator[tuple[str, int, int]]:
        """(name, start, stop), of the buffer: the parts of parameters in what this rank updates."""
        for name, low, high in zip(self.tensors, self.offsets, self.offsets[1:]):
            low, high = max(low, self.kept[0]), min(high, self.kept[1])
            if low < high:
                yield name, low, high

    def _flat(self, mine):
        """FlatParameters over the slice of parameters and the one of gradients."""
        start, stop = self.kept
        summed = np.empty_like(mine) if self.grad is None else self.grad[start:stop]
        buffers = iter([mine, summed])
        pieces = {}
        for name, low, high in self.pieces():
            piece = Tensor(mine[low - start : high - start], requires_grad=True)
            piece.decays = decays(self.tensors[name])  # a matrix decays, also where it is cut
            pieces[name] = piece
        # The slices of the last ranks may be empty; an optimizer wants something all the same.
        pieces = pieces or {"": Tensor(mine, requires_grad=True)}
        flat = FlatParameters(pieces, lambda n, dtype: next(buffers))
        for piece, slot in zip(flat.tensors, flat.slots):
            piece.grad = Tensor(slot)  # it is always there: what is in the buffer counts
        return flat

    def gather(self) -> None:
        """Stage 3: the parameters, whole, from all ranks; until release()."""
        if self.data is None:
            start, stop = self.own
            self.data = self._empty()
            self.data[start:stop] = self.flat.data
            self.comm.all_gather_(self.data)
            for p, view in self._views(self.data):
                p.data = view

    def release(self) -> None:
        """Stage 3: keep this rank's slice alone.

        What is read without gather() then is not a number.
        """
        if self.stage == 3 and self.data is not None:
            nothing = np.full_like(self.data, np.nan, shape=())
            for p in self.tensors.values():
                p.data = np.broadcast_to(nothing, p.shape)  # a view of one number
            self.data = None

    def open(self) -> None:
        """Make the buffer into which a backward pass writes gradients."""
        if self.grad is None:
            self.grad = self._empty()
            for p, slot in self._views(self.grad):
                p.slot = slot

    def close(self) -> None:
        """Stages 2 and 3: add this rank's slice of the gradients' sum to what it has of earlier
        passes, and drop the rest.
        """
        self.open()
        self._collect()
        start, stop = self.own
        self.comm.reduce_scatter_(self.grad)
        self.flat.grad += self.grad[start:stop]
        self.grad = None
        for p in self.tensors.values():
            p.grad = p.slot = None

    def _collect(self):
        """All gradients in the buffer; zeros for a parameter that has none."""
        for p, slot in self._views(self.grad):
            if p._grad is None:
                slot[...] = 0
            elif p._grad.data is not p.slot:
                slot[...] = p._grad.data

    def begin(self) -> None:
        """Forget the gradients of the step before."""
        if self.stage >= 2:
            self.flat.grad[...] = 0
        else:
            for p in self.tensors.values():
                p.grad = None  # the next backward pass overwrites the buffer

    def reduce(self) -> None:
        """Stages 0 and 1, after the last pass: the sum over ranks, of the whole or of a slice."""
        if self.stage < 2:
            self._collect()
            reduce = self.comm.reduce_scatter_ if self.stage else self.comm.all_reduce
            reduce(self.grad)

    def spread(self) -> None:
        """After an update: at stages 1 and 2 every rank gets the slices of the others."""
        self.flat.version[0] += 1  # graphs that recorded the old values notice the change
        if self.stage in (1, 2):
            self.comm.all_gather_(self.data)

    def whole(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """{name: array in its shape} out of this rank's part of numbers that belong to parameters,
        such as moments; every rank must call it.

        array  (kept,), in any dtype
        """
        start, stop = self.kept
        buffer = np.empty_like(array, shape=(self.n,))
        buffer[start:stop] = array
        if self.stage:
            self.comm.all_gather_(buffer)
        return {name: view for name, (_, view) in zip(self.tensors, self._views(buffer))}

    def part(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """This rank's part, (kept,), of {name: array in its parameter's shape}."""
        start, stop = self.kept
        flat = np.concatenate([arrays[name].reshape(-1) for name in self.tensors])
        return flat[start:stop]

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over {name: array} as parameters."""
        if self.data is not None:
            for name, (_, view) in zip(self.tensors, self._views(self.data)):
                view[...] = arrays[name]
        else:
            self.flat.data[...] = self.part(arrays)
        self.flat.version[0] += 1
