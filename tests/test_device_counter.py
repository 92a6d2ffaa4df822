"""What a training step asks of a GPU: upper bounds of its calls, and of how often it waits."""

import numpy as np
import pytest

from tests import cuda_on_cpu
from tests.device_counter import SEQ2SEQS, counted, decoding_step, seq2seq_step, step_of, table
from tests.strict import strict_module, to_numpy
from tinylm.optim import SGD, Momentum
from tinylm.optim.average import Averaged


@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++, which runs the kernels")
@pytest.mark.parametrize(
    "name, calls, added, waits",
    [
        ("W1", 210, 0, 1),
        pytest.param("W2", 302, 0, 1, marks=pytest.mark.slow),  # its steps take seconds here
        ("W3", 118, 0, 1),
        ("M1", 227, 0, 1),  # an encoder that predicts masked tokens
    ],
)
def test_a_training_step_asks_no_more_of_the_device(name, calls, added, waits):
    found = step_of(name)
    assert found.calls.total() <= calls, table(name, found)
    assert found.added.total() <= added, table(name, found)
    assert found.waits.total() <= waits, table(name, found)


def averaged(parameters):
    return Averaged(SGD(parameters), 0.9)


@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++, which runs the kernels")
@pytest.mark.parametrize(
    "optimizer, calls",
    [(SGD, 118), (Momentum, 118), (averaged, 121)],
)
def test_a_step_of_gradient_descent_waits_once(optimizer, calls):
    found = step_of("W3", optimizer=optimizer)
    assert found.calls.total() <= calls, table("W3", found)
    assert not found.added and found.waits == dict(to_numpy=1), table("W3", found)


@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++, which runs the kernels")
@pytest.mark.parametrize("name, calls", [("BART", 317), ("T5", 326)])
def test_a_step_of_an_encoder_decoder_waits_once(name, calls):
    found = seq2seq_step(**SEQ2SEQS[name])
    assert found.calls.total() <= calls, table(name, found)
    assert not found.added and found.waits.total() <= 1, table(name, found)


@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++, which runs the kernels")
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.0}])
def test_decoding_waits_for_the_logits_and_nothing_else(sampling):
    found = decoding_step("W1", **sampling)
    assert found.calls.total() <= 72, table("W1, a token", found)
    assert not found.added and found.waits == dict(to_numpy=1), table("W1, a token", found)


def test_what_computes_is_counted_and_what_only_looks_is_not():
    x = strict_module.asarray(np.ones((2, 3, 4)))
    with counted() as found:
        x + x, np.exp(x), x.sum(), np.where(x > 0, x, 0), x.T.reshape(24)  # the last one copies
        (
            x.reshape(6, 4),
            x.swapaxes(0, 1),
            x[0],
            x.shape,
            np.empty_like(x),
            x.astype(x.dtype, copy=False),
        )
    assert found.calls == dict(add=1, exp=1, sum=1, greater=1, where=1, reshape=1)
    assert not found.added and not found.waits
    with counted() as found:
        to_numpy(x), float(x[0, 0, 0])
    assert found.waits == dict(to_numpy=1, float=1) and not found.calls


def test_kernels_that_cupy_adds_to_a_product_are_counted():
    x = strict_module.asarray(np.ones((2, 3, 3)))
    with counted() as found:
        x @ x, x[0] @ x[0].T, x[0].T @ x[1]  # two matrices may be transposed
    assert found.calls == dict(matmul=3) and not found.added
    with counted() as found:
        x @ x.swapaxes(1, 2)
        x @ x[0]
        np.matmul(x, x, out=strict_module.asarray(np.ones((2, 3, 6)))[..., ::2])
        x[0, :, :2] @ x[0, :2]  # rows that lie apart
    assert found.added == {
        "matmul copies an operand": 2,
        "matmul makes tables of pointers": 3,
        "matmul copies its result": 1,
    }
