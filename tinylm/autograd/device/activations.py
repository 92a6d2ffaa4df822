"""GELU, SiLU and their gated forms as kernels: one launch forward, one backward.

The derivations stand in the twins, ../kernels/activations.py, whose slopes are kept here too.
Backward of a gated form computes its slope again from the gate: that reads no more than a kept one
would. Read next: rows.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device.launch import THREADS, Source, blocks_for, can_launch, contiguous

GELU_TANH, GELU, SILU = range(3)  # `kind` below

SOURCE = Source(r"""
__device__ real sigmoid_of(real x) { return 1 / (1 + exp(-x)); }

// f(x) as value * x, and f'(x):  f = x value
__device__ void slope_of(const real x, const long long kind, real *y, real *slope) {
    if (kind == 0) {  // gelu_tanh: y = x p, p = sigmoid(2 u)
        const real c = (real)0.7978845608028654;  // sqrt(2 / pi)
        real square = x * x;
        if (square > (real)1e4) square = (real)1e4;  // p is 0 or 1 there; nan stays
        const real p = 1 / (1 + exp((square * ((real)(-2 * 0.044715) * c) - 2 * c) * x));
        *y = x * p;
        *slope = (square * ((real)(6 * 0.044715) * c) + 2 * c) * (1 - p) * *y + p;
    } else if (kind == 1) {  // gelu: y = x Phi(x), y' = Phi(x) + x phi(x)
        const real cdf = (real)0.5 * erfc(x * (real)-0.7071067811865476);
        *y = x * cdf;
        *slope = exp(x * x * (real)-0.5) * (real)0.3989422804014327 * x + cdf;
    } else {  // silu: y = x s, y' = s + y (1 - s)
        const real s = sigmoid_of(x);
        *y = x * s;
        *slope = (1 - s) * *y + s;
    }
}

extern "C" __global__
void activation(const real *x, real *y, real *slope, const long long n, const long long kind) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real value, change;
        slope_of(x[i], kind, &value, &change);
        y[i] = value;
        if (slope) slope[i] = change;
    }
}

// y = f(gate) up
extern "C" __global__
void gated(const real *gate, const real *up, real *y, const long long n, const long long kind) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real value, change;
        slope_of(gate[i], kind, &value, &change);
        y[i] = value * up[i];
    }
}

// dgate = g f'(gate) up,  dup = g f(gate)
extern "C" __global__
void gated_backward(const real *g, const real *gate, const real *up, real *dgate, real *dup,
                    const long long n, const long long kind) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real value, change;
        slope_of(gate[i], kind, &value, &change);
        dgate[i] = g[i] * change * up[i];
        dup[i] = g[i] * value;
    }
}
""")


def _elementwise(x, kind, keep):
    if not can_launch(x):
        return None
    x = contiguous(x)
    y = np.empty_like(x)
    slope = np.empty_like(x) if keep else None
    SOURCE.launch("activation", x, blocks_for(x.size), THREADS, x, y, slope, x.size, kind)
    return y, lambda g: (g * slope,)


def gelu_tanh(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable] | None:
    """As kernels.activations.gelu_tanh; None where only that will do."""
    return _elementwise(x, GELU_TANH, keep)


def gelu(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """As kernels.activations.gelu; None where only that will do."""
    return _elementwise(x, GELU, keep)


def silu(x: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """As kernels.activations.silu; None where only that will do."""
    return _elementwise(x, SILU, keep)


def _gated(gate, up, kind):
    if gate.shape != up.shape or not can_launch(gate, up):
        return None
    gate, up = contiguous(gate), contiguous(up)
    y, n = np.empty_like(gate), gate.size
    blocks = blocks_for(n)
    SOURCE.launch("gated", gate, blocks, THREADS, gate, up, y, n, kind)

    def backward(g):
        g, dgate, dup = contiguous(g), np.empty_like(gate), np.empty_like(up)
        arrays = g, gate, up, dgate, dup
        SOURCE.launch("gated_backward", g, blocks, THREADS, *arrays, n, kind)
        return dgate, dup

    return y, backward


def swiglu(gate: np.ndarray, up: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """As kernels.activations.swiglu; None where only that will do."""
    return _gated(gate, up, SILU)


def geglu(gate: np.ndarray, up: np.ndarray, *, keep: bool) -> tuple[np.ndarray, Callable]:
    """As kernels.activations.geglu; None where only that will do."""
    return _gated(gate, up, GELU)
