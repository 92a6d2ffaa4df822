"""One step is the same mathematics however the batch is cut: into micro-batches, or among workers."""

import os
import signal

import numpy as np
import pytest

from tests.train.tiny import B, T, V, tiny_model, tiny_trainer
from tinylm.backend import to_cpu
from tinylm.errors import TrainingError
from tinylm.optim import SGD, AdamW, FlatParameters
from tinylm.parallel import launch, obstacle
from tinylm.pretrain import IGNORE, Batch, CausalLM
from tinylm.train.step import Step, accumulate, random_streams, train_step

needs_workers = pytest.mark.skipif(
    obstacle() is not None, reason="no shared-memory workers on this system"
)

# Sums in another order differ by rounding: float64 eps is 2e-16, gradients pass through some 10**3
# additions.
ROUNDING = dict(rtol=1e-11, atol=1e-13)


def uneven_batch(rng):
    """Rows with 8, 1, 5, 0, 3 and 8 targets that count."""
    ids = rng.integers(0, V, (B, T + 1))
    targets = ids[:, 1:].copy()
    for row, counted in enumerate((8, 1, 5, 0, 3, 8)):
        targets[row, counted:] = IGNORE
    return Batch(ids[:, :-1], targets)


def step_of(batch, micro_batch=0, dropout=0.0, optimizer=AdamW, lr=1e-2, clip=0.0):
    """(Step, gradient, parameters after) of one update of a fresh tiny model."""
    model = tiny_model(dropout=dropout)
    opt = optimizer(FlatParameters(model.named_parameters()))
    step = train_step(model, CausalLM(), opt, batch, 0, B, lr, clip, micro_batch)
    return step, opt.flat.grad, opt.flat.data, model


def test_one_sgd_step_is_theta_minus_lr_times_gradient(rng):
    """Book eq. 2.32, against a gradient taken without the trainer."""
    batch, model = uneven_batch(rng), tiny_model()
    before = model.state_dict()
    CausalLM().loss(model, batch)[0].backward()
    expected = {
        name: before[name] - 0.5 * p.grad.numpy() for name, p in model.named_parameters().items()
    }
    after = step_of(batch, optimizer=SGD, lr=0.5)[3].state_dict()
    for name in expected:
        np.testing.assert_allclose(after[name], expected[name], **ROUNDING)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("micro_batch", [1, 2, 4, 5])  # 4 and 5 leave a smaller one at the end
def test_micro_batches_add_up_to_the_batch(rng, micro_batch, dropout):
    batch = uneven_batch(rng)
    whole, grad, after, model = step_of(batch, 0, dropout)
    cut, cut_grad, cut_after, cut_model = step_of(batch, micro_batch, dropout)
    assert (
        cut.loss == pytest.approx(whole.loss, rel=1e-13) and cut.tokens == whole.tokens == 25
    )  # 8+1+5+0+3+8
    np.testing.assert_allclose(cut_grad, grad, **ROUNDING)
    assert random_streams(cut_model)[0].counter == random_streams(model)[0].counter
    assert (random_streams(model)[0].counter > 0) == (dropout > 0)


@pytest.mark.parametrize("counted", [1, T])
def test_the_loss_of_a_step_on_one_row_is_the_mean_over_its_targets(rng, counted):
    ids = rng.integers(0, V, (1, T + 1))
    targets = np.where(np.arange(T) < counted, ids[:, 1:], IGNORE)
    batch, model = Batch(ids[:, :-1], targets), tiny_model()
    loss, _ = CausalLM().loss(model, batch)
    loss.backward()
    norm = np.sqrt(sum((p.grad.numpy() ** 2).sum() for p in model.parameters()))
    model = tiny_model()
    optimizer = SGD(FlatParameters(model.named_parameters()))
    step = train_step(model, CausalLM(), optimizer, batch, 0, 1, 0.1)
    assert step.loss == pytest.approx(loss.item(), rel=1e-13) and step.tokens == counted
    assert step.grad_norm == pytest.approx(norm, rel=1e-12) and step.updated


def test_a_batch_with_nothing_to_predict_has_loss_and_gradient_zero_and_is_an_update(rng):
    batch = uneven_batch(rng)
    step, grad, _, _ = step_of(Batch(batch.inputs, np.full_like(batch.targets, IGNORE)))
    assert (step.loss, step.grad_norm, step.tokens, step.updated) == (0.0, 0.0, 0, True)
    assert not grad.any()


def test_averaging_micro_batches_without_weights_would_be_wrong(rng):
    """The test above can fail: with unequal counts the plain mean of the parts' means is another
    number.
    """
    batch = uneven_batch(rng)
    parts = [step_of(batch.rows(i, i + 1))[0].loss for i in range(B)]
    assert abs(np.mean(parts) - step_of(batch)[0].loss) > 0.1


def test_a_workers_share_is_its_targets_over_all(rng):
    batch, model = uneven_batch(rng), tiny_model()
    mean = CausalLM().loss(model, batch)[1]["loss"]  # over its 25 targets
    flat = FlatParameters(model.named_parameters())
    gradients = []
    for everywhere in (1, 2, 25, 100):  # targets that all workers have together
        parts = batch.rows(0, 2), batch.rows(2, B)
        share = accumulate(model, CausalLM(), flat, parts, everywhere)
        assert share == pytest.approx(mean * 25 / everywhere, rel=1e-12)
        gradients.append(flat.collect() * everywhere)
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], rtol=1e-10, atol=1e-12)
    assert accumulate(model, CausalLM(), flat, (), 0) == 0.0  # nothing counted anywhere


def test_nothing_to_predict_is_a_step_of_length_zero(rng):
    batch = uneven_batch(rng)
    nothing = Batch(batch.inputs, np.full_like(batch.targets, IGNORE))
    before = FlatParameters(tiny_model().named_parameters()).data
    step, gradient, after, _ = step_of(nothing, optimizer=SGD)
    assert step == Step(loss=0.0, grad_norm=0.0, tokens=0, stop=None, updated=True)
    assert not gradient.any() and np.array_equal(after, before)


def test_clipping_scales_the_gradient_to_the_limit(rng):
    batch = uneven_batch(rng)
    free, grad, after, _ = step_of(batch, optimizer=SGD, lr=1.0)
    clipped, _, clipped_after, _ = step_of(batch, optimizer=SGD, lr=1.0, clip=free.grad_norm / 4)
    before = FlatParameters(tiny_model().named_parameters()).data
    per_target = len(batch) / free.tokens  # the buffer holds gradients per row of the batch
    assert free.grad_norm == pytest.approx(np.linalg.norm(grad) * per_target, rel=1e-12)
    assert clipped.grad_norm == free.grad_norm
    np.testing.assert_allclose(before - clipped_after, (before - after) / 4, **ROUNDING)
    above, _, above_after, _ = step_of(batch, optimizer=SGD, lr=1.0, clip=free.grad_norm * 2)
    assert np.array_equal(above_after, after)


def test_by_default_the_batch_is_read_at_once_and_nothing_is_clipped(rng):
    class Counting(CausalLM):
        sizes = []

        def loss(self, model, batch):
            self.sizes.append(len(batch))
            return super().loss(model, batch)

    batch, model = uneven_batch(rng), tiny_model()
    for parameter in model.parameters():
        parameter.data *= 30  # a gradient that is longer than 1
    optimizer = SGD(FlatParameters(model.named_parameters()))
    before = optimizer.flat.data.copy()
    step = train_step(model, Counting(), optimizer, batch, 0, B, 1.0)
    assert Counting.sizes == [B] and step.grad_norm > 2
    assert np.linalg.norm(optimizer.flat.data - before) == pytest.approx(step.grad_norm, rel=1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_step_is_the_same_on_every_device(device, dropout):
    expected, found = tiny_trainer(dropout=dropout), tiny_trainer(dropout=dropout, device=device)
    for _ in range(2):
        want, got = expected.advance(), found.advance()
        assert got.loss == pytest.approx(want.loss, rel=1e-12)
    np.testing.assert_allclose(
        to_cpu(found.optimizer.flat.data), expected.optimizer.flat.data, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_on_every_device_a_step_that_is_not_finite_is_explained_and_changes_nothing(device, bad):
    trainer = tiny_trainer(device=device)
    trainer.advance()
    trainer.model.blocks[1].feed_forward.parameters()[0].assign_(bad)
    before = to_cpu(trainer.optimizer.flat.data).copy()
    moments = [to_cpu(m).copy() for m in (trainer.optimizer.m, trainer.optimizer.v)]
    with pytest.raises(TrainingError, match="step 2: the loss is nan.*in rows 0 to 5 of batch 1"):
        trainer.advance()
    np.testing.assert_array_equal(to_cpu(trainer.optimizer.flat.data), before)
    for m, now in zip(moments, (trainer.optimizer.m, trainer.optimizer.v)):
        np.testing.assert_array_equal(to_cpu(now), m)
    assert trainer.optimizer.t == 1


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_micro_batches_of_a_device_add_up_with_their_counts(device, micro_batch, rng):
    batch, found = uneven_batch(rng), []
    for where in "cpu", device:
        trainer = tiny_trainer(device=where)
        found.append(
            train_step(
                trainer.model,
                CausalLM(),
                trainer.optimizer,
                batch.to(where),
                0,
                B,
                1e-2,
                1.0,
                micro_batch,
            )
        )
    assert found[0].tokens == found[1].tokens == 25 and found[1].updated
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-12)
    assert found[1].grad_norm == pytest.approx(found[0].grad_norm, rel=1e-11)


class Uneven(CausalLM):
    """Predicts only where the input is an even token, so rows count unequally many targets."""

    def make_batch(self, sequences, rng=None):
        batch = super().make_batch(sequences, rng)
        return Batch(batch.inputs, np.where(batch.inputs % 2 == 0, batch.targets, IGNORE))


def train_some(comm, folder, steps, dropout, micro_batch):
    trainer = tiny_trainer(comm, dropout, objective=Uneven(), micro_batch=micro_batch)
    losses = [trainer.advance().loss for _ in range(steps)]
    arrays, state = trainer.state()
    np.savez(
        os.path.join(folder, f"{comm.size}-{comm.rank}.npz"),
        losses=losses,
        data=trainer.optimizer.flat.data,
        **arrays["optimizer"],
        counters=[s["counter"] for s in state["random"]],
    )


@needs_workers
@pytest.mark.parametrize("workers", [2, 4])  # 6 rows do not divide by 4: shares of 1, 2, 1, 2
@pytest.mark.parametrize("dropout, micro_batch", [(0.0, 0), (0.3, 2)])
def test_workers_compute_what_one_process_does(tmp_path, workers, dropout, micro_batch):
    launch(train_some, 1, tmp_path, 5, dropout, 0)
    launch(train_some, workers, tmp_path, 5, dropout, micro_batch, capacity=1 << 24)
    alone = np.load(tmp_path / "1-0.npz")
    for rank in range(workers):
        together = np.load(tmp_path / f"{workers}-{rank}.npz")
        assert np.array_equal(together["counters"], alone["counters"])
        np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-10)
        for name in ("data", "m", "v"):  # 5 steps of Adam divide by roots of tiny v
            np.testing.assert_allclose(together[name], alone[name], rtol=1e-6, atol=1e-9)
        first = np.load(tmp_path / f"{workers}-0.npz")
        assert all(
            np.array_equal(together[name], first[name]) for name in together.files
        )  # ranks agree to the bit


def one_stops(comm):
    trainer = tiny_trainer(comm)
    asked = signal.SIGTERM if comm.rank == 1 else None
    return [trainer.advance(stop=lambda: asked).stop, trainer.advance().stop]


@needs_workers
def test_all_workers_stop_when_one_is_asked():
    assert launch(one_stops, 2, capacity=1 << 24) == [
        signal.SIGTERM,
        None,
    ]  # which signal it was, they know too


def poisoned(comm):
    trainer = tiny_trainer(comm)
    batches = trainer.batches

    class Poison(CausalLM):
        def loss(self, model, batch, reduction="mean"):
            loss, metrics = super().loss(model, batch, reduction)
            found = (batch.inputs == sick).all(1).any()
            if found:
                return (loss * np.inf, {**metrics, "loss": np.inf})
            return (loss, metrics)

    sick = batches(0, 4, 5)[0, :-1]  # row 4, which only the second worker sees
    trainer.objective, before = Poison(), trainer.optimizer.flat.data.copy()
    try:
        trainer.advance()
    except TrainingError as error:
        assert np.array_equal(trainer.optimizer.flat.data, before) and trainer.step == 0
        return str(error)


@needs_workers
def test_all_workers_name_the_rows_that_one_saw_fail():
    message = launch(poisoned, 2, capacity=1 << 24)  # what rank 0 says, whose own rows are fine
    assert "step 1: the loss is inf; in rows 3 to 5 of batch 0, first mul" in message
