"""Mixture of experts: many feed-forwards, one or two for each token   (book section 2.2.2).

    y = sum over the chosen experts e of gate_e(x) FeedForward_e(x)

A layer has more parameters at the same cost per token. Switch (Fedus et al. 2022) takes one expert,
GShard (Lepikhin et al. 2021) and Mixtral (Jiang et al. 2024) two. `route` chooses the experts,
`MixtureOfExperts` runs them. A router that sends all tokens to one expert learns nothing about the
others, so two penalties are added to the loss. Shapes: n tokens, E experts, k experts per token.
Read next: feedforward.py, whose signature this layer keeps.

`layer(x)` returns y alone, like every feed-forward; `layer.forward_with_auxiliary(x)` returns y and
the penalties. In a model of many layers,

    with collect_auxiliary(model) as penalties:
        logits = model(ids)
    loss = cross_entropy(logits, targets) + sum(penalties)

Outside of it, and inside no_grad(), the penalties are not computed. checkpoint() runs its function
without recording and returns one Tensor, so a penalty collected inside would silently have no
gradient: that raises an error, and `checkpointed` is the correct way.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import (
    Tensor,
    checkpoint,
    concatenate,
    embedding,
    is_recording,
    logsumexp,
    pad,
    softmax,
    take_along_axis,
    topk,
)
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.errors import ConfigError, GraphError, ShapeError
from tinylm.nn.feedforward import feed_forward
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module


@dataclass(frozen=True)
class Routing:
    """Which experts n tokens are sent to, and with what weights.

    experts  (n, k) integers: the chosen experts, best first
    gates    (n, k) Tensor: the weight of each choice's output
    kept     (n, k) bool: False where the expert was full and the choice is dropped
    load     (E,) integers: how many choices each expert keeps
    dropped  how many choices are not kept
    """

    experts: np.ndarray
    gates: Tensor
    kept: np.ndarray
    load: np.ndarray
    dropped: int


def capacity(tokens, experts, k, factor):
    """ceil(factor n k / E): the most choices an expert takes.

    With factor 1 nothing is dropped only if all experts get equally many.
    """
    return math.ceil(factor * tokens * k / experts)


def route(logits, k=1, capacity_factor=None, mask=None, gates="probability"):
    """Choose k experts for each token.

    logits           (n, E) Tensor, the router's scores
    k                experts per token. For k = 1 the gate is the expert's probability (Switch:
                     otherwise the router would get no gradient); for k > 1 the k probabilities are
                     divided by their sum (GShard, Mixtral)
    capacity_factor  see capacity(); None drops nothing
    gates            "share": for k = 1, too, the gate is divided by the sum, so it is 1 (Mixtral)
    mask             (n,) bool, True for tokens: padding goes to no expert, and the capacity is that
                     for the tokens alone. None: all rows are tokens
    returns          Routing. An expert takes all first choices before any second one, and among
                     these the earlier tokens
    """
    n, E = logits.shape
    if not 1 <= k <= E:
        raise ConfigError(f"route: k = {k} experts of {E}: choose between 1 and {E}")
    rows = real_rows(mask, n, "route")
    if rows is not None:  # route the tokens alone, then put them back among the padding
        at, rank = rows
        inner = route(embedding(at, logits), k, capacity_factor, gates=gates)
        experts = np.zeros_like(at, shape=(n, k))
        kept = np.zeros_like(at, bool, shape=(n, k))
        experts[at] = inner.experts
        kept[at] = inner.kept
        return Routing(experts, _spread(inner.gates, rank), kept, inner.load, inner.dropped)

    chosen, experts = topk(logits, k)  # (n, k) each
    if k == 1 and gates == "probability":
        gates = take_along_axis(softmax(logits), experts, -1)  # p_e over all E, (n, 1)
    else:
        gates = softmax(chosen)  # p_e / sum of the chosen p, (n, k)

    # Each expert has a queue: all first choices in order of the tokens, then all second ones.
    queue = experts.T.reshape(-1)  # (n, k) -> (k n,)
    takes = queue[:, None] == np.arange(E, like=queue)  # (k n, E), one True in each row
    takes = takes.astype(np.int64)
    number = (np.cumsum(takes, axis=0) * takes).sum(-1)  # (k n,), 1 for the first in its queue
    room = n * k
    if capacity_factor is not None:
        room = capacity(n, E, k, capacity_factor)
    kept = number <= room
    load = (takes * kept[:, None]).sum(0)  # (E,)
    return Routing(experts, gates, kept.reshape(k, n).T, load, int(n * k - load.sum()))


def real_rows(mask, n, operation):
    """Which of n rows are tokens and not padding.

    Rows of padding are left out rather than multiplied by 0: 0 x nan is nan.

    mask     bool of n elements in any shape, True for tokens; or None
    returns  None if all rows are tokens; else (indices (r,) of the tokens, rank (n,)): rank counts
             the tokens from 1, and is 0 for padding
    raises   DtypeError if it is not bool, ShapeError if it has another size
    """
    mask = bool_mask(mask, operation, bias=None)
    if mask is None:
        return None
    if mask.size != n:
        raise ShapeError(
            f"{operation}: a mask of shape {mask.shape} for {n} tokens: give one entry for each"
        )
    mask = mask.reshape(-1)
    if mask.all():
        return None
    return mask.nonzero()[0], np.cumsum(mask) * mask


def _spread(rows, rank):
    """Rows of the tokens put back among the padding, which gets zeros: (r, D) -> (n, D).

    rank  (n,), as of real_rows()
    """
    with_zeros = pad(rows, ((1, 0), (0, 0)))  # (r + 1, D), row 0 for padding
    return embedding(rank, with_zeros)


def load_balancing_loss(logits, experts, mask=None):
    """E sum_e f_e P_e   (Fedus et al. 2022, eq. 4).

    f_e is the fraction of choices that fall on expert e, P_e its mean probability. f is constant,
    so the gradient comes through P.

    logits   (n, E) Tensor
    experts  (n, k) integers, the choices before any is dropped
    mask     (n,) bool, True for tokens; padding does not count. None: all rows are tokens
    returns  Tensor (); 1 if the load is even, up to E if all goes to one expert; 0 if n = 0
    """
    n, E = logits.shape
    rows = real_rows(mask, n, "load_balancing_loss")
    if rows is not None:
        return load_balancing_loss(embedding(rows[0], logits), experts[rows[0]])
    if n == 0:
        return logits.sum()
    takes = experts.reshape(-1)[:, None] == np.arange(E, like=experts)  # (n k, E)
    f = takes.mean(0).astype(logits.dtype)  # (E,)
    P = softmax(logits).mean(axis=0)  # (E,)
    return (P * f).sum() * E


def router_z_loss(logits, mask=None):
    """mean over tokens of (log sum_e exp(logit_e))^2   (Zoph et al. 2022, eq. 5).

    It keeps the router's scores small, where softmax in low precision is accurate.

    logits   (n, E) Tensor
    mask     (n,) bool, True for tokens; padding does not count. None: all rows are tokens
    returns  Tensor ()
    """
    rows = real_rows(mask, len(logits), "router_z_loss")
    if rows is not None:
        logits = embedding(rows[0], logits)
    if len(logits) == 0:
        return logits.sum()
    return (logsumexp(logits, axis=-1) ** 2).mean()


class MixtureOfExperts(Module):
    """A feed-forward made of E feed-forwards and a router.

    y = sum over the chosen e of gate_e FeedForward_e(x)

    d_model, d_hidden, rng, activation, bias, out_std, dtype   of each expert, as in FeedForward
    experts          E
    k                experts per token
    capacity_factor  see capacity(); a dropped choice contributes zero, so a token whose choices are
                     all dropped passes the block on its residual connection alone. None drops
                     nothing
    gates            see route()
    balance, z       weights of the two penalties. The defaults are those of Switch and ST-MoE
    """

    def __init__(
        self,
        d_model,
        d_hidden,
        rng,
        activation="gelu",
        bias=True,
        out_std=INIT_STD,
        dtype=np.float32,
        *,
        experts=8,
        k=1,
        capacity_factor=None,
        balance=0.01,
        z=0.001,
        gates="probability",
    ):
        if not 1 <= k <= experts:
            raise ConfigError(
                f"MixtureOfExperts: k = {k} experts of {experts}: choose between 1 and {experts}"
            )
        if capacity_factor is not None and capacity_factor <= 0:
            raise ConfigError(
                f"MixtureOfExperts: capacity factor {capacity_factor} must be above 0, "
                "or None for no limit"
            )
        self.router = Linear(d_model, experts, rng, bias=False, dtype=dtype)
        kind = feed_forward(activation)  # plain or gated
        self.experts = [
            kind(d_model, d_hidden, rng, activation, bias, out_std, dtype) for _ in range(experts)
        ]
        self.k = k
        self.capacity_factor = capacity_factor
        self.balance = balance
        self.z = z
        self.gates = gates
        self.collector = None  # set by collect_auxiliary() while it is open

    def __call__(self, x, mask=None):
        """The weighted outputs of the chosen experts: x (..., D) -> (..., D).

        mask  (...) bool, True for tokens; padding goes to no expert and gets zeros. None: that of
              collect_auxiliary() while it is open, or else all are tokens
        """
        if self.collector is None:
            return self._run(x, mask)[0]
        if mask is None:
            mask = self.collector.mask
        self.collector.calls += 1
        if not is_recording():
            return self._run(x, mask)[0]
        y, auxiliary = self.forward_with_auxiliary(x, mask)
        self.collector.penalties.append(auxiliary)
        return y

    def forward_with_auxiliary(self, x, mask=None):
        """The output and the penalties.

        x        (..., D)
        mask     (...) bool, True for tokens; None: all are
        returns  (y (..., D), Tensor ()): balance * load_balancing_loss + z * router_z_loss
        """
        y, logits, routing = self._run(x, mask)
        balance = load_balancing_loss(logits, routing.experts)
        return y, self.balance * balance + self.z * router_z_loss(logits)

    def route(self, x, mask=None):
        """The Routing of x (..., D) as n rows, to inspect loads and dropped choices."""
        logits = self.router(x.reshape(-1, x.shape[-1]))  # (..., D) -> (n, D) -> (n, E)
        return route(logits, self.k, self.capacity_factor, mask, self.gates)

    def _run(self, x, mask=None):
        """(y (..., D), logits (n, E), Routing); the last two without the padding."""
        rows = x.reshape(-1, x.shape[-1])  # (..., D) -> (n, D)
        real = real_rows(mask, len(rows), "MixtureOfExperts")
        if real is None:
            y, logits, routing = self._run_rows(rows)
        else:
            at, rank = real
            y, logits, routing = self._run_rows(embedding(at, rows))
            y = _spread(y, rank)
        return y.reshape(x.shape), logits, routing

    def _run_rows(self, rows):
        """_run() on rows (n, D) that are all tokens."""
        logits = self.router(rows)  # (n, D) -> (n, E)
        routing = route(logits, self.k, self.capacity_factor, gates=self.gates)
        # Each expert computes its own tokens only; the outputs of all are stacked, and row_of
        # records where the output of each choice lies.
        outputs = []
        used = 0
        row_of = np.zeros_like(routing.experts)  # (n, k); row 0 for dropped choices
        for e, expert in enumerate(self.experts):
            token, choice = np.nonzero((routing.experts == e) & routing.kept)
            if not len(token):
                continue
            outputs.append(expert(embedding(token, rows)))  # (load_e, D)
            row_of[token, choice] = used + np.arange(1, len(token) + 1, like=token)
            used += len(token)
        if not outputs:  # no tokens: (0, D), recorded so that gradients have their shapes
            return rows * routing.gates.sum(axis=1, keepdims=True), logits, routing
        stacked = pad(concatenate(outputs), ((1, 0), (0, 0)))  # (1 + kept, D), row 0 zeros
        picked = embedding(row_of, stacked)  # (n, k, D)
        gates = routing.gates.reshape(*routing.gates.shape, 1)  # (n, k, 1)
        y = (picked * gates).sum(axis=1)  # sum over the chosen e of gate_e FeedForward_e(x), (n, D)
        return y, logits, routing


def has_experts(model):
    """Whether some layer of a model is a MixtureOfExperts."""
    if not isinstance(model, Module):
        return False
    return any(isinstance(part, MixtureOfExperts) for part in model.modules())


class _Collector:
    """The penalties of the layers that run inside collect_auxiliary().

    It is no list, because the lists of a module are searched for parameters.
    """

    def __init__(self, mask=None):
        self.penalties = []
        self.calls = 0
        self.mask = mask


@contextlib.contextmanager
def collect_auxiliary(model, mask=None):
    """A context that collects the penalties of every MixtureOfExperts in `model`.

    mask    (B, T) bool, the shape of the model's input, True for tokens: padding takes no part in
            routing, capacity or penalties. None: all are tokens
    yields  a list of Tensors (), one for each layer that has run
    raises  GraphError at its end if a layer ran without being recorded, inside checkpoint(): see
            checkpointed(). Inside no_grad() the list stays empty
    """
    layers = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    collector = _Collector(mask)
    outer = [layer.collector for layer in layers]  # contexts may be nested
    for layer in layers:
        layer.collector = collector
    try:
        yield collector.penalties
    finally:
        for layer, before in zip(layers, outer):
            layer.collector = before
    lost = collector.calls - len(collector.penalties)
    if is_recording() and lost > 0:
        raise GraphError(
            f"collect_auxiliary: {lost} of {collector.calls} layers of experts ran inside "
            "checkpoint() or no_grad(), where their auxiliary loss has no gradient: "
            "use experts.checkpointed()"
        )


def checkpointed(layer, x, mask=None):
    """layer.forward_with_auxiliary(x), recomputed in the backward pass.

    checkpoint() returns one Tensor, so output and penalty travel in the same one.
    """

    def both(x):
        y, auxiliary = layer.forward_with_auxiliary(x, mask)
        return concatenate([y.reshape(-1), auxiliary.reshape(1)])  # (n D + 1,)

    out = checkpoint(both, x)
    return out[:-1].reshape(x.shape), out[-1]
