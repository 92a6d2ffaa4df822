"""Rows that begin alike, read once where they do: hidden states for each distinct prefix.

The state of a token in a causal decoder depends on the tokens up to it and on nothing else. So two
answers to one prompt (DPO), or a group of responses (GRPO), have the same states as long as they
agree. The distinct prefixes of a batch are the nodes of a tree, and a row is a path in it:

    row           nodes
    a b c d       0 1 2 3
    a b e         0 1 4 .      padding is no node

Whatever maps a token by itself (norms, projections, feed-forward: most of the work) is computed for
n nodes in place of B T places; in attention, where tokens meet, each node asks once
(autograd/kernels/tree_attention.py). After the attention of the last block only the states that are
read go on. The plain twin of `states_at` is GPT.hidden followed by an index; both are equal up to
rounding. Read first: gpt.py.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm import nn
from tinylm.autograd import Tensor, embedding, tree_attention
from tinylm.autograd.kernels.tree_attention import NodeSums, Paths
from tinylm.models.decoder.gpt import GPT


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of B rows, numbered 0 .. n-1.

    nodes   (B, T) the prefix that ends at each place; 0 for padding
    first   (n,) places b T + t, one for each node
    paths   list of Paths, which want the outputs of all n nodes, each at one of its places
    """

    nodes: np.ndarray
    first: np.ndarray
    paths: list

    def __len__(self) -> int:
        return len(self.first)

    def paths_to(self, read: np.ndarray) -> list[Paths]:
        """Paths that want the outputs of some nodes alone, (m,) increasing."""
        place = np.full(len(self), -1)
        place[read] = np.arange(len(read))
        found = []
        for one in self.paths:
            kept = place[one.outputs] >= 0
            outputs = place[one.outputs[kept]]
            found.append(replace(one, places=one.places[kept], outputs=outputs))
        return found


def prefix_tree(ids: np.ndarray, held: np.ndarray | None = None) -> PrefixTree:
    """The PrefixTree of rows of ids.

    ids   (B, T) integers
    held  (B, T) bool, True for tokens, which come before all padding; None: no padding
    """
    if held is None:
        held = np.ones(ids.shape, bool)
    B, T = ids.shape
    tokens = np.where(held, ids, -1)
    # In the order of a dictionary, a row shares most with the row before it.
    order = np.array(sorted(range(B), key=lambda b: tokens[b].tobytes()), np.int64)
    tokens, real = tokens[order], held[order]
    same = np.logical_and.accumulate(tokens[1:] == tokens[:-1], axis=1)  # (B-1, T)
    new = real.copy()
    new[1:] &= ~same
    number = np.cumsum(new).reshape(B, T) - 1
    # Numbers grow from row to row: a shared prefix has the largest number above it.
    found = np.maximum.accumulate(np.where(new, number, 0), axis=0)
    found = np.where(real, found, 0)
    nodes = np.empty((B, T), np.int64)
    nodes[order] = found
    rows, columns = np.nonzero(new)  # row by row, as the nodes were numbered
    return PrefixTree(nodes, order[rows] * T + columns, _paths(found, real, new))


def _paths(nodes, held, new):
    """The rows in at most two parts: those that ask from column 0 on, and those that first part
    from the row before them at a column of at least c.

    nodes (B, T); held and new (B, T) bool, True for tokens and for those that no row before has
    """
    T = nodes.shape[1]
    own = new.any(axis=1)  # a row without a node of its own asks nothing
    start = np.where(own, new.argmax(axis=1), T)  # (B,)
    # Queries times keys, without the rows that ask nothing: of all columns, or of those from c on.
    columns = np.unique(start[own])
    later = (start[own] >= columns[:, None]).sum(axis=1)
    c = int(columns[np.argmax(later * columns)])
    parts = [(own & (start < c), 0), (own & (start >= c), c)]
    found = []
    for chosen, first in parts:
        if chosen.any():
            asked, part = new[chosen], nodes[chosen]
            places, sums = np.flatnonzero(asked), NodeSums(part, held[chosen])
            found.append(Paths(part, first, places, part.reshape(-1)[places], sums))
    return found


# The parts that are computed here as GPT computes them.
NORMS = (nn.LayerNorm, nn.RMSNorm)
FORWARDS = (nn.FeedForward, nn.GatedFeedForward)


def shares_prefixes(model: Any) -> bool:
    """True for a GPT that states_at() reads: pre-norm, plain full attention, on the CPU, not in
    training with dropout.
    """
    if type(model) is not GPT or model.tokens.weight.device != "cpu":
        return False
    c = model.config
    return (
        c.positions in ("learned", "rope")
        and set(c.attention) == {"full"}
        and c.kv_sharing == 1
        and not c.segment_memory
        and model.norm is not None
        and not (model.training and c.dropout)
        and all(_plain(block) for block in model.blocks)
    )


def _plain(block):
    attention = getattr(block, "attention", None)
    return (
        type(block) is nn.Block
        and block.placement is nn.pre_norm
        and block.cross is None
        and type(attention) is nn.SelfAttention
        and attention.causal
        and attention.cap is None
        and attention.qk_norm is None
        and type(block.feed_forward) in FORWARDS
        and all(type(norm) in NORMS for norm in block.norms)
    )


def states_at(model: GPT, ids: np.ndarray, held: np.ndarray | None, wanted: np.ndarray) -> Tensor:
    """What GPT.hidden() gives at some places of rows that are padded at their ends, if at all.

    model    GPT that shares_prefixes() accepts
    ids      (B, T) integers;  held (B, T) bool, True for tokens, or None
    wanted   (B, T) bool, the places to read, none of them padding
    returns  (n, D) Tensor, in the order of np.nonzero(wanted)
    raises   ShapeError for rows longer than the context
    """
    T = ids.shape[1]
    model.check_length(T)
    tree = prefix_tree(ids, held)
    read, back = np.unique(tree.nodes[wanted], return_inverse=True)  # (m,), (n,)
    positions = tree.first % T  # of each node
    x = model.tokens(ids.reshape(-1)[tree.first][None])  # (1, nodes, D)
    x = model.add_positions(x, positions[None])[0]  # (nodes, D)
    for block, rotation in zip(model.blocks, model.rotations(positions, x.dtype)):
        attention, paths = block.attention, tree.paths
        qkv = attention.qkv(block.norms[0](x))  # (nodes, (H + 2G) K)
        if block is model.blocks[-1]:
            paths, x = tree.paths_to(read), embedding(read, x)  # only these go on: (m, D)
        heads = attention.heads, attention.kv_heads
        x = x + attention.out(tree_attention(qkv, paths, *heads, rotation, attention.scale))
        x = x + block.feed_forward(block.norms[1](x))
    return embedding(back, model.norm(x))  # (m, D) -> (n, D)
