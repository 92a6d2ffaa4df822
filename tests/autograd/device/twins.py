"""A fused operation by its kernels against the same by NumPy: forward and every gradient."""

import numpy as np

from tests import cuda_on_cpu
from tests.device_counter import counted
from tinylm.autograd import Tensor
from tinylm.backend import to_cpu, to_device

# Sums in another order: of a hundred numbers, in digits of the dtype.
CLOSE = {np.float32: 3e-5, np.float64: 1e-12}


def run(operation, arrays, options, device, seed=0):
    """(output, gradients of all floating-point arrays) with a random cotangent, on the CPU."""
    leaves = []
    for array in arrays:
        if array is not None and array.dtype.kind == "f":
            array = Tensor(array, requires_grad=True, device=device)
        elif array is not None:
            array = to_device(array, device)
        leaves.append(array)
    moved = {}
    for name, value in options.items():
        if isinstance(value, tuple):
            value = tuple(to_device(part, device) for part in value)
        elif isinstance(value, np.ndarray):
            value = to_device(value, device)
        moved[name] = value
    out = operation(*leaves, **moved)
    g = np.random.default_rng(seed).normal(size=out.shape).astype(out.dtype)
    out.backward(to_device(g, device))
    grads = [x.grad.numpy() for x in leaves if isinstance(x, Tensor) and x.grad is not None]
    return to_cpu(out.data), grads


def check(operation, arrays, kernels, rtol=None, **options):
    """Assert that an operation on the strict device launches `kernels`, and that its results are
    those of NumPy with one thread a block, and with all threads in either order the same bits.

    kernels  {name: launches}
    """
    dtype = next(a.dtype.type for a in arrays if a is not None and a.dtype.kind == "f")
    rtol = rtol or CLOSE[dtype]
    want, want_grads = run(operation, arrays, options, "cpu")
    results = []
    with counted() as found:
        results.append(run(operation, arrays, options, "strict"))
    launched = {name: found.calls[name] for name in kernels}
    assert launched == kernels, found.calls
    for backwards in False, True:
        with cuda_on_cpu.all_threads(backwards):
            results.append(run(operation, arrays, options, "strict"))
    for out, grads in results:
        np.testing.assert_allclose(out, want, rtol=rtol, atol=rtol)
        assert len(grads) == len(want_grads)
        for g, expected in zip(grads, want_grads):
            size = np.abs(expected[np.isfinite(expected)]).max(initial=1)
            np.testing.assert_allclose(g, expected, rtol=rtol, atol=rtol * size)
    for one, other in zip(
        [results[1][0], *results[1][1]], [results[2][0], *results[2][1]], strict=True
    ):
        np.testing.assert_array_equal(one, other)
