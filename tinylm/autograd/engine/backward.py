"""Going backwards: from an output to the gradient of every leaf, newest operation first.

Reverse-mode automatic differentiation is the chain rule read from the end: a node that knows the
cotangent of its output (dL/d output) hands one to each of its inputs. Read next: operation.py, then
primitives/elementwise.py (the rules).
"""

import heapq

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.tensor import Node, Tensor, record, recording
from tinylm.errors import GraphError, ShapeError


def backward(tensor, cotangent=None, retain_graph=False, create_graph=False):
    """Add d(tensor)/d(leaf), contracted with the cotangent, to `.grad` of every leaf that requires
    it.

    cotangent     array or Tensor of this shape; may be left out for a scalar, where it is 1
    retain_graph  keep the graph for another backward(); otherwise it is freed on the way
    create_graph  record the backward pass too, so that the gradients can be differentiated
    raises        GraphError if nothing was recorded, the graph was freed, or a needed array was
                  changed in place
    """
    g = _cotangent(tensor, cotangent)
    _walk([(tensor, g)], _add_to_grad, retain_graph or create_graph, create_graph)


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
        raise GraphError(
            f"grad: inputs[{at}] does not require a gradient: make it with requires_grad=True"
        )
    found, wanted = {}, {id(edge) for edge in edges}

    def own(g):  # a rule may pass one array to several inputs, or a view
        if isinstance(g, Tensor):
            return g
        return g.copy()

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
    results = [g if isinstance(g, Tensor) else Tensor(g) for g in results]
    return [_constant(g, inputs) if create_graph and not g.requires_grad else g for g in results]


def _constant(g, inputs):
    """A gradient that depends on nothing, as a result of the inputs: differentiated once more it
    gives zeros.
    """
    with recording(True):
        return record(
            "grad", g.data, tuple(inputs), lambda g, node: [None] * len(node.inputs), reads=""
        )


def _walk(roots, sink, retain, create_graph):
    """Process nodes from the newest to the oldest; every consumer of a node is newer, so it comes
    first.

    A heap of the nodes met so far is all the state: nothing recurses, every node is visited once,
    and a node that replays itself (checkpoint, second order) just adds newer nodes that come up
    next.
    """
    waiting, heap = {}, []  # Node -> cotangent so far; (-order, Node)

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
                raise GraphError(
                    "backward: nothing was recorded for this tensor: no input requires a gradient, "
                    "or it was made inside no_grad()"
                )
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
                    if callable(
                        derivative
                    ):  # lazy: a fused rule that can write where the optimizer wants it
                        derivatives[i] = (
                            derivative(_free_slot(edge, node, sink)) if edge is not None else None
                        )
                for edge, derivative in zip(
                    node.inputs, derivatives
                ):  # only now may an array be added into
                    if edge is not None and derivative is not None:
                        give(edge, derivative, node.fused)
            if not retain:
                node.free()


def _free_slot(edge, node, sink):
    """Where the gradient of a leaf may be written at once: its slot, if this is the first and only
    contribution so far.
    """
    if (
        sink is not _add_to_grad
        or not isinstance(edge, Tensor)
        or edge._grad is not None
        or edge.slot is None
    ):
        return None
    if sum([e is edge for e in node.inputs]) == 1:
        return edge.slot
    return None


def _check(node, create_graph):
    if node.derive is None and node.replay is None:
        raise GraphError(
            f"backward: the graph at {node.op} was freed by an earlier backward(): pass retain_graph=True to that one"
        )
    if create_graph and node.fused and node.replay is None:
        raise GraphError(
            f"backward: {node.op} was recorded inside first_order_only(), which keeps nothing for create_graph=True"
        )
    for i, (cell, version) in enumerate(zip(node.cells, node.versions)):
        if cell and cell[0] != version:
            edge = node.inputs[i] if i < len(node.inputs) else node
            if edge is node:
                what = "its result"
            else:
                what = getattr(edge, "name", None) or f"argument {i + 1}"
            raise GraphError(
                f"backward: {what} was changed in place after {node.op} used it (version {cell[0]}, "
                f"recorded {version}): change a copy, or call backward() first"
            )


def _conform(edge, g):
    """The cotangent in the shape and dtype of what it belongs to; a wrong shape is a wrong rule."""
    shape = edge.data.shape if isinstance(edge, Tensor) else edge.shape
    if g.shape != shape:
        raise ShapeError(
            f"backward: a derivative for {edge.op if isinstance(edge, Node) else edge.name or 'a leaf'} has shape "
            f"{g.shape}, but the value has shape {shape}: mend the rule that made it"
        )
    dtype = edge.data.dtype if isinstance(edge, Tensor) else edge.dtype
    if isinstance(g, np.generic):  # NumPy's arithmetic turns 0-d arrays into scalars
        g = np.asarray(g)
    if g.dtype == dtype:
        return g
    return g.astype(dtype)


def _sum(old, new, fresh):
    """old + new, into `new` if a fused rule has just made it: nobody else can hold that array."""
    if isinstance(new, Tensor) or not fresh:
        return old + new
    return np.add(old, new, out=new)


def _add_to_grad(leaf, g, fresh):
    """Accumulate into `leaf.grad`, in the optimizer's slot if it has one."""
    old = leaf._grad
    if isinstance(g, Tensor):  # create_graph: the gradient carries its own graph
        leaf._grad = g if old is None else old + g
    elif old is None:
        leaf._grad = _placed(leaf, g, fresh)
    elif old._node is not None:
        leaf._grad = Tensor(old.data + g)
    elif old is getattr(leaf, "_shown", None):  # somebody may hold it: it stays what it was
        leaf._grad = _placed(leaf, old.data + g, True)
    else:
        old.data += g  # nobody has read it, so no graph has


def _placed(leaf, g, fresh):
    """A first gradient: in the optimizer's slot, or an array of its own, since a primitive may pass
    one to several inputs.
    """
    if leaf.slot is None:
        return Tensor(g if fresh else g.copy())
    if g is not leaf.slot:
        leaf.slot[...] = g
    return Tensor(leaf.slot)


def _cotangent(output, cotangent):
    if cotangent is None:
        if output.size != 1:
            raise ShapeError(
                f"backward: the output has shape {output.shape}; pass a cotangent of that shape, "
                "or reduce to a scalar first"
            )
        return Tensor(np.ones_like(output.data))
    g = cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent)
    if not backend.is_array(cotangent) and not isinstance(cotangent, Tensor):
        g = Tensor(np.asarray(cotangent, output.dtype), device=output.device)
    if g.shape != output.shape:
        raise ShapeError(f"backward: the cotangent has shape {g.shape}, the output {output.shape}")
    return g


def _edge(x):
    """What a cotangent of x is handed to: the node that made it, x itself if it is a leaf, None if
    neither wants it.
    """
    return x._node or (x if x.requires_grad else None)
