"""A number of the whole batch is the same for every part of it, on every worker."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.train.tiny import tiny_model, tiny_tokens
from tinylm.autograd import no_grad
from tinylm.backend import Random, to_cpu
from tinylm.models import GPT, GPTConfig
from tinylm.nn.experts import collect_routing, load_balancing_loss, router_z_loss
from tinylm.optim import SGD, FlatParameters
from tinylm.parallel import launch, obstacle
from tinylm.parallel.communicate.simulator import simulate
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import Batch
from tinylm.train.step import random_streams, train_step
from tinylm.train.trainer import Trainer
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


EXPERTS = GPTConfig(
    13, 8, 2, 2, 8, d_hidden=6, dropout=0.2, feed_forward=("experts",), experts=4,
    capacity_factor=0.7,
)  # fmt: skip
PENALIZED = CausalLM(ignore=0, balance=0.3, router_z=0.1)


def trained(comm, micro_batch, model=None):
    """Losses and parameters after three steps on rows of unequal lengths."""
    model = model or GPT(EXPERTS, 1, np.float64)

    def rows(step, start, stop):
        ids = np.random.default_rng(step).integers(1, 13, (6, 8))
        ids[1, 3:] = ids[4, 5:] = 0  # padding
        return ids[start:stop]

    optimizer = SGD(FlatParameters(model.named_parameters()))
    more = {"micro_batch": micro_batch, "comm": comm}
    trainer = Trainer(model, PENALIZED, optimizer, rows, 6, 0.1, seed=3, **more)
    steps = [trainer.advance() for _ in range(3)]
    return [(s.loss, s.grad_norm) for s in steps], optimizer.flat.data.copy()


def test_penalties_of_routers_do_not_depend_on_how_the_batch_is_cut():
    steps, data = trained(None, 0)
    for micro_batch in (1, 4):
        others, found = trained(None, micro_batch)
        np.testing.assert_allclose(others, steps, rtol=1e-10)
        np.testing.assert_allclose(found, data, rtol=1e-8, atol=1e-10)
    for others, found in simulate(trained, 4, 1).results:
        np.testing.assert_allclose(others, steps, rtol=1e-10)
        np.testing.assert_allclose(found, data, rtol=1e-8, atol=1e-10)


def test_penalties_are_the_same_on_every_device(device):
    steps, data = trained(None, 4)
    others, found = trained(None, 4, GPT(EXPERTS, 1, np.float64).to(device))
    np.testing.assert_allclose(others, steps, rtol=1e-10)
    np.testing.assert_allclose(to_cpu(found), data, rtol=1e-8, atol=1e-10)


def test_they_are_those_of_the_layers_added_to_the_cross_entropy():
    model = GPT(EXPERTS, 1, np.float64).eval()
    batch = PENALIZED.make_batch(np.random.default_rng(0).integers(1, 13, (3, 6)))
    plain, _ = CausalLM(0).loss(model, batch)
    found, metrics = PENALIZED.loss(model, batch)
    expected = plain.item()
    with collect_routing(model) as routed:
        model(batch.inputs)
    for layer in routed:
        expected += 0.3 * load_balancing_loss(layer.logits, layer.experts).item()
        expected += 0.1 * router_z_loss(layer.logits).item()
    np.testing.assert_allclose(found.item(), expected, rtol=1e-12)
    assert metrics["loss"] == found.item()
    summed, _ = PENALIZED.loss(model, batch, "sum")
    np.testing.assert_allclose(summed.item(), expected * batch.tokens, rtol=1e-12)
    with no_grad():  # what is reported of a text is its cross-entropy
        assert PENALIZED.loss(model, batch)[0].item() == plain.item()


def test_a_load_of_the_rows_at_hand_depends_on_the_cut():
    """What is mended: without the numbers of the whole batch two halves give another loss."""
    model = GPT(EXPERTS, 1, np.float64).eval()
    batch = PENALIZED.make_batch(np.random.default_rng(0).integers(1, 13, (4, 6)))
    halves = [PENALIZED.loss(model, batch.rows(a, a + 2))[0].item() for a in (0, 2)]
    assert abs(np.mean(halves) - PENALIZED.loss(model, batch)[0].item()) > 1e-4
