"""The score of a model on a text: mean loss, perplexity, bits per byte   (book section 2.1.2).

    loss = -(1/n) sum_i log Pr(x_i | x_<i),   perplexity = exp(loss),
    bits per byte = loss * n / (bytes * ln 2)

Nats per token depend on the tokenizer, bits per byte do not.
Windows stand side by side, so every token but the first is predicted once, with at most a context
of text before it.
"""

import itertools
import math
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.nn import evaluating
from tinylm.nn.module import Module
from tinylm.pretrain.batch import Objective
from tinylm.train.alone import ALONE, Workers
from tinylm.train.step import moved


def evaluate(
    model: Module,
    objective: Objective,
    windows: Any,
    batch_size: int,
    batches: int = 0,
    comm: Workers = ALONE,
    device: str = "cpu",
) -> tuple[float, int]:
    """Mean loss of a model over validation windows, with dropout off.

    windows  EvenWindows: `.batches(batch_size)` yields (b, T + 1) ids
    batches  how many of them, from the start; 0: all
    comm     the batches are dealt out to its workers
    returns  (mean nats per target, targets scored), the same on every worker
    """
    total, count = 0.0, 0
    with evaluating(model), no_grad():
        chosen = itertools.islice(windows.batches(batch_size), batches or None)
        for i, sequences in itertools.islice(enumerate(chosen), comm.rank, None, comm.size):
            # Seeded by the batch alone: corruptions are the same in every validation, so that their
            # losses can be compared.
            batch = objective.make_batch(sequences, Random(0, "evaluate", i))
            batch = moved(batch, device, model, objective)
            # Means of batches with different counts are added with their counts as weights.
            _, metrics = objective.loss(model, batch)
            total += float(metrics["loss"]) * metrics["tokens"]
            count += metrics["tokens"]
    total, count = comm.all_reduce(np.array([total, count], np.float64))
    return float(total) / max(float(count), 1.0), int(count)


def bits_per_byte(loss: float, tokens: int, nbytes: int) -> float:
    """Nats per token as bits per byte of the text of these tokens."""
    return loss * tokens / (nbytes * math.log(2))


def perplexity_of_loss(loss: float) -> float:
    """exp(loss): the number of equally likely tokens that would be as hard to guess.

    inf where that overflows, nan of nan.
    """
    # ln(largest float64) is 709.78
    if loss >= 709:
        return math.inf
    return math.exp(loss)
