"""Small tools of the numerical tests: leaves on a device, finite differences, and fused against
composed.
"""

import numpy as np

import tinylm as tl
from tinylm.backend import to_cpu, to_device


def leaf(values, device="cpu", dtype=np.float64, name=None):
    """A Tensor on `device` that requires a gradient."""
    return tl.Tensor(np.array(values, dtype), requires_grad=True, device=device, name=name)


def plain(values, device="cpu"):
    """An array on `device`, for masks, indices and constants."""
    return to_device(np.asarray(values), device)


def host(x):
    """A Tensor's or array's values as a NumPy array."""
    if isinstance(x, tl.Tensor):
        return x.numpy()
    return to_cpu(x)


def differences(function, arrays, step=1e-6):
    """Central differences of a float of NumPy arrays: one gradient per array, with an error of
    about step**2.
    """
    arrays = [np.array(array) for array in arrays]  # 0-d ones too can be written to
    gradients = []
    for i, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            moved = [a.copy() for a in arrays]
            moved[i][at] += step
            up = function(*moved)
            moved[i][at] -= 2 * step
            gradient[at] = (up - function(*moved)) / (2 * step)
        gradients.append(gradient)
    return gradients


def gradients(operation, arrays, device="cpu", dtype=np.float64, seed=0):
    """(output, gradients) of an operation of leaves, contracted with a random cotangent. All NumPy
    arrays.
    """
    leaves = [leaf(a, device, dtype) for a in arrays]
    out = operation(*leaves)
    cotangent = np.random.default_rng(seed).normal(size=out.shape).astype(dtype)
    out.backward(plain(cotangent, device))
    return host(out), [None if x.grad is None else host(x.grad) for x in leaves]


def assert_matches_twin(fused, twin, arrays, device="cpu", tolerance=1e-12):
    """Assert that a fused operation equals its composed twin forward and backward.

    In float64 to `tolerance`; in float32 to 2e-5 of the largest entry: a few hundred roundings of
    6e-8.
    """
    for dtype, bound in ((np.float64, tolerance), (np.float32, 2e-5)):
        y, grads = gradients(fused, arrays, device, dtype)
        y2, grads2 = gradients(twin, arrays, device, dtype)
        assert y.dtype == dtype
        for ours, theirs in zip([y, *grads], [y2, *grads2]):
            assert ours.dtype == dtype and ours.shape == theirs.shape
            scale = max(1.0, np.max(np.abs(theirs), initial=0))
            assert np.max(np.abs(ours - theirs), initial=0) <= bound * scale
