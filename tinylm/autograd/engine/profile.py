"""Counts what operations cost: floating-point operations, and bytes kept alive for backward.

    with count_operations() as counts:
        loss = model(ids)
    print(counts.table())

The book's estimate of 6 N D for training (N parameters, D tokens) can be compared with them. Read
next: operation.py, where `observers` are called.
"""

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, observers, recording


def _shape(x):
    if isinstance(x, Tensor):
        return x.shape
    return np.shape(x)


def _buffer(array):
    """The array that owns the memory, and lives as long as any view of it."""
    if getattr(array, "base", None) is None:
        return array
    return array.base


def _matmul(args, out, options):  # (n, k) @ (k, m): k multiplications, k additions per entry
    return 2 * out.size * _shape(args[0])[-1]


def _attention(args, out, options):  # q k^T and weights v: 2 K and 2 J per score
    B, H, T, K = _shape(args[0])
    return 2 * B * H * T * _shape(args[1])[2] * (K + _shape(args[2])[3])


def _self_attention(args, out, options):  # width = H K, as many keys as queries
    B, T, width = out.shape
    return 4 * B * T * T * width


def _einsum(args, out, options):  # a multiplication and an addition per combination of indices
    lengths = {}  # letter -> length of its axis
    terms = options["subscripts"].split("->")[0].split(",")
    for term, x in zip(terms, args):
        lengths.update(zip(term, _shape(x)))
    combinations = math.prod(lengths.values())
    if len(args) > 1:
        return 2 * combinations
    return combinations  # a sum only


# Multiplications and additions of the forward pass. Operations that are neither here nor in FREE
# count one per element of their output.
FLOPS = {
    "matmul": _matmul,
    "linear": _matmul,
    "unembedding": _matmul,
    "attention": _attention,
    "self_attention": _self_attention,
    "einsum": _einsum,
}
# Backward of these fused products costs as much as forward for each of the two factors that needs
# a gradient:  Y = A B,  dA = G B^T,  dB = A^T G. Attention is two such products: its backward
# always computes all four gradients and counts twice its forward pass. (In tiles it computes the
# scores once more, which is not counted.)
PRODUCTS = {"linear", "unembedding"}
FREE = {
    "reshape",
    "transpose",
    "broadcast_to",
    "getitem",
    "embedding",
    "concatenate",
    "stack",
    "pad",
    "flip",
    "roll",
    "scatter_add",
}


@dataclass
class Counts:
    """What ran inside count_operations().

    calls, flops  by operation name, of the forward pass
    backward      operations of matrix products, by the name of the operation differentiated
    live_bytes    of results that are still alive; peak_bytes the most at any time
    """

    calls: dict = field(default_factory=dict)
    flops: dict = field(default_factory=dict)
    backward: dict = field(default_factory=dict)
    live_bytes: int = 0
    peak_bytes: int = 0

    @property
    def total_flops(self) -> float:
        """Operations of the forward pass; for those of backward see backward_flops()."""
        return sum(self.flops.values())

    def matmul_flops(self) -> int:
        """The part in matrix products, which the 6 N D rule counts."""
        return sum(n for name, n in self.flops.items() if name in FLOPS)

    def backward_flops(self) -> float:
        """Operations of the matrix products in the backward passes that ran inside.

        There is one product per factor that needs a gradient. Products that only implement
        something else are not counted: column sums by a vector of ones (gradients of biases and
        gains), and the scatter of an embedding's gradient by a one-hot matrix.
        """
        return sum(self.backward.values())

    def table(self) -> str:
        """The counts as lines of text, most expensive first."""
        lines = [f"{'operation':<18}{'calls':>8}{'MFLOP':>12}"]
        for name in sorted(self.calls, key=lambda n: -self.flops[n]):
            lines.append(f"{name:<18}{self.calls[name]:>8}{self.flops[name] / 1e6:>12.3f}")
        lines.append(f"{'total':<18}{sum(self.calls.values()):>8}{self.total_flops / 1e6:>12.3f}")
        live, peak = self.live_bytes / 2**20, self.peak_bytes / 2**20
        lines.append(f"results alive: {live:.2f} MiB, at most {peak:.2f} MiB")
        return "\n".join(lines)

    def _release(self, n):
        self.live_bytes -= n


def _cost(name, args, out, options):
    """Floating-point operations of one forward call."""
    if name in FLOPS:
        return FLOPS[name](args, out, options)
    if name in FREE:
        return 0
    return out.size


@contextlib.contextmanager
def count_operations() -> Iterator[Counts]:
    """Count the operations that run inside, recorded or not. Yields Counts.

    live_bytes is kept up to date after the end, as results are freed.
    """
    counts = Counts()
    differentiated = []  # names of the operations whose rules are running, the innermost last

    def add_backward(name, cost):
        counts.backward[name] = counts.backward.get(name, 0) + cost

    def count_derivative(name, cost, node):
        """Wrap a node's rule so that its matrix products are counted when it runs.

        A fused rule works on arrays, which nothing observes: its cost follows from that of the
        forward pass. A primitive's rule is made of operations, which come to observe().
        """
        derive = node.derive
        wanted = sum([edge is not None for edge in node.inputs[:2]])
        again = 0
        if node.fused:
            again = cost * (wanted if name in PRODUCTS else 2)

        def counted(g, node):
            if again and observe in observers:
                add_backward(name, again)
            differentiated.append(name)
            try:
                return derive(g, node)
            finally:
                differentiated.pop()

        node.derive = counted

    def observe(name, args, out, options):
        cost = _cost(name, args, out, options)
        if not differentiated:
            counts.calls[name] = counts.calls.get(name, 0) + 1
            counts.flops[name] = counts.flops.get(name, 0) + cost
        elif name in FLOPS:
            add_backward(differentiated[-1], cost)
        node = out._node
        if node is not None and node.derive is not None and (name in FLOPS or not node.fused):
            count_derivative(name, cost, node)
        # Memory. A result that is a view of an argument owns none.
        buffer = _buffer(out.data)
        if all(buffer is not _buffer(a.data) for a in args if isinstance(a, Tensor)):
            counts.live_bytes += buffer.nbytes
            counts.peak_bytes = max(counts.peak_bytes, counts.live_bytes)
            weakref.finalize(buffer, counts._release, buffer.nbytes)

    observers.append(observe)
    try:
        yield counts
    finally:
        observers.remove(observe)


def find_nonfinite(function: Callable) -> str | None:
    """Run function() and describe the first operation whose result is not finite.

    returns  text with the operation, its input shapes, how many entries are not finite, and whether
             an input already held such values; None if all results are finite
    """
    found = []

    def count_bad(x):
        if hasattr(x, "dtype") and x.dtype.kind == "f":
            return int(np.sum(~np.isfinite(x)))
        return 0

    def observe(name, args, out, options):
        bad = count_bad(out.data)
        if found or not bad:
            return
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        shapes = ", ".join(str(np.shape(a)) for a in arrays)
        text = f"{name}({shapes}) -> {out.shape}: {bad} of {out.size} values are not finite"
        for i, a in enumerate(arrays):
            if count_bad(a):
                text += f"; argument {i} already held {count_bad(a)} non-finite values"
                break
        found.append(text)

    observers.append(observe)
    try:
        with recording(False), np.errstate(all="ignore"):
            function()
    finally:
        observers.remove(observe)
    if found:
        return found[0]
    return None
