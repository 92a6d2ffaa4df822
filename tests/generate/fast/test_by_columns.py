"""Weights by columns: the same numbers in another order."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.autograd.kernels import few_rows
from tinylm.generate.fast.by_columns import by_columns
from tinylm.machine import blas_kernels
from tinylm.nn import Linear


@pytest.fixture
def any_kernels(monkeypatch):
    monkeypatch.setattr(few_rows, "WITHOUT_COPY", {blas_kernels()})
    monkeypatch.setattr(few_rows, "LEAST_TABLE", 60)


def by_column(model):
    """{name: whether the weight of a linear map lies column by column}."""
    parts = [part for part in model.modules() if isinstance(part, Linear)]
    return [(p.weight.size, p.weight.data.T.flags.c_contiguous) for p in parts]


def test_large_matrices_of_a_model_are_laid_out_and_nothing_else_changes(any_kernels):
    model = make_gpt(dtype=np.float32)
    before = {name: p.numpy().copy() for name, p in model.named_parameters().items()}
    sizes = {size for size, _ in by_column(model)}
    assert min(sizes) < max(sizes)
    few_rows.LEAST_TABLE = max(sizes)
    by_columns(model)
    for size, columns in by_column(model):
        assert columns == (size >= max(sizes))
    for name, p in model.named_parameters().items():
        np.testing.assert_array_equal(p.numpy(), before[name])


@pytest.mark.parametrize("rows", [1, 4, 40])
def test_a_batch_gets_the_same_logits(any_kernels, rows):
    plain, laid = make_gpt(dtype=np.float32), make_gpt(dtype=np.float32)
    by_columns(laid)
    assert any(columns for _, columns in by_column(laid))
    ids = np.random.default_rng(0).integers(0, 5, (rows, 1))
    # float32 sums in another order: a few hundred roundings of numbers near 1
    np.testing.assert_allclose(laid(ids).numpy(), plain(ids).numpy(), rtol=0, atol=1e-4)


def test_where_nothing_is_gained_nothing_changes(any_kernels):
    double = make_gpt(dtype=np.float64)
    by_columns(double)
    assert not any(columns for _, columns in by_column(double))
    single = make_gpt(dtype=np.float32)
    few_rows.WITHOUT_COPY = {"another"}
    by_columns(single)
    assert not any(columns for _, columns in by_column(single))
