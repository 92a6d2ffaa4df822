"""Depth-adaptive inference: stop at the first layer whose answer is good enough   (book section
1.3.3)

    logits_l = pool(h_l) W_l + b_l        a classifier after every layer l = 1 .. L
    leave at the first l with  entropy(softmax(logits_l)) < threshold

A sequence leaves when the entropy of its answer is low (DeeBERT; Xin et al. 2020), when the answer
is confident, or when it has not changed for P layers (PABEE; Zhou et al. 2020). It is then removed
from the batch, so that deeper layers have less to compute. A threshold is chosen on data that was
not trained on: `calibrate` finds the least depth for a given loss of accuracy. Read next:
token_exit.py, length_adaptive.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, no_grad, stack
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.tasks.heads import POOLS
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn import Linear, Module, evaluating


class EarlyExit(Module):
    """An encoder with a classifier after every layer.

    encoder  Encoder
    classes  C
    pool     first | mean, the vector that a classifier reads: a name of heads.POOLS
    """

    def __init__(self, encoder: Encoder, classes: int, seed: int = 0, pool: str = "first") -> None:
        if not hasattr(encoder, "layers"):
            raise ConfigError(
                f"EarlyExit: a {type(encoder).__name__} does not show the states of its layers: "
                "give the Encoder itself"
            )
        self.encoder, self.pool = encoder, POOLS[pool]
        rng, D = Random(seed, "exits"), encoder.config.d_model
        dtype = encoder.tokens.weight.dtype
        self.exits = [Linear(D, classes, rng, dtype=dtype) for _ in encoder.blocks]

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> Tensor:
        """Logits after every layer, (L, B, C); arguments as Encoder.layers()."""
        _, *states = self.encoder.layers(ids, mask=mask, **options)  # without the embeddings
        logits = [out(self.pool(self.encoder, h, mask)) for out, h in zip(self.exits, states)]
        return stack(logits)

    def infer(
        self,
        ids: np.ndarray,
        stop: Callable,
        mask: np.ndarray | None = None,
        segments: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answers with as few layers as `stop` allows for each sequence, dropout off.

        ids      (B, T) integers;  mask (B, T) bool or None;  segments (B, T) integers or None
        stop     function of the logits (l, b, C) after the first l layers of the b sequences that
                 are left -> (b,) bool, True for those that leave now
        returns  logits (B, C) and the layer, from 1, after which each left, (B,): arrays
        """
        encoder, last = self.encoder, len(self.exits)
        B, C = len(ids), self.exits[0].weight.shape[1]
        answer = np.empty_like(encoder.tokens.weight.data, shape=(B, C))
        history = np.empty_like(answer, shape=(0, B, C))
        rows = np.arange(B, like=ids)  # sequences that are left
        depth = np.zeros_like(rows)
        with evaluating(self), no_grad():
            x = encoder.embed(ids, segments, mask)  # (B, T, D)
            options = {}
            if (rotation := encoder.rotation(ids, mask)) is not None:
                options["rotation"] = rotation
            for layer, (block, out) in enumerate(zip(encoder.blocks, self.exits), 1):
                visible = None
                if mask is not None:
                    visible = mask[:, None, None, :]  # (b, T) -> (b, 1, 1, T)
                x = h = block(x, mask=visible, **options)
                if layer == last and encoder.norm is not None:
                    h = encoder.norm(x)
                logits = out(self.pool(encoder, h, mask)).data  # (b, C)
                history = np.concatenate([history, logits[None]])  # (l, b, C)
                leave = np.ones_like(rows, dtype=bool)
                if layer < last:
                    leave = stop(history)
                answer[rows[leave]], depth[rows[leave]] = logits[leave], layer
                # the batch shrinks to the sequences that stay
                rows, x, history = rows[~leave], x[~leave], history[:, ~leave]
                if rotation is not None and rotation[0].ndim == 4:  # each row has its own angles
                    options["rotation"] = rotation = tuple(angles[~leave] for angles in rotation)
                if mask is not None:
                    mask = mask[~leave]
                if not len(rows):
                    break
        return answer, depth


def exit_loss(
    logits: Tensor, targets: np.ndarray, weights: tuple[int, ...] | None = None
) -> Tensor | float:
    """sum_l w_l CE(logits_l, targets) / sum_l w_l, the mean over exits   (PABEE, eq. 4)

    logits   (L, B, C) Tensor;  targets (B,) integers
    weights  (L,) numbers; None: w_l = l, since deep exits can do more
    """
    total = 0.0
    for layer, share in enumerate(exit_weights(logits.shape[0], weights)):
        total = total + cross_entropy(logits[layer], targets) * share
    return total


def exit_weights(layers: int, weights: tuple[int, ...] | None = None) -> list[float]:
    """Weights of the exits as shares of their sum, a list of L floats; arguments of exit_loss()."""
    if weights is None:
        weights = np.arange(1, layers + 1)
    weights = np.asarray(weights)
    return [float(weights[layer] / weights.sum()) for layer in range(layers)]


@dataclass(frozen=True)
class ExitTask:
    """A classification task learned by all exits together; predict() uses the last.

    task     Task with one class a row: targets (B,) or (B, 1)
    weights  of the exits, see exit_loss()
    """

    task: object
    weights: tuple | None = None

    def make_batch(self, examples: Sequence, rng: Random) -> Any:
        """The batch of the task."""
        return self.task.make_batch(examples, rng)

    def loss(self, model: Module, batch: Any) -> tuple:
        """The weighted mean of the losses of all exits; see exit_loss()."""
        logits = model(batch.inputs, **getattr(batch, "options", {}))  # (L, B, C)
        loss = exit_loss(logits, batch.targets.reshape(-1), self.weights)
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model: Module, batch: Any) -> list:
        """The task's answers from the logits of the last exit."""

        def last_exit(inputs, **options):
            return model(inputs, **options)[-1]  # (L, B, C) -> (B, C)

        return self.task.predict(last_exit, batch)

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """The scores of the task."""
        return self.task.measure(answers, examples)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of an array over its last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def entropy(logits: np.ndarray) -> np.ndarray | float:
    """-sum of p log p in nats, p the softmax: (..., C) array -> (...)."""
    p = probabilities(logits)
    log_p = np.log(np.maximum(p, np.finfo(p.dtype).tiny))  # 0 log 0 = 0
    return -(p * log_p).sum(axis=-1)


def entropy_below(threshold: float) -> Callable:
    """Leave when the entropy is below a threshold   (DeeBERT): 0 never, infinity after layer 1."""
    return lambda history: entropy(history[-1]) < threshold


def confidence_above(threshold: float) -> Callable:
    """Leave when the best class is more probable than a threshold: 1 never, 0 after layer 1."""
    return lambda history: probabilities(history[-1]).max(axis=-1) > threshold


def unchanged_for(patience: int) -> Callable:
    """Leave when `patience` further layers in a row have given the same answer   (PABEE)."""

    def stop(history):
        answers = history.argmax(axis=-1)  # (l, b, C) -> (l, b)
        if len(answers) <= patience:
            return np.zeros_like(answers[0], dtype=bool)
        recent = answers[len(answers) - 1 - patience :]  # (patience + 1, b)
        return (recent == answers[-1]).all(axis=0)

    return stop


def exit_layers(logits: np.ndarray, stop: Callable) -> np.ndarray:
    """The layer, from 1, after which each sequence would leave: logits (L, N, C) array -> (N,)."""
    L, N, _ = logits.shape
    depth = np.full_like(logits, L, shape=(N,), dtype=np.int64)
    for layer in range(L - 1, 0, -1):  # downwards, so that the first layer that stops wins
        depth = np.where(stop(logits[:layer]), layer, depth)
    return depth


def trade_off(
    logits: np.ndarray, targets: np.ndarray, stops: dict[Any, Callable]
) -> list[tuple[Any, float, float]]:
    """Depth and accuracy of several stopping rules.

    logits   (L, N, C) array;  targets (N,) integers
    stops    dict name -> stop
    returns  list of (name, mean depth, accuracy)
    """
    rows = []
    for name, stop in stops.items():
        depth = exit_layers(logits, stop)  # (N,)
        answers = logits[depth - 1, np.arange(len(depth))].argmax(axis=-1)  # (N, C) -> (N,)
        accuracy = float((answers == targets).mean())
        rows.append((name, float(depth.mean()), accuracy))
    return rows


def calibrate(
    logits: np.ndarray, targets: np.ndarray, stops: dict[Any, Callable], allowed: float = 0.0
) -> tuple[Any, float, float]:
    """The stopping rule of least mean depth that loses at most `allowed` accuracy to full depth.

    logits, targets  of data that was neither trained on nor is used to report the result
    returns          (name, mean depth, accuracy)
    raises           ConfigError if none is good enough
    """
    full = float((logits[-1].argmax(axis=-1) == targets).mean())
    good = [row for row in trade_off(logits, targets, stops) if row[2] >= full - allowed]
    if not good:
        raise ConfigError(
            f"calibrate: every way of stopping loses more than {allowed} of the accuracy "
            f"{full:.3f}: allow more, or offer one that never stops"
        )
    return min(good, key=lambda row: row[1])
