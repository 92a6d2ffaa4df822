"""Sums of columns, and of the rows of each id, by kernels."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check
from tests.strict import strict_module, to_numpy
from tinylm.autograd.device import rows
from tinylm.backend import backend

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")


def strict(array):
    backend("strict")
    return strict_module.asarray(array)


@pytest.mark.parametrize("n, F", [(1, 1), (70, 33), (5000, 3)])
@pytest.mark.parametrize("threads", ["one", "all"])
def test_sums_of_columns(n, F, threads, rng, monkeypatch):
    if threads == "all":
        monkeypatch.setitem(cuda_on_cpu._threads, "all", True)
    g, times = rng.normal(size=(2, n, F))
    out = strict(np.zeros(F))
    assert rows.column_sums(strict(g), out) is out  # written where the optimizer wants it
    np.testing.assert_allclose(to_numpy(out), g.sum(axis=0), atol=1e-11)
    product = rows.column_sums(strict(g), None, strict(times))
    np.testing.assert_allclose(to_numpy(product), (g * times).sum(axis=0), atol=1e-11)


def test_a_long_sum_keeps_six_digits_in_float32(rng):
    g = rng.random((100_000, 2)).astype(np.float32)
    want = g.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(to_numpy(rows.column_sums(strict(g))), want, rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "V, small, kernels", [(9, 1 << 22, dict(add_rows_of=1)), (40, 0, dict(add_runs=1, argsort=1))]
)
def test_the_gradient_of_an_embedding(V, small, kernels, dtype, rng, monkeypatch):
    monkeypatch.setattr(rows, "SMALL", small)
    ids = rng.integers(0, 9, (4, 60))  # an id stands there 27 times on average
    ids[2] = 3  # and one 60 times more, a chain longer than 64; ids of 9 and more have no place
    check(tl.embedding, [ids, rng.normal(size=(V, 21)).astype(dtype)], kernels)
    check(tl.embedding, [ids.astype(np.int32), rng.normal(size=(V, 21)).astype(dtype)], kernels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bias_of_a_linear_map(dtype, rng):
    x, weight, bias = (rng.normal(size=s).astype(dtype) for s in ((3, 20, 6), (6, 5), (5,)))
    check(tl.linear, [x, weight, bias], dict(add_columns=1))


def test_gradients_in_column_order(rng):
    """np.empty_like keeps the order of what it is like; a kernel writes rows."""
    g, ids = rng.normal(size=(3, 40)), rng.integers(0, 5, 40)
    found = rows.add_rows(strict(ids), strict(g).T, 5)
    want = np.zeros((5, 3))
    np.add.at(want, ids, g.T)
    np.testing.assert_allclose(to_numpy(found), want, atol=1e-13)
    np.testing.assert_allclose(to_numpy(rows.column_sums(strict(g).T)), g.sum(axis=1), atol=1e-13)
