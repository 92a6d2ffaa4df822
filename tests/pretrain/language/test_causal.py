"""The causal objective: what it scores, what it leaves out, and that it is the log-probability of a
sequence.
"""

import itertools
import math

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError, DtypeError, ShapeError
from tinylm.models import GPT, GPTConfig
from tinylm.nn.experts import collect_routing
from tinylm.nn.routing import load_balancing_loss, router_z_loss
from tinylm.pretrain import IGNORE, Batch, CausalLM, log_likelihood

V = 5


def uniform(ids):
    return Tensor(np.zeros((*ids.shape, V)))


def bigram(table):
    """The model whose next-token logits depend on the last token alone: table is (V, V)."""
    return lambda ids: Tensor(table[ids])


def test_inputs_and_targets_are_the_sequence_shifted_by_one():
    batch = CausalLM().make_batch(np.array([[7, 8, 9, 1]]))
    assert batch.inputs.tolist() == [[7, 8, 9]]
    assert batch.targets.tolist() == [[8, 9, 1]]


def test_uniform_model_loses_log_V_per_token(rng):
    batch = CausalLM().make_batch(rng.integers(0, V, (3, 9)))
    loss, metrics = CausalLM().loss(uniform, batch)
    assert loss.item() == pytest.approx(math.log(V), rel=1e-14)  # float64 rounding
    assert metrics == {"tokens": 3 * 8, "loss": loss.item()}


def test_sum_is_mean_times_tokens(rng):
    batch = CausalLM(ignore=0).make_batch(rng.integers(0, V, (3, 9)))
    model = bigram(rng.normal(size=(V, V)))
    mean, metrics = CausalLM(ignore=0).loss(model, batch)
    total, of_sum = CausalLM(ignore=0).loss(model, batch, reduction="sum")
    assert total.item() == pytest.approx(mean.item() * metrics["tokens"], rel=1e-14)
    assert (
        of_sum["loss"] == pytest.approx(metrics["loss"], rel=1e-14)
        and of_sum["tokens"] == metrics["tokens"]
    )


def test_padding_changes_nothing(rng):
    pad, objective, model = 0, CausalLM(ignore=0), bigram(rng.normal(size=(V, V)))
    sequences = rng.integers(1, V, (4, 6))
    padded = np.concatenate([sequences, np.full((4, 3), pad)], axis=1)
    plain, longer = objective.make_batch(sequences), objective.make_batch(padded)
    assert longer.tokens == plain.tokens == 4 * 5 and (longer.targets == IGNORE).sum() == 4 * 3
    assert objective.loss(model, longer)[0].item() == pytest.approx(
        objective.loss(model, plain)[0].item(), rel=1e-14
    )


def test_a_batch_with_nothing_to_predict_loses_nothing():
    batch = Batch(np.zeros((2, 3), int), np.full((2, 3), IGNORE))
    loss, metrics = CausalLM().loss(uniform, batch)
    assert loss.item() == 0 and metrics == {"tokens": 0, "loss": 0.0}


def test_log_likelihood_is_the_product_of_next_token_probabilities(rng):
    """Eq. 2.13 and eq. 1.5: the chain rule, multiplied out by hand for a model given as a table of
    probabilities.
    """
    table = rng.normal(size=(V, V))
    p = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    sequences = rng.integers(0, V, (6, 5))
    by_hand = [math.prod(p[a, b] for a, b in itertools.pairwise(x)) for x in sequences]
    batch = CausalLM().make_batch(sequences)
    found = log_likelihood(bigram(table), batch)
    np.testing.assert_allclose(np.exp(found.numpy()), by_hand, rtol=1e-12)  # 4 factors in float64
    loss, metrics = CausalLM().loss(bigram(table), batch)
    assert -loss.item() * metrics["tokens"] == pytest.approx(found.numpy().sum(), rel=1e-12)


def test_probabilities_of_all_continuations_sum_to_one(rng):
    strings = np.array(
        [(0, *rest) for rest in itertools.product(range(3), repeat=4)]
    )  # 81 strings over 3 letters
    total = np.exp(
        log_likelihood(bigram(rng.normal(size=(3, 3))), CausalLM().make_batch(strings)).numpy()
    ).sum()
    assert total == pytest.approx(1, abs=1e-13)


def test_maximum_likelihood_bigram_is_the_table_of_counts(rng):
    """Eq. 2.14: among bigram models the relative counts have the least loss, and it is their
    conditional entropy.
    """
    sequences = rng.integers(0, V, (8, 40))
    counts = np.zeros((V, V))
    np.add.at(counts, (sequences[:, :-1], sequences[:, 1:]), 1)
    p = counts / counts.sum(1, keepdims=True)
    batch = CausalLM().make_batch(sequences)
    best = CausalLM().loss(bigram(np.log(p)), batch)[0].item()
    assert best == pytest.approx(-(counts * np.log(p)).sum() / counts.sum(), rel=1e-12)
    for _ in range(20):
        other = np.log(p) + 0.1 * rng.normal(size=p.shape)
        assert CausalLM().loss(bigram(other), batch)[0].item() > best


def test_rows_of_a_batch_are_its_parts(rng):
    batch = CausalLM().make_batch(rng.integers(0, V, (5, 4)))
    parts = [batch.rows(0, 2), batch.rows(2, 5)]
    assert [len(part) for part in parts] == [2, 3]
    assert np.array_equal(np.concatenate([part.inputs for part in parts]), batch.inputs)
    assert sum(part.tokens for part in parts) == batch.tokens


def test_what_cannot_be_shifted_is_refused():
    with pytest.raises(ShapeError, match=r"\(B, T \+ 1\)"):
        CausalLM().make_batch(np.zeros((3, 1), int))
    with pytest.raises(DtypeError, match="float64"):
        CausalLM().make_batch(np.zeros((3, 4)))
    with pytest.raises(ConfigError, match="'none'"):
        CausalLM().loss(uniform, CausalLM().make_batch(np.zeros((1, 2), int)), reduction="none")


def test_the_mean_of_a_summed_loss_is_over_the_tokens_that_count():
    batch = Batch(np.array([[1, 2]]), np.array([[2, IGNORE]]))  # one token
    loss, metrics = CausalLM().loss(uniform, batch, reduction="sum")
    assert metrics == {"tokens": 1, "loss": loss.item()}
    assert loss.item() == pytest.approx(math.log(V), rel=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_of_padding_costs_nothing_with_experts_too(reduction):
    """Nothing counts, so there is nothing to divide by either."""
    config = GPTConfig(7, 6, 2, 2, 8, feed_forward=("dense", "experts"), experts=3)
    objective = CausalLM(ignore=0, balance=0.1, router_z=0.1)
    batch = objective.make_batch(np.zeros((2, 6), int))
    loss, metrics = objective.loss(GPT(config, 3, np.float64), batch, reduction=reduction)
    assert loss.item() == 0 and metrics == {"tokens": 0, "loss": 0.0}


def test_penalties_of_routers_are_added_as_the_loss_is():
    """Of a mean their mean over the targets that count, of a sum their sum."""
    config = GPTConfig(7, 6, 2, 2, 8, feed_forward=("dense", "experts"), experts=3)
    model = GPT(config, 3, np.float64)
    ids = np.random.default_rng(1).integers(1, 7, (2, 6))
    ids[1, 4:] = 0  # padding
    batch = CausalLM(ignore=0).make_batch(ids)
    with collect_routing(model) as routed:
        model(batch.inputs, mask=(batch.inputs != 0)[:, None, None])
    (layer,) = routed
    counted = layer.counted(batch.targets.reshape(-1) != IGNORE)
    expected = 0.3 * load_balancing_loss(layer.logits, layer.experts, counted).item()
    expected += 0.2 * router_z_loss(layer.logits, counted).item()
    for reduction, count in (("mean", 1), ("sum", batch.tokens)):
        plain, _ = CausalLM(0).loss(model, batch, reduction)
        loss, found = CausalLM(0, balance=0.3, router_z=0.2).loss(model, batch, reduction)
        np.testing.assert_allclose((loss - plain).item(), count * expected, rtol=1e-9)
        np.testing.assert_allclose(found["loss"], loss.item() / count, rtol=1e-12)
