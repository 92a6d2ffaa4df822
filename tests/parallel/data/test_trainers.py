"""Training with gradients summed in buckets or sent in part, against Trainer and one process."""

import numpy as np
import pytest

from tests.parallel.data.test_compression import CODES
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.flat import FlatParameters
from tinylm.parallel import launch
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data.compression import TopK
from tinylm.parallel.data.trainers import BucketedTrainer, CompressedTrainer
from tinylm.pretrain import CausalLM
from tinylm.train.trainer import Trainer

# A tied table, dropout, padding and smoothing; 7 rows, which no number of workers divides.
CONFIG = GPTConfig(23, 12, 2, 2, 8, dropout=0.2)
ROWS, STEPS = 7, 3


def rows(step, start, stop):
    return np.random.default_rng(step).integers(0, 23, (ROWS, 10))[start:stop]


def trained(comm, make, micro_batch=0, frozen=False):
    """(steps, parameters, moments) after three steps."""
    model = GPT(CONFIG, 7, np.float64)
    if frozen:
        model.tokens.weight.requires_grad = False
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    given = model, CausalLM(0, 0.1, 1e-2), optimizer, rows, ROWS, 1e-2, 0.5, micro_batch, 3
    trainer = make(*given, comm=comm)
    steps = [trainer.advance() for _ in range(STEPS)]
    return steps, optimizer.flat.data.copy(), trainer.state()[0]["optimizer"]["m"].copy()


def in_buckets(nbytes):
    return lambda *given, comm: BucketedTrainer(*given, nbytes=nbytes, comm=comm)


def sent_whole(*given, comm):
    return CompressedTrainer(*given, code=lambda n, dtype: TopK(n, 1.0, dtype), comm=comm)


def same_bits(found, expected):
    assert found[0] == expected[0]
    for one, other in zip(found[1:], expected[1:]):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("make", [in_buckets(1), in_buckets(2000), in_buckets(1 << 20), sent_whole])
@pytest.mark.parametrize("micro_batch", [0, 1, 2])
def test_the_bits_are_those_of_trainer(make, micro_batch):
    expected = simulate(trained, 3, Trainer, micro_batch).results
    for found, other in zip(simulate(trained, 3, make, micro_batch).results, expected):
        same_bits(found, other)


@pytest.mark.parametrize("make", [in_buckets(2000), sent_whole])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_share_memory_train_as_one_process(make, workers):
    steps, parameters, moments = launch(trained, workers, make, 2, capacity=1 << 22)
    alone = trained(None, Trainer)
    for got, own in zip(steps, alone[0]):
        assert got.tokens == own.tokens
        assert got.loss == pytest.approx(own.loss, rel=1e-12)
        assert got.grad_norm == pytest.approx(own.grad_norm, rel=1e-11)
    np.testing.assert_allclose(parameters, alone[1], rtol=0, atol=1e-9)  # Adam divides by sizes
    np.testing.assert_allclose(moments, alone[2], rtol=1e-9, atol=1e-12)


def test_a_frozen_parameter_is_in_no_bucket():
    found = simulate(trained, 2, in_buckets(2000), 0, True).results[0]
    same_bits(found, simulate(trained, 2, Trainer, 0, True).results[0])


@pytest.mark.parametrize("name", CODES)
def test_workers_that_send_less_stay_alike(name):
    rests = []

    def make(*given, comm):
        trainer = CompressedTrainer(*given, code=CODES[name], comm=comm)
        rests.append(trainer.sums)
        return trainer

    one, *others = simulate(trained, 3, make).results
    assert all(np.abs(sums.rest).max() > 0 for sums in rests)  # unless told otherwise
    for other in others:
        same_bits(other, one)
    exact = simulate(trained, 3, Trainer).results[0]
    assert one[0][0].loss == pytest.approx(exact[0][0].loss, rel=1e-12)  # before any update
    assert np.abs(one[1] - exact[1]).max() > 1e-4  # and then another way
