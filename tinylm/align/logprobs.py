"""Log-probabilities of the tokens of responses: what every loss of alignment reads.

    log Pr(y | x) = sum over i of log Pr(y_i | x, y_<i)   (book eq. 4.2)

A batch has one row for each response, [x, y]; its targets are IGNORE outside of y, so no token of a
prompt is counted, and y_1 is predicted at the last token of x. A response is scored alike wherever
it stands: in any row, beside any others, padded at either end, or packed. Losses of sums
(`summed`) grow with the length of y, losses of means (`averaged`) do not. Read next:
aggregation.py; finetune/instruct/instructions.py makes the batches.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, cross_entropy, no_grad, scatter_add
from tinylm.autograd import sum as sum_
from tinylm.backend import to_cpu
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune.instruct.instructions import InstructionBatch, reading_options
from tinylm.models.decoder.prefixes import shares_prefixes, states_at
from tinylm.nn.module import Module, evaluating
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import chosen


def response_logprobs(
    model: Module, batch: InstructionBatch, temperature: float = 1.0
) -> tuple[Tensor, np.ndarray]:
    """log pi(y_i | x, y_<i) at every token that counts, of the distribution that is sampled.

    model        called as model(inputs, positions=, mask=) -> logits (B, T, V); one with hidden()
                 and logits(), such as GPT, computes its output layer for counted tokens alone
    batch        InstructionBatch
    temperature  > 0; logits are divided by it, as when the responses were drawn. top-k, top-p and
                 penalties have no counterpart here: responses for a policy gradient are drawn
                 without them
    returns      logp (B, T) Tensor, 0 where nothing counts; counted (B, T) bool
    raises       ConfigError for a temperature that is not above 0
    """
    logits, _ = response_logits(model, batch, temperature)
    return logprobs_of(logits, batch)


def logprobs_of(logits: Tensor, batch: InstructionBatch) -> tuple[Tensor, np.ndarray]:
    """response_logprobs() from the logits (n, V) of response_logits(), where both are needed."""
    counted = batch.targets != IGNORE  # (B, T)
    logp = -cross_entropy(logits, batch.targets[counted], reduction="none")  # (n, V) -> (n,)
    return scatter_add(counted.shape, np.nonzero(counted), logp), counted


def response_logits(
    model: Module, batch: InstructionBatch, temperature: float = 1.0
) -> tuple[Tensor, np.ndarray]:
    """Logits of the distributions that tokens of responses are drawn from, for entropies and KL.

    As response_logprobs, row by row in the order of np.nonzero(counted).

    returns  logits (n, V) Tensor, divided by the temperature; targets (n,)
    """
    if not temperature > 0:
        raise ConfigError(
            f"response_logprobs: temperature {temperature}; at 0 one token has all the probability "
            "and no gradient: give a temperature above 0"
        )
    options = reading_options(model, batch)
    if not options and shares_prefixes(model):
        counted = batch.targets != IGNORE
        targets = batch.targets[counted]
        h = states_at(model, batch.inputs, getattr(batch, "mask", None), counted)  # (n, D)
        logits = model.logits(h)  # (n, V)
    elif hasattr(model, "hidden"):
        h, targets = chosen(model.hidden(batch.inputs, **options), batch.targets)  # (n, D), (n,)
        logits = model.logits(h)
    else:
        logits, targets = chosen(model(batch.inputs, **options), batch.targets)
    if temperature != 1:
        logits = logits / temperature
    return logits, targets


def frozen_logprobs(
    model: Module, batch: InstructionBatch, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a reference or of the policy that sampled: arrays, dropout off.

    returns  logp (B, T) array, counted (B, T) bool; otherwise as response_logprobs()
    """
    with no_grad(), evaluating(model):
        logp, counted = response_logprobs(model, batch, temperature)
    return logp.data, counted


def summed(logp: Tensor, counted: np.ndarray) -> Tensor:
    """log Pr(y | x) of each row, the sum over its tokens   (book eq. 4.2)

    logp     (B, T) Tensor;  counted (B, T) bool
    returns  (B,) Tensor
    """
    _check("summed", logp, counted)
    return sum_(logp * counted, axis=1)


def averaged(logp: Tensor, counted: np.ndarray) -> Tensor:
    """The mean log-probability of a token of each row: log Pr(y | x) / |y|.

    logp     (B, T) Tensor;  counted (B, T) bool
    returns  (B,) Tensor
    raises   DataError for a row without a response
    """
    _check("averaged", logp, counted)
    lengths = counted.sum(axis=1)  # (B,)
    if not lengths.all():
        empty = np.flatnonzero(to_cpu(lengths) == 0).tolist()
        raise DataError(f"averaged: row {empty[0]} has no token of a response: leave it out")
    return summed(logp, counted) / lengths.astype(logp.dtype)


def unpacked(logp: Tensor, counted: np.ndarray, segments: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Rows that hold several conversations, as rows of one each.

    logp      (B, T) Tensor;  counted (B, T) bool;  segments (B, T), -1 for padding: batch.segments
    returns   logp (S, T) Tensor, counted (S, T) bool: S conversations row by row, tokens in their
              columns
    """
    _check("unpacked", logp, counted)
    if segments.shape != counted.shape:
        raise ShapeError(f"unpacked: segments {segments.shape} for tokens {counted.shape}")
    here = [(b, s) for b, row in enumerate(to_cpu(segments)) for s in range(row.max() + 1)]
    kept = np.stack([segments[b] == s for b, s in here])  # (S, T)
    rows = concatenate([logp[b : b + 1] for b, _ in here], axis=0)  # (S, T)
    row_counted = np.stack([counted[b] for b, _ in here]) & kept
    return rows * row_counted, row_counted


def _check(name, logp, counted):
    if logp.ndim != 2 or logp.shape != counted.shape:
        raise ShapeError(f"{name}: log-probabilities {logp.shape}, counted {counted.shape}: (B, T)")
