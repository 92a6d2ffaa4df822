"""A small model chooses the data of a large one   (book section 4.2.5, Fig. 4.5c).

    CE(y) = - (1 / n) sum over i of log Pr(y_i | y_<i)      nats per token

A text that a small model finds improbable is often no text: it is left out. Divided by the length,
else every long text would be. A filter this simple also drops what is rare and true. Read next:
superficial.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.align.logprobs import frozen_logprobs
from tinylm.align.supervised.response_only import plain_text
from tinylm.backend import ArrayLike, to_cpu
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models.decoder.gpt import GPT


def cross_entropies(model: GPT, sequences: Sequence[list[int]], batch_size: int = 16) -> np.ndarray:
    """The mean cross-entropy of each sequence, in nats per token: (n,) float64.

    model      GPT, or a model with hidden() and logits()
    sequences  list of ids, the start token first; or of Encoded, whose answers alone count
    """
    task, found, examples = InstructionTuning(), [], []
    device = model.parameters()[0].device
    for one in sequences:
        if not isinstance(one, Encoded):
            one = plain_text(one)
        examples.append(one)
    for start in range(0, len(examples), batch_size):
        batch = task.make_batch(examples[start : start + batch_size]).to(device)
        logp, counted = (to_cpu(part) for part in frozen_logprobs(model, batch))  # (B, T) twice
        found.append(-logp.sum(axis=1, dtype=np.float64) / counted.sum(axis=1))
    return np.concatenate([np.zeros(0), *found])


def rank_by_ce(losses: ArrayLike) -> np.ndarray:
    """The numbers of sequences, the most probable first: (n,) -> (n,) int."""
    return np.argsort(losses, kind="stable")


def perplexity_filter(
    losses: ArrayLike, *, max_ce: float | None = None, keep_fraction: float | None = None
) -> np.ndarray:
    """The numbers of the sequences to keep, in their order: (m,) int.

    losses         (n,) cross-entropies of a small model
    max_ce         the largest that is kept
    keep_fraction  the share to keep, 0 .. 1, rounded up: the sequences of smallest cross-entropy
    raises         ConfigError unless one of the two is given, or for a share outside of 0 .. 1
    """
    losses = np.asarray(losses, np.float64)
    if (max_ce is None) == (keep_fraction is None):
        raise ConfigError("perplexity_filter: give either max_ce or keep_fraction")
    if max_ce is not None:
        return np.flatnonzero(losses <= max_ce)
    if not 0 <= keep_fraction <= 1:
        raise ConfigError(f"perplexity_filter: keep_fraction={keep_fraction} must be from 0 to 1")
    # 1e-9: a product that is whole but for rounding, as .07 * 100, is not rounded up
    count = int(np.ceil(keep_fraction * len(losses) - 1e-9))
    return np.sort(rank_by_ce(losses)[:count])
