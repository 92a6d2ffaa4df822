"""Mixture of experts: many feed-forwards, of which a router picks one or two for each token   (book section 2.2.2).

More parameters at the same cost per token. Switch (Fedus et al. 2022) takes one expert, GShard (Lepikhin et al. 2021)
and Mixtral (Jiang et al. 2024) two. `route` decides, `MixtureOfExperts` carries out; a router that sends everything to
one expert learns nothing about the others, so two penalties go into the loss. Read next: feedforward.py, whose
signature this layer keeps.

Where the penalties go. `layer(x)` gives y alone, like every feed-forward, and `layer.forward_with_auxiliary(x)` gives
both; nothing is kept on the layer behind anyone's back. In a model of many layers,

    with collect_auxiliary(model) as penalties:
        logits = model(ids)
    loss = cross_entropy(logits, targets) + sum(penalties)

Outside of it, and inside no_grad(), the penalties are not computed. checkpoint() runs its function without
recording and hands back one Tensor, so a penalty collected inside would silently have no gradient: that is refused
with an error, and `checkpointed` does it right.
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
    where,
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
    """The most choices an expert takes: ceil(factor n k / E); factor 1 is just enough if all get equally many."""
    return math.ceil(factor * tokens * k / experts)


def route(logits, k=1, capacity_factor=None, mask=None):
    """Choose k experts for each token.

    logits           (n, E) Tensor, the router's scores
    k                experts per token. For k = 1 the gate is the expert's probability (Switch: otherwise the router would
                     get no gradient); for k > 1 the k probabilities are divided by their sum (GShard, Mixtral)
    capacity_factor  see capacity(); None drops nothing
    mask             (n,) bool, True for tokens: padding goes to no expert, takes no room and makes none. None: all are
    returns          Routing. Room is given to all first choices before any second, and among equals to earlier tokens
    """
    n, E = logits.shape
    if not 1 <= k <= E:
        raise ConfigError(f"route: k = {k} experts of {E}: choose between 1 and {E}")
    logits, mask, tokens = _real(logits, mask, "route")
    chosen, experts = topk(logits, k)                                                   # (n, k) each
    gates = take_along_axis(softmax(logits), experts, -1) if k == 1 else softmax(chosen)
    queue = experts.T.reshape(-1)                                                       # (k n,): first choices, then second
    takes = (queue[:, None] == np.arange(E, like=queue)).astype(np.int64)               # (k n, E), one 1 in each row
    real = mask if mask is True else np.concatenate([mask] * k)                         # (k n, 1)
    takes = takes * real
    place = (np.cumsum(takes, axis=0) * takes).sum(-1)                                  # 1 for the first in its expert's queue
    kept = place <= (n * k if capacity_factor is None else capacity(tokens, E, k, capacity_factor))
    kept = kept if real is True else kept & real[:, 0]
    load = (takes * kept[:, None]).sum(0)
    return Routing(experts, gates, kept.reshape(k, n).T, load, int(tokens * k - load.sum()))


def _real(logits, mask, operation):
    """Scores with padding's set to 0, so that nothing comes of them; the mask as (n, 1), or True; and how many count."""
    mask, n = bool_mask(mask, operation, bias=None), logits.shape[0]
    if mask is None:
        return logits, True, n
    if mask.size != n:
        raise ShapeError(f"{operation}: a mask of shape {mask.shape} for {n} tokens: give one entry for each")
    mask = mask.reshape(n, 1)
    return where(mask, logits, 0.0), mask, int(np.sum(mask))


def load_balancing_loss(logits, experts, mask=None):
    """E sum_e f_e P_e: f the fraction of choices of each expert, P its mean probability   (Fedus et al. 2022, eq. 4)

    logits   (n, E) Tensor;  experts (n, k) integers, the choices before any is dropped
    mask     (n,) bool, True for tokens, which alone count; None: all are
    returns  Tensor (); 1 if everything is even, up to E if all goes to one. f is constant: the gradient is through P.
             0 without a token
    """
    E, k = logits.shape[-1], experts.shape[-1]
    logits, mask, tokens = _real(logits, mask, "load_balancing_loss")
    hits = experts[..., None] == np.arange(E, like=experts)                             # (n, k, E)
    hits = hits if mask is True else hits & mask[..., None]
    chosen = hits.sum(axis=(0, 1)) / max(tokens * k, 1)                                 # (E,)
    P = softmax(logits)
    P = (P if mask is True else where(mask, P, 0.0)).sum(axis=0) / max(tokens, 1)
    return (P * chosen.astype(logits.dtype)).sum() * E


def router_z_loss(logits, mask=None):
    """mean (log sum_e exp(logits))^2: keeps the router's scores small, where softmax is exact   (Zoph et al. 2022)

    logits (n, E) Tensor;  mask (n,) bool, True for tokens, which alone count; None: all are
    """
    logits, mask, tokens = _real(logits, mask, "router_z_loss")
    squares = logsumexp(logits, axis=-1, keepdims=True) ** 2                            # (n, 1)
    return (squares if mask is True else where(mask, squares, 0.0)).sum() / max(tokens, 1)


class MixtureOfExperts(Module):
    """A feed-forward made of E feed-forwards and a router: y = sum over the chosen e of gate_e FeedForward_e(x).

    d_model, d_hidden, rng, activation, bias, out_std, dtype   of each expert, as in FeedForward
    experts          E
    k                experts per token
    capacity_factor  see capacity(); a dropped choice contributes zero, so that a token dropped altogether goes through
                     the block on its residual connection alone. None drops nothing
    balance, z       weights of the two penalties. The defaults are those of Switch and ST-MoE
    """

    def __init__(self, d_model, d_hidden, rng, activation="gelu", bias=True, out_std=INIT_STD, dtype=np.float32, *,
                 experts=8, k=1, capacity_factor=None, balance=0.01, z=0.001):
        if not 1 <= k <= experts:
            raise ConfigError(f"MixtureOfExperts: k = {k} experts of {experts}: choose between 1 and {experts}")
        if capacity_factor is not None and capacity_factor <= 0:
            raise ConfigError(f"MixtureOfExperts: capacity factor {capacity_factor} must be above 0, or None for no limit")
        self.router = Linear(d_model, experts, rng, bias=False, dtype=dtype)
        self.experts = [feed_forward(activation)(d_model, d_hidden, rng, activation, bias, out_std, dtype) for _ in range(experts)]
        self.k, self.capacity_factor, self.balance, self.z = k, capacity_factor, balance, z
        self.collector = None                               # set by collect_auxiliary() while it is open

    def __call__(self, x, mask=None):
        """x (..., D) -> (..., D).

        mask  (...) bool, True for tokens; padding goes to no expert and gets zeros. None: that of collect_auxiliary()
              while it is open, or else all are tokens
        """
        if self.collector is None:
            return self._run(x, mask)[0]
        mask = self.collector.mask if mask is None else mask
        self.collector.calls += 1
        if not is_recording():
            return self._run(x, mask)[0]
        y, auxiliary = self.forward_with_auxiliary(x, mask)
        self.collector.penalties.append(auxiliary)
        return y

    def forward_with_auxiliary(self, x, mask=None):
        """x (..., D) -> (y (..., D), Tensor ()): the output, and balance * load_balancing_loss + z * router_z_loss.

        mask  (...) bool, True for tokens; None: all are
        """
        y, logits, routing = self._run(x, mask)
        balance = load_balancing_loss(logits, routing.experts, mask)
        return y, self.balance * balance + self.z * router_z_loss(logits, mask)

    def route(self, x, mask=None):
        """The Routing of x (..., D), its tokens counted as n rows: for looking at loads and drops."""
        return route(self.router(x.reshape(-1, x.shape[-1])), self.k, self.capacity_factor, mask)

    def _run(self, x, mask=None):
        rows = x.reshape(-1, x.shape[-1])                                               # (..., D) -> (n, D)
        logits = self.router(rows)                                                      # (n, E)
        routing = route(logits, self.k, self.capacity_factor, mask)
        parts, used, place = [], 0, np.zeros_like(routing.experts)                      # place: row of each choice's output
        for e, expert in enumerate(self.experts):
            token, choice = np.nonzero((routing.experts == e) & routing.kept)
            if not len(token):
                continue
            parts.append(expert(embedding(token, rows)))                                # its tokens only: (load, D)
            place[token, choice] = used + np.arange(1, len(token) + 1, like=token)
            used += len(token)
        if not parts:                                       # nothing but padding, or nothing at all
            return where(np.zeros_like(x.data, bool), x, 0.0), logits, routing
        outputs = pad(concatenate(parts), ((1, 0), (0, 0)))                             # row 0, zeros, is for dropped choices
        picked = embedding(place, outputs)                                              # (n, k, D)
        y = (picked * routing.gates.reshape(*routing.gates.shape, 1)).sum(axis=1)       # (n, D)
        return y.reshape(x.shape), logits, routing


class _Collector:                                           # no list: a module's lists are searched for parameters
    def __init__(self, mask=None):
        self.penalties, self.calls, self.mask = [], 0, mask


@contextlib.contextmanager
def collect_auxiliary(model, mask=None):
    """Collect the auxiliary loss of every MixtureOfExperts in `model` that runs inside. Yields a list of Tensors.

    mask    (B, T) bool, True for tokens: what the model reads has this shape, and padding takes no part in routing,
            capacity or penalties. None: all are tokens
    raises  GraphError at its end if a layer ran without being recorded, inside checkpoint(): see checkpointed().
            Inside no_grad() the list stays empty
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
        raise GraphError(f"collect_auxiliary: {mine.calls - len(mine.penalties)} of {mine.calls} layers of experts ran inside "
                         "checkpoint() or no_grad(), where their auxiliary loss has no gradient: use experts.checkpointed()")


def checkpointed(layer, x, mask=None):
    """layer.forward_with_auxiliary(x), recomputed in the backward pass: checkpoint() with both results in one Tensor."""
    def both(x):
        y, auxiliary = layer.forward_with_auxiliary(x, mask)
        return concatenate([y.reshape(-1), auxiliary.reshape(1)])
    out = checkpoint(both, x)
    return out[:-1].reshape(x.shape), out[-1]
