"""Going backwards: from an output to the gradient of every leaf, newest operation first.

Reverse-mode automatic differentiation is the chain rule read from the end. The *cotangent* of a
value x is dL/dx. A node that has the complete cotangent of its output sends one to each of its
arguments:  dL/dx = sum over the operations c that read x of  dL/dc dc/dx.

walk decides the order of the nodes, send applies one node's rule, _receive adds up what arrives.
Read next: operation.py, then primitives/elementwise.py (the rules); for parallel training halves.py
and complete.py, which walk the same way.
"""

import heapq
import sys
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.autograd.engine.cotangent import cotangent_of
from tinylm.autograd.engine.part import Gathered, Part
from tinylm.autograd.engine.rounding import is_rounding, rounded_back
from tinylm.autograd.engine.tensor import (
    Array,
    Node,
    Tensor,
    TensorLike,
    edge_of,
    record,
    recording,
)
from tinylm.errors import GraphError, ShapeError


def backward(
    tensor: Tensor,
    cotangent: TensorLike | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add d(tensor)/d(leaf), contracted with the cotangent, to `.grad` of every leaf that needs it.

    cotangent     array or Tensor of this shape; may be left out for a scalar, where it is 1
    retain_graph  keep the graph for another backward(); otherwise it is freed on the way
    create_graph  record the backward pass too, so that the gradients can be differentiated
    raises        GraphError if nothing was recorded, the graph was freed, or a needed array was
                  changed in place
    """
    g = cotangent_of(tensor, cotangent)
    walk(tensor, g, add_to_grad, retain_graph or create_graph, create_graph)


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    cotangent: TensorLike | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> list[Tensor]:
    """The gradients of `output` with respect to `inputs`, as a list, leaving every `.grad` alone.

    output        Tensor; a scalar, or of any shape with a `cotangent` of that shape
    inputs        Tensor, or list of Tensors, that require a gradient: leaves or intermediate
                  results
    retain_graph  keep the graph for another pass; as create_graph unless given
    create_graph  record the computation of the gradients, so that they can be differentiated again
    returns       one Tensor per input, of its shape; zeros where the output does not depend on it
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    edges = _edges_of(inputs)
    if retain_graph is None:
        retain_graph = create_graph
    wanted = {id(edge) for edge in edges}
    found = {}  # id(edge) -> its gradient so far

    def own(g):  # a rule may pass one array to several arguments, or a view
        return g if isinstance(g, Tensor) else g.copy()

    def collect(leaf, g, fresh):
        key = id(leaf)
        if key in found:
            found[key] = _sum(found[key], g, False)
        elif key in wanted:
            found[key] = g if fresh else own(g)

    # Leaves hand their gradients to collect(); intermediate results have a node, and a watcher on
    # the node sees the complete cotangent when the walk comes by.
    watched = [(edge, edge.watcher) for edge in edges if isinstance(edge, Node)]
    for node, _ in watched:
        node.watcher = lambda g, node=node: found.__setitem__(id(node), own(g))
    try:
        walk(output, cotangent_of(output, cotangent), collect, retain_graph, create_graph)
    finally:
        for node, watcher in watched:
            node.watcher = watcher
    gradients, used = [], set()
    for x, edge in zip(inputs, edges):
        g = found.get(id(edge))
        if id(edge) in used and not isinstance(g, Tensor) and g is not None:
            g = g.copy()  # an input that is given twice: nobody else's array
        used.add(id(edge))
        gradients.append(_as_gradient(g, x, inputs, create_graph))
    return gradients


def _as_gradient(g, x, inputs, create_graph):
    """The Tensor that grad() returns for x; g is what arrived there, None if nothing did."""
    if g is None:  # the output does not depend on x
        g = np.zeros_like(x.data)
    g = g if isinstance(g, Tensor) else Tensor(g)
    return _constant(g, inputs) if create_graph and not g.requires_grad else g


def _edges_of(inputs):
    """Where the gradients of inputs arrive. Raises GraphError for one that requires none."""
    edges = [edge_of(x) for x in inputs]
    for i, edge in enumerate(edges):
        if edge is None:
            raise GraphError(
                f"grad: inputs[{i}] does not require a gradient: make it with requires_grad=True"
            )
    return edges


def _constant(g, inputs):
    """A constant gradient, recorded as a result of the inputs: differentiating it gives zeros."""
    with recording(True):
        return record(
            "grad", g.data, tuple(inputs), lambda g, node: [None] * len(node.inputs), reads=""
        )


def walk(
    tensor: Tensor,
    g: Tensor,
    sink: Callable,
    retain: bool,
    create_graph: bool,
    apply: Callable | None = None,
) -> None:
    """Visit every node that `tensor` depends on once, the newest first.

    g             Tensor, the cotangent of `tensor`
    sink          (leaf, g, fresh) -> None: takes a gradient that arrives at a leaf
    retain        keep the graph for another walk
    create_graph  cotangents are Tensors and are recorded in turn
    apply         called in place of send(), with its arguments
    """
    apply = apply or send
    # Order. A cotangent is complete when every operation that read the value has sent its part.
    # Those operations are all newer than the value's own node, so the newest waiting node is
    # always complete. A heap finds it without sorting the whole graph first, and takes nodes that
    # a replay adds on the way. Nothing recurses: a graph may be a million operations deep.
    waiting = {}  # Node -> its cotangent so far; id of a leaf -> Gathered, if only parts came
    heap = []  # (-order, Node): the newest node on top
    edge = edge_of(tensor)
    if edge is None:
        raise GraphError(
            "backward: nothing was recorded for this tensor: no input requires a gradient, "
            "or it was made inside no_grad()"
        )
    if not create_graph:
        g = g.data  # raw arrays: nothing below is recorded
    with recording(create_graph):
        _receive(edge, g, False, waiting, heap, sink)
        while heap:
            node = heapq.heappop(heap)[1]
            g = waiting.pop(node)
            if isinstance(g, Gathered):
                g = g.array
            if node.watcher:
                node.watcher(g)
            check_node(node, create_graph)
            if node.replay and (create_graph or node.derive is None):
                # The recomputed output has the same cotangent: the walk continues there.
                with recording(True):
                    again = edge_of(node.replay())
                if again is not None:
                    _receive(again, g, False, waiting, heap, sink)
            else:
                apply(node, g, waiting, heap, sink)
            if not retain:
                node.free()


def send(
    node: Node, g: Array, waiting: dict, heap: Sequence[tuple[int, Node]], sink: Callable
) -> None:
    """Apply the chain rule at one node: send each argument  dL/d(output) d(output)/d(argument)."""
    derivatives = list(node.derive(g, node))
    # A fused rule may return a function in place of an array. It is called only where a gradient is
    # needed, and writes it straight into the optimizer's buffer if that is still free.
    for i, edge in enumerate(node.inputs):
        if callable(derivatives[i]):
            derivative, derivatives[i] = derivatives[i], None
            if edge is not None:
                derivatives[i] = derivative(_free_slot(edge, node, sink))
    # Two loops, because _receive adds into fresh arrays in place: all must have been computed.
    for i, edge in enumerate(node.inputs):
        if edge is not None and derivatives[i] is not None:
            fresh = node.fused or _is_fresh(derivatives, i)
            _receive(edge, derivatives[i], fresh, waiting, heap, sink)


_references = getattr(sys, "getrefcount", None)  # CPython's
_held = [np.zeros(1)]
ONE_REFERENCE = _references and _references(_held[0])  # of an array that only a list holds


def _is_fresh(derivatives, i):
    """True if a primitive's rule has just made the array derivatives[i], and nothing else holds it.

    A rule may pass its cotangent on, as that of a + b does to both, or return a view or an array of
    its own: others refer to those, and they are copied before anybody adds into them.
    """
    if type(derivatives[i]) is not np.ndarray or _references is None:
        return False
    if _references(derivatives[i]) != ONE_REFERENCE:
        return False
    flags = derivatives[i].flags
    if not (flags.c_contiguous and flags.writeable):  # such as a broadcast view
        return False
    if derivatives[i].base is None:
        return True
    # The whole of an array in another shape, to which only this view refers, and whose memory is
    # its own: that of np.frombuffer is not.
    if type(derivatives[i].base) is not np.ndarray or not derivatives[i].base.flags.owndata:
        return False
    same = derivatives[i].nbytes == derivatives[i].base.nbytes
    return same and _references(derivatives[i].base) == ONE_REFERENCE


def _receive(edge, g, fresh, waiting, heap, sink):
    """Add one operation's part to the cotangent of `edge`: this is the sum in the chain rule.

    edge   Node, waits until its turn; or leaf Tensor, whose part goes to `sink` at once
    g      array or Tensor of its shape; or a Part of one, from a slice
    fresh  True if a fused rule has just made the array g: nothing else refers to it
    """
    if isinstance(g, Part):
        if _fits(edge, g) and _added_in_place(edge, g, waiting, heap, sink):
            return
        g, fresh = g.data, True
    g = _conform(edge, g)
    if isinstance(edge, Tensor):
        waiting.pop(id(edge), None)  # what a Gathered knows of it is true no longer
        sink(edge, g, fresh)
    elif edge not in waiting:
        waiting[edge] = g
        heapq.heappush(heap, (-edge.order, edge))
    elif isinstance(waiting[edge], Gathered):
        waiting[edge].add(g)
    else:
        waiting[edge] = _sum(waiting[edge], g, fresh)


def _fits(edge, part):
    """True if a Part is of the shape and dtype of what it belongs to, and sums are not rounded."""
    value = edge.data if isinstance(edge, Tensor) else edge
    same = part.whole_shape == value.shape and part.values.dtype == value.dtype
    return same and not is_rounding()


def _added_in_place(edge, part, waiting, heap, sink):
    """Add a Part to the cotangent of `edge`, in an array that nothing else refers to.

    returns  False if there is none: then the whole array must be received
    """
    if isinstance(edge, Tensor):
        if sink is not add_to_grad:
            return False
        if edge._grad is None:
            waiting[id(edge)] = _gathered(part, edge.slot)
            edge._grad = Tensor(waiting[id(edge)].array)
            return True
        if not _is_own(edge, edge._grad):
            return False
        found = waiting.get(id(edge))
        if found is None or found.array is not edge._grad.data:
            found = Gathered(edge._grad.data)
        found.add(part)
        return True
    old = waiting.get(edge)
    if old is None:
        waiting[edge] = _gathered(part, None)
        heapq.heappush(heap, (-edge.order, edge))
        return True
    if not isinstance(old, Gathered):
        old = waiting[edge] = Gathered(old.copy())  # others may hold it
    old.add(part)
    return True


def _gathered(part, slot):
    """A first Part with zeros around it, in the optimizer's buffer if there is one."""
    if slot is None:
        slot = np.empty_like(part.values, shape=part.whole_shape)
    return Gathered(slot, part)


def _free_slot(edge, node, sink):
    """The optimizer's buffer for a leaf's gradient, if this is its first part, and the only one of
    this node; else None.
    """
    if sink is not add_to_grad or not isinstance(edge, Tensor):
        return None
    if edge.slot is None or edge._grad is not None:
        return None
    if sum([e is edge for e in node.inputs]) == 1:
        return edge.slot
    return None


def check_node(node: Node, create_graph: bool) -> None:
    """Raise GraphError if what the node's rule needs was freed, never kept, or changed in place."""
    if node.derive is None and node.replay is None:
        raise GraphError(
            f"backward: the graph at {node.op} was freed by an earlier backward(): "
            "pass retain_graph=True to that one"
        )
    if create_graph and node.fused and node.replay is None:
        raise GraphError(
            f"backward: {node.op} was recorded inside first_order_only(), "
            "which keeps nothing for create_graph=True"
        )
    for i, (cell, version) in enumerate(zip(node.cells, node.versions)):
        if cell and cell[0] != version:
            what = "its result"  # the cell after those of the arguments
            if i < len(node.inputs):
                what = getattr(node.inputs[i], "name", None) or f"argument {i + 1}"
            raise GraphError(
                f"backward: {what} was changed in place after {node.op} used it "
                f"(version {cell[0]}, recorded {version}): change a copy, or call backward() first"
            )


def _conform(edge, g):
    """g in the dtype of the value it belongs to, and rounded as that is (rounding.py).

    raises   ShapeError if the shapes differ
    """
    # NumPy's arithmetic turns 0-d arrays into scalars
    if isinstance(g, np.generic):
        g = np.asarray(g)
    value = edge
    if isinstance(edge, Tensor):
        value = edge.data
    if g.shape != value.shape:
        name = edge.op if isinstance(edge, Node) else edge.name or "a leaf"
        raise ShapeError(
            f"backward: a derivative for {name} has shape {g.shape}, but the value has shape "
            f"{value.shape}: correct the rule that made it"
        )
    if g.dtype != value.dtype:
        g = g.astype(value.dtype)
    if isinstance(g, Tensor):  # the operations that made it have rounded it
        return g
    return rounded_back(g)


def _sum(old, new, fresh):
    """old + new, written into `new` if a fused rule has just made that array."""
    if isinstance(new, Tensor):
        return old + new
    if not fresh:
        return rounded_back(old + new)
    return rounded_back(np.add(old, new, out=new))


def _is_own(leaf, g):
    """True for a gradient that was never read or recorded: it may be changed in place."""
    return g is not None and g._node is None and g is not getattr(leaf, "_shown", None)


def add_to_grad(leaf: Tensor, g: np.ndarray, fresh: bool) -> None:
    """Accumulate into `leaf.grad`, in the optimizer's slot if it has one."""
    old = leaf._grad
    if isinstance(g, Tensor):  # create_graph: the gradient carries its own graph
        leaf._grad = g if old is None else old + g
    elif old is None:
        leaf._grad = _placed(leaf, g, fresh)
    elif old._node is not None:  # recorded by an earlier pass: other results may depend on it
        leaf._grad = Tensor(old.data + g)
    elif old is getattr(leaf, "_shown", None):  # read from outside: it must keep its values
        leaf._grad = _placed(leaf, rounded_back(old.data + g), True)
    else:
        old.data += g  # never read, so no graph refers to it
        if is_rounding():
            old.data[...] = rounded_back(old.data)


def _placed(leaf, g, fresh):
    """The Tensor of a first gradient: in the optimizer's slot, or in an array of its own."""
    if leaf.slot is None:
        if not fresh:  # a primitive may pass one array to several arguments
            g = g.copy()
        return Tensor(g)
    if g is not leaf.slot:
        leaf.slot[...] = g
    return Tensor(leaf.slot)
