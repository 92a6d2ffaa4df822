"""Multi-token prediction: predict the next n tokens at every position   (Gloeckle et al. 2024)

    L = - sum over i, k of log Pr_k(x_{i+1+k} | x_0 .. x_i),   k = 0 .. n-1      (extends eq. 1.5)

One trunk, n heads: head k predicts token i + 1 + k from the trunk's state at i. With n = 1 it is
causal language modeling. The further heads are for training, or for guessing ahead while decoding.
Read next: causal.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, stack
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models.decoder.gpt import GPT, make_block, real_tokens
from tinylm.nn import Module
from tinylm.pretrain.batch import IGNORE, Batch, as_rows
from tinylm.pretrain.score import padding_options, score


class MultiTokenHeads(Module):
    """A GPT and n - 1 further heads, each a block of its own on the trunk; the output layer is
    shared.

    model   GPT
    n       tokens predicted at every position
    seed    of the new blocks
    """

    def __init__(self, model: GPT, n: int, seed: int = 0) -> None:
        if n < 1:
            raise ConfigError(f"MultiTokenHeads: n = {n} tokens: must be at least 1")
        self.model = model
        rng, dtype = Random(seed, "heads"), model.tokens.weight.dtype
        self.heads = [make_block(model.config, rng, dtype) for _ in range(n - 1)]
        for head in self.heads:
            for module in head.modules():
                if hasattr(module, "rng"):
                    module.rng = model.rng  # one stream for all dropout, as a checkpoint keeps it

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """ids (B, T), mask as in GPT -> logits (B, T, n, V)."""
        h = self.model.hidden(ids, mask=mask)  # (B, T, D)
        at = np.arange(ids.shape[1], like=ids)
        # The heads are made like layer 0, and get its rotation and its bias.
        rotation = self.model.rotations(at, h.dtype)[0]
        bias = self.model.position_bias and self.model.position_bias(at, at)
        options = {"rotation": rotation, "bias": bias, "mask": mask}
        if self.model.config.layer("feed_forward", 0) == "experts":
            options["real"] = real_tokens(mask, *ids.shape)
        states = [h, *(head(h, **options) for head in self.heads)]  # n of (B, T, D)
        return self.model.logits(stack(states, axis=2))  # n x (B, T, D) -> (B, T, n, V)

    def to(self, device: str) -> Module:
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.model.to(device)
        return super().to(device)


@dataclass(frozen=True)
class MultiTokenLM:
    """The mean loss of all n predictions.

    n        tokens predicted at every position
    ignore   a token id that is never a target (padding), or None
    """

    n: int = 4
    ignore: int | None = None

    def make_batch(self, sequences: np.ndarray, rng: Random | None = None) -> Batch:
        """sequences (B, T + 1) -> Batch of inputs (B, T) and targets (B, T, n).

        targets[:, i, k] is x_{i+1+k}, or IGNORE beyond the end of the row.

        raises   ShapeError if there is no next token
        """
        sequences = as_rows(sequences, "MultiTokenLM.make_batch", shortest=2)
        B, T = sequences.shape[0], sequences.shape[1] - 1
        beyond = np.full((B, self.n - 1), IGNORE, sequences.dtype)
        longer = np.concatenate([sequences, beyond], axis=1)  # (B, T + n)
        shifts = [longer[:, 1 + k : 1 + k + T] for k in range(self.n)]  # n of (B, T)
        targets = np.stack(shifts, axis=2)  # (B, T, n)
        if self.ignore is not None:
            targets = np.where(targets == self.ignore, IGNORE, targets)
        return Batch(sequences[:, :-1], targets)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """model(inputs) -> (B, T, n, V). Metrics as CausalLM's."""
        held = None  # (B, T): which inputs are tokens
        if self.ignore is not None:
            held = batch.inputs != self.ignore
        logits = model(batch.inputs, **padding_options(model, held))
        return score(logits, batch.targets, batch.tokens)
