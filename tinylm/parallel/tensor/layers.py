"""Linear maps and the table of tokens, cut among the ranks of a group   (book eqs. 2.34, 2.35).

    [h W^1, h W^2, .., h W^t]       columns: every rank has h, and computes its part of the features
    a_1 W^1 + a_2 W^2 + ..          rows: every rank has its part of the features, and the sum over
                                    ranks is the result

A feed-forward is the first, an activation of each feature on its own, and the second: one
all-reduce forward and one backward for the two matrices. Attention is the same with heads for
features. With `axis`, the stream between them is cut too, along its tokens (Korthikanti et al.
2022): the all-reduce becomes a reduce-scatter after the second map and an all-gather before the
first, which move as many bytes, and norms and dropout work on a t-th of the tokens. Read next:
losses.py.
"""

import numpy as np

from tinylm.autograd import Tensor, embedding, linear, mul, sqrt
from tinylm.autograd.kernels.rows import check_ids
from tinylm.nn.module import Module
from tinylm.parallel.collectives import enter, enter_joined, leave, leave_shared
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows


class Stream:
    """Where the stream of activations enters the cut layers, and where it leaves them.

    comm   Communicator of the ranks that share the layers
    axis   None: every rank has the whole stream. 1: its share of the tokens of (B, T, D)
    total  T, set before each forward pass where axis is 1
    """

    def __init__(self, comm: Communicator, axis: int | None = None) -> None:
        self.comm, self.axis, self.total = comm, axis, None

    def enter(self, x: Tensor) -> Tensor:
        """What every rank reads, for its own part of the features: (B, T, D)."""
        if self.axis is None:
            return enter(x, comm=self.comm)
        return enter_joined(x, comm=self.comm, axis=self.axis, total=self.total)

    def leave(self, x: Tensor) -> Tensor:
        """The sum of what the ranks have computed: (B, T, D), or this rank's tokens of it."""
        if self.axis is None:
            return leave(x, comm=self.comm)
        return leave_shared(x, comm=self.comm, axis=self.axis, total=self.total)


class ColumnSplit(Module):
    """x W + b of which this rank has some columns.

    weight, bias  its shares, (d_in, own) and (own,); bias None: none
    stream        Stream
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stream: Stream) -> None:
        self.weight, self.bias, self.stream = weight, bias, stream

    def __call__(self, x: Tensor) -> Tensor:
        return linear(self.stream.enter(x), self.weight, self.bias)  # (.., d_in) -> (.., own)


class RowSplit(Module):
    """x W + b of which this rank has some rows, and x the features that they belong to.

    weight   its share, (own, d_out);  bias  whole, (d_out,), added once, after the sum
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stream: Stream) -> None:
        self.weight, self.bias, self.stream = weight, bias, stream

    def __call__(self, x: Tensor) -> Tensor:
        y = self.stream.leave(linear(x, self.weight))  # (.., own) -> (.., d_out)
        if self.bias is None:
            return y
        return y + self.bias


class SplitNorm(Module):
    """rms_norm over features of which this rank has some: the mean square is over all ranks.

    gain   its share, (own,);  eps  as in RMSNorm
    width  features of all ranks
    """

    def __init__(self, gain: Tensor, eps: float, width: int, comm: Communicator) -> None:
        self.gain, self.eps, self.width, self.comm = gain, eps, width, comm

    def __call__(self, x: np.ndarray) -> Tensor:
        # Every rank reads the sum for its own features, so cotangents differ and are summed too.
        squares = (x * x).sum(axis=-1, keepdims=True)  # (.., own) -> (.., 1)
        squares = enter(leave(squares, comm=self.comm), comm=self.comm)
        return x * self.gain / sqrt(squares / self.width + self.eps)


class SplitEmbedding(Module):
    """A table of vectors of which this rank has some rows: the others come from other ranks.

    weight   its rows, (own, D), of `rows` in all
    """

    def __init__(self, weight: Tensor, rows: int, stream: Stream) -> None:
        self.weight, self.rows, self.stream = weight, rows, stream

    def __call__(self, ids: np.ndarray) -> Tensor:
        comm = self.stream.comm
        check_ids(ids, self.rows, "SplitEmbedding")
        start, stop = share_rows(self.rows, comm.rank, comm.size)
        here = (ids >= start) & (ids < stop)
        x = embedding((ids - start) * here, self.weight)  # (B, T) -> (B, T, D)
        # A token of another rank's rows has read row 0, and counts nothing.
        return self.stream.leave(mul(x, here[..., None].astype(x.dtype)))
