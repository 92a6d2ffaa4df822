"""Mixture of experts: many feed-forwards, one or two for each token   (book section 2.2.2).

    y = sum over the chosen experts e of gate_e(x) FeedForward_e(x)

A layer has more parameters at the same cost per token. Switch (Fedus et al. 2022) takes one expert,
GShard (Lepikhin et al. 2021) and Mixtral (Jiang et al. 2024) two. `route` of routing.py chooses the
experts, `MixtureOfExperts` runs them. A router that sends all tokens to one expert learns nothing
about the others, so two penalties are added to the loss. Shapes: n tokens, E experts, k experts per
token. Read first: routing.py. Read next: feedforward.py, whose signature this layer keeps.

`layer(x)` returns y alone, like every feed-forward; `layer.forward_with_auxiliary(x)` returns y and
the penalties. In a model of many layers,

    with collect_auxiliary(model) as penalties:
        logits = model(ids)
    loss = cross_entropy(logits, targets) + sum(penalties)

In a Trainer the objective does it: CausalLM(balance=0.01, router_z=0.001), with the load of the
whole batch. Outside of the context, and inside no_grad(), the penalties are not computed.
checkpoint() runs its function without recording and returns one Tensor, so a penalty collected
inside would silently have no gradient: that raises an error, and `checkpointed` is the correct way.
"""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, checkpoint, concatenate, embedding, is_recording, pad
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, GraphError
from tinylm.nn.feedforward import feed_forward
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN
from tinylm.nn.routing import (
    Routing,
    capacity,
    load_balancing_loss,
    loads,
    real_rows,
    route,
    router_z_loss,
    spread,
    token_penalties,
)

__all__ = [
    "MixtureOfExperts",
    "Routing",
    "capacity",
    "checkpointed",
    "collect_auxiliary",
    "collect_routing",
    "has_experts",
    "load_balancing_loss",
    "loads",
    "route",
    "router_penalty",
    "router_z_loss",
]


class MixtureOfExperts(Module):
    """A feed-forward made of E feed-forwards and a router.

    y = sum over the chosen e of gate_e FeedForward_e(x)

    d_model, d_hidden, rng, activation, bias, out_std, dtype   of each expert, as in FeedForward
    experts          E
    k                experts per token
    capacity_factor  see capacity(); a dropped choice contributes zero, so a token whose choices are
                     all dropped passes the block on its residual connection alone. Nothing is
                     dropped outside training, or with None
    by_sequence      True: the tokens of each sequence have room of their own, so what is dropped
                     does not depend on the rest of the batch. False: those of a call share it
    gates            see route()
    balance, z       weights of the two penalties. The defaults are those of Switch and ST-MoE
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        rng: Random = OWN,
        activation: str = "gelu",
        bias: bool = True,
        out_std: float = INIT_STD,
        dtype: DType = np.float32,
        *,
        experts: int = 8,
        k: int = 1,
        capacity_factor: float | None = None,
        balance: float = 0.01,
        z: float = 0.001,
        gates: str = "probability",
        by_sequence: bool = False,
    ) -> None:
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
        self.by_sequence = by_sequence
        self.collector = None  # set by collect_auxiliary() while it is open

    def __call__(self, x: Tensor, mask: np.ndarray | None = None) -> Tensor:
        """The weighted outputs of the chosen experts: x (..., D) -> (..., D).

        mask  (...) bool, True for tokens; padding goes to no expert and gets zeros. None: that of
              collect_auxiliary() while it is open, or else all are tokens
        """
        if self.collector is None:
            return self._run(x, mask)[0]
        if mask is None:
            mask = self.collector.mask
        return self.collector.run(self, x, mask)

    def forward_with_auxiliary(
        self, x: Tensor, mask: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        """The output and the penalties.

        x        (..., D)
        mask     (...) bool, True for tokens; None: all are
        returns  (y (..., D), Tensor ()): balance * load_balancing_loss + z * router_z_loss
        """
        y, logits, routing = self._run(x, mask)
        balance = load_balancing_loss(logits, routing.experts)
        return y, self.balance * balance + self.z * router_z_loss(logits)

    def route(self, x: Tensor, mask: np.ndarray | None = None) -> Routing:
        """The Routing of x (..., D) as n rows, to inspect loads and dropped choices."""
        logits = self.router(x.reshape(-1, x.shape[-1]))  # (..., D) -> (n, D) -> (n, E)
        return route(logits, self.k, self.room(), mask, self.gates, self.groups(x))

    def room(self) -> float | None:
        """The capacity factor that holds now: None outside training."""
        return self.capacity_factor if self.training else None

    def groups(self, x: Tensor) -> np.ndarray | None:
        """The sequence that each of the n rows of x (..., T, D) belongs to: (n,) integers, or None
        where all share the room.
        """
        if not self.by_sequence or self.room() is None:
            return None
        return np.arange(x.size // x.shape[-1], like=x.data) // x.shape[-2]

    def _run(self, x, mask=None):
        """(y (..., D), logits (n, E), Routing); the last two without the padding."""
        rows = x.reshape(-1, x.shape[-1])  # (..., D) -> (n, D)
        real = real_rows(mask, len(rows), "MixtureOfExperts")
        groups = self.groups(x)
        own = () if groups is None else (groups,)
        if real is None:
            y, logits, routing = self._run_rows(rows, *own)
        else:
            at, rank = real
            y, logits, routing = self._run_rows(embedding(at, rows), *(g[at] for g in own))
            y = spread(y, rank)
        return y.reshape(x.shape), logits, routing

    def _run_rows(self, rows, groups=None):
        """_run() on rows (n, D) that are all tokens, of sequences `groups` (n,) or None."""
        logits = self.router(rows)  # (n, D) -> (n, E)
        routing = route(logits, self.k, self.room(), gates=self.gates, groups=groups)
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


def has_experts(model: Any) -> bool:
    """Whether some layer of a model is a MixtureOfExperts."""
    if not isinstance(model, Module):
        return False
    return any(isinstance(part, MixtureOfExperts) for part in model.modules())


class _Collector:
    """What the layers that run inside collect_auxiliary() or collect_routing() hand over.

    It is no list, because the lists of a module are searched for parameters.

    take    function: (layer, x, mask) -> (y, what is collected)
    always  also while nothing is recorded
    """

    def __init__(self, take, mask=None, always=False):
        self.take, self.mask, self.always = take, mask, always
        self.found = []
        self.calls = self.lost = 0

    def run(self, layer, x, mask):
        """layer(x), and what is collected of it."""
        recording = is_recording()
        self.calls += 1
        self.lost += not recording
        if not recording and not self.always:
            return layer._run(x, mask)[0]
        y, found = self.take(layer, x, mask)
        self.found.append(found)
        return y


@contextlib.contextmanager
def _collecting(model, collector):
    layers = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    outer = [layer.collector for layer in layers]  # contexts may be nested
    for layer in layers:
        layer.collector = collector
    try:
        yield collector.found
    finally:
        for layer, before in zip(layers, outer):
            layer.collector = before
    if is_recording() and collector.lost:
        raise GraphError(
            f"collect_auxiliary: {collector.lost} of {collector.calls} layers of experts ran "
            "inside checkpoint() or no_grad(), where their auxiliary loss has no gradient: "
            "use experts.checkpointed()"
        )


def collect_auxiliary(
    model: Module, mask: np.ndarray | None = None
) -> AbstractContextManager[list]:
    """A context that collects the penalties of every MixtureOfExperts in `model`.

    mask    (B, T) bool, the shape of the model's input, True for tokens: padding takes no part in
            routing, capacity or penalties. None: all are tokens
    yields  a list of Tensors (), one for each layer that has run
    raises  GraphError at its end if a layer ran without being recorded, inside checkpoint(): see
            checkpointed(). Inside no_grad() the list stays empty
    """

    def take(layer, x, mask):
        return layer.forward_with_auxiliary(x, mask)

    return _collecting(model, _Collector(take, mask))


@dataclass(frozen=True)
class Routed:
    """The choices that a layer of experts has made.

    logits   (r, E) Tensor, the router's scores of the r rows that are tokens
    experts  (r, k) integers
    rows     (r,) integers, which rows of the layer's input they are; None: all of them
    """

    logits: Tensor
    experts: np.ndarray
    rows: np.ndarray | None

    def counted(self, all_rows: np.ndarray) -> np.ndarray:
        """Of a (n,) bool over all rows, those that are tokens: (r,)."""
        return all_rows if self.rows is None else all_rows[self.rows]

    def load(self, all_rows: np.ndarray) -> np.ndarray:
        """loads() of the rows that count: (E,)."""
        return loads(self.experts, self.logits.shape[1], self.counted(all_rows))


def collect_routing(model: Module) -> AbstractContextManager[list]:
    """A context that collects what every MixtureOfExperts in `model` chooses, for penalties that
    are taken over a whole batch: see router_penalty().

    yields  a list of Routed, one for each layer that has run, also inside no_grad()
    raises  as collect_auxiliary()
    """

    def take(layer, x, mask):
        y, logits, routing = layer._run(x, mask)
        real = real_rows(mask, logits.shape[0] if mask is None else mask.size, "experts")
        return y, Routed(logits, routing.experts, None if real is None else real[0])

    return _collecting(model, _Collector(take, always=True))


def router_penalty(
    routed: Sequence[Routed],
    counted: np.ndarray,
    load: Sequence[np.ndarray] | np.ndarray,
    balance: float,
    z: float,
) -> Tensor | float:
    """token_penalties() of all layers, added up: a Tensor ().

    routed   list of Routed, of collect_routing()
    counted  (n,) bool, the rows that count
    load     (layers, E), how many choices of the whole batch fall on each expert, in each layer
    """
    total = 0.0
    for layer, own in zip(routed, load):
        total = total + token_penalties(layer.logits, own, layer.counted(counted), balance, z)
    return total


def checkpointed(
    layer: MixtureOfExperts, x: Tensor, mask: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """layer.forward_with_auxiliary(x), recomputed in the backward pass.

    checkpoint() returns one Tensor, so output and penalty travel in the same one.
    """

    def both(x):
        y, auxiliary = layer.forward_with_auxiliary(x, mask)
        return concatenate([y.reshape(-1), auxiliary.reshape(1)])  # (n D + 1,)

    out = checkpoint(both, x)
    return out[:-1].reshape(x.shape), out[-1]
