"""A product in pieces and on threads is the product."""

import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tinylm.autograd.kernels import few_rows
from tinylm.autograd.kernels.few_rows import (
    Helper,
    Pieces,
    TableProduct,
    piece_length,
    times_table,
)
from tinylm.machine import blas_kernels, blas_threads


@pytest.fixture
def every_table(monkeypatch):
    """Small tables are read in pieces too, with any kernels of BLAS; yields the calls made."""
    made = []

    def counted(table, y):
        made.append(table.shape)
        return Pieces(table, y)

    monkeypatch.setattr(few_rows, "LEAST_TABLE", 1)
    monkeypatch.setattr(few_rows, "LARGEST", 2000)
    monkeypatch.setattr(few_rows, "WITHOUT_COPY", {blas_kernels()})
    monkeypatch.setattr(few_rows, "Pieces", counted)
    return made


def arrays(n, D, V, dtype=np.float32):
    rng = np.random.default_rng(n + D + V)
    return rng.normal(size=(n, D)).astype(dtype), rng.normal(size=(V, D)).astype(dtype)


def close(y, x, table):
    # sums of D float32 products, in any order
    exact = x.astype(np.float64) @ table.T.astype(np.float64)
    np.testing.assert_allclose(y, exact, rtol=0, atol=1e-5 * x.shape[1] ** 0.5)


def test_a_piece_has_600_000_multiplications_at_most():
    for n, D in ((2, 576), (8, 576), (16, 2048)):
        length = piece_length(n, D)
        assert length % 16 == 0 and n * D * length <= 600_000 < n * D * (length + 16)


@given(n=st.integers(2, 16), D=st.integers(1, 40), V=st.integers(0, 9000), gap=st.integers(0, 3))
def test_pieces_with_or_without_a_remainder_are_the_product(n, D, V, gap):
    x, table = arrays(n, D, V)
    wide = np.full((n, V + gap), 7, np.float32)  # rows of y may lie apart
    Pieces(table, wide[:, :V])(x)
    close(wide[:, :V], x, table)
    assert (wide[:, V:] == 7).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_thread_takes_its_share_of_the_table(every_table, threads):
    before = blas_threads()
    if before is None:
        pytest.skip("NumPy has no OpenBLAS of its own here")
    try:
        blas_threads(threads)
        x, table = arrays(8, 9, 1001)
        close(times_table(x, table), x, table)
        assert len(every_table) == blas_threads()
        assert sum(rows for rows, _ in every_table) == 1001
    finally:
        blas_threads(before)


@pytest.mark.parametrize("n, pieces", [(1, False), (2, True), (16, True), (17, False)])
def test_from_2_to_16_rows_are_few(every_table, n, pieces):
    x, table = arrays(n, 3, 64)
    close(times_table(x, table), x, table)
    assert bool(every_table) == pieces


def test_a_product_made_once_is_used_for_many_x(every_table):
    _, table = arrays(4, 3, 64)
    product = TableProduct(table, 4, np.float32)
    made = len(every_table)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
        close(product(x), x, table)
    assert made and len(every_table) == made


def test_columns_of_a_table_are_read_where_they_stand(every_table):
    x, table = arrays(4, 3, 64)
    wide = np.hstack([table, table])  # a slice of its columns has rows that lie apart
    close(times_table(x, wide[:, 3:]), x, table)
    assert every_table


def test_what_gains_nothing_is_the_plain_product(every_table, monkeypatch):
    x, table = arrays(4, 3, 64)
    double, _ = arrays(4, 3, 64, np.float64)
    close(times_table(double, table), double, table)
    close(times_table(x, table[:, ::-1]), x, table[:, ::-1])
    wide_x, wide = arrays(16, 40, 64)  # a piece would have less than 16 rows
    close(times_table(wide_x, wide), wide_x, wide)
    monkeypatch.setattr(few_rows, "WITHOUT_COPY", {"Haswell of another machine"})
    close(times_table(x, table), x, table)
    monkeypatch.setattr(few_rows, "WITHOUT_COPY", {blas_kernels()})
    monkeypatch.setattr(few_rows, "LEAST_TABLE", table.size + 1)
    close(times_table(x, table), x, table)
    assert not every_table
    monkeypatch.setattr(few_rows, "LEAST_TABLE", table.size)
    close(times_table(x, table), x, table)
    assert every_table


def test_the_output_layer_of_a_large_table_is_read_in_pieces(every_table):
    x, table = arrays(4, 3, 64)
    close(tl.unembedding(tl.Tensor(x), tl.Tensor(table)).numpy(), x, table)
    assert every_table


def _in_child(results, x, table):
    results.put(times_table(x, table))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own(every_table):
    before = blas_threads()
    if before is None:
        pytest.skip("NumPy has no OpenBLAS of its own here")
    try:
        blas_threads(2)
        x, table = arrays(8, 9, 1001)
        times_table(x, table)  # the pool of this process
        fork = multiprocessing.get_context("fork")
        results = fork.Queue()
        child = fork.Process(target=_in_child, args=(results, x, table))
        child.start()
        close(results.get(timeout=30), x, table)
        child.join(30)
        assert child.exitcode == 0
    finally:
        blas_threads(before)


def test_a_helper_runs_one_call_after_another_and_raises_what_it_raised():
    helper, seen = Helper(), []
    for n in range(3):
        helper.start(seen.append, n)
        helper.wait()
    assert seen == [0, 1, 2]
    helper.start(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        helper.wait()
    helper.start(seen.append, 3)
    helper.wait()
    assert seen[-1] == 3


def test_a_helper_runs_what_is_started_in_order():
    helper, seen = Helper(), []
    for n in range(3):
        helper.start(seen.append, n)
    helper.wait_for_one()
    assert seen[0] == 0
    helper.wait()
    assert seen == [0, 1, 2]
    helper.start(int, "no number")
    helper.start(seen.append, 3)
    with pytest.raises(ValueError, match="no number"):
        helper.wait()
    helper.wait()  # for what came after the error
    assert seen[-1] == 3


def test_an_error_ends_the_helper_after_what_it_was_given(monkeypatch):
    monkeypatch.setattr(few_rows, "_free", [])
    seen = []
    with pytest.raises(KeyError):
        with few_rows.borrowed() as helper:
            helper.start(seen.append, 1)
            raise KeyError
    assert seen == [1] and not few_rows._free
    with few_rows.borrowed() as helper:
        assert helper is not None
    assert few_rows._free == [helper]
    with few_rows.borrowed(False) as nothing:
        assert nothing is None


def test_helpers_are_kept_for_the_next_product(every_table):
    before = blas_threads()
    if before is None:
        pytest.skip("NumPy has no OpenBLAS of its own here")
    try:
        blas_threads(2)
        few_rows._free.clear()
        x, table = arrays(8, 9, 1001)
        for _ in range(3):
            times_table(x, table)
        assert len(few_rows._free) == 1
    finally:
        blas_threads(before)


def test_weights_that_lie_by_columns_are_read_in_pieces(every_table):
    x, table = arrays(4, 3, 64)
    close(tl.linear(tl.Tensor(x), tl.Tensor(np.ascontiguousarray(table.T))).numpy(), x, table)
    assert not every_table
    close(tl.linear(tl.Tensor(x), tl.Tensor(table.T)).numpy(), x, table)
    assert every_table
