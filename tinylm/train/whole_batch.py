"""Numbers that a loss needs of the whole batch, however the batch is cut.

Most losses are means over rows: the trainer adds up the parts of micro-batches and workers. In some
there is also a number that all rows have a say in, a constant to the gradient: KTO's reference
point is a mean of log ratios, the threshold of the confidence loss a quantile. Taken from the rows
of a micro-batch, it would be another one for every way to cut the batch. An objective with such
numbers has one method more,

    whole_batch(model, parts, comm) -> {name: number or array}

which is called, without gradients, before the first micro-batch is differentiated. Every batch that
its loss gets then has a field of each name, with the number (or the array, such as the load of
every expert) in all of its rows. A loss without these fields takes the rows at hand. (A number with
a gradient, such as the negatives of a contrastive loss, cannot be had in this way.) Read next:
trainer.py.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.nn.module import Module
from tinylm.pretrain.batch import Batch, Objective
from tinylm.train.alone import ALONE, Workers


def whole_batch(
    objective: Objective, model: Module, parts: Iterable[Batch], comm: Workers = ALONE
) -> dict[str, Any]:
    """The numbers of a whole batch that the objective's loss needs: {name: number}.

    parts    this worker's micro-batches, an iterable; it is not read where nothing is needed
    comm     communicator: every worker calls, and gets the same
    returns  {} for an objective whose loss is a mean over rows
    """
    ask = getattr(objective, "whole_batch", None)
    if ask is None:
        return {}
    with no_grad():
        return ask(model, parts, comm)


def with_numbers(batch: Batch, numbers: dict[str, Any]) -> Batch:
    """The batch with numbers of whole_batch() in its rows: a field of shape (B, ...) for each."""
    if not numbers:
        return batch
    fields = {n: np.full((len(batch), *np.shape(v)), v) for n, v in numbers.items()}
    return dataclasses.replace(batch, **fields)


def of_all_rows(measure: Callable, parts: Iterable[Batch], comm: Workers = ALONE) -> np.ndarray:
    """What is measured of each row, for all rows of the batch: (N, ...) float64, the same on every
    worker.

    measure  function: batch of b rows -> (b, ...) array
    parts    this worker's micro-batches; one at least
    comm     communicator: rows come in the order of ranks
    """
    own = np.concatenate([np.asarray(measure(part), np.float64) for part in parts])  # (n, ...)
    sizes = np.zeros(comm.size)
    sizes[comm.rank] = len(own)
    ends = np.cumsum(comm.all_reduce(sizes)).astype(int)  # where the rows of each worker end
    found = np.zeros((ends[-1], *own.shape[1:]))
    end = ends[comm.rank]
    found[end - len(own) : end] = own
    return comm.all_reduce(found)  # all other workers have zeros there
