"""Maximum likelihood seen three ways: gradient descent finds the table of counts, and what is left
is entropy.
"""

import numpy as np
import pytest

from tinylm import Tensor
from tinylm.data import MarkovChain
from tinylm.optim import SGD, FlatParameters
from tinylm.pretrain import CausalLM, log_likelihood

V = 4


def counted(ids):
    """The relative counts of pairs, Pr(b | a), and the counts."""
    counts = np.zeros((V, V))
    np.add.at(counts, (ids[:, :-1], ids[:, 1:]), 1)
    return counts / counts.sum(1, keepdims=True), counts


def test_gradient_descent_on_a_bigram_model_ends_at_the_table_of_counts():
    ids = MarkovChain.random(V, seed=3, sharpness=1.0).sample(400, seed=3)[None]
    table = Tensor(np.zeros((V, V)), requires_grad=True)
    batch, optimizer = CausalLM().make_batch(ids), SGD(FlatParameters([table]), lr=4.0)
    for _ in range(1500):
        optimizer.zero_grad()
        loss = CausalLM().loss(lambda x: table[x], batch)[0]
        loss.backward()
        optimizer.step()
    p, counts = counted(ids)
    learnt = np.exp(table.numpy()) / np.exp(table.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(
        learnt, p, atol=1e-6
    )  # the loss is convex; 1500 steps of 4 have converged
    assert loss.item() == pytest.approx(-(counts * np.log(p)).sum() / counts.sum(), abs=1e-9)


def test_the_least_loss_is_entropy_and_the_rest_is_divergence(rng):
    """-log-likelihood per token = H(empirical) + KL(empirical || model): minimizing one minimizes
    the other.
    """
    ids = rng.integers(0, V, (3, 50))
    p, counts = counted(ids)
    share = counts / counts.sum()
    for _ in range(5):
        scores = rng.normal(size=(V, V))
        q = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        loss = (
            CausalLM().loss(lambda x, s=scores: Tensor(s[x]), CausalLM().make_batch(ids))[0].item()
        )
        entropy, divergence = -(share * np.log(p)).sum(), (share * np.log(p / q)).sum()
        assert loss == pytest.approx(entropy + divergence, rel=1e-12) and divergence > 0


def test_a_batch_scores_its_sequences_as_alone_and_in_any_order(rng):
    scores, ids = rng.normal(size=(V, V)), rng.integers(0, V, (5, 7))
    model = lambda x: Tensor(scores[x])  # noqa: E731
    together = log_likelihood(model, CausalLM().make_batch(ids)).numpy()
    alone = [log_likelihood(model, CausalLM().make_batch(row[None])).numpy()[0] for row in ids]
    np.testing.assert_allclose(together, alone, rtol=1e-14)
    order = [3, 0, 4, 2, 1]
    np.testing.assert_array_equal(
        log_likelihood(model, CausalLM().make_batch(ids[order])).numpy(), together[order]
    )
