"""From logits to the number that is minimized: means over targets, and means over rows.

A loss that is a mean over n targets can be cut into micro-batches and put together again with
weights n_k / n (train/step.py). A sum of several means, such as BERT's, cannot, because each has
its own n: such a loss is a mean over rows of each row's loss, and its batch counts rows. Read next:
masked/masked.py; discriminative/pairs.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, cross_entropy
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.autograd.primitives.statistics import mean_where
from tinylm.nn.experts import has_experts
from tinylm.pretrain.batch import IGNORE, Batch


def score(
    logits: Tensor, targets: np.ndarray, tokens: int | None = None, **options: Any
) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy over the targets that count.

    logits   (..., V) Tensor;  targets (...) integers, IGNORE where nothing counts
    tokens   how many count, where that is known: a GPU would have to be waited for
    options  label_smoothing, z_loss: see cross_entropy
    returns  (Tensor (), {"tokens": targets that count, "loss": as of value_of()}): what an
             objective's loss returns
    """
    loss = cross_entropy(logits, targets, ignore_index=IGNORE, **options)
    if tokens is None:
        tokens = int(np.count_nonzero(targets != IGNORE))
    return loss, {"tokens": tokens, "loss": value_of(loss)}


def value_of(loss: Tensor) -> float | np.ndarray:
    """The value of a Tensor (): a float; on a GPU a 0-d array, which the host does not wait for."""
    if type(loss.data) is np.ndarray:
        return float(loss.data)
    return loss.data


def score_tokens(model: Callable, batch: Batch, **options: Any) -> tuple[Tensor, dict[str, float]]:
    """The loss of a TokenBatch; the output layer is computed only at the n positions that count.

    model    called as model(inputs, **batch.options) -> logits (B, T, V); if it has hidden() and
             logits(), and the batch no prediction order, its output layer gets n positions only
    returns  as score()
    """
    # The output layer costs B T D V products; of masked LM 15 % of the positions need it.
    if batch.order is not None or not hasattr(model, "hidden"):
        logits = model(batch.inputs, **batch.options)
        return score(logits, batch.targets, batch.tokens, **options)
    places = batch.places
    h, targets = chosen(model.hidden(batch.inputs, **batch.options), batch.targets, places)
    return score(model.logits(h), targets, len(places), **options)


def chosen(
    h: Tensor, targets: np.ndarray, places: np.ndarray | None = None
) -> tuple[Tensor, np.ndarray]:
    """Hidden states and targets where a target counts: (B, T, D), (B, T) -> (n, D), (n,).

    places  (n,) of the batch, where it is at hand
    """
    flat = targets.reshape(-1)
    at = np.flatnonzero(flat != IGNORE) if places is None else places
    return h.reshape(-1, h.shape[-1])[at], flat[at]  # (B, T, D) -> (n, D)


def padding_options(model: Callable, held: np.ndarray | None) -> dict[str, np.ndarray]:
    """Options of a causal model for padding at the ends of rows, which causality hides anyway.

    held     (B, T) bool, True for tokens, or None where nothing is padded
    returns  {"mask": (B, 1, 1, T)} for a model with layers of experts, in which padding would take
             the room of tokens; {} for others
    """
    if held is None or held.all() or not has_experts(model):
        return {}
    return {"mask": held[:, None, None, :]}


def row_means(losses: Tensor, counts: np.ndarray) -> Tensor:
    """The mean of each row's losses where they count; 0 for a row with none.

    losses  (B, T) Tensor;  counts (B, T) bool;  returns (B,) Tensor
    """
    counts = bool_mask(counts, "row_means", "counts", bias=None)
    return mean_where(losses, counts, axis=1)  # (B, T) -> (B,)


def masked_row_mean(model: Any, h: Tensor, targets: np.ndarray) -> tuple[Tensor, Tensor]:
    """The mean over rows of the mean cross-entropy of each row's targets; the output layer gets
    only these n positions.

    model    with logits();  h (B, T, D) its hidden states
    targets  (B, T), IGNORE where nothing counts
    returns  Tensor (), the logits (n, V) it was computed from
    """
    # (1/B) sum_b (1/n_b) sum_{i in row b} l_i  =  sum_i w_i l_i  with  w_i = 1 / (B n_b)
    states, wanted = chosen(h, targets)  # (n, D), (n,)
    counts = targets != IGNORE
    in_row = np.maximum(counts.sum(axis=1), 1)  # (B,): n_b, 1 for a row without a target
    weight = 1 / (len(targets) * in_row)
    weight = np.broadcast_to(weight[:, None], targets.shape)[counts]  # (B,) -> (B, T) -> (n,)
    logits = model.logits(states)  # (n, D) -> (n, V)
    losses = cross_entropy(logits, wanted, reduction="none")  # (n,)
    return (losses * weight.astype(h.dtype)).sum(), logits


def score_rows(loss: Tensor, rows: int, **parts: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The result of an objective's loss that is a mean over rows.

    loss, parts  Tensors (); parts are reported by name
    rows         how many
    returns      (loss, {"tokens": rows, "loss": number, name: number ...}), each as of value_of()
    """
    values = {name: value_of(part) for name, part in parts.items()}
    return loss, {"tokens": rows, "loss": value_of(loss), **values}
