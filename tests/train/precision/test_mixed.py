"""Mixed precision: what master weights and the scale of the loss are for, and that they work."""

import functools

import numpy as np
import pytest

from tests.train.tiny import same_bits, tiny_tokens
from tinylm.autograd import Tensor
from tinylm.autograd.engine.tensor import observers
from tinylm.data import RandomWindows
from tinylm.errors import CheckpointError, ConfigError, GraphError, TrainingError
from tinylm.finetune.freezing import freeze, matching
from tinylm.models import GPT, GPTConfig
from tinylm.models.low_bit.bfloat16 import simulate
from tinylm.optim import SGD, AdamW, FlatParameters
from tinylm.parallel import launch, obstacle
from tinylm.pretrain import CausalLM
from tinylm.train import checkpoint, evaluate
from tinylm.train.precision.formats import round_float32
from tinylm.train.precision.mixed import FORMATS, LossScale, MixedPrecision
from tinylm.train.trainer import Trainer

V, T, B = 11, 8, 6
needs_workers = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
windows = RandomWindows(tiny_tokens() // 2 * 2, T, B, seed=3)  # even tokens only: to be learnt


def new_model(**options):
    return GPT(GPTConfig(V, T, 2, 2, 16, **{"dropout": 0.1, **options}), 3)


def trainer(make=MixedPrecision, model=None, comm=None, optimizer=AdamW, objective=None, **options):
    """A trainer of a tiny GPT in float32, with clipping and dropout."""
    model = model or new_model()
    flat = FlatParameters(model.named_parameters(), getattr(comm, "empty", None))
    more = {"micro_batch": 0, "learning_rate": 1e-2, "clip": 1.0, "seed": 3, **options}
    return make(
        model, objective or CausalLM(), optimizer(flat), windows.batch, B, comm=comm, **more
    )


@pytest.mark.parametrize("micro_batch", [0, 2])
@pytest.mark.parametrize("format", FORMATS)
def test_it_follows_float32_within_the_digits_of_the_format(format, micro_batch):
    alone = trainer(Trainer)
    mixed = trainer(format=format, micro_batch=micro_batch)
    # half a last place, relative: 2^-11 and 2^-8; of e4m3 2^-4, averaged over the sums of a product
    digits = {"float16": 2e-3, "bfloat16": 5e-3, "float8": 2e-2}[format]
    expected = [alone.advance() for _ in range(30)]
    found = [mixed.advance() for _ in range(30)]
    assert mixed.scale.skipped == 0 and all(step.updated for step in found)
    for got, right in zip(found[:5], expected):
        assert got.loss == pytest.approx(right.loss, rel=digits)
        assert got.grad_norm == pytest.approx(right.grad_norm, rel=10 * digits)
        assert got.tokens == right.tokens
    assert found[-1].loss == pytest.approx(expected[-1].loss, abs=0.1)
    assert expected[-1].loss < expected[0].loss - 0.2
    assert mixed.step == 30 and mixed.optimizer.flat.data.dtype == np.float32
    assert any(a.loss != b.loss for a, b in zip(found, expected))


@pytest.mark.parametrize("format", FORMATS)
def test_every_device_trains_so(format, device):
    here, there = trainer(format=format), trainer(format=format, model=new_model().to(device))
    for _ in range(2):
        expected, found = here.advance(), there.advance()
        assert found.loss == pytest.approx(expected.loss, rel=2**-8)
    assert there.device == device and there.optimizer.flat.data.dtype == np.float32


def seen_in_a_pass(mixed):
    """(label, array) of every operation of a forward pass."""
    seen = []

    def see(label, args, result, options):
        if result.dtype.kind == "f":
            seen.append((label, result.data))

    with mixed.in_passes():
        observers.append(see)
        try:
            mixed.objective.loss(mixed.model, mixed.batch(0))
        finally:
            observers.remove(see)
    return seen


OPTIONS = [
    {},
    {"positions": "rope", "norm": "rms", "activation": "swiglu", "n_kv_head": 1, "tied": False},
    {"positions": "sinusoidal", "norm_placement": "branch", "activation": "relu", "bias": False},
    {"positions": "alibi", "activation": "gelu"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_every_operation_of_a_float16_pass_returns_float16(options):
    mixed = trainer(model=new_model(**options))
    seen = seen_in_a_pass(mixed)
    assert len(seen) > 20 and {a.dtype for _, a in seen} == {np.dtype(np.float16)}
    assert {p.dtype for p in mixed.model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("options", OPTIONS)
def test_every_operation_of_a_bfloat16_pass_returns_numbers_of_bfloat16(options):
    mixed = trainer(model=new_model(**options), format="bfloat16")
    with mixed.in_passes():
        for p in mixed.model.parameters():
            np.testing.assert_array_equal(p.data, simulate(p.data))
    for label, array in seen_in_a_pass(mixed):
        if array.ndim:
            np.testing.assert_array_equal(array, simulate(array), err_msg=label)


def test_in_float8_the_factors_of_linear_maps_have_eight_bits():
    mixed = trainer(format="float8")
    x = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    g = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    layer = mixed.model.blocks[0].feed_forward.hidden
    X = Tensor(simulate(x), requires_grad=True)

    def short(a, name, largest):
        scale = np.float32(largest) / np.abs(a).max()
        return round_float32(a * scale, name, saturate=True) / scale

    with mixed.in_passes():
        y = layer(X)
        y.backward(simulate(g))
        x8 = short(X.numpy(), "e4m3", 448)
        w8 = short(layer.weight.data, "e4m3", 448)
        g8 = short(simulate(g), "e5m2", 57344)
        np.testing.assert_array_equal(y.numpy(), simulate(x8 @ w8 + layer.bias.data))
        np.testing.assert_array_equal(X.grad.numpy(), simulate(g8 @ w8.T))
        np.testing.assert_array_equal(layer.weight.grad.numpy(), simulate(x8.T @ g8))
        # the bias adds cotangents up, and multiplies nothing
        np.testing.assert_allclose(layer.bias.grad.numpy(), simulate(g).sum(0), rtol=2**-7)
        assert len(np.unique(np.abs(x8))) < len(np.unique(np.abs(X.numpy())))


def test_updates_that_the_format_would_lose_add_up_in_the_master_weights():
    """Thirty steps of 1e-5 at weights of 1: bfloat16 steps by 2^-8 below and 2^-7 above it."""

    class Slope(CausalLM):
        """The sum of all weights times 1e-5, whatever the batch."""

        def loss(self, model, batch, reduction="mean"):
            loss, metrics = super().loss(model, batch, reduction)
            return sum(p.sum() for p in model.parameters()) * 1e-5 + loss * 0.0, metrics

    moved = {}
    for master in (True, False):
        model = new_model(dropout=0.0)
        for p in model.parameters():
            p.data[...] = 1.0
        mixed = trainer(
            model=model,
            optimizer=functools.partial(SGD, lr=1.0),
            objective=Slope(),
            format="bfloat16",
            master=master,
            learning_rate=1.0,
            clip=0.0,
        )
        for _ in range(30):
            mixed.advance()
        moved[master] = 1 - mixed.optimizer.flat.data
    np.testing.assert_allclose(moved[True], 3e-4, rtol=1e-2)  # 1e-5 in bfloat16 is 1.0014e-5
    assert not moved[False].any()


class Small(CausalLM):
    """The loss times 1e-7: gradients near 1e-8 are 0 in float16."""

    def loss(self, model, batch, reduction="mean"):
        loss, metrics = super().loss(model, batch, reduction)
        return loss * np.float32(1e-4) * np.float32(1e-3), metrics


def test_small_gradients_are_lost_without_a_scale_and_found_with_it():
    found = {}
    for name, scale in (("lost", LossScale(1.0)), ("kept", LossScale(2.0**24))):
        found[name] = trainer(objective=Small(), scale=scale, learning_rate=0.0).advance()
    whole = trainer(learning_rate=0.0).advance()
    assert found["kept"].grad_norm == pytest.approx(1e-7 * whole.grad_norm, rel=0.1)
    assert found["lost"].grad_norm < 0.7 * found["kept"].grad_norm
    # bfloat16 has the exponents of float32: it needs no scale
    plain = trainer(objective=Small(), format="bfloat16", learning_rate=0.0)
    assert plain.advance().grad_norm == pytest.approx(1e-7 * whole.grad_norm, rel=0.02)


def test_a_step_whose_gradients_overflow_is_left_out_and_halves_the_scale():
    mixed = trainer(scale=LossScale(2.0**40, patience=3))
    before = mixed.optimizer.flat.data.copy()
    step = mixed.advance()
    assert not step.updated and np.isfinite(step.loss)
    assert mixed.figures() == {"scale": 2.0**39, "skipped": 1} and mixed.step == 1
    np.testing.assert_array_equal(mixed.optimizer.flat.data, before)
    assert mixed.optimizer.t == 0
    while not step.updated:
        step = mixed.advance()
    # 2^15 is the largest cotangent in float16, and the scale stays there.
    assert mixed.scale.value == 2.0**15 and mixed.scale.skipped == 25
    assert (mixed.optimizer.flat.data != before).any()
    for _ in range(3):
        mixed.advance()
    assert mixed.scale.value == 2.0**15
    mixed.scale = LossScale(2.0**10, patience=2)
    values = [mixed.advance() and mixed.scale.value for _ in range(4)]
    assert values == [2.0**10, 2.0**11, 2.0**11, 2.0**12]


@pytest.mark.parametrize("format", FORMATS)
def test_a_loss_that_is_not_finite_is_no_matter_of_scale(format):
    model = new_model()
    gain = model.named_parameters()["blocks.1.norms.1.gain"].data
    gain[0] = 1e6 if format == "float16" else np.nan  # 1e6 is infinite in float16
    mixed = trainer(model=model, format=format)
    before = mixed.optimizer.flat.data.copy()
    with pytest.raises(TrainingError) as raised:
        mixed.advance()
    message = str(raised.value)
    assert f"passes in {format}" in message and "first layer_norm" in message
    assert ("float32 numbers are finite up to 3e38" in message) == (format == "float16")
    assert same_bits({"": mixed.optimizer.flat.data}, {"": before})
    assert all(np.shares_memory(p.data, mixed.optimizer.flat.data) for p in model.parameters())


class Steep(CausalLM):
    """A loss whose gradient is not finite where it is: the slope of a root at 0."""

    def loss(self, model, batch, reduction="mean"):
        loss, metrics = super().loss(model, batch, reduction)
        weight = model.parameters()[0]
        return loss + ((weight * 0.0) ** 2).sum() ** 0.5, metrics


@pytest.mark.parametrize("format", ["bfloat16", "float8"])
def test_without_a_scale_no_step_is_left_out(format):
    with pytest.raises(TrainingError, match="the forward pass is finite, but the gradient"):
        trainer(format=format, objective=Steep()).advance()
    mixed = trainer(objective=Steep())
    assert not mixed.advance().updated  # in float16 half of the scale may help


@pytest.mark.parametrize(
    "format, doubled", [("float16", 2.0**12), ("bfloat16", 1.0), ("float8", 1.0)]
)
def test_only_float16_has_a_scale_that_grows(format, doubled):
    mixed = trainer(format=format)
    if format == "float16":
        mixed.scale.value = 2.0**11
    mixed.scale.good = 1999
    mixed.advance()
    assert mixed.scale.value == doubled


def test_a_graph_of_an_earlier_pass_cannot_go_backwards_with_newer_weights():
    mixed = trainer()
    with mixed.in_passes():
        loss, _ = mixed.objective.loss(mixed.model, mixed.batch(0))
    mixed.advance()
    with mixed.in_passes():
        with pytest.raises(GraphError, match="was changed in place"):
            loss.backward()


def copy_of(mixed):
    arrays, state = mixed.state()
    return {f: {k: np.array(v) for k, v in found.items()} for f, found in arrays.items()}, state


@pytest.mark.parametrize(
    "format, scale, after",
    [
        ("float16", 2.0**16, {"value": 2.0**15, "good": 7, "skipped": 1}),  # the first is left out
        ("float16", 2.0**10, {"value": 2.0**12, "good": 2, "skipped": 0}),  # doubled at 3 and at 6
        ("bfloat16", 1.0, {"value": 4.0, "good": 2, "skipped": 0}),
        ("float8", 2.0**-3, {"value": 0.5, "good": 2, "skipped": 0}),
    ],
)
def test_going_on_is_never_having_stopped(tmp_path, format, scale, after):
    """Parameters, moments, streams, losses and the scale."""

    def new():
        return trainer(format=format, scale=LossScale(scale, 3))

    whole, first, second = new(), new(), new()
    losses = [whole.advance().loss for _ in range(8)]
    start = [first.advance().loss for _ in range(3)]
    checkpoint.save(tmp_path / "c", *first.state())
    saved = checkpoint.load(tmp_path / "c")
    second.load_state(saved.arrays, saved.state)
    assert start + [second.advance().loss for _ in range(5)] == losses
    (arrays, state), (expected, expected_state) = copy_of(second), copy_of(whole)
    assert state == expected_state and state["step"] == 8
    assert same_bits(arrays["model"], expected["model"])
    assert same_bits(arrays["optimizer"], expected["optimizer"])
    assert state["loss_scale"] == after


def test_a_damaged_scale_changes_nothing():
    mixed, other = trainer(), trainer()
    mixed.advance()
    before, _ = copy_of(mixed)
    arrays, state = copy_of(other)
    for name, value in (("value", 3.0), ("value", -2.0), ("good", -1), ("skipped", "a")):
        damaged = {**state, "loss_scale": {**state["loss_scale"], name: value}}
        with pytest.raises(CheckpointError, match=f"loss_scale.{name}"):
            mixed.load_state(arrays, damaged)
    with pytest.raises(CheckpointError, match="loss_scale is missing"):
        mixed.load_state(arrays, {k: v for k, v in state.items() if k != "loss_scale"})
    after, _ = copy_of(mixed)
    assert all(same_bits(after[file], before[file]) for file in before) and mixed.step == 1


class Louder(CausalLM):
    """A loss that is three times as large on one worker: there its gradient overflows first."""

    def __init__(self, comm):
        super().__init__()
        self.factor = 3.0 if comm is not None and comm.rank == 1 else 1.0

    def loss(self, model, batch, reduction="mean"):
        loss, metrics = super().loss(model, batch, reduction)
        return loss * self.factor, metrics


def after_steps(comm, format, objective=None, **options):
    """Losses, (scale, skipped) of every worker and the weights after four steps."""
    options = {"learning_rate": 0.1, "format": format, "optimizer": SGD, **options}
    mixed = trainer(comm=comm, objective=objective and objective(comm), **options)
    losses = [mixed.advance().loss for _ in range(4)]
    figures = np.zeros((2, 2))
    figures[getattr(comm, "rank", 0)] = mixed.scale.value, mixed.scale.skipped
    if comm is not None:
        figures = comm.all_reduce(figures)
    return np.array(losses), figures, mixed.optimizer.flat.data.copy()


@needs_workers
@pytest.mark.parametrize("format", FORMATS)
def test_workers_share_a_step(format):
    losses, _, weights = after_steps(None, format)
    found = launch(functools.partial(after_steps, format=format), 2, capacity=1 << 22)
    # Each adds up other rows, rounded to the format: half a last place of a gradient of norm 1.
    digits = {"float16": 2**-11, "bfloat16": 2**-8, "float8": 2**-4}[format]
    np.testing.assert_allclose(found[0], losses, atol=4 * digits)
    np.testing.assert_allclose(found[2], weights, atol=4 * 0.1 * digits)


@needs_workers
def test_workers_leave_a_step_out_together():
    more = {"format": "float16", "objective": Louder, "scale": LossScale(2.0**16)}
    _, figures, _ = launch(functools.partial(after_steps, **more), 2, capacity=1 << 22)
    # 2^16 / 2 for half of the rows is finite, and three times that is not.
    assert figures.tolist() == [[2.0**15, 1]] * 2


def test_the_master_weights_are_validated_and_passes_leave_no_trace():
    mixed = trainer(format="bfloat16")
    mixed.advance()
    data = mixed.optimizer.flat.data
    with mixed.in_passes() as low:
        assert not any(np.shares_memory(p.data, data) for p in mixed.model.parameters())
        assert all(np.shares_memory(p.data, low.data) for p in mixed.model.parameters())
    assert all(np.shares_memory(p.data, data) for p in mixed.model.parameters())
    plain = GPT(mixed.model.config, 0)
    plain.load_state_dict(mixed.model.state_dict())
    rows = windows.batch(9)

    class Once:
        def batches(self, size):
            yield rows

    found = [evaluate(m, CausalLM(), Once(), B) for m in (mixed.model, plain)]
    assert found[0] == found[1]


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="no format 'fp4', choose one of float16"):
        trainer(format="fp4")
    with pytest.raises(ConfigError, match="float64, not float32"):
        trainer(model=GPT(GPTConfig(V, T, 1, 2, 16), 0, np.float64))
    model = new_model()
    freeze(matching(model, "positions*"))
    with pytest.raises(ConfigError, match="positions.table.weight is frozen"):
        trainer(model=model)


def test_scales_are_powers_of_two():
    for value, patience in ((3.0, 1), (0.0, 1), (-2.0, 1), (2.0, 0), (float("nan"), 1)):
        with pytest.raises(ConfigError, match="power of two"):
            LossScale(value, patience)
    scale = LossScale(4.0, 2)
    for finite, value in ((True, 4), (True, 8), (True, 8), (False, 4), (True, 4), (True, 8)):
        scale.update(finite)
        assert scale.value == value
    assert scale.skipped == 1
