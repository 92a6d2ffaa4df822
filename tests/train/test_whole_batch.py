"""A number of the whole batch is the same for every part of it, on every worker."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.train.tiny import tiny_model, tiny_tokens
from tinylm.backend import Random
from tinylm.optim import SGD, FlatParameters
from tinylm.parallel import launch, obstacle
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import Batch
from tinylm.train.trainer import random_streams, train_step
from tinylm.train.whole_batch import of_all_rows, whole_batch, with_numbers

needs_workers = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


@dataclass(frozen=True)
class Weighted(Batch):
    largest: np.ndarray | None = None


ROWS = Weighted(np.arange(15).reshape(5, 3), np.zeros((5, 3), int))


class ByLargest(CausalLM):
    """The loss over the largest id of the batch; it keeps what it was given and what was drawn."""

    def __init__(self):
        super().__init__()
        self.given, self.drawn = [], []

    def make_batch(self, sequences, rng=None):
        return Weighted(*vars(super().make_batch(sequences, rng)).values())

    def whole_batch(self, model, parts, comm):
        def measure(part):
            self.drawn.append([rng.uniform((len(part),)) for rng in random_streams(model)])
            return part.inputs.max(axis=1)

        return {"largest": of_all_rows(measure, parts, comm).max()}

    def loss(self, model, batch, reduction="mean"):
        self.given.append(batch.largest.tolist())
        self.drawn.append([rng.uniform((len(batch),)) for rng in random_streams(model)])
        loss, metrics = super().loss(model, batch, reduction)
        scale = 1 / float(batch.largest[0])
        return loss * scale, {**metrics, "loss": metrics["loss"] * scale}


def test_rows_are_put_together_in_their_order():
    parts = [ROWS.rows(0, 2), ROWS.rows(2, 5)]
    found = of_all_rows(lambda part: part.inputs[:, ::2], parts)
    assert found.tolist() == [[0, 2], [3, 5], [6, 8], [9, 11], [12, 14]]
    assert found.dtype == np.float64
    assert np.isnan(of_all_rows(lambda part: np.full(len(part), np.nan), parts)).all()


@needs_workers
def test_every_worker_has_the_rows_of_all():
    def some(comm):
        cuts = [0, 1, 3, 5]  # 1, 2 and 2 rows
        mine = ROWS.rows(cuts[comm.rank], cuts[comm.rank + 1])
        parts = [mine.rows(i, i + 1) for i in range(len(mine))]
        found = of_all_rows(lambda part: part.inputs[:, 0], parts, comm)
        return comm.all_reduce(found).tolist()

    assert launch(some, 3, capacity=1 << 16) == [0, 9, 18, 27, 36]  # three times the same


def test_most_losses_need_nothing_and_their_parts_are_not_read():
    def unread():
        raise AssertionError
        yield

    assert whole_batch(CausalLM(), None, unread()) == {}
    assert with_numbers(ROWS, {}) is ROWS


def test_every_row_gets_the_number_and_keeps_it_when_it_is_cut():
    batch = with_numbers(ROWS, {"largest": 14.0})
    assert batch.largest.tolist() == [14.0] * 5 and batch.rows(3, 5).largest.tolist() == [14.0] * 2
    assert ROWS.largest is None


@pytest.mark.parametrize("micro_batch", [0, 1, 2])
def test_a_step_does_not_depend_on_its_parts_though_the_loss_needs_them_all(micro_batch):
    """Without a gradient it is measured first, on the same random numbers as in the loss."""
    sequences = tiny_tokens(6 * 5).reshape(6, 5)
    largest = float(sequences[:, :-1].max())
    found = []
    for size in (0, micro_batch):
        model, objective = tiny_model(dropout=0.3), ByLargest()
        batch = objective.make_batch(sequences, Random(0))
        optimizer = SGD(FlatParameters(model.named_parameters()))
        step = train_step(model, objective, optimizer, batch, 0, 6, 0.1, micro_batch=size)
        parts = 1 if not size else 6 // size
        assert objective.given == [[largest] * (6 // parts)] * parts
        measured, differentiated = objective.drawn[:parts], objective.drawn[parts:]
        for one, other in zip(measured, differentiated, strict=True):
            assert one and all(np.array_equal(a, b) for a, b in zip(one, other))
        counters = [rng.counter for rng in random_streams(model)]
        found.append([step.loss, counters, optimizer.flat.data])
    assert found[0][:2] == [pytest.approx(found[1][0], rel=1e-12), found[1][1]]
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=0, atol=1e-12)
