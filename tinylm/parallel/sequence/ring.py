"""Ring attention: ranks have shares of a sequence, whose keys and values go round   (Li et al.
2023; Liu et al. 2023; named in book section 2.3.1).

Rank r keeps its queries. At each of n steps it attends to the keys and values that it holds, then
hands them to the right; what it has of the result is corrected as larger scores come by, as in
autograd/kernels/tiled_attention.py. So no rank ever has more than two shares of keys. Backward they
go round once more, with their gradients, which come home after n steps.

In causal attention the first tokens see little and the last ones much. Balanced, the sequence is
cut into 2 n chunks and rank r has chunks r and 2n-1-r, which together see as much as those of any
other rank (Brandon et al. 2023, striped; here in chunks, as Megatron-LM has it). Read next:
layers.py.
"""

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.heads import check_heads, score_scale
from tinylm.backend import device_of, to_device
from tinylm.nn.attention.multi_head import capped_attention
from tinylm.parallel.collectives import enter_joined
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows


def own_positions(total: int, rank: int, size: int, balanced: bool = True) -> np.ndarray:
    """The positions of a sequence of `total` tokens that a rank has, in order: integers."""
    if not balanced:
        return np.arange(*share_rows(total, rank, size))
    chunks = rank, 2 * size - 1 - rank
    return np.concatenate([np.arange(*share_rows(total, c, 2 * size)) for c in chunks])


def visible(
    queries: np.ndarray,
    keys: np.ndarray,
    causal: bool = True,
    window: int | None = None,
    held: np.ndarray | None = None,
) -> np.ndarray | None:
    """Which keys a query sees: bool (T, S), with `held` (B, 1, 1, T, S); None where it sees all.

    queries, keys  (T,) and (S,) positions
    window         positions that a query sees up to its own; None: all
    held           (B, S) bool, True for keys that are tokens; None: all are
    """
    seen = None
    behind = queries[:, None] - keys  # (T, S)
    if causal:
        seen = behind >= 0
    if window is not None:
        seen = (behind < window) if seen is None else seen & (behind < window)
    if held is not None:
        held = held[:, None, None, None, :]
        seen = held if seen is None else seen & held
    return seen


def _by_whole_sequence(
    q, k, v, bias, *, comm, total, causal, balanced, scale, dropped, window, held, cap
):
    """The plain twin: keys and values of all ranks put together."""
    places = [own_positions(total, r, comm.size, balanced) for r in range(comm.size)]
    lengths = tuple(len(p) for p in places)
    k, v = (enter_joined(x, comm=comm, axis=2, total=lengths) for x in (k, v))
    order = to_device(np.argsort(np.concatenate(places)), q.device)
    k, v = k[:, :, order], v[:, :, order]
    mask = visible(places[comm.rank], np.arange(total), causal, window, held)
    if mask is not None:
        if held is not None:
            mask = mask[:, :, 0]  # (B, 1, 1, T, S) -> (B, 1, T, S)
        mask = to_device(mask, q.device)
    if cap is not None:
        return capped_attention(q, k, v, cap, bias=bias, mask=mask, scale=scale)
    if dropped is not None:
        dropped = to_device(dropped, q.device)
    return composed.attention(q, k, v, bias, mask=mask, scale=scale, dropped=dropped)


def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    comm: Communicator,
    total: int,
    causal: bool = True,
    balanced: bool = True,
    scale: float | None = None,
    dropped: np.ndarray | None = None,
    bias: Tensor | None = None,
    window: int | None = None,
    held: np.ndarray | None = None,
    cap: float | None = None,
) -> Tensor:
    """attention() of a sequence that ranks have shares of.

    q        (B, H, T, K), this rank's T positions, own_positions(total, ..)
    k, v     (B, G, T, K), (B, G, T, J); G divides H
    comm     Communicator of the ranks, in the order of their positions
    total    tokens of the whole sequence
    dropped  (B, H, T, total) of kept_scaled(), this rank's queries and all keys; None: no dropout
    bias     (1|H, T, total) Tensor added to the scores of this rank's queries; None: none
    window   positions that a query sees, its own among them; None: all   (book section 2.3.2)
    held     (B, total) bool, False for keys that nobody sees: padding; None: all are seen
    cap      c: scores become c tanh(score / c) before the bias; then without `dropped`
    returns  (B, H, T, J)

    Plain twin: keys and values put together. Check: tinylm gradcheck ring_attention
    """
    check_heads("ring_attention", q, k, v)
    return _ring_attention(
        q, k, v, bias, comm=comm, total=total, causal=causal, balanced=balanced, scale=scale,
        dropped=dropped, window=window, held=held, cap=cap,
    )  # fmt: skip


class _Scores:
    """The scores of a rank's queries against the keys of any rank, and their derivatives.

    q5      (B, G, R, T, K), R query heads for each of keys
    bias5   (1, G|1, R|1, T, total), or None
    places  positions of every rank;  others as in ring_attention
    """

    def __init__(self, q5, bias5, places, rank, causal, scale, window, held, cap):
        self.q5, self.bias5, self.places, self.mine = q5, bias5, places, places[rank]
        self.causal, self.scale, self.window, self.cap = causal, scale, window, cap
        self.held = None if held is None else to_device(held, device_of(q5))

    def __call__(self, keys, source):
        """(B, G, R, T, own) against keys (B, G, own, K) of a rank; -inf for what is not seen."""
        at = self.places[source]
        scores = self._capped(keys)
        if self.bias5 is not None:
            scores = scores + self.bias5[..., at]
        held = None if self.held is None else self.held[:, at]
        seen = visible(self.mine, at, self.causal, self.window, held)
        if seen is None:
            return scores
        return np.where(seen, scores, -np.inf)

    def _capped(self, keys):
        scores = self.q5 @ keys[:, :, None].swapaxes(-1, -2) * self.scale
        if self.cap is None:
            return scores
        return np.tanh(scores / self.cap) * self.cap

    def backward(self, ds, keys):
        """(dq5, dk) of the cotangent of what __call__ returned for these keys."""
        if self.cap is not None:  # d (c tanh(s / c)) = (1 - tanh^2) ds
            ds = ds * (1 - (self._capped(keys) / self.cap) ** 2)
        ds = ds * self.scale
        return ds @ keys[:, :, None], np.sum(ds.swapaxes(-1, -2) @ self.q5, axis=2)


@fused(_by_whole_sequence, name="ring_attention", reads="both")
def _ring_attention(
    q, k, v, bias, *, comm, total, causal, balanced, scale, dropped, window, held, cap, keep
):
    """See ring_attention()."""
    B, H, T, K = q.shape
    G, J = k.shape[1], v.shape[3]
    groups, device = (B, G, H // G, T), device_of(q)
    places = [
        to_device(own_positions(total, r, comm.size, balanced), device) for r in range(comm.size)
    ]
    q5, bias5 = q.reshape(*groups, K), None
    if bias is not None:
        heads = (1, 1) if bias.shape[0] == 1 else (G, H // G)
        bias5 = bias.reshape(1, *heads, T, total)
    scale = score_scale(K, scale)
    scores_of = _Scores(q5, bias5, places, comm.rank, causal, scale, window, held, cap)
    kept = _kept_of(dropped, groups, places, device)
    y5, norm = _attended(q5, J, _round(comm, k, v, places), scores_of, kept)

    def backward(g):
        g5 = g.reshape(*groups, J)
        dq, dk, dv, db = _derivatives(g5, y5, norm, k, v, comm, scores_of, kept)
        if bias is not None:
            db = db.reshape(bias.shape)
        return dq.reshape(q.shape), dk, dv, db

    return y5.reshape(B, H, T, J), backward


def _kept_of(dropped, groups, places, device):
    """Function: source -> what dropout leaves of the weights of its keys, (B, G, R, T, own); None
    without dropout.
    """
    if dropped is None:
        return None
    dropped = to_device(dropped, device)
    return lambda source: dropped[..., places[source]].reshape(*groups, len(places[source]))


def _attended(q5, width, shares, scores_of, kept):
    """The outputs of the rank's queries, and the log of the sum of exp of all their scores.

    q5      (B, G, R, T, K);  width J of values
    shares  of _round();  scores_of _Scores;  kept of _kept_of()
    returns (B, G, R, T, J), (B, G, R, T, 1)
    """
    top = np.full_like(q5, -np.inf, shape=(*q5.shape[:4], 1))
    below = np.zeros_like(top)
    above = np.zeros_like(q5, shape=(*q5.shape[:4], width))
    for source, keys, values in shares:
        scores = scores_of(keys, source)
        higher = top
        if scores.shape[-1]:
            higher = np.maximum(top, np.max(scores, axis=-1, keepdims=True))
        # What was summed so far was divided by exp(top), and is by exp(higher) from now on.
        shift = np.where(np.isfinite(higher), higher, 0)
        faded = np.exp(np.where(np.isfinite(top), top - shift, -np.inf))
        p = np.exp(scores - shift)
        below = below * faded + np.sum(p, axis=-1, keepdims=True)
        if kept is not None:
            p = p * kept(source)
        above = above * faded + p @ values[:, :, None]
        top = higher
    y5 = above / np.where(below == 0, 1, below)
    # A query that sees nothing has weights of 0 everywhere.
    return y5, np.where(below == 0, np.inf, top + np.log(np.where(below == 0, 1, below)))


def _derivatives(g5, y5, norm, k, v, comm, scores_of, kept):
    """Derivatives by q5, k, v and bias5 (None without one) of the loss with cotangent g5 of y5."""
    # With P = exp(S - norm), M the dropout mask and A = P M:  dV = A^T g,  dA = g V^T,
    #   dS = P (M dA - sum_j g_j y_j),  dbias = dS,  dq = dS k scale,  dk = dS^T q scale.
    places, bias5 = scores_of.places, scores_of.bias5
    delta = np.sum(g5 * y5, axis=-1, keepdims=True)
    dq, dk, dv = np.zeros_like(scores_of.q5), np.zeros_like(k), np.zeros_like(v)
    db = None if bias5 is None else np.zeros_like(bias5)
    for source, keys, values in _round(comm, k, v, places):
        a = p = np.exp(scores_of(keys, source) - norm)
        da = g5 @ values[:, :, None].swapaxes(-1, -2)
        if kept is not None:
            a, da = p * kept(source), da * kept(source)
        ds = p * (da - delta)
        if db is not None:  # summed over what the bias is broadcast along
            axes = tuple(axis for axis in range(3) if bias5.shape[axis] == 1)
            db[..., places[source]] = np.sum(ds, axis=axes, keepdims=True)
        own_dq, own_dk = scores_of.backward(ds, keys)
        dq += own_dq
        # Gradients travel with their keys: one step behind, they are home after n.
        dk += own_dk
        dv += np.sum(a.swapaxes(-1, -2) @ g5, axis=2)
        dk, dv = _handed_on(comm, dk, source, places), _handed_on(comm, dv, source, places)
    return dq, dk, dv, db


def _round(comm, k, v, places):
    """Yield (rank they are of, keys, values) for the shares of all ranks, the own first."""
    for step in range(comm.size):
        source = (comm.rank - step) % comm.size
        yield source, k, v
        if step < comm.size - 1:
            k, v = (_handed_on(comm, x, source, places) for x in (k, v))


def _handed_on(comm, x, source, places):
    """Send x, of the share of rank `source`, to the right, and take the next one from the left."""
    n = comm.size
    if n == 1:
        return x
    coming = len(places[(source - 1) % n])
    like = np.empty((*x.shape[:2], coming, x.shape[3]), x.dtype)
    return comm.sendrecv(x, (comm.rank + 1) % n, like, (comm.rank - 1) % n)
