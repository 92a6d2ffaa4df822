"""Depth-adaptive inference: stop at the layer whose answer is good enough   (book section 1.3.3)

Every layer has a small classifier of its own. A sequence leaves when the entropy of its answer is
low (DeeBERT; Xin et al. 2020), when the answer is sure, or when it has not changed for P layers
(PABEE; Zhou et al. 2020). Those that have left are taken out of the batch, so that deeper layers
really have less to do. A threshold is chosen on data that was not trained on: `calibrate` finds the
least depth for a given loss of accuracy. Read next: length_adaptive.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import cross_entropy, no_grad, stack
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.tasks.heads import POOLS
from tinylm.nn import Linear, Module, evaluating


class EarlyExit(Module):
    """An encoder with a classifier after every layer.

    encoder  Encoder
    classes  C
    pool     first | mean, what a classifier reads: a name of heads.POOLS
    """

    def __init__(self, encoder, classes, seed=0, pool="first"):
        if not hasattr(encoder, "layers"):
            raise ConfigError(
                f"EarlyExit: a {type(encoder).__name__} does not show the states of its layers: give the "
                "Encoder itself"
            )
        self.encoder, self.pool = encoder, POOLS[pool]
        rng, width = Random(seed, "exits"), encoder.config.d_model
        self.exits = [
            Linear(width, classes, rng, dtype=encoder.tokens.weight.dtype) for _ in encoder.blocks
        ]

    def __call__(self, ids, mask=None, **options):
        """Logits after every layer, (L, B, C); arguments as Encoder.layers()."""
        states = list(self.encoder.layers(ids, mask=mask, **options))[1:]
        return stack([out(self.pool(self.encoder, h, mask)) for out, h in zip(self.exits, states)])

    def infer(self, ids, stop, mask=None, segments=None):
        """Answers without more layers than each sequence needs, dropout off.

        ids      (B, T) integers;  mask (B, T) bool or None;  segments (B, T) integers or None
        stop     which of the b sequences left leave: function of their logits so far, (l, b, C) ->
                 (b,) bool
        returns  logits (B, C) and the layer, from 1, after which each left, (B,): arrays
        """
        encoder, last = self.encoder, len(self.exits)
        rows = np.arange(len(ids), like=ids)  # who is still here
        answer = np.empty_like(
            encoder.tokens.weight.data, shape=(len(ids), self.exits[0].weight.shape[1])
        )
        left = np.zeros_like(rows)
        history = np.empty_like(answer, shape=(0, *answer.shape))
        with evaluating(self), no_grad():
            x = encoder.embed(ids, segments, mask)
            for layer, (block, out) in enumerate(zip(encoder.blocks, self.exits), 1):
                seen = None if mask is None else mask[rows]
                x = block(x, mask=None if seen is None else seen[:, None, None, :])
                h = encoder.norm(x) if encoder.norm is not None and layer == last else x
                history = np.concatenate(
                    [history, out(self.pool(encoder, h, seen)).data[None]]
                )  # (l, b, C)
                leave = stop(history) if layer < last else np.ones_like(rows, dtype=bool)
                answer[rows[leave]], left[rows[leave]] = history[-1][leave], layer
                rows, x, history = rows[~leave], x[~leave], history[:, ~leave]
                if not len(rows):
                    break
        return answer, left


def exit_loss(logits, targets, weights=None):
    """Weighted mean of the cross-entropies of all exits; by default layer l weighs l, for late ones
    can do more   (PABEE, eq. 4)

    logits   (L, B, C) Tensor;  targets (B,) integers;  weights (L,) numbers, or None
    """
    L = logits.shape[0]
    weights = np.arange(1, L + 1) if weights is None else np.asarray(weights)
    total = 0.0
    for layer in range(L):
        total = total + cross_entropy(logits[layer], targets) * float(
            weights[layer] / weights.sum()
        )
    return total


@dataclass(frozen=True)
class ExitTask:
    """Another classification task, learned by all exits together. predict() answers with the last.

    task     whose batches and measures these are: targets (B,) or (B, 1), one class for each row
    weights  of the exits, see exit_loss()
    """

    task: object
    weights: tuple | None = None

    def make_batch(self, examples, rng):
        """The task's batch."""
        return self.task.make_batch(examples, rng)

    def loss(self, model, batch):
        """See exit_loss()."""
        loss = exit_loss(
            model(batch.inputs, **getattr(batch, "options", {})),
            batch.targets.reshape(-1),
            self.weights,
        )
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model, batch):
        """What the task answers by the logits of the last exit."""
        return self.task.predict(lambda inputs, **options: model(inputs, **options)[-1], batch)

    def measure(self, answers, examples):
        """The task's measure."""
        return self.task.measure(answers, examples)


def probabilities(logits):
    """Softmax of an array over its last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def entropy(logits):
    """-sum of p log p in nats, p the softmax: (..., C) array -> (...)."""
    p = probabilities(logits)
    return -(p * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(axis=-1)


def entropy_below(threshold):
    """Leave when the entropy is below the threshold: never for 0 or less, at once for infinity
    (DeeBERT).
    """
    return lambda history: entropy(history[-1]) < threshold


def confidence_above(threshold):
    """Leave when the likeliest class has more than this probability: at once for 0, never for 1."""
    return lambda history: probabilities(history[-1]).max(axis=-1) > threshold


def unchanged_for(patience):
    """Leave when the answer has been confirmed by `patience` layers in a row   (PABEE)."""

    def stop(history):
        said = history.argmax(axis=-1)  # (l, b)
        if len(said) <= patience:
            return np.zeros_like(said[0], dtype=bool)
        return (said[len(said) - 1 - patience :] == said[-1]).all(axis=0)

    return stop


def exit_layers(logits, stop):
    """After which layer each sequence would leave, from the logits of all layers: (L, N, C) array
    -> (N,) from 1.
    """
    L, N, _ = logits.shape
    left = np.full_like(logits, L, shape=(N,), dtype=np.int64)
    for layer in range(L - 1, 0, -1):
        left = np.where(stop(logits[:layer]), layer, left)
    return left


def trade_off(logits, targets, stops):
    """What each way of stopping costs and gives.

    logits   (L, N, C) array;  targets (N,) integers
    stops    dict name -> stop
    returns  list of (name, mean depth, accuracy)
    """
    rows = []
    for name, stop in stops.items():
        left = exit_layers(logits, stop)
        said = logits[left - 1, np.arange(len(left))].argmax(axis=-1)
        rows.append((name, float(left.mean()), float((said == targets).mean())))
    return rows


def calibrate(logits, targets, stops, allowed=0.0):
    """The way of stopping with the least mean depth that loses at most `allowed` accuracy against
    full depth.

    logits, targets  of data that was not trained on, and is not what the result is reported on
    returns          (name, mean depth, accuracy);  raises ConfigError if none is good enough
    """
    full = float((logits[-1].argmax(axis=-1) == targets).mean())
    good = [row for row in trade_off(logits, targets, stops) if row[2] >= full - allowed]
    if not good:
        raise ConfigError(
            f"calibrate: every way of stopping loses more than {allowed} of the accuracy {full:.3f}: allow more, or "
            "offer one that never stops"
        )
    return min(good, key=lambda row: row[1])
