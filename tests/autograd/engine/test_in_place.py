"""What backward needs is watched or copied: a change is an error or changes nothing.

Every entry of the register is run, and then its output, its inputs, or the caller's arrays of ids
and masks are overwritten before backward.
"""

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import registry
from tinylm.errors import GraphError

ENTRIES = registry.load_all()


def leaves(value):
    """The Tensors in an output: itself, or those in a list, a tuple or a dict."""
    if isinstance(value, tl.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (list, tuple, dict)):
        return []
    return [t for part in values for t in leaves(part)]


def fresh(value):
    """Arguments as their caller holds them: floating-point arrays as Tensors, others copied."""
    if isinstance(value, np.floating):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        floating = value.dtype.kind == "f"
        if floating:
            return tl.Tensor(value.copy(), requires_grad=True)
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(map(fresh, value))
    return value


def choices(value):
    """Arrays of ids and masks among the arguments."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iub":
            return [value]
        return []
    if not isinstance(value, (list, tuple)):
        return []
    return [a for part in value for a in choices(part)]


def gradients_after(entry, call, change):
    """Gradients of inputs; `change` gets outputs, inputs and arrays of choices before backward."""
    args = fresh(call.args)
    options = {}
    for key, value in call.options.items():
        options[key] = value.copy() if isinstance(value, np.ndarray) else value
    inputs = leaves(args) + parameters(entry.function, *args)
    before = [x.data.copy() for x in inputs]
    try:
        return _gradients(entry, args, options, inputs, change)
    finally:
        # a module of the register serves the next test too
        for x, values in zip(inputs, before, strict=True):
            x.data[...], x.grad = values, None


def parameters(*values):
    """Parameters of modules among the values, each once."""
    named = [v.named_parameters() for v in values if hasattr(v, "named_parameters")]
    every = [p for found in named for p in dict(found).values() if p.requires_grad]
    return list({id(p): p for p in every}.values())


def _gradients(entry, args, options, inputs, change):
    outputs = [y for y in leaves(entry.function(*args, **options)) if y.requires_grad]
    rng = np.random.default_rng(0)
    total = sum((y * rng.normal(size=y.shape)).sum() for y in outputs)
    change(outputs, inputs, choices([args, list(options.values())]))
    total.backward()
    return [None if x.grad is None else x.grad.numpy().copy() for x in inputs]


def overwrite(tensors):
    with tl.no_grad():
        for tensor in tensors:
            tensor.assign_(0.5)


def overwrite_choices(arrays):
    for array in arrays:
        array[...] = ~array if array.dtype == bool else 0


CHANGES = {
    "outputs": lambda outputs, inputs, arrays: overwrite(outputs),
    "inputs": lambda outputs, inputs, arrays: overwrite(inputs),
    "choices": lambda outputs, inputs, arrays: overwrite_choices(arrays),
}


@pytest.mark.parametrize("name", sorted(ENTRIES))
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_before_backward_is_an_error_or_changes_no_gradient(name, what):
    entry = ENTRIES[name]
    for call in entry.calls(0):
        expected = gradients_after(entry, call, lambda *_: None)
        try:
            got = gradients_after(entry, call, CHANGES[what])
        except GraphError:
            assert what != "choices", "small arrays are copied, not watched"
            continue
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
