"""Causal language modeling: predict every token from the ones before it   (book section 2.1.2, eqs.
1.5, 2.13, 2.14).

A sequence x_0 .. x_T is read shifted by one: inputs x_0 .. x_{T-1}, targets x_1 .. x_T (teacher
forcing), so one pass through a causal model scores all T predictions. Maximizing the likelihood
(2.14) is minimizing the mean cross-entropy; its exponential is the perplexity. Read next:
train/trainer.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.errors import ConfigError, DtypeError, ShapeError
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.score import padding_options


@dataclass(frozen=True)
class CausalLM:
    """The objective of GPT: mean negative log-probability of the next token.

    ignore           a token id that is never a target (padding); None if every token counts
    label_smoothing  see autograd's cross_entropy
    z_loss           see autograd's cross_entropy
    """

    ignore: int | None = None
    label_smoothing: float = 0.0
    z_loss: float = 0.0

    def make_batch(self, sequences, rng=None):
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
        return Batch(inputs, targets)

    def held(self, batch):
        """(B, T) bool, True for inputs that are no padding; None without `ignore`."""
        if self.ignore is None:
            return None
        return batch.inputs != self.ignore

    def loss(self, model, batch, reduction="mean"):
        """The cross-entropy of a model on a batch, in nats   (eq. 2.13 over the number of targets).

        model      callable: ids (B, T) -> logits (B, T, V) as a Tensor
        reduction  "mean" over the targets that count, or "sum" of them: -L_theta of eq. 2.13
        returns    (Tensor of shape (), {"tokens": targets that count, "loss": their mean as a
                   float})
        """
        if reduction not in ("mean", "sum"):
            raise ConfigError(f"CausalLM.loss: reduction {reduction!r} is not 'mean' or 'sum'")
        logits = model(batch.inputs, **padding_options(model, self.held(batch)))  # (B, T, V)
        # With p = softmax(logits[b, i]):  l(b, i) = -log p[x_{i+1}],  averaged over the targets.
        loss = cross_entropy(
            logits,
            batch.targets,
            ignore_index=IGNORE,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
            z_loss=self.z_loss,
        )
        tokens, value = batch.tokens, float(loss.item())
        if reduction == "sum":
            value /= max(tokens, 1)
        return loss, {"tokens": tokens, "loss": value}


def log_likelihood(model, batch):
    """L_theta(x) = sum_i log Pr(x_i | x_0 .. x_{i-1}) of every sequence, in nats   (book eq. 2.13).

    The first token is given: log Pr(x_0) is 0.

    batch    Batch of B sequences
    returns  Tensor (B,), differentiable
    """
    losses = cross_entropy(
        model(batch.inputs), batch.targets, ignore_index=IGNORE, reduction="none"
    )  # (B, T)
    return -losses.sum(axis=-1)  # (B, T) -> (B,)
