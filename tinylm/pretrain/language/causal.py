"""Causal language modeling: predict every token from the ones before it   (book section 2.1.2, eqs.
1.5, 2.13, 2.14).

A sequence x_0 .. x_T is read shifted by one: inputs x_0 .. x_{T-1}, targets x_1 .. x_T (teacher
forcing), so one pass through a causal model scores all T predictions. Maximizing the likelihood
(2.14) is minimizing the mean cross-entropy; its exponential is the perplexity. Read next:
train/step.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, is_recording
from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.backend import ArrayLike, Random, device_of, to_cpu, to_device
from tinylm.errors import ConfigError, DtypeError, ShapeError
from tinylm.nn.experts import collect_routing, has_experts, router_penalty
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, Batch, RoutedBatch
from tinylm.pretrain.score import padding_options


@dataclass(frozen=True)
class CausalLM:
    """The objective of GPT: mean negative log-probability of the next token.

    ignore           a token id that is never a target (padding); None if every token counts
    label_smoothing  see autograd's cross_entropy
    z_loss           see autograd's cross_entropy
    balance, router_z  weights of the penalties of a model's layers of experts, which are added to
                     the loss in training: nn.routing.token_penalties() over the inputs whose next
                     token counts, the load being that of the whole batch. To count it, the batch is
                     read once more, without gradients. Switch takes 0.01, ST-MoE 0.001 for the
                     scores
    """

    ignore: int | None = None
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    balance: float = 0.0
    router_z: float = 0.0

    def make_batch(self, sequences: ArrayLike, rng: Random | None = None) -> Batch:
        """Shift sequences by one.

        sequences  (B, T + 1) integers, T >= 1
        rng        unused: nothing is random here
        returns    Batch of inputs (B, T) = x_0 .. x_{T-1} and targets (B, T) = x_1 .. x_T
        raises     ShapeError, DtypeError
        """
        sequences = np.asarray(sequences)
        if sequences.ndim != 2 or sequences.shape[1] < 2:
            raise ShapeError(
                f"CausalLM.make_batch: sequences have shape {sequences.shape}, needs (B, T + 1) "
                "with T >= 1: one token has no successor to predict"
            )
        if sequences.dtype.kind not in "iu":
            raise DtypeError(
                f"CausalLM.make_batch: sequences are {sequences.dtype}, not integer token ids"
            )
        inputs, targets = sequences[:, :-1], sequences[:, 1:]  # (B, T + 1) -> (B, T) each
        if self.ignore is not None:  # padding is no target
            targets = np.where(targets == self.ignore, IGNORE, targets)
        if self.balance:
            return RoutedBatch(inputs, targets)
        return Batch(inputs, targets)

    def held(self, batch: Batch) -> np.ndarray | None:
        """(B, T) bool, True for inputs that are no padding; None without `ignore`."""
        if self.ignore is None:
            return None
        return batch.inputs != self.ignore

    def loss(
        self, model: Any, batch: Batch, reduction: str = "mean"
    ) -> tuple[Tensor, dict[str, float]]:
        """The cross-entropy of a model on a batch, in nats   (eq. 2.13 over the number of targets).

        model      callable: ids (B, T) -> logits (B, T, V) as a Tensor
        reduction  "mean" over the targets that count, or "sum" of them: -L_theta of eq. 2.13
        returns    (Tensor of shape (), {"tokens": targets that count, "loss": their mean as a
                   float; on a GPU a 0-d array, which the host does not wait for})
        """
        if reduction not in ("mean", "sum"):
            raise ConfigError(f"CausalLM.loss: reduction {reduction!r} is not 'mean' or 'sum'")
        options = padding_options(model, self.held(batch))
        routed = []
        if is_recording() and self.penalizes(model):
            with collect_routing(model) as routed:
                logits = model(batch.inputs, **options)  # (B, T, V)
        else:
            logits = model(batch.inputs, **options)
        # With p = softmax(logits[b, i]):  l(b, i) = -log p[x_{i+1}],  averaged over the targets.
        loss = cross_entropy(
            logits,
            batch.targets,
            ignore_index=IGNORE,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
            z_loss=self.z_loss,
        )
        tokens = batch.tokens
        if routed:
            penalty = self._penalty(routed, batch)
            loss = loss + (penalty if reduction == "sum" else penalty / max(tokens, 1))
        value = loss.data
        if type(value) is np.ndarray:
            value = float(value)
        if reduction == "sum":
            value = value / max(tokens, 1)
        return loss, {"tokens": tokens, "loss": value}

    def penalizes(self, model: Callable) -> bool:
        """Whether the routers of a model are penalized."""
        return bool(self.balance or self.router_z) and has_experts(model)

    def _penalty(self, routed, batch):
        """router_penalty() of a batch whose layers have made the choices `routed`: a sum."""
        counted = batch.targets.reshape(-1) != IGNORE
        load = getattr(batch, "loads", None)
        if load is None:
            load = [layer.load(counted) for layer in routed]
        else:
            load = to_device(load[0], device_of(counted))  # (L, E), the same in every row
        return router_penalty(routed, counted, load, self.balance, self.router_z)

    def whole_batch(self, model: Module, parts: Iterable[Batch], comm: Any) -> dict[str, Any]:
        """{"loads": (L, E)}: how many choices of the whole batch fall on each expert of each layer;
        {} where nothing depends on it   (train/whole_batch.py).
        """
        if not self.balance or not has_experts(model):
            return {}
        total = 0
        for part in parts:
            counted = part.targets.reshape(-1) != IGNORE
            with collect_routing(model) as routed:
                model(part.inputs, **padding_options(model, self.held(part)))
            total = total + np.stack([to_cpu(layer.load(counted)) for layer in routed])
        return {"loads": comm.all_reduce(np.asarray(total, np.float64))}


def log_likelihood(model: Callable, batch: Batch) -> Tensor:
    """L_theta(x) = sum_i log Pr(x_i | x_0 .. x_{i-1}) of every sequence, in nats   (book eq. 2.13).

    The first token is given: log Pr(x_0) is 0.

    batch    Batch of B sequences
    returns  Tensor (B,), differentiable
    """
    losses = cross_entropy(
        model(batch.inputs), batch.targets, ignore_index=IGNORE, reduction="none"
    )  # (B, T)
    return -losses.sum(axis=-1)  # (B, T) -> (B,)
