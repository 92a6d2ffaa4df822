"""Adam and AdamW against their published algorithm, written out for one number at a time."""

import inspect
import math

import numpy as np
import pytest

from tests.numeric import host, leaf, plain
from tinylm.optim import SGD, Adam, AdamW, FlatParameters, Momentum
from tinylm.optim import adam as adam_module


def written_out(theta, gradients, lr, b1, b2, eps, decay):
    """Loshchilov & Hutter 2019, algorithm 2, for one parameter."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        theta -= lr * decay * theta
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        theta -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
    return theta


def give(flat, gradient, device="cpu"):
    """Put a gradient into the buffer as a backward pass would."""
    for p, start, stop in zip(flat.tensors, flat.offsets, flat.offsets[1:]):
        p.slot[...] = plain(np.reshape(gradient[start:stop], p.shape), device)
        p.grad = type(p)(p.slot)


def test_adamw_is_its_algorithm_and_decays_matrices_only(device, rng):
    flat = FlatParameters([leaf([[1.0, -2.0]], device), leaf([3.0], device)])
    optimizer = AdamW(flat, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2)
    gradients = rng.normal(size=(7, 3))
    for g in gradients:
        give(flat, g, device)
        optimizer.step()
    for i, (start, decay) in enumerate([(1.0, 0.2), (-2.0, 0.2), (3.0, 0.0)]):
        assert host(flat.data)[i] == pytest.approx(
            written_out(start, gradients[:, i], 0.1, 0.8, 0.9, 1e-3, decay), rel=1e-13
        )


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_the_first_step_has_the_length_of_the_learning_rate(size):
    flat = FlatParameters([leaf([0.0, 0.0])])
    optimizer = Adam(flat, lr=0.01)
    give(flat, np.array([size, -size]))
    optimizer.step()
    np.testing.assert_allclose(flat.data, [-0.01, 0.01], rtol=2e-4)  # up to eps / |g| = 1e-8 / 1e-4


DEFAULTS = [
    # Kingma & Ba 2015, algorithm 1.
    (Adam, dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)),
    # Betas and decay as in GPT-3 (Brown et al. 2020, appendix B), the rest of Adam.
    (AdamW, dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)),
    # A tenth of the gradient; no decay unless asked; momentum as Sutskever et al. 2013.
    (SGD, dict(lr=0.1, weight_decay=0.0)),
    (Momentum, dict(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)),
]


@pytest.mark.parametrize("optimizer, expected", DEFAULTS)
def test_defaults_are_those_of_the_papers(optimizer, expected):
    parameters = inspect.signature(optimizer).parameters
    assert {name: parameters[name].default for name in expected} == expected
    made = optimizer([leaf([[1.0]])])
    assert {name: getattr(made, name) for name in expected} == expected


def test_adam_is_adamw_without_decay():
    assert Adam([leaf([[1.0]])]).weight_decay == 0.0 and Adam([leaf([[1.0]])]).betas == (0.9, 0.999)


def test_blocks_of_the_buffer_change_nothing(monkeypatch, rng):
    results = []
    for block in (1 << 15, 5, 1):  # 5 cuts across the border of the decayed part
        monkeypatch.setattr(adam_module, "BLOCK", block)
        flat = FlatParameters([leaf(np.ones((3, 4))), leaf(np.ones(7))])
        optimizer = AdamW(flat, lr=0.1)
        draw = np.random.default_rng(1)
        for _ in range(3):
            give(flat, draw.normal(size=19))
            optimizer.step()
        results.append(flat.data.copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_shared_update_is_the_whole_update(rng):
    whole, shared = (AdamW([leaf(np.ones((3, 4))), leaf(np.ones(7))], lr=0.1) for _ in range(2))
    for _ in range(3):
        g = rng.normal(size=19)
        give(whole.flat, g)
        whole.step()
        give(shared.flat, g)
        # two workers: the step counts once, so the second sets it back
        shared.step(start=0, stop=8)
        shared.t -= 1
        shared.step(start=8, stop=19)
    np.testing.assert_array_equal(shared.flat.data, whole.flat.data)


def test_scale_is_a_factor_on_the_gradient(rng):
    g = rng.normal(size=4)
    a, b = (AdamW([leaf(np.ones((2, 2)))], lr=0.1, eps=0.1) for _ in range(2))
    for _ in range(3):
        give(a.flat, g * 0.25)
        a.step()
        give(b.flat, g)
        b.step(scale=0.25)
    np.testing.assert_allclose(a.flat.data, b.flat.data, rtol=1e-14)


def test_the_learning_rate_of_a_step_wins():
    optimizer = Adam([leaf([1.0])], lr=5.0)
    give(optimizer.flat, np.array([1.0]))
    optimizer.step(lr=0.0)
    assert optimizer.flat.data[0] == 1.0


def test_a_saved_state_goes_on_as_if_nothing_had_happened(rng):
    gradients = rng.normal(size=(6, 4))
    straight, stopped = (AdamW([leaf(np.ones((2, 2)))], lr=0.1) for _ in range(2))
    for g in gradients:
        give(straight.flat, g)
        straight.step()
    for g in gradients[:3]:
        give(stopped.flat, g)
        stopped.step()
    saved = {k: np.copy(v) for k, v in stopped.state().items()}
    resumed = AdamW([leaf(stopped.flat.data.reshape(2, 2))], lr=0.1)
    resumed.load_state(saved)
    for g in gradients[3:]:
        give(resumed.flat, g)
        resumed.step()
    np.testing.assert_array_equal(resumed.flat.data, straight.flat.data)


def test_a_parameter_without_a_gradient_is_only_decayed():
    w, unused = leaf([[1.0]]), leaf([[1.0]])
    optimizer = AdamW([w, unused], lr=0.1, weight_decay=0.5)
    (w * 1.0).sum().backward()
    optimizer.step()
    assert unused.item() == pytest.approx(1 - 0.1 * 0.5, rel=1e-15)
