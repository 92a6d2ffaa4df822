"""What `.grad` gives out stays true: the optimizer's buffer is written again, its users' not."""

import copy
import weakref

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf
from tinylm.backend import Random
from tinylm.nn import Linear
from tinylm.optim import SGD, AdamW, FlatParameters, Momentum, clip_grad_norm

# Fused operations write into the slot; primitives are copied there.
LOSSES = {
    "fused": lambda w, x: tl.linear(x, w).sum(),
    "primitive": lambda w, x: (x @ w).sum(),
    "both": lambda w, x: (tl.linear(x, w) + x @ w).sum(),
}
WAYS = {
    "tensor": lambda p: p.grad,
    "array": lambda p: p.grad.data,
    "numpy": lambda p: p.grad.numpy(),
    "view": lambda p: p.grad.data[1:],
    "detached": lambda p: p.grad.detach(),
}
OPTIMIZERS = {"AdamW": AdamW, "SGD": SGD, "Momentum": Momentum, "none": lambda p: None}


def inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("keep", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("between", ["zero_grad", "step", "accumulate", "clip", "None"])
def test_a_gradient_that_is_kept_is_not_overwritten(keep, loss, optimizer, between):
    w = leaf(inputs(3, 2))
    made = optimizer({"w": w})
    loss(w, inputs(4, 3, seed=1)).backward()
    kept = keep(w)
    was = np.array(kept.data if isinstance(kept, tl.Tensor) else kept)
    if between == "None" or (made is None and between != "accumulate"):
        w.grad = None
    elif between == "clip":
        clip_grad_norm(made, 1e-3)
    elif between != "accumulate":
        getattr(made, between)()
    loss(w, inputs(4, 3, seed=2)).backward()
    np.testing.assert_array_equal(kept.data if isinstance(kept, tl.Tensor) else kept, was)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_reading_gradients_changes_no_bit_of_training(device, loss):
    def train(read):
        w, b = leaf(inputs(3, 2), device), leaf([0.5], device)
        optimizer = AdamW({"w": w, "b": b}, lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            for part in range(2):  # two micro-batches
                x = tl.Tensor(inputs(4, 3, seed=2 * step + part), device=device)
                (loss(w, x) * b).sum().backward()
                if read:
                    assert all(p.grad is p.grad for p in (w, b))
            clip_grad_norm(optimizer, 1.0)
            for act in (optimizer.step, dict):
                if read:
                    assert w.grad is w.grad and b.grad.data is b.grad.data
                act()
        return np.concatenate([host(w).ravel(), host(b)])

    np.testing.assert_array_equal(train(True), train(False))


def test_what_a_user_changes_in_place_is_what_the_optimizer_steps_with():
    w = leaf([[1.0, 2.0]])
    optimizer = SGD([w], lr=1.0)
    (w * 3.0).sum().backward()
    w.grad.data *= 0.5
    optimizer.step()
    np.testing.assert_array_equal(w.data, [[-0.5, 0.5]])


def test_the_buffer_is_complete_whenever_it_is_read():
    """Whoever scales the buffer, as a reduction over workers does, scales what was read, too."""
    w = leaf([[1.0, 2.0]])
    flat = FlatParameters([w])
    optimizer = SGD(flat, lr=1.0)
    (w * 3.0).sum().backward()
    w.grad.data[0, 0] = 5.0
    np.testing.assert_array_equal(flat.grad, [5, 3])
    flat.grad *= 2
    np.testing.assert_array_equal(w.grad.data, [[10, 6]])
    flat.grad[...] = flat.grad / 4
    optimizer.step()
    np.testing.assert_array_equal(w.data, [[1 - 2.5, 2 - 1.5]])


def test_a_gradient_is_the_same_object_until_it_changes():
    w = leaf([1.0])
    FlatParameters([w])
    (w * 2.0).sum().backward()
    first = w.grad
    assert w.grad is first
    (w * 2.0).sum().backward()
    assert w.grad is not first and w.grad.item() == 4.0 and first.item() == 2.0


def test_a_gradient_that_a_user_sets_is_not_added_into():
    w, mine = leaf([1.0, 2.0]), np.array([5.0, 6.0])
    w.grad = tl.Tensor(mine)
    (w * 2.0).sum().backward()
    np.testing.assert_array_equal(w.grad.data, [7, 8])
    np.testing.assert_array_equal(mine, [5, 6])


def test_forgotten_gradients_take_no_memory():
    w = leaf([1.0])
    (w * 2.0).sum().backward()
    gone = weakref.ref(w.grad)
    w.grad = None
    assert gone() is None


def test_gradients_that_nobody_reads_are_written_in_place():
    w = leaf(inputs(3, 2))
    flat = FlatParameters([w])
    for _ in range(3):
        tl.linear(inputs(4, 3), w).sum().backward()
        assert w._grad.data is w.slot
        flat.zero_grad()


def test_copies_of_a_model_in_training_keep_their_gradients():
    model = Linear(2, 2, Random(0), dtype=np.float64)
    SGD(model.parameters())
    (model(inputs(3, 2)) ** 2).sum().backward()
    was = model.weight.grad.data.copy()
    other = copy.deepcopy(model)
    model.zero_grad()
    (model(inputs(3, 2, seed=5)) ** 2).sum().backward()
    np.testing.assert_array_equal(other.weight.grad.data, was)
