"""All-to-all heads: ranks that share the tokens share the heads while they attend   (Jacobs et al.
2023, DeepSpeed Ulysses; the other kind of sequence parallelism of book section 2.3.1).

    before   rank r has T/n tokens of all heads    projections, norms, feed-forward
    between  rank r has all T tokens of H/n heads  attention, as on one device

Each rank hands every other one that one's heads of its own tokens, an all-to-all, and gets the
results back by another. Attention in between is whole: rotations, biases, windows and caps work
without change, and causal masks leave no rank with less to do. Of B sequences, per layer and rank,
in elements,

    here         (n-1)/n  B T/n (2 H + 2 G') K    forward, and as much backward;
                 G' = max(G, n): where there are more ranks than heads of keys and values, a head
                 goes to each rank whose queries read it
    ring         (n-1)    B T/n 2 G K             forward; backward the same, and n B T/n 2 G K

For T = 4096, H = 32, K = 128 and one sequence, in millions of elements sent by a rank forward and
backward together (tests/parallel/sequence/test_heads.py counts both):

                      n = 2             n = 8             n = 32
    G = 32     here   33.6   ring  67.1   14.7   ring  92.3    4.1   ring  98.6
    G = 4             18.9          8.4    9.2         11.5    4.1         12.3

So its traffic falls with n and the ring's does not; with few heads of keys and values and few ranks
the ring sends less. A ring can hide its messages behind the arithmetic of the step before (the one
here does not), has any number of ranks, and no rank ever has more than two shares of the keys; here
n is at most H, and a rank has the keys of all tokens, of its heads. Read first: ring.py. Read next:
layers.py.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.operation import primitive
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows

if TYPE_CHECKING:
    from tinylm.parallel.sequence.layers import Tokens


def head_shares(heads: int, kv_heads: int, size: int) -> list[tuple[tuple, tuple]]:
    """Which heads every rank attends with: ((first, last) of queries, the same of keys and values).

    heads     H, at least `size`
    kv_heads  G, which divides H

    Up to G ranks have whole groups, as equal as can be; of more ranks each has one head of keys and
    values, and a share of the queries that read it.
    """
    group = heads // kv_heads
    found = []
    for rank in range(size):
        if size <= kv_heads:
            first, last = share_rows(kv_heads, rank, size)
            found.append(((first * group, last * group), (first, last)))
            continue
        kv = next(g for g in range(kv_heads) if rank < share_rows(size, g, kv_heads)[1])
        low, high = share_rows(size, kv, kv_heads)
        first, last = share_rows(group, rank - low, high - low)
        found.append(((kv * group + first, kv * group + last), (kv, kv + 1)))
    return found


@primitive(
    lambda g, y, x, comm, heads, total: heads_to_tokens(
        g, comm=comm, heads=heads, total=total, parts=x.shape[2]
    ),
    linear=True,
)
def tokens_to_heads(
    x: np.ndarray, comm: Communicator, heads: tuple[tuple[tuple, ...], ...], total: int
) -> np.ndarray:
    """All heads of this rank's tokens -> this rank's heads of all tokens, by one all-to-all.

    x        (B, own T, P, K), of the tokens share_rows(total, ..); P heads
    heads    of every rank its heads: a tuple of (start, stop) of P. Several ranks may have the same
    total    T
    returns  (B, T, own P, K)

    Check: tinylm gradcheck tokens_to_heads
    """
    B, T, _, K = x.shape
    parcels = [_rows(np.concatenate([x[:, :, a:b] for a, b in ranges], axis=2)) for ranges in heads]
    own = sum(b - a for a, b in heads[comm.rank])
    came = comm.all_to_all(parcels)  # of each rank (its tokens x own P, B, K)
    return _from_rows(np.concatenate(came), total, own)


@primitive(
    lambda g, y, x, comm, heads, total, parts: tokens_to_heads(
        g, comm=comm, heads=heads, total=total
    ),
    linear=True,
)
def heads_to_tokens(
    x: np.ndarray, comm: Communicator, heads: tuple[tuple[tuple, ...], ...], total: int, parts: int
) -> np.ndarray:
    """This rank's heads of all tokens -> all heads of this rank's tokens: the transpose.

    x        (B, T, own P, K)
    parts    P
    returns  (B, own T, P, K); what several ranks have of a head is added

    Check: tinylm gradcheck heads_to_tokens
    """
    B, _, _, K = x.shape
    bounds = [share_rows(total, rank, comm.size) for rank in range(comm.size)]
    came = comm.all_to_all([_rows(x[:, start:stop]) for start, stop in bounds])
    start, stop = bounds[comm.rank]
    out = np.zeros_like(x, shape=(B, stop - start, parts, K))
    for ranges, rows in zip(heads, came):
        piece = _from_rows(rows, stop - start, sum(b - a for a, b in ranges))
        at = 0
        for a, b in ranges:
            out[:, :, a:b] += piece[:, :, at : at + b - a]
            at += b - a
    return out


def _rows(x):
    """(B, T, P, K) -> (T P, B, K): parcels may differ in their first axis alone."""
    B, T, P, K = x.shape
    return x.transpose(1, 2, 0, 3).reshape(T * P, B, K)


def _from_rows(rows, T, P):
    """The inverse of _rows()."""
    _, B, K = rows.shape
    return rows.reshape(T, P, B, K).transpose(2, 0, 1, 3)


class Exchange:
    """Of one layer of attention: what goes out before it, and what comes back after it.

    tokens    layers.Tokens, of ranks that share tokens in their order
    heads, kv_heads  H and G, of those that this rank's tensor share has
    owner     False: the layer makes queries only, which read keys and values of a layer below
    """

    def __init__(self, tokens: "Tokens", heads: int, kv_heads: int, owner: bool = True) -> None:
        self.tokens = tokens
        self.parts = heads + 2 * kv_heads * owner
        self.heads, self.shares = heads, head_shares(heads, kv_heads, tokens.comm.size)
        (self.first, self.last), own = self.shares[tokens.comm.rank]
        self.own_heads, self.own_kv_heads = self.last - self.first, (own[1] - own[0]) * owner
        H, G = heads, kv_heads
        self.packed = self.queries = tuple((q,) for q, _ in self.shares)
        if owner:  # queries, keys and values lie side by side: one exchange takes all three
            self.packed = tuple(
                (q, (H + a, H + b), (H + G + a, H + G + b)) for q, (a, b) in self.shares
            )

    def before(self, x: Tensor) -> Tensor:
        """Packed projections: (B, own T, (H + 2 G) K) -> (B, T, (own H + 2 own G) K)."""
        B, T, width = x.shape
        K, total = width // self.parts, self.tokens.total
        x = x.reshape(B, T, self.parts, K)
        y = tokens_to_heads(x, comm=self.tokens.comm, heads=self.packed, total=total)
        return y.reshape(B, total, y.shape[2] * K)

    def after(self, y: Tensor) -> Tensor:
        """Merged heads: (B, T, own H K) -> (B, own T, H K)."""
        B, T, width = y.shape
        K = width // self.own_heads
        y = y.reshape(B, T, self.own_heads, K)
        x = heads_to_tokens(y, comm=self.tokens.comm, heads=self.queries, total=T, parts=self.heads)
        return x.reshape(B, x.shape[1], self.heads * K)
