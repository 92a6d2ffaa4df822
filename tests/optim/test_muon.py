"""Muon: its orthogonalization against the singular value decomposition, its update against the
paper's, and how workers share it.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.numeric import leaf
from tinylm.errors import ConfigError
from tinylm.optim import AdamW, FlatParameters, Muon
from tinylm.optim.muon import JORDAN, POLAR_EXPRESS, newton_schulz


def matrix(seed, r, c, singular):
    """A matrix (r, c) with the given singular values, and its polar factor U V^T."""
    rng = np.random.default_rng(seed)
    m = min(r, c)
    U = np.linalg.qr(rng.normal(size=(r, m)))[0]
    V = np.linalg.qr(rng.normal(size=(c, m)))[0]
    return U * singular @ V.T, U @ V.T


@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 9), st.floats(-4, 4))
def test_newton_schulz_tends_to_the_polar_factor(seed, r, c, size):
    # Condition 20 at most. The last polynomial has the fixed point 1 with derivative 0, and brings
    # an error e to about e^3: six more of them leave rounding alone.
    singular = np.linspace(1, 20, min(r, c)) * 10**size
    X, polar = matrix(seed, r, c, singular)
    found = newton_schulz(X, (*POLAR_EXPRESS, *POLAR_EXPRESS[-1:] * 6))
    np.testing.assert_allclose(found, polar, atol=1e-12)
    u, s, vt = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(found, u @ vt, atol=1e-10)


@pytest.mark.parametrize(
    "coefficients, low, high",
    [
        # Jordan 2024: in about [0.68, 1.2], from 0.01 on.
        (JORDAN, 0.68, 1.21),
        # Amsel et al. 2025: the most that polynomials can do on [0.001, 1] is an error of 0.561
        # with four of them, 0.124 with five, 4e-9 with seven.
        (POLAR_EXPRESS[:4], 0.439, 1.561),
        (POLAR_EXPRESS[:5], 0.876, 1.124),
        (POLAR_EXPRESS, 1 - 5e-9, 1 + 5e-9),
    ],
)
def test_few_iterations_bring_singular_values_near_one(coefficients, low, high):
    # Divided by the Frobenius norm (16.3 here) the least singular value is 0.0125.
    singular = np.geomspace(0.2, 10, 12)
    X, _ = matrix(3, 12, 20, singular)
    s = np.linalg.svd(newton_schulz(X, coefficients), compute_uv=False)
    assert s.min() > low and s.max() < high


def test_newton_schulz_changes_singular_values_alone(rng):
    # p(P X Q) = P p(X) Q for orthogonal P, Q: singular vectors stay, whatever the coefficients.
    X = rng.normal(size=(5, 8))
    P = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    Q = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    np.testing.assert_allclose(newton_schulz(P @ X @ Q), P @ newton_schulz(X) @ Q, atol=1e-12)
    np.testing.assert_allclose(newton_schulz(X.T), newton_schulz(X).T, atol=1e-13)
    np.testing.assert_allclose(newton_schulz(7e5 * X), newton_schulz(X), atol=1e-12)


def test_a_stack_is_orthogonalized_matrix_by_matrix(rng):
    stack = rng.normal(size=(3, 6, 4))
    found = newton_schulz(stack)
    for one, X in zip(found, stack):
        np.testing.assert_allclose(one, newton_schulz(X), atol=1e-13)


def test_a_matrix_without_a_gradient_stays_as_it_is():
    assert not newton_schulz(np.zeros((3, 4), np.float32)).any()


@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-24, 1e20, 1e37])
def test_matrices_whose_squares_are_no_float32_are_orthogonalized_too(rng, size):
    # The momentum of an expert that no token reaches is 0.95^1000 = 5e-23 of what it was.
    X = (rng.normal(size=(4, 6)) * size).astype(np.float32)
    s = np.linalg.svd(newton_schulz(X), compute_uv=False)
    np.testing.assert_allclose(s, 1, atol=1e-5)


def made(rng, **options):
    """A Muon on a table, three matrices of two shapes, a stack of matrices, and a vector."""
    shapes = {"table": (7, 4), "a": (4, 6), "b": (6, 4), "c": (4, 6), "stack": (2, 3, 4), "v": (5,)}
    tensors = {name: leaf(rng.normal(size=shape)) for name, shape in shapes.items()}
    flat = FlatParameters(tensors)
    return Muon(flat, ["a", "b", "c", "stack"], **options)


def give(flat, gradient):
    """Put a gradient (n,) into the buffer as a backward pass would."""
    for p, start, stop in zip(flat.tensors, flat.offsets, flat.offsets[1:]):
        p.slot[...] = np.reshape(gradient[start:stop], p.shape)
        p.grad = type(p)(p.slot)


def test_matrices_are_updated_as_in_the_paper(rng):
    # Jordan 2024: B <- mu B + g, direction NS(g + mu B), here times (1 - mu), which NS takes out;
    # decay and scale as in Liu et al. 2025, algorithm 1 and eq. 4.
    lr, rate, mu, decay = 0.01, 3.0, 0.9, 0.2
    muon = made(rng, lr=lr, matrix_rate=rate, momentum=mu, weight_decay=decay)
    flat = muon.flat
    W = {name: view.copy() for name, view in flat.named(flat.data).items()}
    B = {name: 0.0 for name in W}
    for _ in range(4):
        g = rng.normal(size=len(flat))
        give(flat, g)
        muon.step(scale=0.5)
        for name in ("a", "b", "c"):
            gradient = 0.5 * flat.named(g)[name]
            B[name] = mu * B[name] + gradient
            O = newton_schulz(gradient + mu * B[name], POLAR_EXPRESS[: len(muon.coefficients)])
            W[name] -= lr * rate * decay * W[name]
            W[name] -= lr * rate * 0.2 * math.sqrt(max(O.shape)) * O
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(flat.named(flat.data)[name], W[name], rtol=1e-11)


def test_an_update_has_the_size_of_adamws(rng):
    # A square matrix whose singular values are all 1 has the root mean square 1/sqrt(r).
    X = leaf(rng.normal(size=(16, 16)))
    muon = Muon(
        FlatParameters({"w": X}),
        ["w"],
        lr=0.1,
        matrix_rate=1.0,
        weight_decay=0.0,
        coefficients=(*POLAR_EXPRESS, *POLAR_EXPRESS[-1:] * 12),
    )
    before = muon.flat.data.copy()
    give(muon.flat, rng.normal(size=256))
    muon.step()
    assert np.sqrt(np.mean((muon.flat.data - before) ** 2)) == pytest.approx(0.02, rel=1e-6)


def test_what_is_no_matrix_is_updated_by_adamw(rng):
    muon = made(np.random.default_rng(5), lr=0.01)
    adamw = AdamW(made(np.random.default_rng(5)).flat, lr=0.01)
    for _ in range(3):
        g = rng.normal(size=len(muon.flat))
        for optimizer in (muon, adamw):
            give(optimizer.flat, g)
            optimizer.step()
    ours, theirs = (o.flat.named(o.flat.data) for o in (muon, adamw))
    for name in ("table", "v"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert np.abs(ours["a"] - theirs["a"]).min() > 0


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 9])
def test_workers_share_an_update_without_cutting_a_matrix(rng, workers):
    whole, shared = (made(np.random.default_rng(5), lr=0.01) for _ in range(2))
    bounds = whole.bounds(workers)
    assert bounds[0] == 0 and bounds[-1] == len(whole.flat) and bounds == sorted(bounds)
    for start, stop, _ in whole.matrices:
        assert not any(start < bound < stop for bound in bounds)
    for _ in range(3):
        g = rng.normal(size=len(whole.flat))
        give(whole.flat, g)
        whole.step()
        give(shared.flat, g)
        t = shared.t
        for start, stop in zip(bounds, bounds[1:]):
            shared.t = t  # each worker counts the step once
            shared.step(start=start, stop=stop)
    np.testing.assert_allclose(shared.flat.data, whole.flat.data, rtol=1e-12)


def test_the_parts_of_workers_cost_about_the_same():
    # Twelve equal matrices dominate: each of four workers has three of them.
    tensors = {f"w{i}": leaf(np.ones((64, 64))) for i in range(12)} | {"v": leaf(np.ones(9))}
    muon = Muon(FlatParameters(tensors), [f"w{i}" for i in range(12)])
    inner = muon.bounds(4)[1:-1]
    assert inner == [3 * 4096, 6 * 4096, 9 * 4096]


def test_a_part_that_cuts_a_matrix_is_refused(rng):
    muon = made(rng)
    give(muon.flat, rng.normal(size=len(muon.flat)))
    with pytest.raises(ConfigError, match="cuts the matrix"):
        muon.step(start=0, stop=muon.matrices[0][1] - 1)


def test_a_vector_is_no_matrix():
    with pytest.raises(ConfigError, match="v: not a matrix"):
        Muon(FlatParameters({"v": leaf([1.0, 2.0])}), ["v"])


def test_going_on_from_a_state_gives_the_same_bits(rng):
    draws = rng.normal(size=(6, len(made(rng).flat)))
    whole, first, second = (made(np.random.default_rng(5)) for _ in range(3))
    for g in draws:
        give(whole.flat, g)
        whole.step()
    for g in draws[:3]:
        give(first.flat, g)
        first.step()
    second.flat.data[...] = first.flat.data
    second.load_state({name: np.copy(value) for name, value in first.state().items()})
    for g in draws[3:]:
        give(second.flat, g)
        second.step()
    np.testing.assert_array_equal(second.flat.data, whole.flat.data)
