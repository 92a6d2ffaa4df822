"""Going backwards and telling when the gradient of a leaf is complete, long before the end is.

The walk visits operations from the newest to the oldest, so a leaf has its whole gradient once the
oldest operation that reads it has been visited: an output layer's after the first product, that of
a table of tokens which is also the output layer only at the very end. Data-parallel workers add up
complete gradients while they compute the others (Li et al. 2020, "PyTorch Distributed"). Read
first: backward.py. Read next: ../../parallel/data/buckets.py.
"""

from collections.abc import Callable

from tinylm.autograd.engine.backward import add_to_grad, send, walk
from tinylm.autograd.engine.cotangent import cotangent_of
from tinylm.autograd.engine.tensor import Node, Tensor, TensorLike, edge_of


def backward_and_tell(
    tensor: Tensor, complete: Callable[[Tensor], None], cotangent: TensorLike | None = None
) -> None:
    """backward() that calls complete(leaf) as soon as `.grad` of a leaf has got its last part.

    tensor, cotangent  as in backward()
    complete  function of a leaf, called once for each that the output depends on. What a
              checkpoint() reads is known only when it runs again: leaves of which only checkpoints
              know are told at the end, and all others not before the oldest checkpoint has run
    raises    as backward()
    """
    left = _oldest_readers(tensor)  # (order, leaf), the newest order last
    known = {id(leaf) for _, leaf in left}
    found = {}  # leaves that only a checkpoint knew
    if tensor.requires_grad and isinstance(edge_of(tensor), Tensor):
        found[id(tensor)] = tensor

    def send_and_tell(node, g, waiting, heap, sink):
        leaves = [edge for edge in node.inputs if isinstance(edge, Tensor)]
        order = node.order
        send(node, g, waiting, heap, sink)
        found.update({id(leaf): leaf for leaf in leaves if id(leaf) not in known})
        # Nodes of a checkpoint that runs again are newer than all that waits here.
        while left and left[-1][0] >= order:
            complete(left.pop()[1])

    walk(tensor, cotangent_of(tensor, cotangent), add_to_grad, False, False, send_and_tell)
    for leaf in [leaf for _, leaf in reversed(left)] + list(found.values()):
        complete(leaf)


def _oldest_readers(tensor):
    """(order of the oldest operation that reads it, leaf) of every leaf below: a sorted list."""
    oldest, leaves, seen = {}, {}, set()
    stack, checkpoints = [edge_of(tensor)], []
    while stack:
        node = stack.pop()
        if not isinstance(node, Node) or node in seen:
            continue
        seen.add(node)
        if node.derive is None:
            checkpoints.append(node.order)
        for edge in node.inputs:
            if isinstance(edge, Tensor) and node.derive is not None:
                leaves[id(edge)] = edge
                oldest[id(edge)] = min(oldest.get(id(edge), node.order), node.order)
            stack.append(edge)
    bound = min(checkpoints, default=float("inf"))
    pairs = [(min(order, bound), leaves[key]) for key, order in oldest.items()]
    return sorted(pairs, key=lambda pair: pair[0])
