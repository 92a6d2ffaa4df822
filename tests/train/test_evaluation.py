"""Evaluation counts every token once, and does not disturb training."""

import math

import numpy as np
import pytest

from tests.train.tiny import T, V, tiny_model, tiny_tokens
from tinylm.autograd import Tensor
from tinylm.data import EvenWindows
from tinylm.nn import Module
from tinylm.parallel import launch, obstacle
from tinylm.pretrain import CausalLM
from tinylm.train.evaluation import bits_per_byte, evaluate, perplexity_of_loss


class Bigram(Module):
    """Logits that depend on the last token alone, so that the cut into windows does not matter."""

    def __init__(self):
        self.table = np.random.default_rng(0).normal(size=(V, V))

    def __call__(self, ids):
        return Tensor(self.table[ids])


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_every_token_but_the_first_is_scored_once(batch_size):
    model, tokens = Bigram(), tiny_tokens(100)  # 99 targets: 12 windows of 8, and 3 left over
    log_p = model.table - np.log(np.exp(model.table).sum(1, keepdims=True))
    loss, count = evaluate(model, CausalLM(), EvenWindows(tokens, T), batch_size)
    assert count == 99
    assert loss == pytest.approx(-np.mean(log_p[tokens[:-1], tokens[1:]]), rel=1e-13)
    assert model.training  # as it was before


def test_dropout_is_off_and_its_stream_untouched():
    model = tiny_model(dropout=0.5)
    first, second = (
        evaluate(model, CausalLM(), EvenWindows(tiny_tokens(), T), 4)[0] for _ in range(2)
    )
    assert first == second and model.rng.counter == 0 and model.training


def test_a_part_of_the_text_can_be_scored():
    loss, count = evaluate(tiny_model(), CausalLM(), EvenWindows(tiny_tokens(), T), 4, batches=3)
    assert count == 3 * 4 * T
    assert loss == pytest.approx(
        math.log(V), abs=0.05
    )  # an untrained model: logits of spread 0.02 * sqrt(16)


def score(comm):
    return evaluate(tiny_model(), CausalLM(), EvenWindows(tiny_tokens(), T), 4, 5, comm)


@pytest.mark.skipif(obstacle() is not None, reason="no shared-memory workers on this system")
def test_workers_score_the_same_text_together():
    assert launch(score, 2) == pytest.approx(launch(score, 1), rel=1e-13)


def test_bits_per_byte_undo_the_tokenizer():
    assert bits_per_byte(math.log(256), 10, 10) == pytest.approx(
        8, rel=1e-15
    )  # uniform bytes: 8 bits each
    assert bits_per_byte(math.log(16), 10, 40) == pytest.approx(
        1, rel=1e-15
    )  # 4 bits for tokens of 4 bytes
    assert (
        perplexity_of_loss(math.log(50)) == pytest.approx(50, rel=1e-14)
        and perplexity_of_loss(1e4) == math.inf
    )


def test_a_random_objective_is_scored_on_the_same_corruption_every_time():
    class Corrupting(CausalLM):
        def make_batch(self, sequences, rng=None):
            return super().make_batch(np.where(rng.bernoulli(0.5, sequences.shape), 0, sequences))

    scores = {
        evaluate(Bigram(), Corrupting(), EvenWindows(tiny_tokens(100), T), 4) for _ in range(3)
    }
    assert len(scores) == 1


def test_perplexity_of_nan_is_nan():
    assert np.isnan(perplexity_of_loss(float("nan")))
