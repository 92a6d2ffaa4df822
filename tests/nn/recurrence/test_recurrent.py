"""Recurrent cells and scans: hand-worked steps, fused against plain, splitting a sequence,
remembering, torch.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd import cross_entropy
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.linear import Linear
from tinylm.nn.recurrence.recurrent import (
    CELLS,
    GRUCell,
    LSTMCell,
    Recurrent,
    gru_by_steps,
    gru_scan,
    gru_step,
    lstm_by_steps,
    lstm_scan,
    lstm_step,
    rnn_step,
)
from tinylm.optim import AdamW


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent(kind, d_in=3, d_hidden=4, seed=0):
    return Recurrent(CELLS[kind](d_in, d_hidden, Random(seed), np.float64))


def test_steps_of_one_unit_worked_by_hand():
    one = np.ones((1, 1))
    np.testing.assert_allclose(rnn_step(one * 0.5, tl.Tensor(one), one * 2).item(), np.tanh(2.5))
    # LSTM: all gates read 0 + 1 * 0.5; c = s(.5) * 3 + s(.5) tanh(.5)
    h, c = lstm_step(np.full((1, 4), 0.0), tl.Tensor(one), tl.Tensor(one * 3), np.full((1, 4), 0.5))
    np.testing.assert_allclose(c.item(), sigmoid(0.5) * (3 + np.tanh(0.5)))
    np.testing.assert_allclose(h.item(), sigmoid(0.5) * np.tanh(c.item()))
    # GRU: r = z = s(1), n = tanh(0.2 + s(1) (1 + 0.5)), h = z * 1 + (1 - z) n
    h = gru_step(np.array([[0.0, 0.0, 0.2]]), tl.Tensor(one), np.ones((1, 3)), np.array([0.5]))
    z = sigmoid(1)
    np.testing.assert_allclose(h.item(), z + (1 - z) * np.tanh(0.2 + z * 1.5))


@pytest.mark.parametrize("B,T,H", [(2, 5, 3), (1, 1, 1), (3, 2, 4)])
def test_fused_scans_equal_their_steps(device, rng, B, T, H):
    h, c = rng.normal(size=(2, B, H))
    three, four = ([rng.normal(size=(B, T, n * H)), rng.normal(size=(H, n * H))] for n in (3, 4))
    assert_matches_twin(gru_scan, gru_by_steps, [*three, rng.normal(size=H), h], device)
    assert_matches_twin(lstm_scan, lstm_by_steps, [*four, h, c], device)


@pytest.mark.parametrize(
    "gates,scan,steps", [(3, gru_scan, gru_by_steps), (4, lstm_scan, lstm_by_steps)]
)
def test_gradients_add_up_where_the_inputs_are_used_twice(rng, gates, scan, steps):
    # A second use of the inputs reaches them before the scan does, so the walk adds to the scan's
    # array in place.
    H = 3
    x = rng.normal(size=(2, 4, gates * H))
    W = rng.normal(size=(H, gates * H))
    zeros = np.zeros((2, H))

    def twice(way):
        def f(x, W):
            x = x * 1.0
            if gates == 3:
                y = way(x, W, zeros[0], tl.Tensor(zeros))
            else:
                y = way(x, W, tl.Tensor(zeros), tl.Tensor(zeros))[0]
            return y * (x * x)[..., :H]

        return gradients(f, [x, W])[1]

    for fused, plainly in zip(twice(scan), twice(steps)):
        np.testing.assert_allclose(fused, plainly, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", CELLS)
def test_a_sequence_read_in_parts_equals_one_read_at_once_and_cells_step_by_step(rng, kind):
    module, x = recurrent(kind), tl.Tensor(rng.normal(size=(2, 7, 3)))
    whole, end = module(x)
    first, state = module(x[:, :3])
    rest, parts_end = module(x[:, 3:], state)
    np.testing.assert_allclose(
        np.concatenate([first.numpy(), rest.numpy()], axis=1), whole.numpy(), rtol=1e-13, atol=1e-14
    )
    state = module.initial_state(2)
    for t in range(7):
        state = module.cell(x[:, t], state)
        np.testing.assert_allclose(state[0].numpy(), whole.numpy()[:, t], rtol=1e-12, atol=1e-14)
    for a, b, c in zip(end, parts_end, state):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", CELLS)
def test_truncated_backpropagation_equals_the_full_one_when_its_window_covers_the_sequence(
    rng, kind
):
    x = rng.normal(size=(2, 6, 3))

    def gradient(window):
        module = recurrent(kind)
        state = module.initial_state(2)
        for start in range(0, 6, window):
            y, state = module(tl.Tensor(x[:, start : start + window]), state)
            (y * y).sum().backward()
            state = tuple(part.detach() for part in state)
        return np.concatenate([p.grad.numpy().ravel() for p in module.parameters()])

    full, module = gradient(6), recurrent(kind)
    y, _ = module(tl.Tensor(x))
    (y * y).sum().backward()
    np.testing.assert_array_equal(
        full, np.concatenate([p.grad.numpy().ravel() for p in module.parameters()])
    )
    assert (
        np.abs(gradient(2) - full).max() > 1e-3
    )  # a window of two loses what came from further back


@pytest.mark.parametrize("kind", CELLS)
def test_outputs_do_not_see_the_future_and_the_state_has_one_size(rng, kind):
    module, x = recurrent(kind), rng.normal(size=(1, 8, 3))
    changed = x.copy()
    changed[:, 5:] += 1
    y, short = module(tl.Tensor(x))
    y2, _ = module(tl.Tensor(changed))
    np.testing.assert_array_equal(y.numpy()[:, :5], y2.numpy()[:, :5])
    _, long = module(tl.Tensor(rng.normal(size=(1, 100, 3))))
    assert [p.shape for p in short] == [p.shape for p in long]


@pytest.mark.slow
def test_an_lstm_learns_to_recall_a_symbol_after_a_delay():
    # The first of 10 symbols is asked for at the end; the other nine say nothing. Chance is log 4 =
    # 1.386 nats.
    rng, T, V = Random(0, "delay"), 10, 4
    module, head = Recurrent(LSTMCell(V, 16, Random(1))), Linear(16, V, Random(2), std=0.25)
    optimizer = AdamW(module.parameters() + head.parameters(), lr=0.02, weight_decay=0.0)
    for _ in range(250):
        ids = rng.integers(0, V, (32, T))
        y, _ = module(tl.Tensor(np.eye(V, dtype=np.float32)[ids]))
        loss = cross_entropy(head(y[:, -1]), ids[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # a tenth of a nat: the symbol is known


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match=r"lstm_scan: inputs \(1, 2, 9\)"):
        lstm_scan(np.zeros((1, 2, 9)), np.zeros((2, 8)), np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ShapeError, match="gru_scan: the state h has shape"):
        gru_scan(np.zeros((1, 2, 6)), np.zeros((2, 6)), np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="GRUCell: widths 0 and 3"):
        GRUCell(0, 3, Random(0))


def test_forget_gates_begin_open():
    cell = LSTMCell(2, 3, Random(0))
    np.testing.assert_array_equal(
        cell.input.bias.numpy(), [0] * 3 + [1] * 3 + [0] * 6
    )  # input, forget, candidate, output


def test_scans_run_on_any_device(device, rng):
    x = leaf(rng.normal(size=(2, 3, 8)), device)
    y = lstm_scan(
        x,
        plain(rng.normal(size=(2, 8)), device),
        plain(np.zeros((2, 2)), device),
        plain(np.zeros((2, 2)), device),
    )
    y[0].sum().backward()
    assert np.isfinite(host(x.grad)).all()


@pytest.mark.parametrize("kind", CELLS)
def test_outputs_and_gradients_are_those_of_torch(rng, kind):
    torch = pytest.importorskip("torch")
    x, module = rng.normal(size=(2, 5, 3)), recurrent(kind)
    theirs = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](
        3, 4, batch_first=True, dtype=torch.float64
    )
    W, b, cell = module.cell.input.weight.data, module.cell.input.bias.data, module.cell
    b[...] = rng.normal(size=b.shape)
    hidden_bias = np.zeros_like(b)
    if kind == "gru":
        cell.bias.data[...] = rng.normal(size=4)
        hidden_bias[8:] = cell.bias.data
    with torch.no_grad():
        for target, values in zip(theirs.parameters(), (W.T, cell.weight.data.T, b, hidden_bias)):
            target.copy_(torch.tensor(values))
    theirs_x = torch.tensor(x, requires_grad=True)
    y, _ = theirs(theirs_x)
    g = rng.normal(size=y.shape)
    y.backward(torch.tensor(g))
    ours_x = leaf(x)
    mine, _ = module(ours_x)
    mine.backward(tl.Tensor(g))
    np.testing.assert_allclose(mine.numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours_x.grad.numpy(), theirs_x.grad.numpy(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        cell.weight.grad.numpy(), theirs.weight_hh_l0.grad.numpy().T, rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(
        cell.input.weight.grad.numpy(), theirs.weight_ih_l0.grad.numpy().T, rtol=1e-11, atol=1e-13
    )
    if kind == "gru":
        np.testing.assert_allclose(
            cell.bias.grad.numpy(), theirs.bias_hh_l0.grad.numpy()[8:], rtol=1e-11, atol=1e-13
        )
