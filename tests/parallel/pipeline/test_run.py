"""Schedules are done as they say: what is computed when, and what is kept until then."""

import contextlib
import tracemalloc
import weakref

import numpy as np
import pytest

from tinylm.autograd import Tensor, first_order_only
from tinylm.autograd.engine.halves import backward_in_halves
from tinylm.models import GPT, GPTConfig
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.pipeline.schedules import SCHEDULES, most_kept, schedule, timed
from tinylm.parallel.together import Together
from tinylm.pretrain import CausalLM

CONFIG = GPTConfig(11, 6, 6, 2, 8, dropout=0.1)
STAGES, MICROS = 3, 6


class Watched(Pipeline):
    """A pipeline that says which share of the parameters has a gradient when it sends (`sent`), and
    of how many passes something was kept for the backward pass at most (`most`).
    """

    def __init__(self, together):
        super().__init__(together.stages, together.mesh.pp, together.mesh.layout.schedule)
        self.parameters = together.parameters.values()
        self.sent, self.kept, self.most = [], [], 0

    def watch(self, is_kept):
        self.kept.append(is_kept)
        self.most = max(self.most, sum(kept() for kept in self.kept))

    def watch_graph(self, y):
        node = y._node
        self.watch(lambda: node.derive is not None)  # backward frees it

    def loss_of(self, logits, batch):
        loss = (logits * logits).mean()
        self.watch_graph(loss)
        return loss, 1.0, float(loss.item())

    def _forward(self, batch, k, c, start):
        x, y = super()._forward(batch, k, c, start)
        if not self.stages[c].ends:
            self.watch_graph(y)
        return x, y

    def _backward(self, *args):
        second = super()._backward(*args)
        if second is not None:
            held = weakref.ref(second.__self__)
            self.watch(lambda: held() is not None)
        return second

    def _send(self, kind, k, *rest):
        found = [p.grad is not None for p in self.parameters]
        self.sent.append((kind, k, sum(found) / len(found)))
        super()._send(kind, k, *rest)


def watched(comm, name):
    layout = Layout(pp=STAGES, schedule=name)
    pipeline = Watched(Together(GPT(CONFIG, 7, np.float64), Mesh(comm, layout)))
    objective = CausalLM()
    rows = np.random.default_rng(0).integers(0, 11, (MICROS, 2, 7))
    batches = [objective.make_batch(two) for two in rows]
    pipeline.run(batches, pipeline.loss_of, lambda k: contextlib.nullcontext())
    return pipeline.sent, pipeline.most


@pytest.mark.parametrize("name", SCHEDULES)
def test_with_halves_a_cotangent_is_sent_before_any_gradient_of_a_weight(name):
    for sent, _ in simulate(watched, STAGES, name).results[1:]:
        first = [share for kind, _, share in sent if kind == "B"][0]
        assert first == (0 if name.startswith("zb") else 1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_as_many_passes_are_kept_as_the_schedule_says(name):
    found = [most for _, most in simulate(watched, STAGES, name).results]
    assert found == most_kept(schedule(name, STAGES, MICROS))


TIMES = {"F": 1.0, "B": 3.0, "W": 0.5}


def on_the_clock(comm, name, chunks):
    """A rank's passes take TIMES; a message arrives 0.25 s later."""
    layout = Layout(pp=STAGES, chunks=chunks, schedule=name)
    together = Together(GPT(CONFIG, 7, np.float64), Mesh(comm, layout))

    def passed(action):
        comm.elapse(TIMES[action.kind] / chunks, str(action))

    pipeline = Pipeline(together.stages, together.mesh.pp, name, passed)
    objective = CausalLM()
    rows = np.random.default_rng(0).integers(0, 11, (MICROS, 2, 7))
    batches = [objective.make_batch(two) for two in rows]

    def loss_of(logits, batch):
        loss = (logits * logits).mean()
        return loss, 1.0, float(loss.item())

    begun = comm.clock  # after the ranks have compared their weights
    pipeline.run(batches, loss_of, lambda k: contextlib.nullcontext())
    return begun


@pytest.mark.parametrize("name, chunks", [(name, 1) for name in SCHEDULES] + [("1f1b", 2)])
def test_passes_begin_and_end_when_the_schedule_says(name, chunks):
    """Of a decoder that is trained on simulated ranks, to the second."""
    network = Network(Link(0.25, float("inf")))
    found = simulate(on_the_clock, STAGES, name, chunks, network=network)
    passes = {str(a) for row in schedule(name, STAGES, MICROS, chunks) for a in row}
    t = found.results[0]
    real = [(s.rank, s.what, s.start - t, s.stop - t) for s in found.spans if s.what in passes]
    kinds = TIMES["F"], TIMES["B"]
    plan = timed(schedule(name, STAGES, MICROS, chunks), *kinds, hop=0.25, weights=TIMES["W"])
    expected = [(one.stage, str(one.action), one.start, one.stop) for one in plan]
    assert sorted(real) == sorted(expected)


def test_the_second_half_keeps_less_than_the_pass():
    """Of x W the pair (x, g), of which x was kept before; of attention and activations nothing."""
    model = GPT(GPTConfig(11, 64, 1, 4, 32), 7, np.float64)
    block = model.blocks[0]
    x = Tensor(np.random.default_rng(0).standard_normal((4, 64, 32)), requires_grad=True)
    block(x)  # what is made once, and kept, is made now
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with first_order_only():
        y = block(x)
    whole = tracemalloc.get_traced_memory()[0] - before
    second = backward_in_halves(y, np.ones_like(y.data), [x])
    del y
    x.grad = None
    half = tracemalloc.get_traced_memory()[0] - before
    second()
    left = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    gradients = sum(p.grad.data.nbytes for p in block.parameters())
    # In numbers of B T D a pass keeps about 34 + 5 H T / D, its second half 32 (Qi et al. 2023,
    # table 1, in half precision): here 1.66 and 1.32 MB.
    assert left < 1.1 * gradients < half < 0.85 * whole
