"""Mixture of experts: many feed-forwards, of which a router picks one or two for each token   (book
section 2.2.2).

More parameters at the same cost per token. Switch (Fedus et al. 2022) takes one expert, GShard
(Lepikhin et al. 2021) and Mixtral (Jiang et al. 2024) two. `route` decides, `MixtureOfExperts`
carries out; a router that sends everything to one expert learns nothing about the others, so two
penalties go into the loss. Read next: feedforward.py, whose signature this layer keeps.

Where the penalties go. `layer(x)` gives y alone, like every feed-forward, and
`layer.forward_with_auxiliary(x)` gives both; nothing is kept on the layer behind anyone's back. In
a model of many layers,

    with collect_auxiliary(model) as penalties:
        logits = model(ids)
    loss = cross_entropy(logits, targets) + sum(penalties)

Outside of it, and inside no_grad(), the penalties are not computed. checkpoint() runs its function
without recording and hands back one Tensor, so a penalty collected inside would silently have no
gradient: that is refused with an error, and `checkpointed` does it right.
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
    """Where n tokens go.

    experts  (n, k) integers: the chosen experts, best first
    gates    (n, k) Tensor: the weight of each choice's output
    kept     (n, k) bool: False where the expert was full and the choice is dropped
    load     (E,) integers: choices kept by each expert;  dropped: how many were not
    """

    experts: np.ndarray
    gates: Tensor
    kept: np.ndarray
    load: np.ndarray
    dropped: int


def capacity(tokens, experts, k, factor):
    """The most choices an expert takes: ceil(factor n k / E); factor 1 is just enough if all get
    equally many.
    """
    return math.ceil(factor * tokens * k / experts)


def route(logits, k=1, capacity_factor=None, mask=None, gates="probability"):
    """Choose k experts for each token.

    logits           (n, E) Tensor, the router's scores
    k                experts per token. For k = 1 the gate is the expert's probability (Switch:
                     otherwise the router would get no gradient); for k > 1 the k probabilities are
                     divided by their sum (GShard, Mixtral)
    capacity_factor  see capacity(); None drops nothing
    gates            "share": also a single expert's gate is its share of the chosen, 1 (Mixtral)
    mask             (n,) bool, True for tokens: padding goes to no expert, takes no room and makes
                     none. None: all are
    returns          Routing. Room is given to all first choices before any second, and among equals
                     to earlier tokens
    """
    n, E = logits.shape
    if not 1 <= k <= E:
        raise ConfigError(f"route: k = {k} experts of {E}: choose between 1 and {E}")
    rows = real_rows(mask, n, "route")
    if rows is not None:
        at, places = rows
        inner = route(embedding(at, logits), k, capacity_factor, gates=gates)
        experts, kept = np.zeros_like(at, shape=(n, k)), np.zeros_like(at, bool, shape=(n, k))
        experts[at], kept[at] = inner.experts, inner.kept
        return Routing(experts, _spread(inner.gates, places), kept, inner.load, inner.dropped)
    chosen, experts = topk(logits, k)  # (n, k) each
    alone = k == 1 and gates == "probability"
    gates = take_along_axis(softmax(logits), experts, -1) if alone else softmax(chosen)
    queue = experts.T.reshape(-1)  # (k n,): first choices, then second
    takes = (queue[:, None] == np.arange(E, like=queue)).astype(
        np.int64
    )  # (k n, E), one 1 in each row
    place = (np.cumsum(takes, axis=0) * takes).sum(-1)  # 1 for the first in its expert's queue
    kept = place <= (n * k if capacity_factor is None else capacity(n, E, k, capacity_factor))
    load = (takes * kept[:, None]).sum(0)
    return Routing(experts, gates, kept.reshape(k, n).T, load, int(n * k - load.sum()))


def real_rows(mask, n, operation):
    """Where the tokens stand among n rows, and for each row its place among them, from 1; 0 for
    padding.

    Rows of padding are left out rather than weighed with 0: 0 x nan is nan.

    mask     bool of n elements in any shape, True for tokens; or None
    returns  (indices (r,), places (n,)), or None where all rows are tokens
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


def _spread(rows, places):
    """Rows of the tokens in the places of all, zeros for padding: (r, ...) -> (n, ...)."""
    return embedding(places, pad(rows, ((1, 0), (0, 0))))


def load_balancing_loss(logits, experts, mask=None):
    """E sum_e f_e P_e: f the fraction of choices of each expert, P its mean probability   (Fedus et
    al. 2022, eq. 4)

    logits   (n, E) Tensor;  experts (n, k) integers, the choices before any is dropped
    mask     (n,) bool, True for tokens, which alone count; None: all are
    returns  Tensor (); 1 if everything is even, up to E if all goes to one. f is constant: the
             gradient is through P. 0 without a token
    """
    n, E = logits.shape
    rows = real_rows(mask, n, "load_balancing_loss")
    if rows is not None:
        return load_balancing_loss(embedding(rows[0], logits), experts[rows[0]])
    if n == 0:
        return logits.sum()
    chosen = (experts.reshape(-1)[:, None] == np.arange(E, like=experts)).mean(0)  # (E,)
    return (softmax(logits).mean(axis=0) * chosen.astype(logits.dtype)).sum() * E


def router_z_loss(logits, mask=None):
    """mean (log sum_e exp(logits))^2: keeps the router's scores small, where softmax is exact
    (Zoph et al. 2022)

    logits (n, E) Tensor;  mask (n,) bool, True for tokens, which alone count; None: all are
    """
    rows = real_rows(mask, len(logits), "router_z_loss")
    if rows is not None:
        logits = embedding(rows[0], logits)
    if len(logits) == 0:
        return logits.sum()
    return (logsumexp(logits, axis=-1) ** 2).mean()


class MixtureOfExperts(Module):
    """A feed-forward made of E feed-forwards and a router: y = sum over the chosen e of gate_e
    FeedForward_e(x).

    d_model, d_hidden, rng, activation, bias, out_std, dtype   of each expert, as in FeedForward
    experts          E
    k                experts per token
    capacity_factor  see capacity(); a dropped choice contributes zero, so that a token dropped
                     altogether goes through the block on its residual connection alone. None drops
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
                f"MixtureOfExperts: capacity factor {capacity_factor} must be above 0, or None for no limit"
            )
        self.router = Linear(d_model, experts, rng, bias=False, dtype=dtype)
        self.experts = [
            feed_forward(activation)(d_model, d_hidden, rng, activation, bias, out_std, dtype)
            for _ in range(experts)
        ]
        self.k, self.capacity_factor, self.balance, self.z = k, capacity_factor, balance, z
        self.gates = gates
        self.collector = None  # set by collect_auxiliary() while it is open

    def __call__(self, x, mask=None):
        """x (..., D) -> (..., D).

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
        """x (..., D) -> (y (..., D), Tensor ()): the output, and balance * load_balancing_loss + z
        * router_z_loss.

        mask  (...) bool, True for tokens; None: all are
        """
        y, logits, routing = self._run(x, mask)
        balance = load_balancing_loss(logits, routing.experts)
        return y, self.balance * balance + self.z * router_z_loss(logits)

    def route(self, x, mask=None):
        """The Routing of x (..., D), its tokens counted as n rows: for looking at loads and drops."""
        return route(
            self.router(x.reshape(-1, x.shape[-1])), self.k, self.capacity_factor, mask, self.gates
        )

    def _run(self, x, mask=None):
        """(y (..., D), logits, Routing), both of these of the tokens alone."""
        rows = x.reshape(-1, x.shape[-1])  # (..., D) -> (n, D)
        real = real_rows(mask, len(rows), "MixtureOfExperts")
        if real is None:
            y, logits, routing = self._run_rows(rows)
        else:
            y, logits, routing = self._run_rows(embedding(real[0], rows))
            y = _spread(y, real[1])
        return y.reshape(x.shape), logits, routing

    def _run_rows(self, rows):
        logits = self.router(rows)  # (n, E)
        routing = route(logits, self.k, self.capacity_factor, gates=self.gates)
        parts = []
        used = 0
        place = np.zeros_like(routing.experts)  # place: row of each choice's output
        for e, expert in enumerate(self.experts):
            token, choice = np.nonzero((routing.experts == e) & routing.kept)
            if not len(token):
                continue
            parts.append(expert(embedding(token, rows)))  # its tokens only: (load, D)
            place[token, choice] = used + np.arange(1, len(token) + 1, like=token)
            used += len(token)
        if not parts:  # no tokens: (0, D), and gradients of that
            return rows * routing.gates.sum(axis=1, keepdims=True), logits, routing
        outputs = pad(concatenate(parts), ((1, 0), (0, 0)))  # row 0, zeros, is for dropped choices
        picked = embedding(place, outputs)  # (n, k, D)
        y = (picked * routing.gates.reshape(*routing.gates.shape, 1)).sum(axis=1)  # (n, D)
        return y, logits, routing


def has_experts(model):
    """Whether some layer of a model is a MixtureOfExperts."""
    parts = model.modules() if isinstance(model, Module) else ()
    return any(isinstance(part, MixtureOfExperts) for part in parts)


class _Collector:  # no list: a module's lists are searched for parameters
    def __init__(self, mask=None):
        self.penalties, self.calls, self.mask = [], 0, mask


@contextlib.contextmanager
def collect_auxiliary(model, mask=None):
    """Collect the auxiliary loss of every MixtureOfExperts in `model` that runs inside. Yields a
    list of Tensors.

    mask    (B, T) bool, True for tokens: what the model reads has this shape, and padding takes no
            part in routing, capacity or penalties. None: all are tokens
    raises  GraphError at its end if a layer ran without being recorded, inside checkpoint(): see
            checkpointed(). Inside no_grad() the list stays empty
    """
    layers = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    mine, before = _Collector(mask), [layer.collector for layer in layers]
    for layer in layers:
        layer.collector = mine
    try:
        yield mine.penalties
    finally:
        for layer, collector in zip(layers, before):
            layer.collector = collector
    if is_recording() and len(mine.penalties) < mine.calls:
        raise GraphError(
            f"collect_auxiliary: {mine.calls - len(mine.penalties)} of {mine.calls} layers of experts ran inside "
            "checkpoint() or no_grad(), where their auxiliary loss has no gradient: use experts.checkpointed()"
        )


def checkpointed(layer, x, mask=None):
    """layer.forward_with_auxiliary(x), recomputed in the backward pass: checkpoint() with both
    results in one Tensor.
    """

    def both(x):
        y, auxiliary = layer.forward_with_auxiliary(x, mask)
        return concatenate([y.reshape(-1), auxiliary.reshape(1)])

    out = checkpoint(both, x)
    return out[:-1].reshape(x.shape), out[-1]
