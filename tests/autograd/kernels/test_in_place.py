"""A fused operation whose backward reads its own output notices that the output was changed."""
import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import registry
from tinylm.autograd.engine.operation import fused_operations
from tinylm.errors import GraphError

ENTRIES = {name: entry for name, entry in registry.load_all().items() if name in fused_operations}


def gradients_after(entry, call, change):
    """Gradients of the floating arguments; `change` is called with the output before backward."""
    floats = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in call.args]
    args = [tl.Tensor(a, requires_grad=True) if f else a for a, f in zip(call.args, floats)]
    y = entry.function(*args, **call.options)
    cotangent = np.random.default_rng(0).normal(size=y.shape)
    change(y)
    y.backward(tl.Tensor(cotangent))
    return [a.grad.numpy().copy() for a, f in zip(args, floats) if f and a.grad is not None]


def overwrite(y):
    with tl.no_grad():
        y.assign_(0.5)


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_a_changed_output_is_an_error_or_changes_no_gradient(name):
    entry = ENTRIES[name]
    for call in entry.calls(0):
        expected = gradients_after(entry, call, lambda y: None)
        try:
            got = gradients_after(entry, call, overwrite)
        except GraphError:
            continue
        for a, b in zip(got, expected):
            np.testing.assert_array_equal(a, b)
