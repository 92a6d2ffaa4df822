"""The share of right answers on the targets of an objective, whichever it is.

The losses of objectives that predict masked tokens, classes of pairs or replaced tokens cannot be
compared with one another. Shares of right answers can, each beside the share that guessing would
give. Read next: evaluation.py, the loss on the same rows.
"""

import itertools
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random, to_cpu
from tinylm.nn import evaluating
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, Batch, Objective, Seq2SeqBatch, TokenBatch
from tinylm.pretrain.discriminative.contrastive import SentenceEmbedding
from tinylm.pretrain.discriminative.pairs import PairBatch
from tinylm.pretrain.discriminative.replaced import ReplacedBatch, replaced_labels
from tinylm.pretrain.score import chosen


def answers(model: Module, objective: Objective, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The model's most probable answers at the targets of a batch, and the right ones.

    returns  (n,) and (n,) integers: ids of tokens; classes of pairs; 1 for replaced tokens.
             Contrastive learning has no right answers: (0,) and (0,)
    """
    if isinstance(objective, SentenceEmbedding):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if isinstance(batch, ReplacedBatch):
        # The discriminator judges the text with the generator's samples, as in training.
        _, logits = _generator(model.generator, batch)
        filled = objective.fill(logits, batch)
        found = model.discriminator(filled, **batch.options).data > 0  # (B, T)
        labels = replaced_labels(to_cpu(batch.original), to_cpu(filled))
        return _flat(found[batch.judged]), _flat(labels[to_cpu(batch.judged)])
    if isinstance(batch, PairBatch):
        h = model.hidden(batch.inputs, **batch.options)
        return _flat(model.pair_logits(h).data.argmax(axis=-1)), _flat(batch.classes)
    if isinstance(batch, Seq2SeqBatch):
        logits = model(batch.inputs, batch.decoder, source_mask=batch.mask).data  # (B, T, V)
    elif isinstance(batch, TokenBatch) and batch.order is None:
        # The output layer is computed only at the n positions with a target.
        states, targets = chosen(model.hidden(batch.inputs, **batch.options), batch.targets)
        return _flat(model.logits(states).data.argmax(axis=-1)), _flat(targets)
    else:
        logits = model(batch.inputs, **getattr(batch, "options", {})).data
    counts = batch.targets != IGNORE  # (B, T), or (B, T, n) of several tokens ahead
    return _flat(logits.argmax(axis=-1)[counts]), _flat(batch.targets[counts])


def _generator(generator, batch):
    states, targets = chosen(generator.hidden(batch.inputs, **batch.options), batch.targets)
    return targets, generator.logits(states).data


def _flat(array):
    return to_cpu(array).astype(np.int64).reshape(-1)


def token_accuracy(
    model: Module,
    objective: Objective,
    rows: Any,
    batch_size: int,
    batches: int = 0,
    device: str = "cpu",
) -> tuple[float | None, int, float]:
    """The share of right answers on rows, with dropout off, on the same corruptions as evaluate().

    rows     EvenWindows, or another object with batches(batch_size)
    batches  how many of them, from the start; 0: all
    returns  (share, or None without targets; number of answers; share of the commonest right
             answer, which a model reaches by always giving that one)
    """
    given, right = [], []
    with evaluating(model), no_grad():
        for i, sequences in enumerate(itertools.islice(rows.batches(batch_size), batches or None)):
            batch = objective.make_batch(sequences, Random(0, "evaluate", i)).to(device)
            found, wanted = answers(model, objective, batch)
            given.append(found)
            right.append(wanted)
    given, right = np.concatenate(given), np.concatenate(right)
    if not len(right):
        return None, 0, None
    _, counts = np.unique(right, return_counts=True)  # how often each answer is right
    share = float(np.mean(given == right))
    return share, len(right), float(counts.max() / len(right))
