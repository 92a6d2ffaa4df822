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
)
from tinylm.errors import ConfigError, GraphError
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


def route(logits, k=1, capacity_factor=None):
    """Choose k experts for each token.

    logits           (n, E) Tensor, the router's scores
    k                experts per token. For k = 1 the gate is the expert's probability (Switch: otherwise the router would
                     get no gradient); for k > 1 the k probabilities are divided by their sum (GShard, Mixtral)
    capacity_factor  see capacity(); None drops nothing
    returns          Routing. Room is given to all first choices before any second, and among equals to earlier tokens
    """
    n, E = logits.shape
    if not 1 <= k <= E:
        raise ConfigError(f"route: k = {k} experts of {E}: choose between 1 and {E}")
    chosen, experts = topk(logits, k)                                                   # (n, k) each
    gates = take_along_axis(softmax(logits), experts, -1) if k == 1 else softmax(chosen)
    queue = experts.T.reshape(-1)                                                       # (k n,): first choices, then second
    takes = (queue[:, None] == np.arange(E, like=queue)).astype(np.int64)               # (k n, E), one 1 in each row
    place = (np.cumsum(takes, axis=0) * takes).sum(-1)                                  # 1 for the first in its expert's queue
    kept = place <= (n * k if capacity_factor is None else capacity(n, E, k, capacity_factor))
    load = (takes * kept[:, None]).sum(0)
    return Routing(experts, gates, kept.reshape(k, n).T, load, int(n * k - load.sum()))


def load_balancing_loss(logits, experts):
    """E sum_e f_e P_e: f the fraction of choices of each expert, P its mean probability   (Fedus et al. 2022, eq. 4)

    logits   (n, E) Tensor;  experts (n, k) integers, the choices before any is dropped
    returns  Tensor (); 1 if everything is even, up to E if all goes to one. f is constant: the gradient is through P
    """
    E = logits.shape[-1]
    chosen = (experts.reshape(-1)[:, None] == np.arange(E, like=experts)).mean(0)       # (E,)
    return (softmax(logits).mean(axis=0) * chosen.astype(logits.dtype)).sum() * E


def router_z_loss(logits):
    """mean (log sum_e exp(logits))^2: keeps the router's scores small, where softmax is exact   (Zoph et al. 2022)"""
    return (logsumexp(logits, axis=-1) ** 2).mean()


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

    def __call__(self, x):
        """x (..., D) -> (..., D)."""
        if self.collector is None:
            return self._run(x)[0]
        self.collector.calls += 1
        if not is_recording():
            return self._run(x)[0]
        y, auxiliary = self.forward_with_auxiliary(x)
        self.collector.penalties.append(auxiliary)
        return y

    def forward_with_auxiliary(self, x):
        """x (..., D) -> (y (..., D), Tensor ()): the output, and balance * load_balancing_loss + z * router_z_loss."""
        y, logits, routing = self._run(x)
        return y, self.balance * load_balancing_loss(logits, routing.experts) + self.z * router_z_loss(logits)

    def route(self, x):
        """The Routing of x (..., D), its tokens counted as n rows: for looking at loads and drops."""
        return route(self.router(x.reshape(-1, x.shape[-1])), self.k, self.capacity_factor)

    def _run(self, x):
        rows = x.reshape(-1, x.shape[-1])                                               # (..., D) -> (n, D)
        logits = self.router(rows)                                                      # (n, E)
        routing = route(logits, self.k, self.capacity_factor)
        parts, used, place = [], 0, np.zeros_like(routing.experts)                      # place: row of each choice's output
        for e, expert in enumerate(self.experts):
            token, choice = np.nonzero((routing.experts == e) & routing.kept)
            if not len(token):
                continue
            parts.append(expert(embedding(token, rows)))                                # its tokens only: (load, D)
            place[token, choice] = used + np.arange(1, len(token) + 1, like=token)
            used += len(token)
        outputs = pad(concatenate(parts), ((1, 0), (0, 0)))                             # row 0, zeros, is for dropped choices
        picked = embedding(place, outputs)                                              # (n, k, D)
        y = (picked * routing.gates.reshape(*routing.gates.shape, 1)).sum(axis=1)       # (n, D)
        return y.reshape(x.shape), logits, routing


class _Collector:                                           # no list: a module's lists are searched for parameters
    def __init__(self):
        self.penalties, self.calls = [], 0


@contextlib.contextmanager
def collect_auxiliary(model):
    """Collect the auxiliary loss of every MixtureOfExperts in `model` that runs inside. Yields a list of Tensors.

    raises  GraphError at its end if a layer ran without being recorded, inside checkpoint(): see checkpointed().
            Inside no_grad() the list stays empty
    """
    layers = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    mine, before = _Collector(), [layer.collector for layer in layers]
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


def checkpointed(layer, x):
    """layer.forward_with_auxiliary(x), recomputed in the backward pass: checkpoint() with both results in one Tensor."""
    def both(x):
        y, auxiliary = layer.forward_with_auxiliary(x)
        return concatenate([y.reshape(-1), auxiliary.reshape(1)])
    out = checkpoint(both, x)
    return out[:-1].reshape(x.shape), out[-1]
