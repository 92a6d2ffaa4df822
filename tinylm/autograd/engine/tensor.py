"""What is recorded: tensors, the nodes their operations leave behind, and when to record at all.

Every recorded operation makes a Node that points to the nodes of its inputs. Nodes are numbered as
they are made, so every consumer of a node has a larger number than the node itself: the order in
which backward.py goes backwards. Read next: backward.py, then operation.py (how an operation is
defined).
"""

import contextlib
import itertools
import weakref
from contextvars import ContextVar

import numpy as np

from tinylm import backend
from tinylm.errors import DtypeError, GraphError, ShapeError

_recording = ContextVar(
    "recording", default=True
)  # a ContextVar is per thread: no_grad in one leaves others alone
_first_order = ContextVar("first_order", default=False)
_order = itertools.count(1)
observers = []  # see profile.py: each is called for every operation that runs


class Node:
    """One recorded operation: what its output's cotangent turns into for each of its inputs.

    inputs    one entry per argument: a Node, a leaf Tensor, or None where no gradient is wanted
    derive    (g, node) -> one cotangent per argument; raw arrays, or Tensors if g is one
              (create_graph)
    saved     whatever `derive` wants to find again in its node
    replay    () -> Tensor: the same output recomputed as differentiable operations. Backward goes
              on through that graph instead, when derivatives of derivatives are wanted, or for
              checkpoint()
    cells     the version cell of each argument that `derive` reads, and of the output if it reads
              that; None for others
    versions  what the cells held when the operation was recorded
    """

    __slots__ = (
        "op",
        "order",
        "inputs",
        "derive",
        "saved",
        "replay",
        "cells",
        "versions",
        "shape",
        "dtype",
        "fused",
        "watcher",
        "__weakref__",
    )

    def __init__(self, op, out, inputs, derive, saved, replay, cells, fused):
        self.op = op
        self.inputs = inputs
        self.derive = derive
        self.saved = saved
        self.replay = replay
        self.cells, self.versions = cells, tuple([cell and cell[0] for cell in cells])
        self.shape, self.dtype, self.fused = out.shape, out.dtype, fused
        self.order = next(_order)
        self.watcher = None  # a function to show the finished cotangent to (retain_grad)

    def free(self):
        self.inputs, self.cells, self.derive, self.saved, self.replay = (), (), None, None, None


def rectangular(values):
    """np.asarray of nested lists. Raises ShapeError if their rows differ in length."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(
            f"Tensor: {error}: rows of one length are needed, pad the shorter ones"
        ) from None


class Tensor:
    """An array that remembers how it was made, so that `backward()` can differentiate through it.

    data           array or nested list of numbers; on the device where it lives
    requires_grad  True for a leaf (a parameter, an input) whose gradient is wanted; floating point
                   only
    name           shown in error messages
    """

    # Two are only there where they say something. `frozen`: finetune.freezing has taken this
    # parameter out of training, nn/module.py still counts it. `decays`: whether weight decay
    # shrinks it, where its axes do not tell (optim/flat.py).
    __slots__ = (
        "data",
        "requires_grad",
        "name",
        "slot",
        "frozen",
        "decays",
        "_grad",
        "_shown",
        "_node",
        "_version",
        "__weakref__",
    )
    __array_ufunc__ = None  # array + Tensor asks Tensor.__radd__, not NumPy's loop

    def __init__(self, data, requires_grad=False, name=None, device=None):
        shared = data if isinstance(data, Tensor) and device is None else None
        if isinstance(data, Tensor):
            data = data.data
        if not backend.is_array(data):
            data = rectangular(data)
            if data.dtype.kind not in "fiubc":
                raise DtypeError(
                    f"Tensor: needs numbers, not {data.dtype}: Tensors are put together with stack()"
                )
        if device is not None:
            data = backend.to_device(data, device)
        if requires_grad and data.dtype.kind != "f":
            raise DtypeError(
                f"Tensor: requires_grad needs floating point, not {data.dtype}: convert with .astype(np.float32)"
            )
        self.data, self.requires_grad, self.name = data, requires_grad, name
        self._grad = None  # read through `grad` by everyone but the engine
        self.slot = None  # where an optimizer wants the gradient written, see optim/flat.py
        self._node = None
        self._version = [0] if shared is None else shared._version  # one buffer, one version

    @property
    def grad(self):
        """The gradient so far, a Tensor, or None. What it gives out stays as it is: later passes
        write elsewhere.

        Inside an optimizer the gradient lies in a buffer that the next pass overwrites
        (optim/flat.py). Whoever asks for it takes it out of there; changed in place, it goes back
        with the changes before the next step.
        """
        g = self._grad
        if g is not None and g.data is self.slot:
            g = self._grad = Tensor(g.data.copy())
        self._shown = g
        return g

    @grad.setter
    def grad(self, g):
        self._grad = self._shown = g  # whoever gave it holds it

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    device = property(lambda self: backend.device_of(self.data))

    def numpy(self):
        """The values as a NumPy array: the array itself on the CPU, a copy from another device."""
        return backend.to_cpu(self.data)

    def item(self):
        """The value of a one-element tensor as a Python number."""
        return self.data.item()

    def detach(self):
        """The same values, cut off from the graph; shares memory and version with this tensor."""
        out = Tensor(self.data)
        out._version = self._version
        return out

    def to(self, device):
        """A leaf with the same values on `device` (itself if it is there): moving is never
        differentiated or silent.
        """
        if self.device == device:
            return self
        return Tensor(self.data, self.requires_grad, self.name, device=device)

    def assign_(self, values):
        """Overwrite the values in place, and let recorded operations that still need the old ones
        know.

        values  array or Tensor that broadcasts to this shape. Not recorded: for leaves and buffers
                only.
        """
        if self._node is not None and _recording.get():
            raise GraphError(
                f"assign_: {self!r} is the result of {self._node.op}; changing it in place would lose its "
                "gradient: use where() or scatter_add(), or assign inside no_grad()"
            )
        if type(self.data) is np.ndarray and not self.data.flags.writeable:
            raise GraphError(
                f"assign_: {self!r} is read-only memory (a broadcast, a mapped file): assign to a copy"
            )
        self.data[...] = values.data if isinstance(values, Tensor) else values
        self._version[0] += 1

    def retain_grad(self):
        """Keep the gradient of this intermediate result in `.grad` when backward() passes it.
        Returns the tensor.
        """
        if self._node is not None:
            alive = weakref.ref(
                self
            )  # no cycle: nobody reads the gradient of a tensor that is gone

            def keep(g):
                if alive() is not None:
                    alive().grad = g if isinstance(g, Tensor) else Tensor(g.copy())

            self._node.watcher = keep
        return self

    def __repr__(self):
        label = f" {self.name!r}" if self.name else ""
        if self._node:
            made = f", made by {self._node.op}"
        else:
            if self.requires_grad:
                made = ", requires_grad"
            else:
                made = ""
        values = np.array2string(self.numpy(), precision=4, threshold=20, separator=", ")
        return f"Tensor{label}({values}, {self.dtype}, shape {self.shape}{made})"


def _refuse_complex(op, dtype):
    """Raises DtypeError for complex numbers, whose gradients are not kept here; False for integers
    and bools, which have none.
    """
    if dtype.kind == "c":
        raise DtypeError(
            f"{op}: the result is {dtype}, and gradients are real: take apart the real and the imaginary "
            "part, or use no_grad()"
        )
    return False


def record(op, out, args, derive, saved=None, replay=None, reads="inputs", fused=False):
    """Make the Tensor of an operation's result and, if any argument wants a gradient, its node. For
    authors of operations.

    derive, saved, replay, fused  see Node
    reads    what `derive` needs unchanged until then: "inputs", "both" (the output too) or "" (only
             shapes)
    """
    result = Tensor(out)
    inputs = tuple(
        [
            (a._node or (a if a.requires_grad else None)) if isinstance(a, Tensor) else None
            for a in args
        ]
    )
    dtype = result.data.dtype
    if (
        _recording.get()
        and any([edge is not None for edge in inputs])
        and (dtype.kind == "f" or _refuse_complex(op, dtype))
    ):
        if reads:
            cells = tuple([a._version if isinstance(a, Tensor) else None for a in args])
        else:
            cells = ()
        if reads == "both":
            cells += (result._version,)
        result._node = Node(op, result.data, inputs, derive, saved, replay, cells, fused)
        result.requires_grad = True
    return result


def wants_grad(args):
    """True if an operation on these arguments will be recorded."""
    return _recording.get() and any([isinstance(a, Tensor) and a.requires_grad for a in args])


@contextlib.contextmanager
def recording(on):
    """Record operations inside or not; restores what was before. Threads do not see each other's
    setting.
    """
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad():
    """Context in which operations are not recorded: evaluation, sampling, updates."""
    return recording(False)


def is_recording():
    """True outside no_grad()."""
    return _recording.get()


@contextlib.contextmanager
def first_order_only():
    """A promise that no create_graph=True will follow: fused operations then keep only what one
    backward() needs.
    """
    token = _first_order.set(True)
    try:
        yield
    finally:
        _first_order.reset(token)


def is_first_order():
    """True inside first_order_only()."""
    return _first_order.get()
