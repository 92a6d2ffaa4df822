"""Every layout gives the losses, gradient norms, parameters and moments of the single process.

`LAYOUTS=1000 pytest tests/parallel/test_layouts.py -m slow` tries that many random ones. Seeds 0 to
999, run once with two processes in two minutes: none differs by more than 3.1e-11.
"""

import dataclasses
import os

import numpy as np
import pytest

from tests.parallel.layouts import Draw, draw, largest_difference, shared
from tinylm.autograd import rms_norm
from tinylm.autograd.engine.halves import _Halves
from tinylm.errors import WorkerError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.parallel import launch, step
from tinylm.parallel.collectives import enter, leave
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.sequence import heads, layers, ring
from tinylm.parallel.sequence.layers import Tokens
from tinylm.parallel.sequence.ring import own_positions
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.tensor import split
from tinylm.parallel.tensor.cuts import Whole
from tinylm.parallel.tensor.draws import PartOfDraws
from tinylm.parallel.tensor.layers import SplitNorm, Stream
from tinylm.parallel.together import Together
from tinylm.parallel.zero.shards import Shards
from tinylm.pretrain import CausalLM

ROUNDING = 1e-9  # of float64, after two steps of Adam, which divides by small numbers
MANY = int(os.environ.get("LAYOUTS", 200))
# One of everything: heads of a part each, a tied table, dropout, smoothing, padding, uneven rows.
CONFIG = GPTConfig(
    23, 12, 4, 4, 16, n_kv_head=2, d_hidden=15, dropout=0.2, positions="t5", qk_norm="head"
)
WIDE = dataclasses.replace(CONFIG, qk_norm="width")
LONG = dataclasses.replace(CONFIG, positions="rope", qk_norm=None)
RICH = Draw(CONFIG, CausalLM(0, 0.1, 1e-2), Layout(2, 2, 2, sequence=True), 2, 5, 7)


@pytest.mark.parametrize("seed", range(50))
def test_a_random_layout_is_the_single_process(seed):
    assert largest_difference(draw(seed)) < ROUNDING


@pytest.mark.slow
def test_many_random_layouts_are_the_single_process():
    worst = {seed: largest_difference(draw(seed)) for seed in range(50, 50 + MANY)}
    assert max(worst.values()) < ROUNDING, {s: str(draw(s)) for s in worst if worst[s] > ROUNDING}


def with_layout(**changes):
    return dataclasses.replace(RICH, **changes)


def test_one_of_everything():
    assert largest_difference(RICH) < ROUNDING
    interleaved = with_layout(layout=Layout(1, 2, 2, chunks=2), micros=4)
    assert largest_difference(interleaved) < ROUNDING


@pytest.mark.parametrize("name", ["naive", "zb-h1", "zb-h2"])
def test_one_of_everything_by_other_schedules(name):
    layout = dataclasses.replace(RICH.layout, schedule=name)
    assert largest_difference(with_layout(layout=layout, rows=7, micros=3)) < ROUNDING
    layout = Layout(dp=1, tp=2, pp=3, cp=2, sequence=True, schedule=name)
    assert largest_difference(with_layout(config=LONG, layout=layout, micros=5)) < ROUNDING


@pytest.mark.parametrize("size", [1, 2])
def test_chunks_of_one_stage_hand_on_to_themselves_on_every_engine(size):
    found = with_layout(layout=Layout(dp=size, chunks=2), micros=2)

    def run(body, size, *args):
        return [launch(body, size, *args, capacity=1 << 22)]

    assert largest_difference(found, run=run) < ROUNDING


def test_what_several_ranks_cannot_hold_is_refused_with_what_can():
    def made(comm, config, layout, seed):
        Together(GPT(config, seed or comm.rank, np.float64), Mesh(comm, layout))

    small = dataclasses.replace(CONFIG, n_layer=2)
    shared_keys = dataclasses.replace(CONFIG, kv_sharing=2)
    one_group = "4 layers, of which 2 share keys and values, are too few for 3 stages"
    for config, layout, words in (
        (CONFIG, Layout(tp=3), "tp=3 cannot share 2 heads of keys and values; tp=2 can"),
        (small, Layout(pp=4), "2 layers are too few for 4 stages of 1 chunks; pp=2 can"),
        (small, Layout(chunks=3), "of 3 chunks; 2 chunks, pp=1 can"),
        (CONFIG, Layout(cp=5, heads=True), "cp=5,heads cannot share 4 heads; cp=4,heads can"),
        (CONFIG, Layout(tp=2, cp=3, heads=True), "tp=2 leaves a rank 2; cp=2,heads can"),
        (shared_keys, Layout(pp=3), f"{one_group} of 1 chunks; pp=2 can"),
    ):
        with pytest.raises(WorkerError, match=words):
            simulate(made, layout.size, config, layout, 7)
    with pytest.raises(WorkerError, match="the ranks have different weights"):
        simulate(made, 2, CONFIG, Layout(dp=2), None)
    for rows, micros, words in ((1, 1, "2 rows can"), (4, 3, "6 rows can")):
        with pytest.raises(WorkerError, match=words):
            simulate(shared, 2, with_layout(layout=Layout(dp=2), rows=rows, micros=micros))


def test_a_token_outside_the_vocabulary_is_named():
    def step_on(comm, place):
        together = Together(GPT(CONFIG, 7, np.float64), Mesh(comm, Layout(tp=2)))
        ids = np.zeros((2, 5), np.int64)
        ids[0, place] = 23

        def rows(step, start, stop):
            return ids[start:stop]

        ParallelTrainer(together, CausalLM(), AdamW, rows, 2, 1e-3).advance()

    for place in (1, 4):  # read, and only to be predicted
        with pytest.raises(WorkerError, match="DataError.*23"):
            simulate(step_on, 2, place)


def test_in_float32_differences_are_those_of_rounding():
    """1e-3 of Adam's first steps, which divide gradients near 0 by their own size."""
    assert largest_difference(RICH, np.float32) < 1e-3


def test_one_of_everything_with_sequences_in_parts():
    layout = Layout(tp=2, pp=2, cp=3, sequence=True)
    assert largest_difference(with_layout(config=LONG, layout=layout)) < ROUNDING
    # 7 tokens in 2 x 5 chunks: some are empty
    assert largest_difference(with_layout(config=LONG, layout=Layout(cp=5))) < ROUNDING


def test_one_of_everything_with_heads_in_parts():
    """Biased scores and windows; more ranks than keys have heads."""
    config = dataclasses.replace(CONFIG, attention=("window", "full"), window=3)
    layout = Layout(tp=2, pp=2, cp=2, sequence=True, heads=True)
    assert largest_difference(with_layout(config=config, layout=layout)) < ROUNDING
    # 4 ranks, 2 heads of keys and values, 4 of queries; 3 tokens, so that a rank has none
    few = with_layout(config=config, layout=Layout(cp=4, heads=True), length=3)
    assert largest_difference(few) < ROUNDING
    # norms over all heads of a token, and FIRE
    for layout in (Layout(cp=3, heads=True), Layout(tp=2, cp=2, heads=True)):
        fire = dataclasses.replace(WIDE, positions="fire")
        assert largest_difference(with_layout(config=fire, layout=layout)) < ROUNDING


def test_everything_that_reads_scores_goes_round_a_ring_and_is_cut_by_heads():
    """Biases, windows, capped scores, norms over all heads, keys and values of a layer below."""
    layout = Layout(dp=1, tp=2, pp=2, cp=2, sequence=True)
    every = {"n_layer": 6, "kv_sharing": 2, "attention": ("window", "full"), "window": 3}
    for positions in ("fire", "kerple_log"):
        capped = {"positions": positions, "attention_cap": 2.0, "dropout": 0.0, "qk_norm": "width"}
        config = dataclasses.replace(CONFIG, **every, **capped)
        assert largest_difference(with_layout(config=config, layout=layout)) < ROUNDING


SMALL = [Layout(tp=2), Layout(pp=2), Layout(dp=2), Layout(cp=2), Layout(cp=2, heads=True)]
SMALL += [Layout(2, 2, 1), Layout(pp=2, schedule="zb-h2")]
SMALL += [Layout(dp=2, zero=2), Layout(dp=2, pp=2, zero=3)]


@pytest.mark.parametrize("layout", SMALL)
def test_processes_that_share_memory_do_the_same(layout):
    found = with_layout(config=LONG, layout=layout, micros=2)

    def run(body, size, *args):
        return [launch(body, size, *args, capacity=1 << 22)]

    assert largest_difference(found, run=run) < ROUNDING


def counts_everything(self, name):
    return True


def leaves_shares_out(self, name):
    return self.mesh.tp.rank == 0


def smoothed_over_own_words(logits, targets, comm, total, label_smoothing=0.0, **more):
    share = label_smoothing * logits.shape[-1] / total
    return step_loss(logits, targets, comm, total, label_smoothing=share, **more)


step_loss = step.split_cross_entropy
take_together = Together.__init__


def tables_apart(self, *args):
    take_together(self, *args)
    self.mesh.ends = None


def gains_not_summed(self, *args):
    take_together(self, *args)
    for name, cut in self.cuts.items():
        if "norms" in name and isinstance(cut, Whole):
            self.cuts[name] = Whole()


def all_reduce_differentiated_as_itself(self, x):
    return enter(leave(x, comm=self.comm), comm=self.comm)


def one_stream_for_all_heads(rng, axis, total, kept):
    """Every rank drops the heads of the first one."""
    return rng


def forgets_where_the_stream_is(self, kind, k, virtual):
    array, _ = receive(self, kind, k, virtual)
    return array, self.rng.counter


def one_part_too_many(self, logits, batch):
    """A loss that is divided by the ranks of a context group, as if each had all tokens."""
    loss, weight, share = take_loss(self, logits, batch)
    return loss, weight / self.mesh.cp.size, share


def stale_keys(comm, k, v, places):
    """Backward meets the keys that came last forward, not those whose turn it is."""
    parts = list(go_round(comm, k, v, places))
    return [(source, *parts[-1][1:]) for source, *_ in parts]


class OneStreamForAllShares(PartOfDraws):
    """Every rank of a context group drops the heads of the first one."""

    def __init__(self, rng, axis, total, kept):
        super().__init__(rng, axis, total, np.arange(len(kept)))


def tokens_as_in_a_ring(self, total=None):
    return own_positions(total or self.total, self.comm.rank, self.comm.size)


def gradient_of_one_reader(x, comm, heads, total, parts):
    """Of keys that two ranks read, the gradient of the first one alone comes back."""
    queries, *rest = heads[comm.rank]
    if rest and comm.rank % 2:
        own = np.arange(x.shape[2]) < queries[1] - queries[0]
        x = x * own[:, None].astype(x.dtype)
    return take_back(x, comm=comm, heads=heads, total=total, parts=parts)


def as_if_all_features_were_here(self, x):
    """A norm over a rank's own heads, where it is to be over all."""
    return rms_norm(x, self.gain, eps=self.eps)


def bias_of_the_first_positions(self, queries, keys):
    return self.bias(np.arange(len(queries)), keys)[self.first : self.last]


def forgets_biases(self):
    stages, self.mesh.pp = self.mesh.pp, SingleProcess()
    take_complete(self)
    self.mesh.pp = stages


take_back = heads.heads_to_tokens


def weights_forgotten(self):
    """The first half alone: nobody computes the gradients of the weights."""


def weights_twice(self):
    """The second half, and once more."""
    later = self._later
    take_second(self)
    self._later = later
    take_second(self)


take_second = _Halves.second
take_complete = Shards.complete
take_loss, go_round = ParallelTrainer._loss, ring._round
receive = Pipeline._receive
IN_PARTS = {"config": LONG, "layout": Layout(2, 1, 1, cp=2)}
BY_HEADS = {"config": LONG, "layout": Layout(cp=4, heads=True)}

NO_SEQUENCE = {"layout": Layout(2, 2, 2)}
ZERO_BUBBLE = {"layout": Layout(pp=2, schedule="zb-h1")}
PLANTED = {
    "replicated weights are counted by every rank": (
        Shards, "_counts", counts_everything, {},
    ),
    "shares are left out of the norm": (Shards, "_counts", leaves_shares_out, {}),
    "smoothing over a rank's own words": (
        step, "split_cross_entropy", smoothed_over_own_words, {},
    ),
    "tables of two stages not summed": (Together, "__init__", tables_apart, {}),
    "gains under sequence sharding not summed": (Together, "__init__", gains_not_summed, {}),
    "an all-reduce that scales by t": (
        Stream, "leave", all_reduce_differentiated_as_itself, NO_SEQUENCE,
    ),
    "dropout of heads and tokens alike on all ranks": (
        split, "PartOfDraws", one_stream_for_all_heads, {},
    ),
    "every stage drops as the first": (Pipeline, "_receive", forgets_where_the_stream_is, {}),
    "biases of scores not summed over stages": (Shards, "complete", forgets_biases, {}),
    "a loss divided by the parts of a sequence": (
        ParallelTrainer, "_loss", one_part_too_many, IN_PARTS,
    ),
    "dropout of shared heads alike on all ranks": (
        layers, "PartOfDraws", OneStreamForAllShares, BY_HEADS,
    ),
    "tokens of shared heads in the ring's order": (Tokens, "own", tokens_as_in_a_ring, BY_HEADS),
    "keys that two ranks read differentiated once": (
        heads, "heads_to_tokens", gradient_of_one_reader, BY_HEADS,
    ),
    "a norm over own heads": (
        SplitNorm, "__call__", as_if_all_features_were_here, {"config": WIDE},
    ),
    "a bias of a rank's first positions": (
        split.OwnHeads, "__call__", bias_of_the_first_positions, {"layout": Layout(1, 2, 1, cp=2)},
    ),
    "stale keys in the ring": (ring, "_round", stale_keys, IN_PARTS | {"length": 8}),
    "gradients of weights are forgotten": (_Halves, "second", weights_forgotten, ZERO_BUBBLE),
    "gradients of weights are added twice": (_Halves, "second", weights_twice, ZERO_BUBBLE),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_noticed(name, monkeypatch):
    where, attribute, wrong, changes = PLANTED[name]
    monkeypatch.setattr(where, attribute, wrong)
    assert largest_difference(with_layout(**changes)) > 1e-6


def test_what_one_layout_has_written_another_reads():
    """Whole arrays, cut anew: the shares of a second layout are those of its own model."""

    def trained(comm, found):
        return shared(comm, found)[1]

    whole = simulate(trained, 8, RICH).results[0]

    def taken(comm, layout):
        together = Together(GPT(CONFIG, 99, np.float64), Mesh(comm, layout))
        for name, share in together.own(whole).items():
            together.parameters[name].assign_(share)
        return together.gathered([{n: p.data for n, p in together.parameters.items()}])

    for layout in (Layout(), Layout(tp=2), Layout(pp=4), Layout(tp=2, pp=2, sequence=True)):
        found, *others = simulate(taken, layout.size, layout).results
        assert list(found) == list(whole) and not any(others)
        for name, array in whole.items():
            np.testing.assert_array_equal(found[name], array)
