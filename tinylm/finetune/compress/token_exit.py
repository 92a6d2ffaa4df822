"""Early exit of a language model: the next token from as few layers as it needs   (book section
1.3.3; Elbayad et al. 2020, Schuster et al. 2022)

    logits_l = norm(h_l) E^T      every layer answers through the model's own last norm and output
    leave at the first l with  entropy(softmax(logits_l)) < threshold

The rest of a word is often certain after one layer, its beginning is not. All layers learn to
answer together, the deep ones with more weight; the rules that stop are those of early_exit.py,
and so is the choice of a threshold. Read first: early_exit.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, no_grad, stack
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.compress.early_exit import exit_weights
from tinylm.nn import Module, evaluating
from tinylm.pretrain import CausalLM
from tinylm.pretrain.score import chosen, value_of


class TokenExit(Module):
    """A GPT that answers after every layer.

    model   GPT, not copied
    raises  ConfigError for one with layers of experts, or whose layers share keys and values
    """

    def __init__(self, model: Module) -> None:
        c = model.config
        if "experts" in c.feed_forward or c.kv_sharing > 1:
            raise ConfigError(
                "TokenExit: layers of this model are experts or share keys and values, so that "
                "they do not stop one by one: take one with layers of its own"
            )
        self.model, self.rng = model, model.rng

    def __call__(self, ids: np.ndarray) -> Tensor:
        """Logits after every layer: (B, T) integers -> (L, B, T, V)."""
        return stack([self.model.logits(h) for h in self.layers(ids)])

    def layers(self, ids: np.ndarray) -> Iterator[Tensor]:
        """The stream after each layer, normed as the last one is: L Tensors (B, T, D)."""
        for x in self._streams(ids):
            yield self._normed(x)

    def _normed(self, x):
        if self.model.norm is None:  # post-norm layers end in a norm of their own
            return x
        return self.model.norm(x)

    def _streams(self, ids):
        """The stream after each layer. One that is sent back rows goes on with these alone."""
        model, (B, T) = self.model, ids.shape
        model.check_length(T)
        positions = np.arange(T, like=ids)
        x = model.add_positions(model.tokens(ids), positions)  # (B, T) -> (B, T, D)
        # without padding the options of a layer are the same for every row
        options = model.block_options(B, T, positions, x.dtype)
        for block, own in zip(model.blocks, options, strict=True):
            x = block(x, **own)
            kept = yield x
            if kept is not None:
                x = x[kept]

    def infer(self, ids: np.ndarray, stop: Callable) -> tuple[np.ndarray, np.ndarray]:
        """The next token of each row from as few layers as `stop` allows, dropout off.

        ids      (B, T) integers, rows of equal length
        stop     as of EarlyExit.infer(): logits (l, b, V) of the rows that are left -> (b,) bool
        returns  logits (B, V) and the layer, from 1, after which each row left, (B,): arrays
        """
        B, V, last = len(ids), self.model.config.vocab_size, len(self.model.blocks)
        answer = np.empty_like(self.model.tokens.weight.data, shape=(B, V))
        history = np.empty_like(answer, shape=(0, B, V))
        rows = np.arange(B, like=ids)  # rows that are left
        depth = np.zeros_like(rows)
        with evaluating(self), no_grad():
            streams = self._streams(ids)
            x = next(streams)
            for layer in range(1, last + 1):
                # only the last position predicts: (b, T, D) -> (b, 1, D) -> (b, V)
                logits = self.model.logits(self._normed(x[:, -1:])).data[:, 0]
                history = np.concatenate([history, logits[None]])  # (l, b, V)
                leave = np.ones_like(rows, dtype=bool)
                if layer < last:
                    leave = stop(history)
                answer[rows[leave]], depth[rows[leave]] = logits[leave], layer
                rows, history = rows[~leave], history[:, ~leave]
                if not len(rows):
                    break
                x = streams.send(~leave)  # the batch shrinks to the rows that stay
        return answer, depth


@dataclass(frozen=True)
class TokenExitTask:
    """Language modeling learned by all layers together, for fit().

    task     CausalLM that makes the batches
    weights  of the layers, as of early_exit.exit_loss()
    """

    task: CausalLM = field(default_factory=CausalLM)
    weights: tuple | None = None

    def make_batch(self, sequences: np.ndarray, rng: Random | None = None) -> Any:
        """The batch of the task."""
        return self.task.make_batch(sequences, rng)

    def loss(self, model: Module, batch: Any) -> tuple:
        """The weighted mean of the cross-entropies of all layers.

        model    TokenExit
        returns  (Tensor (), {"tokens": targets that count, "loss": the value})
        """
        shares = exit_weights(len(model.model.blocks), self.weights)
        total = 0.0
        for share, h in zip(shares, model.layers(batch.inputs)):
            states, targets = chosen(h, batch.targets)  # (n, D), (n,)
            total = total + cross_entropy(model.model.logits(states), targets) * share
        return total, {"tokens": batch.tokens, "loss": value_of(total)}
