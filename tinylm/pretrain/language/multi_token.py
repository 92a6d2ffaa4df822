"""Multi-token prediction: say the next n tokens at every position   (Gloeckle et al. 2024; extends
book eq. 1.5)

One trunk, n heads: head k says token i + 1 + k from what the trunk knows at i. With n = 1 it is
causal language modeling. The further heads are for training, or for guessing ahead while decoding.
Read next: causal.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import stack
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models.decoder.gpt import make_block, real_tokens
from tinylm.nn import Module
from tinylm.pretrain.batch import IGNORE, Batch, as_rows
from tinylm.pretrain.score import padding_options, score


class MultiTokenHeads(Module):
    """A GPT and n - 1 further heads, each a block of its own on the trunk; the output layer is
    shared.

    model   GPT
    n       tokens said at every position
    seed    of the new blocks
    """

    def __init__(self, model, n, seed=0):
        if n < 1:
            raise ConfigError(f"MultiTokenHeads: n = {n} tokens: must be at least 1")
        self.model, rng, dtype = model, Random(seed, "heads"), model.tokens.weight.dtype
        self.heads = [make_block(model.config, rng, dtype) for _ in range(n - 1)]
        for module in [m for head in self.heads for m in head.modules()]:
            if hasattr(module, "rng"):
                module.rng = model.rng  # drawn from after initialization: dropout

    def __call__(self, ids, mask=None):
        """ids (B, T), mask as in GPT -> logits (B, T, n, V)."""
        h = self.model.hidden(ids, mask=mask)  # (B, T, D)
        at = np.arange(ids.shape[1], like=ids)
        rotation = self.model.rotations(at, h.dtype)[0]  # the heads are made like layer 0
        bias = self.model.position_bias and self.model.position_bias(at, at)
        options = {"rotation": rotation, "bias": bias, "mask": mask}
        if self.model.config.layer("feed_forward", 0) == "experts":
            options["real"] = real_tokens(mask, *ids.shape)
        states = [h, *(head(h, **options) for head in self.heads)]
        return self.model.logits(stack(states, axis=2))  # n x (B, T, D) -> (B, T, n, V)

    def to(self, device):
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.model.to(device)
        return super().to(device)


@dataclass(frozen=True)
class MultiTokenLM:
    """The mean loss of all n predictions.

    n        tokens said at every position
    ignore   a token id that is never a target (padding), or None
    """

    n: int = 4
    ignore: int | None = None

    def make_batch(self, sequences, rng=None):
        """sequences (B, T + 1) -> Batch of inputs (B, T) and targets (B, T, n): targets[:, i, k] =
        x_{i+1+k}.

        raises   ShapeError if there is no next token
        """
        sequences = as_rows(sequences, "MultiTokenLM.make_batch", shortest=2)
        B, T = sequences.shape[0], sequences.shape[1] - 1
        longer = np.concatenate(
            [sequences, np.full((B, self.n - 1), IGNORE, sequences.dtype)], axis=1
        )
        targets = np.stack(
            [longer[:, 1 + k : 1 + k + T] for k in range(self.n)], axis=2
        )  # (B, T, n)
        if self.ignore is not None:
            targets = np.where(targets == self.ignore, IGNORE, targets)
        return Batch(sequences[:, :-1], targets)

    def loss(self, model, batch):
        """model(inputs) -> (B, T, n, V). Metrics as CausalLM's."""
        held = None if self.ignore is None else batch.inputs != self.ignore
        return score(model(batch.inputs, **padding_options(model, held)), batch.targets)
