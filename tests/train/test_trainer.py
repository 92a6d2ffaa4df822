"""The trainer learns, stops where it must, and goes on bit for bit."""

import math
import signal
import time

import numpy as np
import pytest

from tests.train.tiny import B, T, V, same_bits, tiny_model, tiny_tokens, tiny_trainer
from tinylm.data import EvenWindows, MarkovChain, RandomWindows, cycle
from tinylm.errors import CheckpointError, ConfigError, TinylmError, TrainingError
from tinylm.optim import SGD, AdamW, FlatParameters
from tinylm.parallel import launch, obstacle
from tinylm.pretrain import CausalLM
from tinylm.train import checkpoint, evaluate
from tinylm.train.trainer import Trainer

needs_workers = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


def test_initial_loss_is_near_log_V():
    """Weights of spread 0.02 give logits of spread 0.02 * sqrt(16), which change the loss in second
    order, by 0.003.
    """
    assert tiny_trainer().advance().loss == pytest.approx(math.log(V), abs=0.05)


@pytest.mark.parametrize("column", [0, T])  # an input, and a target alone
def test_an_id_outside_the_vocabulary_is_named_before_it_reaches_a_device(column, device):
    trainer = tiny_trainer(device=device)
    ids = np.zeros((B, T + 1), np.int64)
    ids[2, column] = V
    trainer.batches = lambda step, start, stop: ids[start:stop]
    with pytest.raises(TinylmError, match=f"{V}"):
        trainer.advance()
    ids[2, column] = V - 1
    assert trainer.advance().updated


def test_one_batch_is_learnt_by_heart():
    model = tiny_model(dtype=np.float32)
    batch = tiny_tokens(4 * (T + 1)).reshape(4, T + 1)
    batch[:, 0] = np.arange(4)  # rows that begin alike could not be told apart
    trainer = Trainer(
        model,
        CausalLM(),
        AdamW(FlatParameters(model.named_parameters()), weight_decay=0.0),
        lambda step, start, stop: batch[start:stop],
        4,
        1e-2,
    )
    for _ in range(200):
        loss = trainer.advance().loss
    assert loss < 0.01  # 32 targets from log 11 = 2.4; only memory could do it


def test_the_next_token_is_learnt_and_not_the_present_one():
    """Input shift: on 0 1 2 3 4 0 1 .. every successor is certain; repeating the input would never
    be right.
    """
    tokens, model = cycle(5, 20), tiny_model(dtype=np.float32)
    rows = np.stack([tokens[i : i + T + 1] for i in range(5)])
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    trainer = Trainer(model, CausalLM(), optimizer, lambda step, a, b: rows[a:b], 5, 1e-2)
    for _ in range(60):
        loss = trainer.advance().loss
    assert loss < 0.05
    assert (model.eval()(rows[:, :-1]).numpy().argmax(-1) == rows[:, 1:]).all()


@pytest.mark.parametrize("limit", [0.01, 0.0, 1e6])
def test_the_trainer_moves_parameters_by_the_clipped_gradient(limit):
    """Plain descent moves them by lr times the norm of the gradient, or by lr times the limit."""
    model, rows = tiny_model(), tiny_tokens(4 * (T + 1)).reshape(4, T + 1)
    optimizer = SGD(FlatParameters(model.named_parameters()))
    batches = lambda step, start, stop: rows[start:stop]  # noqa: E731
    trainer = Trainer(model, CausalLM(), optimizer, batches, 4, 0.5, clip=limit)
    before = optimizer.flat.data.copy()
    norm = trainer.advance().grad_norm
    assert 0.01 < norm < 1e6  # the first limit is below it, the last above
    moved = np.linalg.norm(optimizer.flat.data - before)
    assert moved == pytest.approx(0.5 * (limit if limit == 0.01 else norm), rel=1e-9)


def test_a_step_is_taken_in_training_mode_with_dropout():
    trainer = tiny_trainer(dropout=0.3)
    trainer.model.eval()  # as after a validation
    trainer.advance()
    assert trainer.model.training and trainer.streams[0].counter > 0


def copy_of(trainer):
    arrays, state = trainer.state()
    return {
        file: {k: np.array(v) for k, v in members.items()} for file, members in arrays.items()
    }, state


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_going_on_is_never_having_stopped(tmp_path, dtype):
    """N + M steps = N steps, save, load into a fresh trainer, M steps: parameters, moments,
    streams, losses.
    """
    whole, first, second = (tiny_trainer(dropout=0.2, dtype=dtype) for _ in range(3))
    losses = [whole.advance().loss for _ in range(7)]
    start = [first.advance().loss for _ in range(3)]
    checkpoint.save(tmp_path / "c", *first.state())
    second.model.rng.counter = 99  # whatever state the new process is in
    saved = checkpoint.load(tmp_path / "c")
    second.load_state(saved.arrays, saved.state)
    assert start + [second.advance().loss for _ in range(4)] == losses
    (arrays, state), (expected, expected_state) = copy_of(second), copy_of(whole)
    assert state == expected_state and state["step"] == 7 and state["random"][0]["counter"] > 0
    assert same_bits(arrays["model"], expected["model"]) and same_bits(
        arrays["optimizer"], expected["optimizer"]
    )


def test_the_batch_is_a_function_of_the_step_alone():
    a, b = tiny_trainer(), tiny_trainer()
    a.advance()
    assert np.array_equal(a.batch(5).inputs, b.batch(5).inputs)
    assert not np.array_equal(a.batch(5).inputs, a.batch(6).inputs)


def test_a_state_of_another_model_or_optimizer_changes_nothing(tmp_path):
    trainer, other = tiny_trainer(), tiny_trainer()
    arrays, state = copy_of(other)
    before, _ = copy_of(trainer)
    with pytest.raises(CheckpointError, match="missing norm.gain"):
        trainer.load_state(
            {**arrays, "model": {k: v for k, v in arrays["model"].items() if k != "norm.gain"}},
            state,
        )
    with pytest.raises(CheckpointError, match="m differ"):
        trainer.load_state(
            {**arrays, "optimizer": {**arrays["optimizer"], "m": np.zeros(3)}}, state
        )
    with pytest.raises(CheckpointError, match="m, t, v differ"):
        trainer.optimizer, kept = SGD(trainer.optimizer.flat), trainer.optimizer
        trainer.load_state(arrays, state)
    trainer.optimizer = kept
    with pytest.raises(CheckpointError, match="was it made with another seed"):
        trainer.load_state(
            arrays, {**state, "random": [{"seed": 5, "path": ["dropout"], "counter": 0}]}
        )
    assert (
        all(same_bits(before[file], copy_of(trainer)[0][file]) for file in before)
        and trainer.step == 0
    )


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_its_cause():
    trainer = tiny_trainer(dropout=0.2)
    trainer.advance()
    weight = trainer.model.named_parameters()["blocks.1.norms.1.gain"]
    weight.data[0] = np.nan
    arrays, state = copy_of(trainer)
    with pytest.raises(TrainingError) as raised:
        trainer.advance()
    message = str(raised.value)
    assert (
        "step 2: the loss is nan; in rows 0 to 5 of batch 1, first layer_norm((6, 8, 16), (16,)"
        in message
    )
    assert "argument 1 already held 1 non-finite values" in message and "smaller lr" in message
    after, after_state = copy_of(trainer)
    assert after_state == state  # the step and the dropout stream too are as before
    assert same_bits(after["model"], arrays["model"]) and same_bits(
        after["optimizer"], arrays["optimizer"]
    )


def test_a_batch_that_does_not_fit_says_what_would():
    trainer, before = tiny_trainer(), tiny_trainer().optimizer.flat.data

    class Large(CausalLM):
        def loss(self, model, batch, reduction="mean"):
            if len(batch) > 2:
                raise MemoryError("Unable to allocate 9 TiB")
            return super().loss(model, batch, reduction)

    trainer.objective = Large()
    with pytest.raises(
        TrainingError,
        match="step 1: 6 rows of 8 tokens .*allocate 9 TiB.*use a micro_batch below 6",
    ):
        trainer.advance()
    assert np.array_equal(trainer.optimizer.flat.data, before)
    trainer.micro_batch = 2
    assert trainer.advance().loss == pytest.approx(tiny_trainer().advance().loss, rel=1e-13)


def test_a_gradient_that_is_not_finite_is_named():
    trainer = tiny_trainer()

    class Steep(CausalLM):
        def loss(self, model, batch, reduction="mean"):
            loss, metrics = super().loss(model, batch, reduction)
            gain = model.named_parameters()["norm.gain"]
            return loss + (
                gain.sum() - gain.sum()
            ) ** 0.5, metrics  # the root of 0 has an infinite slope

    trainer.objective = Steep()
    with pytest.raises(
        TrainingError,
        match="the gradient norm is nan; on batch 0 .* the gradient of norm.gain is not",
    ):
        trainer.advance()


def test_run_stops_after_the_step_in_work_when_ctrl_c_comes():
    trainer, seen, said = tiny_trainer(), [], []

    def after(step, seconds):
        seen.append(trainer.step)
        if trainer.step == 2:
            signal.raise_signal(signal.SIGINT)  # comes between steps 2 and 3

    assert trainer.run(10, after, say=lambda: said.append(1)) is False
    assert seen == [1, 2] and trainer.step == 2 and said == [1]
    assert trainer.stopped_by == signal.SIGINT
    assert trainer.run(5) is True and trainer.step == 5 and trainer.stopped_by is None


def test_a_signal_within_a_step_lets_that_step_finish():
    class Pressed(CausalLM):
        def loss(self, model, batch, reduction="mean"):
            if trainer.step == 2:
                signal.raise_signal(signal.SIGTERM)
            return super().loss(model, batch, reduction)

    trainer, seen = tiny_trainer(objective=Pressed()), []
    assert trainer.run(10, lambda step, seconds: seen.append(step.stop)) is False
    assert seen == [None, None, signal.SIGTERM] and trainer.step == 3


def test_a_signal_in_the_last_step_leaves_nothing_undone():
    trainer, times = tiny_trainer(), []
    began = time.perf_counter()

    def after(step, seconds):
        times.append(seconds)
        if trainer.step == 2:
            signal.raise_signal(signal.SIGINT)

    assert trainer.run(2, after) is True and trainer.stopped_by == signal.SIGINT
    assert trainer.run(3, after) is True and trainer.stopped_by is None
    assert min(times) >= 0 and sum(times) <= time.perf_counter() - began


def pressed_late(comm):
    """A signal after the reduction of step 2, and what three runs return and leave."""
    trainer = tiny_trainer(comm)

    def after(step, seconds):
        if trainer.step == 2 and comm.rank == 1:
            signal.raise_signal(signal.SIGINT)

    found = []
    for steps in (2, 4, 4):
        finished = trainer.run(steps, after)
        found.append((finished, trainer.step, trainer.stopped_by))
    return found


@needs_workers
def test_workers_agree_on_a_late_signal_in_the_step_after():
    assert launch(pressed_late, 2, capacity=1 << 24) == [
        (True, 2, None),  # worker 0 does not know
        (False, 3, signal.SIGINT),
        (True, 4, None),
    ]


def test_what_after_step_returns_ends_the_run():
    trainer = tiny_trainer()
    assert trainer.run(9, lambda step, seconds: trainer.step == 4) is True
    assert trainer.step == 4 and trainer.stopped_by is None


def test_more_workers_than_rows_are_refused():
    class Crowd:
        rank, size = 0, B + 1

    with pytest.raises(ConfigError, match="7 workers cannot share a batch of 6"):
        tiny_trainer(comm=Crowd())


def test_loss_on_fresh_text_of_a_markov_chain_comes_down_to_its_entropy_rate():
    """Eq. 2.14: no model can be below the entropy rate on text it has not seen, and a small GPT
    comes near it.
    """
    chain = MarkovChain.random(V, seed=1)
    model = tiny_model(dtype=np.float32)
    windows = RandomWindows(chain.sample(20_000, seed=1), T, 16, seed=1)
    trainer = Trainer(
        model,
        CausalLM(),
        AdamW(FlatParameters(model.named_parameters())),
        windows.batch,
        16,
        lambda step: 1e-2 * (1 - step / 200),
    )
    trainer.run(200)
    fresh, p = chain.sample(20_000, seed=2), chain.transition
    best = -np.mean(np.log(p[fresh[:-1], fresh[1:]]))  # of this sample, by the chain itself
    assert best == pytest.approx(
        chain.entropy_rate(), abs=0.03
    )  # 4 sd: -log p has sd 1, over sqrt(20,000)
    loss, _ = evaluate(model, CausalLM(), EvenWindows(fresh, T), 64)
    assert best < loss < best + 0.03  # 200 x 128 targets: each of 121 pairs seen 200 times
