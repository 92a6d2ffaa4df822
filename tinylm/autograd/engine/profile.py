"""Counting what operations cost: floating-point operations, and the bytes kept alive for the
backward pass.

    with count_operations() as counts:
        loss = model(ids)
    print(counts.table())

Counts are exact for what the engine executes, not estimates: the book's 6 N D rule can be held
against them. Read next: operation.py, where `observers` are called.
"""

import contextlib
import math
import weakref
from dataclasses import dataclass, field

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, observers, recording


def _shape(x):
    if isinstance(x, Tensor):
        return x.shape
    return np.shape(x)


def _buffer(array):
    """The array that owns the memory: what stays alive as long as any view of it does."""
    if getattr(array, "base", None) is None:
        return array
    return array.base


def _matmul(args, out, options):
    return 2 * out.size * _shape(args[0])[-1]


def _attention(args, out, options):  # q k^T and weights v: 2 K and 2 J per score
    B, H, T, K = _shape(args[0])
    return 2 * B * H * T * _shape(args[1])[2] * (K + _shape(args[2])[3])


def _self_attention(args, out, options):
    B, T, width = out.shape
    return 4 * B * T * T * width


def _einsum(args, out, options):
    letters = {}
    for term, x in zip(options["subscripts"].split("->")[0].split(","), args):
        letters.update(zip(term, _shape(x)))
    return (2 if len(args) > 1 else 1) * math.prod(letters.values())


# Multiplications and additions of the forward pass. Whatever is not here costs one per element of
# its output.
FLOPS = {
    "matmul": _matmul,
    "linear": _matmul,
    "unembedding": _matmul,
    "attention": _attention,
    "self_attention": _self_attention,
    "einsum": _einsum,
}
# Going backwards, these fused products pay their price once for each of their two factors that
# wants a gradient. Attention, two products of two factors each, pays twice its price, whatever is
# wanted of q, k and v.
PRODUCTS = {"linear", "unembedding"}
FREE = {
    "reshape",
    "transpose",
    "broadcast_to",
    "getitem",
    "embedding",
    "concatenate",
    "pad",
    "flip",
    "roll",
    "scatter_add",
}


@dataclass
class Counts:
    """What ran inside count_operations(), by operation name."""

    calls: dict = field(default_factory=dict)
    flops: dict = field(default_factory=dict)
    backward: dict = field(
        default_factory=dict
    )  # of matrix products, by the operation that is being differentiated
    live_bytes: int = 0  # results of recorded operations that are still alive
    peak_bytes: int = 0

    @property
    def total_flops(self):
        """Forward operations. A backward pass costs twice as many in the matrix products: see
        backward_flops().
        """
        return sum(self.flops.values())

    def matmul_flops(self):
        """The part in matrix products, which the 6 N D rule counts."""
        return sum(n for name, n in self.flops.items() if name in FLOPS)

    def backward_flops(self):
        """Matrix products of the backward passes that ran inside: one per factor that wanted a
        gradient.

        Sums that BLAS computes as a product with ones (gradients of biases and gains) and lookups
        in small tables that run as one with a one-hot matrix are not counted: they are no part of
        the mathematics.
        """
        return sum(self.backward.values())

    def table(self):
        """The counts as lines of text, most expensive first."""
        lines = [f"{'operation':<18}{'calls':>8}{'MFLOP':>12}"]
        for name in sorted(self.calls, key=lambda n: -self.flops[n]):
            lines.append(f"{name:<18}{self.calls[name]:>8}{self.flops[name] / 1e6:>12.3f}")
        lines.append(f"{'total':<18}{sum(self.calls.values()):>8}{self.total_flops / 1e6:>12.3f}")
        lines.append(
            f"results alive: {self.live_bytes / 2**20:.2f} MiB, at most {self.peak_bytes / 2**20:.2f} MiB"
        )
        return "\n".join(lines)

    def _release(self, n):
        self.live_bytes -= n


@contextlib.contextmanager
def count_operations():
    """Count the operations that run inside, recorded or not. Yields Counts; live_bytes goes on
    following frees after.
    """
    counts = Counts()
    differentiated = []  # the operations whose rules are running, the innermost last

    def going_back(name, cost, node):
        """Make a node tell when its rule runs; operations of primitives' rules then come to
        observe().
        """
        derive, wanted = node.derive, sum([edge is not None for edge in node.inputs[:2]])
        again = cost * (wanted if name in PRODUCTS else 2) if node.fused else 0

        def counted(g, node):
            if observe in observers and again:
                counts.backward[name] = counts.backward.get(name, 0) + again
            differentiated.append(name)
            try:
                return derive(g, node)
            finally:
                differentiated.pop()

        node.derive = counted

    def observe(name, args, out, options):
        cost = FLOPS[name](args, out, options) if name in FLOPS else 0 if name in FREE else out.size
        if differentiated and name in FLOPS:
            counts.backward[differentiated[-1]] = counts.backward.get(differentiated[-1], 0) + cost
        elif not differentiated:
            counts.calls[name] = counts.calls.get(name, 0) + 1
            counts.flops[name] = counts.flops.get(name, 0) + cost
        node = out._node
        if node is not None and node.derive is not None and (name in FLOPS or not node.fused):
            going_back(name, cost, node)
        buffer = _buffer(out.data)
        if all(
            buffer is not _buffer(a.data) for a in args if isinstance(a, Tensor)
        ):  # a view owns nothing
            counts.live_bytes += buffer.nbytes
            counts.peak_bytes = max(counts.peak_bytes, counts.live_bytes)
            weakref.finalize(buffer, counts._release, buffer.nbytes)

    observers.append(observe)
    try:
        yield counts
    finally:
        observers.remove(observe)


def find_nonfinite(function):
    """Run function() and return a description of the first operation whose result is not finite
    though its inputs are.

    returns  text naming the operation, its input shapes and how many entries are bad; None if all
             are finite
    """
    found = []

    def bad(x):
        if hasattr(x, "dtype") and x.dtype.kind == "f":
            return int(np.sum(~np.isfinite(x)))
        return 0

    def observe(name, args, out, options):
        if found or not bad(out.data):
            return
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        sick = [i for i, a in enumerate(arrays) if bad(a)]
        shapes = ", ".join(str(np.shape(a)) for a in arrays)
        if sick:
            cause = f"; argument {sick[0]} already held {bad(arrays[sick[0]])} non-finite values"
        else:
            cause = ""
        found.append(
            f"{name}({shapes}) -> {out.shape}: {bad(out.data)} of {out.size} values are not finite{cause}"
        )

    observers.append(observe)
    try:
        with recording(False), np.errstate(all="ignore"):
            function()
    finally:
        observers.remove(observe)
    if found:
        return found[0]
    return None
