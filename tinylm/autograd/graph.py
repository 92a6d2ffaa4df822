"""The tape: tensors, the graph their operations record, and the walk backwards through it.

Reverse-mode automatic differentiation in one file. Every recorded operation makes a Node that points
to the nodes of its inputs; nodes are numbered as they are made, so going backwards in that order is a
topological order for free. Read next: operation.py (how one is defined), primitives.py (the rules).
"""
import contextlib
import heapq
import itertools
import weakref
from contextvars import ContextVar

import numpy as np

from tinylm import backend
from tinylm.errors import DtypeError, GraphError, ShapeError

_recording = ContextVar("recording", default=True)          # a ContextVar is per thread: no_grad in one leaves others alone
_first_order = ContextVar("first_order", default=False)
_order = itertools.count(1)
observers = []                                              # see profile.py: each is called for every operation that runs


class Node:
    """One recorded operation: what its output's cotangent turns into for each of its inputs.

    inputs    one entry per argument: a Node, a leaf Tensor, or None where no gradient is wanted
    derive    (g, node) -> one cotangent per argument; raw arrays, or Tensors if g is one (create_graph)
    saved     whatever `derive` wants to find again in its node
    replay    () -> Tensor: the same output recomputed as differentiable operations. Backward goes on
              through that graph instead, when derivatives of derivatives are wanted, or for checkpoint()
    cells     the version cell of each argument that `derive` reads, and of the output if it reads that; None for others
    versions  what the cells held when the operation was recorded
    """

    __slots__ = ("op", "order", "inputs", "derive", "saved", "replay", "cells", "versions", "shape", "dtype", "fused", "watcher",
                 "__weakref__")

    def __init__(self, op, out, inputs, derive, saved, replay, cells, fused):
        self.op, self.inputs, self.derive, self.saved, self.replay = op, inputs, derive, saved, replay
        self.cells, self.versions = cells, tuple([cell and cell[0] for cell in cells])
        self.shape, self.dtype, self.fused = out.shape, out.dtype, fused
        self.order = next(_order)
        self.watcher = None                                 # a function to show the finished cotangent to (retain_grad)

    def free(self):
        self.inputs, self.cells, self.derive, self.saved, self.replay = (), (), None, None, None


class Tensor:
    """An array that remembers how it was made, so that `backward()` can differentiate through it.

    data           array or nested list of numbers; on the device where it lives
    requires_grad  True for a leaf (a parameter, an input) whose gradient is wanted; floating point only
    name           shown in error messages
    """

    __slots__ = ("data", "requires_grad", "grad", "name", "slot", "_node", "_version", "__weakref__")
    __array_ufunc__ = None                                  # array + Tensor asks Tensor.__radd__, not NumPy's loop

    def __init__(self, data, requires_grad=False, name=None, device=None):
        if isinstance(data, Tensor):
            data = data.data
        if not backend.is_array(data):
            data = np.asarray(data)
            if data.dtype.kind not in "fiubc":
                raise DtypeError(f"Tensor: needs numbers, not {data.dtype}: Tensors are put together with stack()")
        if device is not None:
            data = backend.to_device(data, device)
        if requires_grad and data.dtype.kind != "f":
            raise DtypeError(f"Tensor: requires_grad needs floating point, not {data.dtype}: convert with .astype(np.float32)")
        self.data, self.requires_grad, self.name = data, requires_grad, name
        self.grad = None
        self.slot = None                                    # where an optimizer wants the gradient written, see optim/flat.py
        self._node = None
        self._version = [0]

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
        """A leaf with the same values on `device` (itself if it is there): moving is never differentiated or silent."""
        if self.device == device:
            return self
        return Tensor(self.data, self.requires_grad, self.name, device=device)

    def assign_(self, values):
        """Overwrite the values in place, and let recorded operations that still need the old ones know.

        values  array or Tensor that broadcasts to this shape. Not recorded: for leaves and buffers only.
        """
        if self._node is not None and _recording.get():
            raise GraphError(f"assign_: {self!r} is the result of {self._node.op}; changing it in place would lose its "
                             "gradient: use where() or scatter_add(), or assign inside no_grad()")
        self.data[...] = values.data if isinstance(values, Tensor) else values
        self._version[0] += 1

    def retain_grad(self):
        """Keep the gradient of this intermediate result in `.grad` when backward() passes it. Returns the tensor."""
        if self._node is not None:
            alive = weakref.ref(self)                       # no cycle: nobody reads the gradient of a tensor that is gone

            def keep(g):
                if alive() is not None:
                    alive().grad = g if isinstance(g, Tensor) else Tensor(g.copy())

            self._node.watcher = keep
        return self

    def backward(self, cotangent=None, retain_graph=False, create_graph=False):
        """Add d(self)/d(leaf), contracted with the cotangent, to `.grad` of every leaf that requires it.

        cotangent     array or Tensor of this shape; may be left out for a scalar, where it is 1
        retain_graph  keep the graph for another backward(); otherwise it is freed on the way
        create_graph  record the backward pass too, so that the gradients can be differentiated
        raises        GraphError if nothing was recorded, the graph was freed, or a needed array was changed in place
        """
        g = _cotangent(self, cotangent)
        _walk([(self, g)], _add_to_grad, retain_graph or create_graph, create_graph)

    def __repr__(self):
        label = f" {self.name!r}" if self.name else ""
        made = f", made by {self._node.op}" if self._node else ", requires_grad" if self.requires_grad else ""
        values = np.array2string(self.numpy(), precision=4, threshold=20, separator=", ")
        return f"Tensor{label}({values}, {self.dtype}, shape {self.shape}{made})"


def grad(output, inputs, cotangent=None, retain_graph=None, create_graph=False):
    """The gradients of `output` with respect to `inputs`, as a list, leaving every `.grad` alone.

    output        Tensor; a scalar, or of any shape with a `cotangent` of that shape
    inputs        list of Tensors that require a gradient: leaves or intermediate results
    create_graph  record the computation of the gradients, so that they can be differentiated again
    returns       one Tensor per input, of its shape; zeros where the output does not depend on it
    """
    edges = [_edge(x) for x in inputs]
    at = next((i for i, edge in enumerate(edges) if edge is None), None)
    if at is not None:
        raise GraphError(f"grad: inputs[{at}] does not require a gradient: make it with requires_grad=True")
    found, wanted = {}, {id(edge) for edge in edges}

    def own(g):                                             # a rule may pass one array to several inputs, or a view
        return g if isinstance(g, Tensor) else g.copy()

    def collect(leaf, g, fresh):
        if id(leaf) in wanted:
            if id(leaf) in found:
                found[id(leaf)] = _sum(found[id(leaf)], g, False)
            else:
                found[id(leaf)] = g if fresh else own(g)

    watched = [(edge, edge.watcher) for edge in edges if isinstance(edge, Node)]
    for node, _ in watched:
        node.watcher = lambda g, node=node: found.__setitem__(id(node), own(g))
    try:
        keep = create_graph if retain_graph is None else retain_graph
        _walk([(output, _cotangent(output, cotangent))], collect, keep, create_graph)
    finally:
        for node, watcher in watched:
            node.watcher = watcher
    results = [found.get(id(edge)) for edge in edges]
    results = [np.zeros_like(x.data) if g is None else g for g, x in zip(results, inputs)]
    return [g if isinstance(g, Tensor) else Tensor(g) for g in results]


def _walk(roots, sink, retain, create_graph):
    """Process nodes from the newest to the oldest; every consumer of a node is newer, so it comes first.

    A heap of the nodes met so far is all the state: nothing recurses, every node is visited once, and a
    node that replays itself (checkpoint, second order) just adds newer nodes that come up next.
    """
    waiting, heap = {}, []                                  # Node -> cotangent so far; (-order, Node)

    def give(edge, g, fresh):
        g = _conform(edge, g)
        if isinstance(edge, Tensor):
            sink(edge, g, fresh)
        elif edge in waiting:
            waiting[edge] = _sum(waiting[edge], g, fresh)
        else:
            waiting[edge] = g
            heapq.heappush(heap, (-edge.order, edge))

    with recording(create_graph):
        for tensor, g in roots:
            if _edge(tensor) is None:
                raise GraphError("backward: nothing was recorded for this tensor: no input requires a gradient, "
                                 "or it was made inside no_grad()")
            give(_edge(tensor), g if create_graph else g.data, False)
        while heap:
            node = heapq.heappop(heap)[1]
            g = waiting.pop(node)
            if node.watcher:
                node.watcher(g)
            _check(node, create_graph)
            if node.replay and (create_graph or node.derive is None):
                with recording(True):
                    again = node.replay()
                if _edge(again) is not None:
                    give(_edge(again), g, False)
            else:
                derivatives = list(node.derive(g, node))
                for i, (edge, derivative) in enumerate(zip(node.inputs, derivatives)):
                    if callable(derivative):                # lazy: a fused rule that can write where the optimizer wants it
                        derivatives[i] = derivative(_free_slot(edge, node, sink)) if edge is not None else None
                for edge, derivative in zip(node.inputs, derivatives):      # only now may an array be added into
                    if edge is not None and derivative is not None:
                        give(edge, derivative, node.fused)
            if not retain:
                node.free()


def _free_slot(edge, node, sink):
    """Where the gradient of a leaf may be written at once: its slot, if this is the first and only contribution so far."""
    if sink is not _add_to_grad or not isinstance(edge, Tensor) or edge.grad is not None or edge.slot is None:
        return None
    return edge.slot if sum([e is edge for e in node.inputs]) == 1 else None


def _check(node, create_graph):
    if node.derive is None and node.replay is None:
        raise GraphError(f"backward: the graph at {node.op} was freed by an earlier backward(): pass retain_graph=True to that one")
    if create_graph and node.fused and node.replay is None:
        raise GraphError(f"backward: {node.op} was recorded inside first_order_only(), which keeps nothing for create_graph=True")
    for i, (cell, version) in enumerate(zip(node.cells, node.versions)):
        if cell and cell[0] != version:
            edge = node.inputs[i] if i < len(node.inputs) else node
            what = "its result" if edge is node else getattr(edge, "name", None) or f"argument {i + 1}"
            raise GraphError(f"backward: {what} was changed in place after {node.op} used it (version {cell[0]}, "
                             f"recorded {version}): change a copy, or call backward() first")


def _conform(edge, g):
    """The cotangent in the shape and dtype of what it belongs to; a wrong shape is a wrong rule."""
    shape = edge.data.shape if isinstance(edge, Tensor) else edge.shape
    if g.shape != shape:
        raise ShapeError(f"backward: a derivative for {edge.op if isinstance(edge, Node) else edge.name or 'a leaf'} has shape "
                         f"{g.shape}, but the value has shape {shape}: mend the rule that made it")
    dtype = edge.data.dtype if isinstance(edge, Tensor) else edge.dtype
    return g if g.dtype == dtype else g.astype(dtype)


def _sum(old, new, fresh):
    """old + new, into `new` if a fused rule has just made it: nobody else can hold that array."""
    if isinstance(new, Tensor) or not fresh:
        return old + new
    return np.add(old, new, out=new)


def _add_to_grad(leaf, g, fresh):
    """Accumulate into `leaf.grad`, in the optimizer's slot if it has one."""
    if isinstance(g, Tensor):                               # create_graph: the gradient carries its own graph
        leaf.grad = g if leaf.grad is None else leaf.grad + g
    elif leaf.grad is not None:
        if leaf.grad._node is not None:
            leaf.grad = Tensor(leaf.grad.data + g)
        else:
            leaf.grad.data += g
            leaf.grad._version[0] += 1                      # a graph may have read the gradient as a value
    elif leaf.slot is not None:
        if g is not leaf.slot:
            leaf.slot[...] = g
        leaf.grad = Tensor(leaf.slot)
    else:
        leaf.grad = Tensor(g if fresh else g.copy())        # a copy: a primitive may pass one array to several inputs


def _cotangent(output, cotangent):
    if cotangent is None:
        if output.size != 1:
            raise ShapeError(f"backward: the output has shape {output.shape}; pass a cotangent of that shape, "
                             "or reduce to a scalar first")
        return Tensor(np.ones_like(output.data))
    g = cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent)
    if not backend.is_array(cotangent) and not isinstance(cotangent, Tensor):
        g = Tensor(np.asarray(cotangent, output.dtype), device=output.device)
    if g.shape != output.shape:
        raise ShapeError(f"backward: the cotangent has shape {g.shape}, the output {output.shape}")
    return g


def _edge(x):
    """What a cotangent of x is handed to: the node that made it, x itself if it is a leaf, None if neither wants it."""
    return x._node or (x if x.requires_grad else None)


def record(op, out, args, derive, saved=None, replay=None, reads="inputs", fused=False):
    """Make the Tensor of an operation's result and, if any argument wants a gradient, its node. For authors of operations.

    derive, saved, replay, fused  see Node
    reads    what `derive` needs unchanged until then: "inputs", "both" (the output too) or "" (only shapes)
    """
    result = Tensor(out)
    inputs = tuple([(a._node or (a if a.requires_grad else None)) if isinstance(a, Tensor) else None for a in args])
    if _recording.get() and any([edge is not None for edge in inputs]):
        cells = tuple([a._version if isinstance(a, Tensor) else None for a in args]) if reads else ()
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
    """Record operations inside or not; restores what was before. Threads do not see each other's setting."""
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
    """A promise that no create_graph=True will follow: fused operations then keep only what one backward() needs."""
    token = _first_order.set(True)
    try:
        yield
    finally:
        _first_order.reset(token)


def is_first_order():
    """True inside first_order_only()."""
    return _first_order.get()
