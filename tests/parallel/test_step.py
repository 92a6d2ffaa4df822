"""The trainer of a layout is a Trainer: it goes on from any state, validates, stops and refuses."""

import copy
import dataclasses
import signal

import numpy as np
import pytest

from tests.parallel.layouts import CLIP, RATE, SEED, batches
from tests.parallel.test_layouts import CONFIG, LONG, ROUNDING
from tinylm.errors import CheckpointError, WorkerError
from tinylm.models import GPT
from tinylm.optim import AdamW, Momentum
from tinylm.optim.flat import FlatParameters
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.pretrain import CausalLM
from tinylm.train.trainer import Trainer

ROWS, LENGTH = 6, 9
OBJECTIVE = CausalLM(0, 0.1, 1e-2)
LAYOUTS = [
    Layout(dp=3),
    Layout(tp=2, sequence=True),
    Layout(pp=2, chunks=2),
    Layout(dp=2, cp=2),
    Layout(dp=2, tp=2, pp=2),
    Layout(dp=3, zero=3),
    Layout(dp=2, tp=2, zero=2),
]


class Found:
    """What `batches` needs to know of a Draw."""

    rows, length, config = ROWS, LENGTH, LONG


class Rows:
    """Validation windows of unequal lengths."""

    def batches(self, size):
        rng = np.random.default_rng(5)
        for length in (9, 9, 4):
            yield rng.integers(1, LONG.vocab_size, (size, length + 1))


def single(optimizer=AdamW, config=LONG):
    model = GPT(config, SEED, np.float64)
    flat = FlatParameters(model.named_parameters())
    rest = batches(Found), ROWS, RATE, CLIP
    return Trainer(model, OBJECTIVE, optimizer(flat), *rest, seed=SEED)


def together(comm, layout, optimizer=AdamW, config=LONG):
    model = Together(GPT(config, SEED, np.float64), Mesh(comm, layout))
    rest = batches(Found), ROWS, RATE, CLIP, 2
    return ParallelTrainer(model, OBJECTIVE, optimizer, *rest, SEED)


def differs(arrays, expected):
    worst = 0.0
    for file in ("model", "optimizer"):
        assert list(arrays[file]) == list(expected[file])
        for name, array in expected[file].items():
            worst = max(worst, np.abs(arrays[file][name] - array).max() / np.abs(array).max())
    return worst


@pytest.fixture(scope="module")
def after():
    """{steps: state} of a single process."""
    trainer, found = single(), {}
    for step in (2, 4):
        trainer.run(step)
        found[step] = copy.deepcopy(trainer.state())
    return found


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_layout_goes_on_where_one_process_stopped_and_the_other_way_round(layout, after):
    def go_on(comm, state):
        trainer = together(comm, layout)
        trainer.load_state(*copy.deepcopy(state))
        assert trainer.step == 2
        trainer.run(4)
        return trainer.state()

    results = simulate(go_on, layout.size, after[2]).results
    assert differs(results[0][0], after[4][0]) < ROUNDING
    for _, state in results:
        assert state == after[4][1]
    assert not any(arrays["model"] for arrays, _ in results[1:])

    def begin(comm):
        trainer = together(comm, layout)
        trainer.run(2)
        return trainer.state()

    trainer = single()
    trainer.load_state(*simulate(begin, layout.size).results[0])
    trainer.run(4)
    assert differs(trainer.state()[0], after[4][0]) < ROUNDING


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_validation_is_that_of_one_process(layout):
    trainer = single()
    for batches_scored in (0, 2):
        expected, count = trainer.evaluate(Rows(), 4, batches_scored)

        def score(comm, most):
            model = together(comm, layout)
            found = model.evaluate(Rows(), 4, most)
            # Dropout is on again, at the number where it was.
            return *found, model.advance().loss

        step = single().advance()
        for loss, scored, trained in simulate(score, layout.size, batches_scored).results:
            assert scored == count
            assert loss == pytest.approx(expected, rel=1e-12)
            assert trained == pytest.approx(step.loss, rel=1e-12)


def test_a_signal_to_one_rank_stops_all_after_the_same_step():
    def run(comm):
        trainer = together(comm, Layout(tp=2, pp=2))
        trainer._pending = signal.SIGTERM if comm.rank == 2 else None
        finished = trainer.run(5)
        return finished, trainer.step, trainer.stopped_by

    assert simulate(run, 4).results == [(False, 1, signal.SIGTERM)] * 4


def test_what_is_expected_of_a_checkpoint_is_what_one_process_expects():
    def expected(comm, layout):
        trainer = together(comm, layout)
        return trainer.expected(), trainer.parameters

    one = single()
    for layout in LAYOUTS:
        for found in simulate(expected, layout.size, layout).results:
            assert found == (one.expected(), one.parameters)


def test_a_state_of_another_optimizer_or_seed_is_refused_and_changes_nothing(after):
    arrays, state = after[2]
    other = {**state, "random": [{**state["random"][0], "seed": 8}]}

    def load(comm, optimizer, state):
        trainer = together(comm, Layout(dp=2), optimizer)
        before = copy.deepcopy(trainer.state())
        with pytest.raises(CheckpointError) as error:
            trainer.load_state(arrays, state)
        assert differs_nowhere(before, trainer.state())
        return str(error.value)

    def differs_nowhere(before, found):
        same = [np.array_equal(a, found[0]["model"][n]) for n, a in before[0]["model"].items()]
        return all(same) and before[1] == found[1]

    for message in simulate(load, 2, Momentum, state).results:
        assert "the optimizer's state does not fit" in message
    for message in simulate(load, 2, AdamW, other).results:
        assert "random streams are not those" in message


def test_a_loss_that_is_not_finite_is_refused_on_every_rank():
    def step(comm):
        trainer = together(comm, Layout(tp=2, pp=2), config=CONFIG)
        flat = trainer.optimizer.flat
        flat.data[0] = np.inf
        before = flat.data.copy()
        try:
            trainer.advance()
        finally:
            np.testing.assert_array_equal(flat.data, before)
            assert trainer.step == 0

    with pytest.raises(WorkerError, match="TrainingError: step 1: loss nan"):
        simulate(step, 4)


@pytest.mark.parametrize("stage", [1, 3])
def test_steps_and_states_are_the_same_on_every_device(stage, device, after):
    def trained(device):
        model = GPT(LONG, SEED, np.float64).to(device)
        whole = Together(model, Mesh(SingleProcess(), Layout(zero=stage)))
        rest = batches(Found), ROWS, RATE, CLIP, 2
        trainer = ParallelTrainer(whole, OBJECTIVE, AdamW, *rest, SEED)
        trainer.load_state(*copy.deepcopy(after[2]))
        trainer.run(4)
        return trainer.state()

    arrays, state = trained(device)
    assert state == after[4][1]
    assert differs(arrays, after[4][0]) < ROUNDING


@pytest.mark.parametrize(
    "layout",
    [
        Layout(tp=2, pp=2),
        Layout(dp=2, cp=2, zero=3),
        Layout(ep=2, zero=2),
        Layout(tp=2, ep=2, zero=3),
        Layout(pp=2, ep=2, zero=3),
    ],
    ids=str,
)
def test_a_state_is_gathered_by_ranks_whose_messages_wait_for_their_receiver(layout):
    config = dataclasses.replace(LONG, feed_forward=("experts",), experts=2)

    def states(comm):
        return together(comm, layout, config=config).state()

    found = simulate(states, layout.size, buffer=64).results[0][0]
    expected = single(config=config).state()[0]
    assert same_arrays(found["model"], expected["model"])


def same_arrays(found, expected):
    return all(np.array_equal(found[name], array) for name, array in expected.items())
