"""The tape: Tensors, the nodes that operations leave behind, and when operations are recorded.

Every recorded operation makes a Node that points to the nodes of its arguments. Together they are
the graph that backward.py walks. Nodes are numbered as they are made, so an operation always has a
larger number than those whose results it reads: counting down is the order of the chain rule.
Read next: backward.py, then operation.py (how an operation is defined).
"""

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.autograd.engine import habits
from tinylm.backend import ArrayLike, DType
from tinylm.errors import DeviceError, DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from tinylm.autograd.engine.attached import Attached
else:
    Attached = object  # what ../methods.py attaches: for type checkers only

# A ContextVar has one value per thread: no_grad() in one leaves the others alone.
_recording = ContextVar("recording", default=True)
_first_order = ContextVar("first_order", default=False)
_order = itertools.count(1)
observers = []  # functions called after every operation, see profile.py


class Node:
    """One recorded operation: how the cotangent of its output becomes those of its arguments.

    inputs    one edge per argument: the Node that made it, the Tensor itself if it is a leaf, None
              where no gradient is needed
    derive    (g, node) -> one cotangent per argument; raw arrays, or Tensors if g is one
              (create_graph)
    saved     what `derive` needs from the forward pass
    replay    () -> Tensor: the same output recomputed as differentiable operations. Backward
              continues through that graph instead where derivatives of derivatives are needed, and
              always for checkpoint()
    cells     version counter (Tensor._version) of each argument that `derive` reads, and of the
              output if it reads that; None for constants
    versions  what the cells held when the operation was recorded
    order     its number: larger than those of all nodes whose results it reads
    fused     True if `derive` is a kernel's, whose arrays are freshly made
    watcher   called with the complete cotangent, see retain_grad; or None
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

    def __init__(
        self,
        op: str,
        out: np.ndarray,
        inputs: tuple,
        derive: Callable | None,
        saved: tuple | None,
        replay: Callable | None,
        cells: tuple[list[int] | None, ...],
        fused: bool,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.derive = derive
        self.saved = saved
        self.replay = replay
        self.cells = cells
        self.versions = tuple([cell and cell[0] for cell in cells])
        self.shape, self.dtype = out.shape, out.dtype  # the array itself is not kept
        self.fused = fused
        self.order = next(_order)
        self.watcher = None

    def free(self) -> None:
        """Drop what backward needs, and with it the arrays of the forward pass."""
        self.inputs = self.cells = ()
        self.derive = self.saved = self.replay = None


def rectangular(values: float | Sequence[float]) -> np.ndarray:
    """np.asarray of nested lists. Raises ShapeError if their rows differ in length."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(
            f"Tensor: {error}: rows of one length are needed, pad the shorter ones"
        ) from None


class Tensor(Attached):
    """An array that remembers how it was made, so that `backward()` can differentiate through it.

    data           array or nested list of numbers; on the device where it lives
    requires_grad  True for a leaf (a parameter, an input) whose gradient is needed; floating point
                   only
    name           shown in error messages
    device         to move the values to, "cpu" or "gpu"
    dtype          to convert the values to, such as np.float32
    """

    # Three of these are unset on most Tensors. `frozen`: finetune.freezing has taken the parameter
    # out of training; nn/module.py still counts it. `decays`: whether weight decay shrinks it,
    # where the number of its axes does not decide that (optim/flat.py). `_shown`: the gradient
    # that was last read through `grad`.
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

    def __init__(
        self,
        data: "TensorLike",
        requires_grad: bool = False,
        name: str | None = None,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        version = None
        if isinstance(data, Tensor):
            if device is None:
                version = data._version  # one buffer, one version
            data = data.data
        if not backend.is_array(data):
            data = rectangular(data)
            if data.dtype.kind not in "fiubc":
                raise DtypeError(
                    f"Tensor: needs numbers, not {data.dtype}: join Tensors with stack()"
                )
        if device is not None:
            data = backend.to_device(data, device)
        if dtype is not None and data.dtype != dtype:
            data, version = data.astype(dtype), None
        if requires_grad and data.dtype.kind != "f":
            raise DtypeError(habits.no_leaf(data, requires_grad))
        self.data, self.requires_grad, self.name = data, requires_grad, name
        self._grad = None  # outside the engine, read it through `grad`
        self.slot = None  # the optimizer's buffer for the gradient, see optim/flat.py
        self._node = None
        # A list of one counter: Tensors that share memory share the list. Every change in place
        # adds one, so that backward can detect that a value it needs is gone.
        self._version = version or [0]

    @property
    def grad(self) -> "Tensor | None":
        """The gradient so far, a Tensor, or None. Later passes never change a Tensor read here.

        Inside an optimizer the gradient lies in a buffer that the next pass overwrites
        (optim/flat.py). Reading it makes a copy outside that buffer; a copy that is changed in
        place is written back before the next step.
        """
        g = self._grad
        if g is not None and g.data is self.slot:
            g = self._grad = Tensor(g.data.copy())
        self._shown = g  # may be held outside now, see add_to_grad in backward.py
        return g

    @grad.setter
    def grad(self, g: "Tensor | None") -> None:
        self._grad = self._shown = g

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    device = property(lambda self: backend.device_of(self.data))

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array: the array itself on the CPU, a copy from another device."""
        return backend.to_cpu(self.data)

    def item(self) -> float:
        """The value of a one-element tensor as a Python number."""
        return self.data.item()

    def detach(self) -> "Tensor":
        """The same values, cut off from the graph; shares memory and version with this tensor."""
        out = Tensor(self.data)
        out._version = self._version
        return out

    def to(self, device: str) -> "Tensor":
        """A leaf with the same values on `device`, or this Tensor if it is there already.

        The move is not recorded, and no operation moves a Tensor by itself.
        """
        if not isinstance(device, str):
            raise DeviceError(habits.no_device(device))
        if self.device == device:
            return self
        return Tensor(self.data, self.requires_grad, self.name, device=device)

    def assign_(self, values: "Array") -> None:
        """Overwrite the values in place. Not recorded: for leaves and buffers.

        A later backward() through an operation that needs the old values raises GraphError.

        values  array or Tensor that broadcasts to this shape
        raises  GraphError for the result of an operation, or for read-only memory
        """
        if self._node is not None and _recording.get():
            raise GraphError(
                f"assign_: {self!r} is the result of {self._node.op}; changing it in place would "
                "lose its gradient: use where() or scatter_add(), or assign inside no_grad()"
            )
        if type(self.data) is np.ndarray and not self.data.flags.writeable:
            raise GraphError(
                f"assign_: {self!r} is read-only memory (a broadcast, a mapped file): "
                "assign to a copy"
            )
        if isinstance(values, Tensor):
            values = values.data
        self.data[...] = values
        self._version[0] += 1

    def retain_grad(self) -> "Tensor":
        """Keep the gradient of this intermediate result in `.grad`. Returns the tensor itself."""
        if self._node is None:
            return self
        alive = weakref.ref(self)  # a strong reference would be a cycle: node -> keep -> tensor

        def keep(g):
            tensor = alive()
            if tensor is None:
                return
            if not isinstance(g, Tensor):
                g = Tensor(g.copy())  # the engine may go on adding into g
            tensor.grad = g

        self._node.watcher = keep
        return self

    def __repr__(self) -> str:
        label = made = ""
        if self.name:
            label = f" {self.name!r}"
        if self._node:
            made = f", made by {self._node.op}"
        elif self.requires_grad:
            made = ", requires_grad"
        values = np.array2string(self.numpy(), precision=4, threshold=20, separator=", ")
        return f"Tensor{label}({values}, {self.dtype}, shape {self.shape}{made})"


# Two more words of the type hints, beside those of backend.py.
Array = Tensor | np.ndarray
TensorLike = Tensor | backend.ArrayLike  # what an operation takes: numbers and lists as well


def array_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    if isinstance(x, Tensor):
        return x.data
    return x


def as_tensor(x: TensorLike) -> Tensor:
    """A Tensor as it is; an array or a number as a Tensor."""
    if isinstance(x, Tensor):
        return x
    return Tensor(x)


def _check_real(op, dtype):
    """Raise DtypeError for a complex result that would need a gradient: gradients are real here."""
    if dtype.kind == "c":
        raise DtypeError(
            f"{op}: the result is {dtype}, and gradients are real: take apart the real and the "
            "imaginary part, or use no_grad()"
        )


def edge_of(x: Tensor) -> Tensor | Node | None:
    """Where a cotangent of Tensor x goes: the node that made it, or x itself if it is a leaf.

    None if x does not require a gradient.
    """
    if x._node is None and x.requires_grad:
        return x
    return x._node


def record(
    op: str,
    out: ArrayLike,
    args: Sequence,
    derive: Callable | None,
    saved: tuple | None = None,
    replay: Callable | None = None,
    reads: str = "inputs",
    fused: bool = False,
) -> Tensor:
    """Wrap an operation's result in a Tensor and, if an argument requires a gradient, add its node.

    op, out  name of the operation, and the array that it computed
    args     its arguments, Tensors or constants
    reads    what `derive` needs unchanged until backward: "inputs", "both" (the output too) or ""
             (only shapes)
    derive, saved, replay, fused  as in Node
    returns  Tensor
    """
    result = Tensor(out)
    if not _recording.get():
        return result
    inputs = tuple([edge_of(a) if isinstance(a, Tensor) else None for a in args])
    if not any([edge is not None for edge in inputs]):
        return result
    out = result.data
    if out.dtype.kind != "f":  # integers and bools have no derivative
        _check_real(op, out.dtype)
        return result
    cells = ()
    if reads:
        cells = tuple([a._version if isinstance(a, Tensor) else None for a in args])
    if reads == "both":
        cells += (result._version,)
    result._node = Node(op, out, inputs, derive, saved, replay, cells, fused)
    result.requires_grad = True
    return result


def wants_grad(args: Sequence) -> bool:
    """True if an operation on these arguments will be recorded."""
    return _recording.get() and any([isinstance(a, Tensor) and a.requires_grad for a in args])


@contextlib.contextmanager
def recording(on: bool) -> Iterator[None]:
    """Context that turns recording on or off in this thread and restores it at the end."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad(function: Callable | None = None) -> Any:
    """Context in which operations are not recorded: evaluation, sampling, updates.

    `with no_grad():` around lines, `@no_grad()` or `@no_grad` above a function.
    """
    if function is not None:
        return recording(False)(function)
    return recording(False)


def is_recording() -> bool:
    """True outside no_grad()."""
    return _recording.get()


@contextlib.contextmanager
def first_order_only() -> Iterator[None]:
    """Context in which fused operations keep only what one backward() needs.

    Saves memory in training. create_graph=True through what was recorded inside raises GraphError.
    """
    token = _first_order.set(True)
    try:
        yield
    finally:
        _first_order.reset(token)


def is_first_order() -> bool:
    """True inside first_order_only()."""
    return _first_order.get()
