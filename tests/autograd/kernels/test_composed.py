"""The plain twins themselves, against NumPy written out by hand: an oracle must be right on its
own.
"""

import math

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host
from tinylm.autograd.engine import operation
from tinylm.autograd.kernels import composed


def test_every_fused_operation_has_a_twin_of_the_same_name():
    for name, fused in operation.fused_operations.items():
        assert fused.twin is getattr(composed, name, fused.twin)
        assert callable(fused.twin) and not hasattr(
            fused.twin, "kernel"
        )  # tiled_attention's twin is plain attention
        assert fused.twin.__doc__


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 3, 4))


def of(device, function, *arrays, **options):
    return host(function(*[tl.Tensor(a, device=device) for a in arrays], **options))


def test_norms_written_out(device, x):
    gain, bias = np.arange(4.0), np.ones(4)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    np.testing.assert_allclose(
        of(device, composed.layer_norm, x, gain, bias),
        (x - mean) / np.sqrt(var + 1e-5) * gain + bias,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        of(device, composed.rms_norm, x, gain),
        x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gain,
        rtol=1e-12,
    )


def test_activations_written_out(device, x):
    phi = (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(of(device, composed.gelu, x), x * phi, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        of(device, composed.gelu_tanh, x),
        x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        rtol=1e-12,
    )
    np.testing.assert_allclose(of(device, composed.silu, x), x * sigmoid, rtol=1e-13)
    np.testing.assert_allclose(
        of(device, composed.swiglu, x, x + 1), x * sigmoid * (x + 1), rtol=1e-13
    )
    np.testing.assert_allclose(
        of(device, composed.geglu, x, x + 1), x * phi * (x + 1), rtol=1e-12, atol=1e-15
    )


def test_attention_written_out_as_loops(device, rng):
    B, H, G, T, S, K = 1, 4, 2, 2, 3, 2
    q, k, v = (rng.normal(size=s) for s in ((B, H, T, K), (B, G, S, K), (B, G, S, K)))
    expected = np.zeros((B, H, T, K))
    for h in range(H):
        for t in range(T):
            seen = range(t + S - T + 1)
            weights = np.array(
                [math.exp(q[0, h, t] @ k[0, h * G // H, s] / math.sqrt(K)) for s in seen]
            )
            expected[0, h, t] = sum(
                w * v[0, h * G // H, s] for w, s in zip(weights / weights.sum(), seen)
            )
    np.testing.assert_allclose(
        of(device, composed.attention, q, k, v, causal=True), expected, rtol=1e-13
    )


def test_rotary_is_multiplication_by_a_unit_complex_number(device, rng):
    x, angles = rng.normal(size=(5, 6)), rng.normal(size=(5, 3))
    cos, sin = (tl.Tensor(f(angles), device=device) for f in (np.cos, np.sin))
    turned = (x[:, :3] + 1j * x[:, 3:]) * np.exp(1j * angles)
    np.testing.assert_allclose(
        of(device, composed.rotary, x, cos=cos, sin=sin),
        np.concatenate([turned.real, turned.imag], -1),
        rtol=1e-13,
    )


def test_embedding_is_a_product_with_one_hot_rows(device, rng):
    table, ids = rng.normal(size=(5, 3)), np.array([[4, 0], [4, 4]])
    y = host(composed.embedding(tl.Tensor(ids, device=device), tl.Tensor(table, device=device)))
    np.testing.assert_array_equal(y, np.eye(5)[ids] @ table)
