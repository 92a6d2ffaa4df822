"""Decoders with experts train as in one process in every layout; what goes wrong is noticed."""

import copy
import dataclasses

import numpy as np
import pytest

from tests.parallel.layouts import CLIP, RATE, SEED, Draw, batches, largest_difference
from tests.parallel.test_layouts import ROUNDING
from tinylm.errors import WorkerError
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.flat import FlatParameters
from tinylm.parallel import launch
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.experts import layer, routers
from tinylm.parallel.experts.routers import Routers
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.tensor.cuts import Whole
from tinylm.parallel.together import Together
from tinylm.parallel.zero import shards
from tinylm.parallel.zero.shards import Shards
from tinylm.pretrain import CausalLM
from tinylm.train.trainer import Trainer

# Three experts on two ranks, two for each token, some choices dropped; padding in the middle.
CONFIG = GPTConfig(
    23, 12, 4, 4, 16, n_kv_head=2, d_hidden=15, dropout=0.2, positions="rope", kv_sharing=2,
    feed_forward=("dense", "experts"), experts=3, capacity_factor=0.8,
)  # fmt: skip
PENALIZED = CausalLM(0, 0.1, 1e-2, 0.5, 0.1)
RICH = Draw(CONFIG, PENALIZED, Layout(1, 2, 2, sequence=True, ep=2), 2, 6, 7)


def with_layout(**changes):
    return dataclasses.replace(RICH, **changes)


def test_one_of_everything():
    assert largest_difference(RICH) < ROUNDING
    several = Layout(dp=2, cp=2, ep=2)
    assert largest_difference(with_layout(layout=several, rows=9)) < ROUNDING
    every = dataclasses.replace(CONFIG, feed_forward=("experts",))
    halves = Layout(pp=2, ep=2, schedule="zb-h1")
    assert largest_difference(with_layout(config=every, layout=halves)) < ROUNDING


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_experts_are_sliced_among_data_ranks_and_the_rest_among_all(stage):
    """At stage 3 blocks run once more, when another micro-batch may have begun."""
    layout = Layout(dp=2, cp=2, ep=2, zero=stage)
    assert largest_difference(with_layout(layout=layout, rows=9)) < ROUNDING


@pytest.mark.parametrize("gates", ["probability", "share"])
def test_one_expert_a_token_and_ranks_that_get_no_rows(gates):
    """Rows of three tokens, or two, each of which goes to one expert of five."""
    config = dataclasses.replace(CONFIG, experts=5, experts_per_token=1, gates=gates)
    few = with_layout(config=config, rows=2, length=3, micros=1)
    assert largest_difference(dataclasses.replace(few, layout=Layout(ep=2, cp=2))) < ROUNDING
    alone = dataclasses.replace(few, layout=Layout(ep=5), rows=5, length=2)
    assert largest_difference(alone) < ROUNDING


@pytest.mark.parametrize("layout", [Layout(ep=2), Layout(tp=2, ep=2), Layout(dp=2, pp=2)], ids=str)
def test_processes_that_share_memory_do_the_same(layout):
    def run(body, size, *args):
        return [launch(body, size, *args, capacity=1 << 22)]

    assert largest_difference(with_layout(layout=layout), run=run) < ROUNDING


def test_layouts_that_cannot_be_name_those_that_can():
    def made(comm, config, layout):
        Together(GPT(config, 7, np.float64), Mesh(comm, layout))

    plain = dataclasses.replace(CONFIG, feed_forward=("dense",))
    above = dataclasses.replace(CONFIG, n_layer=1, kv_sharing=1)  # the pattern has one further up
    for config, size, words in (
        (CONFIG, 4, "ep=4 cannot share 3 experts; ep=3 can"),
        (plain, 2, "no experts for ep=2 ranks to share; dp=2 has"),
        (above, 2, "no experts for ep=2 ranks to share; dp=2 has"),
    ):
        with pytest.raises(WorkerError, match=words):
            simulate(made, size, config, Layout(ep=size))


def trainer_of(comm, layout):
    model = Together(GPT(CONFIG, SEED, np.float64), Mesh(comm, layout))
    return ParallelTrainer(model, PENALIZED, AdamW, batches(RICH), 6, RATE, CLIP, 1, SEED)


def single():
    model = GPT(CONFIG, SEED, np.float64)
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    return Trainer(model, PENALIZED, optimizer, batches(RICH), 6, RATE, CLIP, seed=SEED)


class Windows:
    """Validation windows of unequal lengths, with padding."""

    def batches(self, size):
        for length in (7, 7, 4):
            yield np.random.default_rng(length).integers(0, CONFIG.vocab_size, (size, length + 1))


def test_a_run_goes_on_with_another_layout_and_is_validated_as_one_process():
    layout = Layout(tp=2, pp=2, ep=2)

    def begin(comm):
        trainer = trainer_of(comm, layout)
        trainer.run(1)
        return copy.deepcopy(trainer.state()), trainer.evaluate(Windows(), 3)

    alone = single()
    alone.run(1)
    found = simulate(begin, layout.size).results
    for _, score in found:
        assert score == pytest.approx(alone.evaluate(Windows(), 3), rel=1e-12)

    def go_on(comm):
        trainer = trainer_of(comm, Layout(ep=3))
        trainer.load_state(*copy.deepcopy(found[0][0]))
        return trainer.advance()

    expected = alone.advance()
    for after in simulate(go_on, 3).results:
        assert after.loss == pytest.approx(expected.loss, rel=1e-9)
        assert after.grad_norm == pytest.approx(expected.grad_norm, rel=1e-9)


def test_steps_are_the_same_on_every_device(device):
    model = Together(GPT(CONFIG, SEED, np.float64).to(device), Mesh(SingleProcess(), Layout()))
    rest = batches(RICH), 6, RATE, CLIP, 2, SEED
    found = ParallelTrainer(model, PENALIZED, AdamW, *rest)
    alone = single()
    for _ in range(2):
        step, expected = found.advance(), alone.advance()
        assert step.loss == pytest.approx(expected.loss, rel=1e-9)
        assert step.grad_norm == pytest.approx(expected.grad_norm, rel=1e-9)


def test_a_rank_has_its_own_experts_alone():
    def held(comm):
        return list(trainer_of(comm, Layout(ep=2)).together.parameters)

    first, second = simulate(held, 2).results
    assert set(first) | set(second) == set(GPT(CONFIG).named_parameters().keys())
    experts = [sorted({name.split(".experts.")[1][0] for name in names if ".experts." in name})
               for names in (first, second)]  # fmt: skip
    assert experts == [["0"], ["1", "2"]]


def every_rank_penalizes(self, layer, logits, k, counted):
    self.first = True
    return take_penalty(self, layer, logits, k, counted)


def load_of_the_first_part(self, pipeline, parts, windows):
    self.load, self.penalty = {}, 0.0


def load_of_own_rows(self, mesh, *rest):
    take_routers(self, mesh, *rest)
    self.readers = mesh.cp


def penalties_of_the_last_stage(self, mesh, *rest):
    take_routers(self, mesh, *rest)
    self.first = self.first and mesh.last


def room_of_own_tokens(self, experts, at, shape, factor):
    return routers.admitted(experts, self.config.experts, factor, at // shape[1])


def router_not_summed(*args):
    module, cuts = take_split(*args)
    return module, cuts | {"router.weight": Whole()}


def no_expert(name):
    return False


def every_rank_adds(self, weight, bias, adds):
    take_part(self, weight, bias, True)


def divided_by_readers(self):
    """Experts' gradients averaged over the ranks that have sent them tokens."""
    take_sums(self)
    for (*_, expert), bucket in self.buckets.items():
        if expert:
            bucket.flat.grad /= self.mesh.ep.size


def experts_of_the_first_rank_only(self, name):
    return take_counted(self, name) and not (self.mesh.ep.rank and routers.is_expert(name))


def sliced_by_data_ranks_alone(self, mesh, *rest):
    """What ranks with other experts have alike is not summed over them, nor counted once."""
    mesh.readers = mesh.data
    take_routers(self, mesh, *rest)


take_penalty, take_routers = Routers.penalized, Routers.__init__
take_split, take_part = layer.split_experts, layer.PartOfLinear.__init__
take_sums, take_counted = Shards.complete, Shards._counts
CONTEXT = {"layout": Layout(cp=2, ep=2)}
EQUAL = {"config": dataclasses.replace(CONFIG, experts=4)}
PLANTED = {
    "penalties that depend on t": (Routers, "penalized", every_rank_penalizes, {}),
    "the load of the first micro-batch": (Routers, "count_first", load_of_the_first_part, {}),
    "the load of a rank's own rows": (Routers, "__init__", load_of_own_rows, {}),
    "penalties of the last stage alone": (Routers, "__init__", penalties_of_the_last_stage, {}),
    "room for a part of a sequence": (Routers, "kept", room_of_own_tokens, CONTEXT),
    "a router not summed over its tensor group": (
        "tinylm.parallel.tensor.split", "split_experts", router_not_summed, {},
    ),
    "a bias added by every tensor rank": (layer.PartOfLinear, "__init__", every_rank_adds, {}),
    "experts summed over ranks with other experts": (shards, "is_expert", no_expert, EQUAL),
    "experts divided by the ranks of their group": (Shards, "complete", divided_by_readers, {}),
    "experts of one rank in the norm": (Shards, "_counts", experts_of_the_first_rank_only, {}),
    "what ranks have alike counted by each": (Routers, "__init__", sliced_by_data_ranks_alone, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_noticed(name, monkeypatch):
    where, attribute, wrong, changes = PLANTED[name]
    if isinstance(where, str):
        monkeypatch.setattr(f"{where}.{attribute}", wrong)
    else:
        monkeypatch.setattr(where, attribute, wrong)
    assert largest_difference(with_layout(**changes)) > 1e-6
