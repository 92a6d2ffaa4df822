"""Linear recurrences: three groupings, one result; the selective scan and Mamba's block; the moving
average.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.recurrence.state_space import (
    MambaBlock,
    linear_recurrence,
    moving_average,
    moving_average_by_convolution,
    recurrence_by_doubling,
    recurrence_by_steps,
    selective_scan,
    softplus,
)

WAYS = [linear_recurrence, recurrence_by_doubling, recurrence_by_steps]


@pytest.mark.parametrize("T", [2, 3, 4, 5, 9, 16, 17])  # near squares and powers of two
def test_chunks_doubling_and_steps_are_equal_forward_and_backward(device, rng, T):
    a, b = rng.uniform(-1, 1, (2, T, 3)), rng.normal(size=(2, T, 3))
    for way in WAYS[:2]:
        assert_matches_twin(way, recurrence_by_steps, [a, b], device)


def test_one_token_is_its_own_input(rng):
    b = rng.normal(size=(2, 1, 3))
    for way in WAYS:
        np.testing.assert_array_equal(way(tl.Tensor(b * 0.5), tl.Tensor(b)).numpy(), b)


def test_a_constant_decay_of_one_is_a_running_sum(rng):
    b = rng.normal(size=(1, 12, 2))
    np.testing.assert_allclose(
        linear_recurrence(np.ones_like(b), b).numpy(), b.cumsum(1), rtol=1e-12
    )


def test_a_zero_decay_forgets_everything_before_it(rng):
    a, b = np.full((1, 10, 1), 0.9), rng.normal(size=(1, 10, 1))
    a[:, 6] = 0
    changed = b.copy()
    changed[:, :6] += 5
    for way in WAYS:
        before, after = (
            way(tl.Tensor(a), tl.Tensor(entering)).numpy() for entering in (b, changed)
        )
        np.testing.assert_array_equal(before[:, 6:], after[:, 6:])


def scan_inputs(rng, T=11, B=2, E=3, N=4):
    return (
        rng.normal(size=(B, T, E)),
        rng.uniform(0.1, 2, (B, T, E)),
        -rng.uniform(0.2, 2, (E, N)),
        rng.normal(size=(B, T, N)),
        rng.normal(size=(B, T, N)),
        rng.normal(size=E),
        rng.normal(size=(B, E, N)),
    )


def test_the_selective_scan_is_its_recurrence(device, rng):
    x, step, A, B, C, skip, h = scan_inputs(rng)
    expected, state = [], h
    for t in range(x.shape[1]):
        state = (
            np.exp(step[:, t, :, None] * A) * state
            + (step[:, t] * x[:, t])[..., None] * B[:, t, None]
        )
        expected.append((state * C[:, t, None]).sum(-1) + skip * x[:, t])
    for way in WAYS:
        y, end = selective_scan(
            *(tl.Tensor(v, device=device) for v in (x, step, A, B, C, skip, h)), recurrence=way
        )
        np.testing.assert_allclose(host(y), np.stack(expected, 1), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(host(end), state, rtol=1e-11, atol=1e-12)


def test_all_ways_give_the_selective_scan_one_gradient(rng):
    inputs = scan_inputs(rng)
    found = [
        gradients(lambda *a, way=way: selective_scan(*a, recurrence=way)[0], inputs)[1]
        for way in WAYS
    ]
    for other in found[1:]:
        for a, b in zip(found[0], other):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def block(seed=0):
    return MambaBlock(4, Random(seed), d_state=3, dtype=np.float64)


def test_mamba_read_in_parts_equals_read_at_once(rng):
    module, x = block(), tl.Tensor(rng.normal(size=(2, 9, 4)))
    whole, end = module(x)
    parts, state = [], None
    for start, stop in (
        (0, 1),
        (1, 2),
        (2, 6),
        (6, 9),
    ):  # shorter and longer than the convolution of 4
        y, state = module(x[:, start:stop], state)
        parts.append(y.numpy())
    np.testing.assert_allclose(np.concatenate(parts, 1), whole.numpy(), rtol=1e-11, atol=1e-13)
    for a, b in zip(end, state):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-13)


def test_mamba_does_not_see_the_future(rng):
    module, x = block(), rng.normal(size=(1, 10, 4))
    changed = x.copy()
    changed[:, 6:] += 1
    y, y2 = (module(tl.Tensor(v))[0].numpy() for v in (x, changed))
    np.testing.assert_array_equal(y[:, :6], y2[:, :6])
    assert np.abs(y[:, 6:] - y2[:, 6:]).max() > 1e-3


def test_mamba_begins_with_steps_between_a_thousandth_and_a_tenth():
    # Gu & Dao 2023, section 3.6. Of 4000 channels some come within a hundredth of either end.
    module = MambaBlock(1, Random(0), d_inner=4000, d_state=1, dtype=np.float64)
    steps = softplus(module.step.bias).numpy()
    assert 0.001 - 1e-9 < steps.min() < 0.00101 and 0.099 < steps.max() < 0.1 + 1e-9
    # Evenly on a logarithmic scale: the middle is 0.01. A mean of 4000 numbers spread over two
    # powers of ten has a standard error of 2 / sqrt(12 * 4000) = 0.009.
    assert np.log10(steps).mean() == pytest.approx(-2, abs=0.03)


def test_mamba_has_the_sizes_and_the_beginning_of_the_paper():
    # D = 33: E = 2 D, a step size through ceil(33 / 16) = 3 numbers, N = 16, 4 taps; no biases but
    # those of the convolution and of the step size.
    module = MambaBlock(33, Random(0))
    shapes = {name: parameter.shape for name, parameter in module.named_parameters().items()}
    assert shapes == {
        "input.weight": (33, 2 * 66),
        "kernel": (4, 66),
        "kernel_bias": (66,),
        "select.weight": (66, 3 + 16 + 16),
        "step.weight": (3, 66),
        "step.bias": (66,),
        "log_decay": (66, 16),
        "skip": (66,),
        "out.weight": (66, 33),
    }
    # A = -1, -2, .., -16 in every channel (S4D-real), and what skips the state passes unchanged.
    np.testing.assert_allclose(np.exp(module.log_decay.numpy()), [range(1, 17)] * 66, rtol=1e-6)
    assert (module.skip.numpy() == 1).all() and (module.kernel_bias.numpy() == 0).all()
    # n inputs of variance 1 and weights of variance 1/n: outputs of variance 1. The smallest matrix
    # has 198 weights, so its deviation is known within 1 / sqrt(2 * 198) = 5 %.
    for map in module.input.weight, module.kernel, module.select.weight, module.step.weight:
        assert map.numpy().std() * len(map) ** 0.5 == pytest.approx(1, abs=0.15)
    assert module.out.weight.numpy().std() * 66**0.5 == pytest.approx(1, abs=0.15)


def test_every_parameter_of_mamba_learns(rng):
    module = block()
    y, _ = module(tl.Tensor(rng.normal(size=(2, 9, 4))))
    (y * y).sum().backward()
    for name, parameter in module.named_parameters().items():
        assert (parameter.grad.numpy() != 0).all(), name


def test_mamba_of_one_channel_by_hand():
    # One number everywhere, a convolution of one tap. u = silu(2 x - 1) = silu(1) = s for x = 1; B
    # and C are u; the step is softplus(0) = ln 2 and A = -1, so half of the state is kept.
    #   h_1 = ln 2 * s * s;  h_2 = h_1 / 2 + h_1;  y_t = s h_t;  the gate is silu(x) = s.
    module = MambaBlock(1, Random(0), d_inner=1, d_state=1, width=1, rank=1, dtype=np.float64)
    module.input.weight.assign_(np.ones((1, 2)))
    module.kernel.assign_(np.array([[2.0]]))
    module.kernel_bias.assign_(np.array([-1.0]))
    module.select.weight.assign_(np.ones((1, 3)))
    module.step.weight.assign_(np.zeros((1, 1)))
    module.step.bias.assign_(np.zeros(1))
    module.skip.assign_(np.zeros(1))
    module.out.weight.assign_(np.ones((1, 1)))
    s = 1 / (1 + np.exp(-1))  # 0.7311
    y, (window, h) = module(tl.Tensor(np.ones((1, 2, 1))))
    np.testing.assert_allclose(y.numpy()[0, :, 0], np.log(2) * s**4 * np.array([1, 1.5]))
    np.testing.assert_allclose(h.numpy(), [[[1.5 * np.log(2) * s**2]]])
    assert window.shape == (1, 0, 1)  # one tap remembers nothing


def test_the_memory_of_mamba_is_three_inputs_and_the_state_however_much_was_read(rng):
    module, state = block(), None
    sizes = [(2, 3, 8), (2, 8, 3)]  # four taps need the last three inputs; E = 8, N = 3
    assert [part.shape for part in module.initial_state(2)] == sizes
    for T in 1, 2, 9:
        _, state = module(tl.Tensor(rng.normal(size=(2, T, 4))), state)
        assert [part.shape for part in state] == sizes


@pytest.mark.parametrize("size", ["d_model", "d_inner", "d_state", "width", "rank"])
def test_a_mamba_without_channels_states_or_taps_is_refused(size):
    sizes = dict(d_model=2, d_inner=2, d_state=2, width=2, rank=2)
    sizes[size] = -1 if size in ("d_inner", "rank") else 0  # 0 there stands for the default
    with pytest.raises(ConfigError, match="at least 1"):
        MambaBlock(**sizes, rng=Random(0))


def test_softplus_is_exact_at_both_ends():
    np.testing.assert_allclose(
        softplus(tl.Tensor(np.array([-800.0, 0.0, 800.0]))).numpy(), [0, np.log(2), 800]
    )


def test_the_moving_average_is_a_convolution_and_with_delta_one_the_usual_average(device, rng):
    x, alpha, delta = rng.normal(size=(2, 7, 3)), rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 0.9, 3)
    assert_matches_twin(moving_average_by_convolution, moving_average, [x, alpha, delta], device)
    y, average = moving_average(tl.Tensor(x), tl.Tensor(alpha), tl.Tensor(np.ones(3))).numpy(), 0
    for t in range(7):
        average = alpha * x[:, t] + (1 - alpha) * average
        np.testing.assert_allclose(y[:, t], average, rtol=1e-12)


def test_shapes_that_differ_are_named():
    with pytest.raises(ShapeError, match=r"linear_recurrence: a \(1, 3\) and b \(1, 4\)"):
        linear_recurrence(np.zeros((1, 3)), np.zeros((1, 4)))


def test_a_moving_average_that_forgets_at_once_is_its_input(rng):
    x = rng.normal(size=(1, 4, 2))
    ones = np.ones(2)  # alpha = delta = 1: nothing of the past is kept
    assert_matches_twin(moving_average_by_convolution, moving_average, [x, ones, ones])
    y = moving_average_by_convolution(tl.Tensor(x), tl.Tensor(ones), tl.Tensor(ones))
    np.testing.assert_array_equal(y.numpy(), x)
