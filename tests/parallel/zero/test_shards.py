"""ZeRO on whole models: bytes that a rank holds, bytes that ranks send, both counted exactly."""

import functools
import tracemalloc

import numpy as np
import pytest

from tinylm.errors import ConfigError, TrainingError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.parallel import launch
from tinylm.parallel.communicate.communicator import SingleProcess, share
from tinylm.parallel.communicate.rings import ring_all_gather, ring_reduce_scatter
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh, parse_layout
from tinylm.parallel.plan.layout import Layout as PlannedLayout
from tinylm.parallel.plan.memory import state_bytes as planned
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.parallel.zero.memory import MIXED, held_bytes, live_bytes, state_bytes
from tinylm.pretrain import CausalLM

# No table is read twice, and no bucket is so small that cache lines matter.
CONFIG = GPTConfig(64, 8, 6, 2, 64, tied=False, bias=False, positions="none")
STAGES = range(4)


def trainer(comm, layout, micros=1, config=CONFIG):
    together = Together(GPT(config, 0), Mesh(comm, layout))
    rows = layout.dp * micros

    def batches(step, start, stop):
        return np.arange(3 * rows).reshape(rows, 3)[start:stop] % config.vocab_size

    return ParallelTrainer(together, CausalLM(), AdamW, batches, rows, 1e-3, micros=micros)


def held(comm, layout):
    """(bytes between steps, held_bytes(), most bytes beyond them in a step, parameters, numbers in
    the largest bucket) of a rank.
    """
    tracemalloc.start()
    try:
        before = live_bytes()
        training = trainer(comm, layout)
        training.advance()
        between = live_bytes()
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        training.advance()
        most = tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()
    largest = max(bucket.n for bucket in training.optimizer.buckets.values())
    arrays = held_bytes(training.optimizer)
    return between - before, arrays, most, training.parameters, largest


@functools.cache
def measured(ranks, stage):
    """held() in a process of its own."""
    return launch(held, ranks, Layout(dp=ranks, zero=stage), capacity=1 << 20)


@pytest.mark.parametrize("ranks, stage", [*((2, stage) for stage in STAGES), (4, 3)])
def test_a_rank_holds_what_the_formula_says(ranks, stage):
    """To 64 bytes: counters, and the number that stands for parameters that are elsewhere."""
    between, arrays, _, parameters, _ = measured(ranks, stage)
    expected = state_bytes(parameters, ranks, stage)
    assert tuple(arrays.values()) == expected
    assert sum(expected) <= between < sum(expected) + 64


@pytest.mark.parametrize("stage, buckets", [(2, 1), (3, 2)])
def test_while_it_works_a_rank_holds_one_bucket_more(stage, buckets):
    """Beside what stage 1 needs in a step (activations, the update): the gradients of one block,
    and at stage 3 its parameters.
    """
    _, _, plain, _, _ = measured(2, 1)
    _, _, most, _, largest = measured(2, stage)
    # A tenth, and 64 KB, for what a block that runs again computes once more.
    assert most - plain < 1.1 * buckets * 4 * largest + (1 << 16)


def test_the_formula_is_that_of_the_paper():
    """Rajbhandari et al. 2020, table 1: 7.5B parameters on 64 GPUs, in GB."""
    for stage, gigabytes in enumerate((120, 31.4, 16.6, 1.88)):
        assert sum(state_bytes(7.5, 64, stage, MIXED)) == pytest.approx(gigabytes, rel=3e-3)
        layout = PlannedLayout(dp=64, zero=stage, gradient_bytes=2)
        assert planned(7.5, layout) == state_bytes(7.5, 64, stage, MIXED)


def sent(comm, layout, micros):
    """Bytes that a rank sends to its data group in a step."""
    training = trainer(comm, layout, micros)
    data = training.mesh.data
    before = sum(data.bytes_sent.values())
    training.advance()
    return sum(data.bytes_sent.values()) - before, training.parameters * 4


@pytest.mark.parametrize("ranks, micros", [(2, 1), (4, 1), (2, 3)])
def test_stages_send_two_two_two_and_three_times_the_parameters(ranks, micros):
    """Once an all-reduce of gradients is 2; passes of more micro-batches cost more from stage 2."""
    for stage, times in enumerate((2, 2, micros + 1, 3 * micros)):
        found = simulate(sent, ranks, Layout(dp=ranks, zero=stage), micros).results
        assert sum(bytes_ for bytes_, _ in found) == times * (ranks - 1) * found[0][1]


class OfMessages:
    """A communicator whose reductions and gatherings are rings of messages, which are recorded."""

    def __init__(self, comm):
        self._comm = comm

    def __getattr__(self, name):
        return getattr(self._comm, name)

    def _pieces(self, flat):
        """The slices of ranks, that of rank r at r + 1, where a ring leaves its sum."""
        n = self._comm.size
        bounds = [share(len(flat), (rank - 1) % n, n) for rank in range(n)]
        return [flat[start:stop] for start, stop in bounds]

    def reduce_scatter_(self, flat):
        ring_reduce_scatter(self._comm, self._pieces(flat))

    def all_gather_(self, flat):
        ring_all_gather(self._comm, self._pieces(flat))


def test_messages_of_rings_are_as_many_bytes():
    def body(comm, layout):
        training = trainer(comm, layout)
        for bucket in training.optimizer.buckets.values():
            bucket.comm = OfMessages(bucket.comm)
        return training.advance().loss, training.parameters * 4

    for stage, times in ((1, 2), (2, 2), (3, 3)):
        done = simulate(body, 4, Layout(dp=4, zero=stage))
        total = sum(message.nbytes for message in done.messages)
        assert total == times * 3 * done.results[0][1]


def test_a_table_read_at_both_ends_is_gathered_for_both_and_reduced_once():
    tied = GPTConfig(64, 8, 2, 2, 64, tied=True, bias=False, positions="none")

    def body(comm, stage):
        training = trainer(comm, Layout(dp=2, zero=stage), config=tied)
        calls = training.mesh.data.calls
        before = calls["all_gather_"], calls["reduce_scatter_"]
        training.advance()
        buckets = len(training.optimizer.buckets)
        return calls["all_gather_"] - before[0], calls["reduce_scatter_"] - before[1], buckets

    gathered, reduced, buckets = simulate(body, 2, 3).results[0]
    assert (gathered, reduced) == (2 * buckets + 2, buckets)
    gathered, reduced, buckets = simulate(body, 2, 2).results[0]
    assert (gathered, reduced) == (buckets, buckets)


def test_layouts_say_their_stage():
    assert parse_layout("dp=4,zero=3") == Layout(dp=4, zero=3)
    assert str(Layout(dp=4, zero=3)) == "dp=4,zero=3" and Layout().zero == 1
    with pytest.raises(ConfigError, match="zero=4, the stages of ZeRO are 0, 1, 2 and 3"):
        Layout(zero=4)


def test_a_gradient_whose_square_overflows_is_refused_before_anything_changes():
    optimizer = trainer(SingleProcess(), Layout(zero=2)).optimizer
    optimizer.begin()
    optimizer.complete()
    first, *_, last = optimizer.buckets.values()
    first.flat.grad += 1.0
    last.flat.grad[-1] = 1e30  # its square is beyond float32
    before = first.flat.data.copy()
    with pytest.raises(TrainingError, match="1.0e.30 has a square beyond float32"):
        optimizer.step(1e-3)
    np.testing.assert_array_equal(first.flat.data, before)
    last.flat.grad[-1] = 0
    optimizer.step(1e-3)
    assert (first.flat.data != before).all()


@pytest.mark.parametrize("stage", STAGES)
def test_in_a_product_a_rank_holds_its_part_of_its_own_share(stage):
    """Of a stage of the pipeline and a tensor rank's part of it; to a cache line a bucket."""

    def body(comm):
        shards = trainer(comm, Layout(dp=2, tp=2, pp=2, zero=stage)).optimizer
        own = sum(bucket.n for bucket in shards.buckets.values())
        return held_bytes(shards), own, len(shards.buckets), shards.together.parameters

    found = simulate(body, 8).results
    for held, own, buckets, parameters in found:
        assert own == sum(p.size for p in parameters.values())
        for bytes_, expected in zip(held.values(), state_bytes(own, 2, stage)):
            assert abs(bytes_ - expected) <= buckets * 64 * 2  # two moments
    if stage:
        moments = sum(held["moments"] for held, *_ in found)
        assert moments == sum(8 * own for _, own, *_ in found) / 2  # each by one data rank
