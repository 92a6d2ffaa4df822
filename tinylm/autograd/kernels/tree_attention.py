"""Attention of rows that begin alike, on projections that are made once for what they share.

The rows of a batch are paths in a tree of prefixes (models/decoder/prefixes.py) with n nodes, the
distinct prefixes. Keys and values of a node are copied to every row that passes through it. A query
is asked once: rows that begin like another one ask from the column on where they part from it.
Plain twin: composed.tree_attention, rows of projections whole. Read first: attention.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.attention import _backward, _forward
from tinylm.autograd.kernels.heads import in_float64_on_overflow, score_scale
from tinylm.autograd.kernels.rotary import rotate
from tinylm.backend import backend_of, device_of, to_device
from tinylm.errors import ShapeError


@dataclass(frozen=True)
class Paths:
    """Rows of a tree that are computed together.

    nodes   (b, T) the node at each place; any node where a row is padded at its end
    start   c, the first column that has a query
    places  (k,) places row T + column, columns >= c, of the outputs that are wanted
    outputs (k,) where these stand in the result
    sums    NodeSums of the places that are no padding
    """

    nodes: np.ndarray
    start: int
    places: np.ndarray
    outputs: np.ndarray
    sums: "NodeSums"


class NodeSums:
    """Sums over the places of each node.

    nodes   (b, T) integers;  held (b, T) bool, False for padding, which is in no sum
    """

    def __init__(self, nodes: np.ndarray, held: np.ndarray) -> None:
        flat = nodes.reshape(-1)
        places = np.flatnonzero(held)
        # The places of a node come together by sorting, and each run is one sum.
        places = places[np.argsort(flat[places], kind="stable")]
        starts = np.flatnonzero(np.diff(flat[places], prepend=-1))
        lengths = np.diff(np.append(starts, len(places)))
        single = np.repeat(lengths == 1, lengths)  # most nodes stand at one place
        self.single, self.many = places[single], places[~single]
        self.single_nodes = flat[self.single]
        self.lengths = lengths[lengths > 1]
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.many_nodes = flat[self.many[self.starts]] if len(self.many) else self.many

    def add(self, out: np.ndarray, g: np.ndarray) -> None:
        """out (n, F) += sums of g (b T, F)."""
        if type(out) is not np.ndarray:  # another device: its own scatter is the fastest
            nodes = np.concatenate([self.single_nodes, np.repeat(self.many_nodes, self.lengths)])
            places = np.concatenate([self.single, self.many])
            nodes, places = (to_device(index, device_of(out)) for index in (nodes, places))
            backend_of(out).module.add.at(out, nodes, g[places])
            return
        out[self.single_nodes] += g[self.single]
        if len(self.many):
            out[self.many_nodes] += np.add.reduceat(g[self.many], self.starts, axis=0)


def tree_attention(
    qkv: Tensor,
    paths: Sequence[Paths],
    heads: int,
    kv_heads: int | None = None,
    rotation: tuple[np.ndarray, ...] | None = None,
    scale: float | None = None,
) -> Tensor:
    """Causal multi-head attention of rows whose tokens are n nodes of a tree   (book eq. 2.11)

    qkv       (n, (H + 2G) K)  packed projections of the nodes, as in self_attention()
    paths     list of Paths, the rows
    heads, kv_heads, scale   as in self_attention()
    rotation  (cos, sin) of each node, (n, K/2), or None
    returns   (m, H K), the m outputs that the paths want
    raises    ShapeError if qkv is no matrix, or its width does not divide into heads

    Plain twin: composed.tree_attention. Check: tinylm gradcheck tree_attention
    """
    G = heads if kv_heads is None else kv_heads
    if qkv.ndim != 2 or qkv.shape[1] % (heads + 2 * G) or heads % G:
        raise ShapeError(
            f"tree_attention: {qkv.shape} for {heads} query and {G} key-value heads: "
            "need (n, (H + 2G) K)"
        )
    options = {"heads": heads, "kv_heads": G, "rotation": rotation, "scale": scale}
    return _tree_attention(qkv, paths=paths, **options)


@fused(composed.tree_attention, name="tree_attention")
@in_float64_on_overflow
def _tree_attention(qkv, *, paths, heads, kv_heads, rotation, scale, keep):
    H, G = heads, kv_heads
    K = qkv.shape[1] // (H + 2 * G)
    scale, device = score_scale(K, scale), device_of(qkv)
    at_nodes = _turned(qkv, rotation, H + G, K, 1)
    queries, pairs = at_nodes[:, : H * K], at_nodes[:, H * K :]  # (n, H K), (n, 2G K)
    result = np.empty_like(qkv, shape=(sum(len(one.places) for one in paths), H * K))
    kept = []
    for one in paths:
        y, at, saved = _attended(one, queries, pairs, H, G, scale)
        result[to_device(one.outputs, device)] = y[at]
        kept.append((at, *saved))

    def backward(g):
        d = np.zeros_like(qkv)
        for one, (at, saved, inverse) in zip(paths, kept):
            dy = np.zeros_like(g, shape=(len(one.nodes), one.nodes.shape[1] - one.start, H * K))
            dy[at] = g[to_device(one.outputs, device)]
            dq, dkv = _derivatives(one, dy, saved, inverse, H, G)
            # An output that is not wanted has a gradient of 0, so a node's query has that of one
            # place; its key and value have the sum of those of all places.
            asked = one.nodes.reshape(-1)[one.places]
            d[to_device(asked, device), : H * K] = dq[at]
            one.sums.add(d[:, H * K :], dkv.reshape(-1, 2 * G * K))
        return (_turned(d, rotation, H + G, K, -1),)

    return result, backward


def _attended(one, queries, pairs, H, G, scale):
    """What the rows of a part have for their queries.

    one      Paths;  queries (n, H K), pairs (n, 2G K) of the nodes: keys, then values
    returns  (b, T - c, H K) outputs, (row, column) of those that are wanted, and what
             _derivatives() takes
    """
    device = device_of(queries)
    nodes = to_device(one.nodes, device)
    q = queries[nodes[:, one.start :]]  # (b, T - c, H K)
    pair = _by_heads(pairs[nodes], 2 * G)[:, :, None]  # (b, 2G, 1, T, K)
    y = np.empty_like(q)
    given = _grouped(q, H, G), pair[:, :G], pair[:, G:]
    # The last query stands at the last key: query i sees the keys up to column c + i.
    weights, inverse = _forward(*given, None, None, True, scale, None, _grouped(y, H, G), y)
    row, column = np.divmod(one.places, one.nodes.shape[1])
    at = to_device(row, device), to_device(column - one.start, device)
    return y, at, ((*given, _grouped(y, H, G), weights, scale, None), inverse)


def _derivatives(one, dy, saved, inverse, H, G):
    """dq like dy (b, T - c, H K), and dkv (b, T, 2G K), of the rows of a part."""
    b, T = one.nodes.shape
    K = dy.shape[2] // H
    dq, dkv = np.empty_like(dy), np.empty_like(dy, shape=(b, T, 2 * G * K))
    pair = _by_heads(dkv, 2 * G)
    parts = _grouped(dq, H, G), pair[:, :G], pair[:, G:]
    _backward(_grouped(dy, H, G), saved, inverse, None, True, *parts, dq, dkv)
    return dq, dkv


def _turned(x, rotation, heads, K, sign):
    """The first heads, queries and keys, of each node (n, F) turned by its angle, or back."""
    if rotation is None:
        return x
    cos, sin = rotation
    y = x.copy()
    parts = y[:, : heads * K].reshape(len(x), heads, K)  # a view
    parts[...] = rotate(parts.swapaxes(0, 1), cos, sign * sin).swapaxes(0, 1)
    return y


def _by_heads(x, count):
    """(b, T, count K) -> a view (b, count, T, K)."""
    b, T, width = x.shape
    return x.reshape(b, T, count, width // count).swapaxes(1, 2)


def _grouped(x, H, G):
    """Queries, or outputs: (b, T, H K) -> a view (b, G, R, T, K)."""
    x = _by_heads(x, H)
    return x.reshape(len(x), G, H // G, *x.shape[2:])
