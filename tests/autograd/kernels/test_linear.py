"""Fused linear maps and embeddings: equal to their twins, exact on duplicates, clear about bad ids."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import add_rows
from tinylm.errors import DataError, ShapeError
from tinylm.optim import FlatParameters


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3), (0,)])
def test_linear_equals_its_twin(device, rng, lead):
    x, w, b = rng.normal(size=(*lead, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    assert_matches_twin(tl.linear, composed.linear, [x, w, b], device)
    assert_matches_twin(tl.linear, composed.linear, [x, w], device)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_unembedding_equals_its_twin(device, rng, lead):
    assert_matches_twin(
        tl.unembedding,
        composed.unembedding,
        [rng.normal(size=(*lead, 4)), rng.normal(size=(6, 4))],
        device,
    )


@pytest.mark.parametrize(
    "rows", [7, 600]
)  # below and above the size where the algorithm changes, 512
@pytest.mark.parametrize("shape", [(), (5,), (2, 9), (0,)])
def test_embedding_equals_its_twin_with_duplicate_ids(device, rng, rows, shape):
    ids = plain(rng.integers(0, 4, shape) + rows - 4, device)
    assert_matches_twin(
        lambda w: tl.embedding(ids, w),
        lambda w: composed.embedding(ids, w),
        [rng.normal(size=(rows, 3))],
        device,
    )


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_rows_added_by_position_equal_their_twin(device, rng, shape):
    ids = plain(rng.integers(0, 9, shape), device)
    assert_matches_twin(
        lambda x, w: tl.add_embedding(x, ids, w),
        lambda x, w: composed.add_embedding(x, ids, w),
        [rng.normal(size=(2, 5, 3)), rng.normal(size=(9, 3))],
        device,
    )


def test_positions_that_do_not_fit_are_refused():
    x, table = tl.Tensor(np.zeros((2, 5, 3))), tl.Tensor(np.zeros((9, 3)))
    for shape in [(4,), (3, 5), (2, 2, 5)]:
        with pytest.raises(ShapeError, match="does not end in ids"):
            tl.add_embedding(x, np.zeros(shape, int), table)
    with pytest.raises(ShapeError, match="does not end in ids"):
        tl.add_embedding(x, np.arange(5), tl.Tensor(np.zeros((9, 4))))
    with pytest.raises(DataError, match="add_embedding: token id 9 at position"):
        tl.add_embedding(x, np.arange(5, 10), table)


@pytest.mark.parametrize("rows", [5, 700])
def test_rows_of_equal_ids_add_up(rng, rows):
    ids, g = rng.integers(0, 5, 40), rng.normal(size=(40, 3))
    expected = np.zeros((rows, 3))
    np.add.at(expected, ids, g)
    np.testing.assert_allclose(add_rows(ids, g, rows), expected, rtol=1e-13, atol=1e-14)
    out = np.full((rows, 3), np.nan)  # a dirty buffer is overwritten
    assert add_rows(ids, g, rows, out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-14)


def test_rows_of_different_ids_stand_where_the_ids_say(rng):
    g, out = rng.normal(size=(3, 2)), np.full((7, 2), np.nan)
    expected = np.zeros((7, 2))
    expected[[6, 0, 3]] = g
    np.testing.assert_array_equal(add_rows(np.array([6, 0, 3]), g, 7), expected)
    add_rows(np.array([6, 0, 3]), g, 7, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("bad", [-1, 50257])
def test_an_id_outside_the_vocabulary_is_named_with_its_size(bad):
    table = tl.Tensor(np.zeros((50257, 1), np.float32))
    place = r"position \(.*1.*, .*2.*\)"  # row 1, column 2
    with pytest.raises(
        DataError, match=f"embedding: token id {bad} at {place} is outside the vocabulary of 50257"
    ):
        tl.embedding(np.array([[0, 1, 2], [3, 4, bad]]), table)
    with pytest.raises(DataError, match="token ids must be integers, not float64"):
        tl.embedding(np.array([0.5]), table)


def test_a_tied_table_gets_the_sum_of_both_paths(device, rng):
    values, ids = rng.normal(size=(6, 4)), plain([[1, 5, 1]], device)
    one = leaf(values, device)
    tl.unembedding(tl.gelu(tl.embedding(ids, one)), one).sum().backward()
    table, head = leaf(values, device), leaf(values, device)
    tl.unembedding(tl.gelu(tl.embedding(ids, table)), head).sum().backward()
    np.testing.assert_allclose(host(one.grad), host(table.grad) + host(head.grad), rtol=1e-14)


def test_a_tied_table_with_a_slot_gets_the_same(device, rng):
    values, ids = rng.normal(size=(600, 4)), plain([[1, 599, 1]], device)

    def gradient(w):
        tl.unembedding(tl.embedding(ids, w), w).sum().backward()
        return host(w.grad).copy()

    free, owned = leaf(values, device), leaf(values, device)
    flat = FlatParameters([owned])
    np.testing.assert_array_equal(gradient(owned), gradient(free))
    flat.zero_grad()
    np.testing.assert_array_equal(gradient(owned), gradient(free) / 2)  # free has accumulated twice


def test_gradients_of_weights_do_not_need_gradients_of_inputs(rng):
    x, w = tl.Tensor(rng.normal(size=(3, 4))), leaf(rng.normal(size=(4, 2)))
    tl.linear(x, w).sum().backward()
    assert x.grad is None
    np.testing.assert_allclose(w.grad.numpy(), np.repeat(x.numpy().sum(0)[:, None], 2, axis=1))


def test_a_linear_map_of_a_transposed_input_is_right(device, rng):
    x, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    y, (gx, gw) = gradients(lambda x, w: tl.linear(x.T, w), [x, w], device)
    cotangent = np.random.default_rng(0).normal(size=(3, 2))
    np.testing.assert_allclose(y, x.T @ w, rtol=1e-13)
    np.testing.assert_allclose(gx, w @ cotangent.T, rtol=1e-13)
    np.testing.assert_allclose(gw, x @ cotangent, rtol=1e-13)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match=r"linear: inner sizes differ, \(2, 3\) @ \(4, 5\)"):
        tl.linear(tl.Tensor(np.ones((2, 3))), tl.Tensor(np.ones((4, 5))))
    with pytest.raises(
        ShapeError, match=r"unembedding: widths differ, \(2, 3\) and table \(5, 4\)"
    ):
        tl.unembedding(tl.Tensor(np.ones((2, 3))), tl.Tensor(np.ones((5, 4))))
    for weight, bias in (
        ((3, 5), (1,)),
        ((3,), None),
    ):  # a bias of (1,) would broadcast, but its gradient would not
        with pytest.raises(
            ShapeError, match=r"linear: needs a weight \(D, F\) and a bias \(F,\) or none"
        ):
            tl.linear(np.ones((2, 3)), np.ones(weight), bias and np.ones(bias))
