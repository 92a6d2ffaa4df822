"""exp by exp2 is exp, and every activation is the same function with and without it."""

import math

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd.primitives import exponentials
from tinylm.autograd.primitives.exponentials import exp_times, is_short


@pytest.fixture(params=[True, False], ids=["exp2", "exp"])
def fast(request, monkeypatch):
    """Both ways on every processor: exp2 is slow without AVX-512, but no less right."""
    monkeypatch.setattr(exponentials, "FAST_EXP2", request.param)


@pytest.mark.parametrize("dtype, rtol", [("float32", 4.8e-7), ("float64", 1e-15)])
@pytest.mark.parametrize("c", [-1, -0.5, 1])
def test_exponentials_of_small_multiples_keep_their_digits(fast, dtype, rtol, c):
    x = (np.linspace(-5.5, 5.5, 100_001) / c).astype(dtype)
    y = np.empty_like(x)
    assert exp_times(x, c, out=y) is y
    exact = np.exp(c * x.astype(np.longdouble)).astype(float)
    np.testing.assert_allclose(y, exact, rtol=rtol)


def test_only_float32_on_the_cpu_takes_exp2(fast):
    x = np.ones(3, np.float32)
    assert is_short(x) == exponentials.FAST_EXP2
    assert not is_short(x.astype(np.float64)) and not is_short(tl.Tensor(x, device="cpu"))


def test_what_numpy_says_of_its_loops_is_read_right():
    assert exponentials.has_fast_exp2() in (True, False)
    found = [{"exp2": {"ff": {"current": name}}} for name in ("X86_V4", "AVX512_SKX", "baseline")]
    for loops, expected in zip(found, (True, True, False)):
        with pytest.MonkeyPatch.context() as patch:
            info = type("", (), {"opt_func_info": staticmethod(lambda *a, loops=loops: loops)})
            patch.setattr(exponentials.np.lib, "introspect", info, raising=False)
            assert exponentials.has_fast_exp2() is expected


ACTIVATIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x),
    "gelu_tanh": lambda x: (
        x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    ),
}


@pytest.mark.parametrize("ends", [2.0, 5.5, 20.0, 80.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_slopes_of_float32_are_those_of_float64(fast, name, ends):
    x = np.linspace(-ends, ends, 20_001).astype(np.float32)
    x[100], x[200] = 0.0, -0.0
    wide = x.astype(np.float64)
    a, b = tl.Tensor(x, requires_grad=True), tl.Tensor(wide, requires_grad=True)
    y, exact = getattr(tl, name)(a), getattr(tl, name)(b)
    np.testing.assert_allclose(exact.data, ACTIVATIONS[name](wide), rtol=1e-12, atol=1e-15)
    y.sum().backward()
    exact.sum().backward()
    # A few digits of the largest factor: y = x p with p off by 3e-7 at most.
    atol = 4e-7 * np.maximum(1, np.abs(wide))
    assert np.all(np.abs(y.data - exact.data) <= atol)
    assert np.all(np.abs(a.grad.data - b.grad.data) <= 2 * atol)
    if name in ("sigmoid", "silu"):  # these keep their digits in the tail too
        np.testing.assert_allclose(y.data, exact.data, rtol=6e-7)
