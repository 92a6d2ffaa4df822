"""Every entry of the register, on every device, in every dtype, and into the optimizer's buffers."""

import numpy as np
import pytest

from tests.conftest import _devices
from tinylm import backend
from tinylm.autograd import registry
from tinylm.autograd.check.differences import Subject
from tinylm.autograd.check.gradcheck import check_entry

ENTRIES = registry.load_all()


@pytest.fixture(params=ENTRIES, ids=str)
def entry(request):
    return ENTRIES[request.param]


def test_derivatives_are_what_differences_say(entry):
    assert (report := check_entry(entry)), report


@pytest.mark.parametrize("device", [d for d in _devices() if d != "cpu"])
def test_another_device_gives_the_same_values_and_gradients(entry, device):
    for drawn in entry.calls(seed=1):
        results = []
        for place in ("cpu", device):
            weights = np.random.default_rng(2)
            with Subject(entry.function, drawn.args, drawn.options, device=place) as subject:
                ys = subject.run()
                cotangents = [backend.to_device(weights.normal(size=y.shape), place) for y in ys]
                results.append(
                    [y.numpy() for y in ys] + gradients(subject, subject.leaves, cotangents)
                )
        for a, b in zip(*results, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(
                    b, a, rtol=1e-12, atol=1e-13
                )  # the same lines of code, in float64


def test_short_dtypes_stay_short_and_agree_with_float64(entry):
    for dtype in (
        ("float32", "float16") if entry.covers else ("float32",)
    ):  # float16: the operations that others are made of
        assert (report := check_entry(entry, dtype=dtype)), report


def test_a_gradient_written_into_an_optimizer_slot_is_the_same(entry, rng):
    for drawn in entry.calls(seed=1):
        with Subject(entry.function, drawn.args, drawn.options) as subject:
            leaves = [
                leaf for leaf in subject.leaves if leaf.slot is None
            ]  # copies of arguments, not parameters
            weights = [rng.normal(size=y.shape) for y in subject.run()]
            plain = gradients(subject, leaves, weights)
            for leaf in leaves:
                leaf.slot = np.full_like(leaf.data, np.nan)  # a place that is not written shows
            slotted = gradients(subject, leaves, weights)
        for leaf, a, b in zip(leaves, plain, slotted):
            assert (a is None) == (b is None)
            if a is not None:
                # BLAS may add in another order when it writes elsewhere: a few units in the last
                # place
                np.testing.assert_allclose(b, a, rtol=1e-13, atol=1e-14)
                np.testing.assert_array_equal(leaf.slot, b)


def gradients(subject, leaves, weights):
    """What backward() leaves in `.grad`, copied; the leaves are clean again afterwards."""
    for y, w in zip(subject.run(), weights):
        if y.requires_grad:
            y.backward(w, retain_graph=True)
    found = [
        None if leaf.grad is None else backend.to_cpu(leaf.grad.data).copy() for leaf in leaves
    ]
    for leaf in subject.leaves:
        leaf.grad = None
    return found
