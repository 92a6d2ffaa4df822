"""Gradients summed over workers while the backward pass goes on   (book section 2.2.3).

The gradient of the last layer is complete when that of the first has not been begun. So parameters
go into buckets, those of the last layers first, and as soon as the gradients of a bucket are
complete their sum is begun, while the layers below are differentiated (Li et al. 2020, "PyTorch
Distributed"). All workers begin buckets in the same order, also where one has no use for a
parameter. Each number is still the sum over ranks in their order, so the result has the bits of one
all-reduce at the end.

With T the seconds of the backward pass, n buckets of equal work and size, alpha + C / n the time of
the sum of one, a bucket's sum begins when its gradients are there and that of the one before it is
done. If computing is slower only the last sum is seen, and otherwise only the first work:

    T + C + alpha  without buckets,   T/n + s + (n - 1) max(T/n, s),  s = alpha + C/n,  with them

More buckets expose less, until their latencies add up: best are (T - C) / alpha, where computing is
as slow as sending, or sqrt(T / alpha), if that is more. Read first:
../../autograd/engine/complete.py, ../data_parallel.py. Read next: compression.py,
trainers.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.complete import backward_and_tell
from tinylm.errors import ConfigError
from tinylm.optim.flat import FlatParameters
from tinylm.parallel.communicate.communicator import Communicator


def bucketed(parameters: Sequence[Tensor], nbytes: int) -> list[list[Tensor]]:
    """Parameters in buckets: from the last one to the first, up to `nbytes` bytes each.

    parameters  list of Tensors in the order of the forward pass
    returns     list of lists; a parameter larger than a bucket has one of its own
    raises      ConfigError for less than a byte
    """
    if nbytes < 1:
        raise ConfigError(f"buckets: of {nbytes} bytes hold nothing; 25 << 20 are usual")
    found, room = [], 0
    for parameter in reversed(parameters):
        if not found or parameter.data.nbytes > room:
            found.append([])
            room = nbytes
        found[-1].append(parameter)
        room -= parameter.data.nbytes
    return found


class BucketedSum:
    """The sum of gradients over workers, in buckets, during a backward pass.

    flat        FlatParameters, whose gradients are summed
    comm        Communicator of the workers
    nbytes      of a bucket
    parameters  list of Tensors in the order of the forward pass, of which those in `flat` count;
                None: as in `flat`
    """

    def __init__(
        self,
        flat: FlatParameters,
        comm: Communicator,
        nbytes: int = 25 << 20,
        parameters: Sequence[Tensor] | None = None,
    ) -> None:
        self.flat, self.comm = flat, comm
        self._slots = {id(p): slot for p, slot in zip(flat.tensors, flat.slots)}
        chosen = flat.tensors if parameters is None else parameters
        self.buckets = bucketed([p for p in chosen if id(p) in self._slots], nbytes)
        self._bucket_of = {id(p): b for b, bucket in enumerate(self.buckets) for p in bucket}
        self._start()

    def _start(self):
        self._missing = [len(bucket) for bucket in self.buckets]
        self._begun = []  # (array, function that waits for its sum), of the first buckets

    def backward(self, loss: Tensor, cotangent: float | None = None) -> None:
        """backward() of this worker's loss; in the end its flat gradients are those of all.

        Of several micro-batches the last one: what the others have left in `.grad` is summed too.

        cotangent  n_k / n for a mean over tokens, see data_parallel.token_weight()
        """
        backward_and_tell(loss, self.ready, cotangent)
        self.finish()

    def ready(self, parameter: Tensor) -> None:
        """The gradient of a parameter is complete: sum its bucket, if it was the last one of it."""
        bucket = self._bucket_of.get(id(parameter))
        if bucket is None:
            return
        self._missing[bucket] -= 1
        # Always the next one: a worker with other operations completes buckets in another order.
        while len(self._begun) < len(self.buckets) and not self._missing[len(self._begun)]:
            self._begin()

    def _begin(self):
        """Begin the sum of the next bucket."""
        parts = [self._gradient(p) for p in self.buckets[len(self._begun)]]
        array = np.concatenate([part.reshape(-1) for part in parts])
        self._begun.append((array, self.comm.iall_reduce(array)))

    def _gradient(self, parameter):
        """Its gradient as an array; zeros where this worker has none."""
        if parameter.grad is None:
            return np.zeros_like(parameter.data)
        return parameter.grad.data

    def finish(self) -> None:
        """Begin what has not been begun, wait for all sums, and put them into the flat buffer."""
        while len(self._begun) < len(self.buckets):
            self._begin()
        self.flat.collect()
        for bucket, (array, wait) in zip(self.buckets, self._begun):
            wait()
            start = 0
            for p in bucket:
                part = array[start : start + p.size]
                self._slots[id(p)][...] = part.reshape(p.shape)
                start += p.size
        self._start()


def overlapped_seconds(work: Sequence[float], sums: Sequence[float]) -> float:
    """Seconds until the last bucket is summed: each waits for its gradients and the one before.

    work   seconds of the backward pass until each bucket is complete, after the one before
    sums   seconds of the sum of each bucket
    """
    ready = done = 0.0
    for computing, sending in zip(work, sums):
        ready += computing
        done = max(done, ready) + sending
    return done


def best_buckets(work: float, sending: float, latency: float) -> float:
    """How many equal buckets take the least time: max((T - C) / alpha, sqrt(T / alpha)).

    work, sending  T and C, seconds of the backward pass and of all bytes;  latency  alpha, above 0
    """
    return max((work - sending) / latency, math.sqrt(work / latency), 1.0)
