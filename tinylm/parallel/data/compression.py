"""Gradients that are sent in part, and what was not sent remembered   (book section 2.2.3:
communication may cancel what more workers gain).

    top k       the k largest numbers and their places     (Aji & Heafield 2017; Lin et al. 2018)
    one bit     signs, and the means of what is above and below zero    (Seide et al. 2014)
    scaled sign signs, and the mean size                                (Karimireddy et al. 2019)

Each is a pair of functions: a gradient to a message, bytes of one length, and back. What comes back
is not the gradient, and its error has a direction, so that descent may go wrong for ever. With two
workers whose losses are (a . x)^2 for a = e (1, 1) + (1, -1) and e (1, 1) - (1, -1), the signs of
their gradients cancel at x = (1, 1), whose gradient is not 0 (after Karimireddy et al.). Error
feedback adds what was left out to the next gradient:

    p_t = g_t + r_t,   sent_t = what the message of p_t says,   r_{t+1} = p_t - sent_t

so that the sum of all that was sent and the rest r is the sum of all gradients: nothing is lost,
some of it is late. Where the learning rate changes, g is the gradient times its rate.

Messages differ from rank to rank and are gathered, not summed: with n workers one of m bytes sends
(n - 1) m where a ring would send 2 (n - 1) / n of the S bytes of the gradient. They save while
m / S < 2 / n. Read first: ../data_parallel.py. Read next: local.py.
"""

import numpy as np

from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.parallel.communicate.communicator import Communicator


class TopK:
    """The k numbers that are largest in size, and their places.

    n  numbers of the gradient;  share  k / n, above 0;  dtype  of the gradient
    """

    def __init__(self, n: int, share: float, dtype: DType = np.float32) -> None:
        if not 0 < share <= 1:
            raise ConfigError(f"TopK: share {share}, must be above 0 and at most 1")
        self.n, self.dtype = n, np.dtype(dtype)
        self.k = max(1, min(n, round(share * n)))

    @property
    def nbytes(self) -> int:
        """Of a message: a place of 4 bytes and a number, k times."""
        return self.k * (4 + self.dtype.itemsize)

    def pack(self, p: np.ndarray) -> np.ndarray:
        """A message, uint8 (nbytes,), of a gradient (n,)."""
        # Stable, so that of equal sizes the first ones are sent, by every NumPy.
        places = np.argsort(-np.abs(p), kind="stable")[: self.k].astype(np.int32)
        return np.concatenate([places.view(np.uint8), p[places].view(np.uint8)])

    def unpack(self, message: np.ndarray) -> np.ndarray:
        """The gradient (n,) that a message says: zeros where nothing was sent."""
        places = message[: 4 * self.k].copy().view(np.int32)
        found = np.zeros(self.n, self.dtype)
        found[places] = message[4 * self.k :].copy().view(self.dtype)
        return found


class OneBit:
    """The sign of every number, and two means: of those from zero on, and of those below it.

    n  numbers of the gradient;  dtype  of the gradient
    """

    def __init__(self, n: int, dtype: DType = np.float32) -> None:
        self.n, self.dtype = n, np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """Of a message: a bit for each number, and the two means."""
        return -(-self.n // 8) + 2 * self.dtype.itemsize

    def pack(self, p: np.ndarray) -> np.ndarray:
        """A message, uint8 (nbytes,), of a gradient (n,)."""
        above = p >= 0
        means = np.array(self._means(p, above), self.dtype)
        return np.concatenate([means.view(np.uint8), np.packbits(above)])

    def _means(self, p, above):
        return _mean(p[above]), _mean(p[~above])

    def unpack(self, message: np.ndarray) -> np.ndarray:
        """The gradient (n,) that a message says: each number the mean of its side."""
        width = 2 * self.dtype.itemsize
        high, low = message[:width].copy().view(self.dtype)
        above = np.unpackbits(message[width:], count=self.n).astype(bool)
        return np.where(above, high, low).astype(self.dtype)


class ScaledSign(OneBit):
    """sign(p) |p|_1 / n: as OneBit, with one mean for both sides."""

    @property
    def nbytes(self) -> int:
        """Of a message: a bit for each number, and the mean."""
        return -(-self.n // 8) + self.dtype.itemsize

    def pack(self, p: np.ndarray) -> np.ndarray:
        """A message, uint8 (nbytes,), of a gradient (n,)."""
        scale = np.array([_mean(np.abs(p))], self.dtype)
        return np.concatenate([scale.view(np.uint8), np.packbits(p >= 0)])

    def unpack(self, message: np.ndarray) -> np.ndarray:
        """The gradient (n,) that a message says: each number the mean size, with its sign."""
        width = self.dtype.itemsize
        scale = message[:width].copy().view(self.dtype)[0]
        above = np.unpackbits(message[width:], count=self.n).astype(bool)
        return np.where(above, scale, -scale).astype(self.dtype)


def _mean(values):
    return float(np.mean(values)) if values.size else 0.0


class CompressedSum:
    """The sum of what workers send of their gradients.

    comm      Communicator of the workers
    code      TopK, OneBit or ScaledSign, the same on all
    feedback  False: what is not sent is lost
    rest      (n,) r, what this worker has not sent so far
    """

    def __init__(self, comm: Communicator, code: TopK, feedback: bool = True) -> None:
        self.comm, self.code, self.feedback = comm, code, feedback
        self.rest = np.zeros(code.n, code.dtype)

    def sum(self, gradient: np.ndarray) -> np.ndarray:
        """The sum over workers of what their messages say, (n,), the same bits on all of them.

        gradient  (n,) of this worker: its share of the whole, weighted as for any other sum
        """
        p = gradient + self.rest
        message = self.code.pack(p)
        if self.feedback:
            self.rest = p - self.code.unpack(message)
        messages = self.comm.all_gather(message).reshape(self.comm.size, -1)
        total = self.code.unpack(messages[0])
        for other in messages[1:]:
            total += self.code.unpack(other)
        return total
