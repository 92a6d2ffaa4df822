import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.finetune.tasks.heads_small import decoder
from tinylm.align.exact.expectations import expectation, kl
from tinylm.align.exact.regularized import optimal_policy
from tinylm.align.feedback.formats import Rating, pairs_of_ratings
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.rewards.ensemble import (
    RewardEnsemble,
    average_preference,
    bootstrap,
    least,
    parts,
    posterior_weights,
    preference_log_likelihood,
    printed_combination,
    standardized,
    uncertainty_weighted,
    weighted_mean,
)
from tinylm.align.rewards.fusion import Fusion, FusionNetwork
from tinylm.align.rewards.modeling import RewardModeling, bench_accuracy
from tinylm.align.rewards.pareto import pareto_front, scalarized_policy, trade_off
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.models import GPT, GPTConfig

REWARDS = np.array([[1.0, 0.0, 4.0], [3.0, 0.5, -2.0]])  # 2 models, 3 responses


def test_one_model_of_weight_1_is_that_model():
    for combine in (printed_combination, weighted_mean, least, uncertainty_weighted):
        np.testing.assert_array_equal(combine(REWARDS[:1]), REWARDS[0])


def test_without_weights_both_means_are_the_plain_mean():
    expected = [2, 0.25, 1]
    np.testing.assert_allclose(printed_combination(REWARDS), expected, rtol=1e-15)
    np.testing.assert_allclose(weighted_mean(REWARDS), expected, rtol=1e-15)


def test_weights_of_sum_1_are_divided_by_K_once_more_in_the_print():
    weights = [0.25, 0.75]
    expected = [2.5, 0.375, -0.5]
    np.testing.assert_allclose(weighted_mean(REWARDS, weights), expected, rtol=1e-15)
    np.testing.assert_allclose(
        printed_combination(REWARDS, weights), np.array(expected) / 2, rtol=1e-15
    )
    # which is the best policy of a penalty that is K = 2 times as strong
    logref = np.log([0.5, 0.3, 0.2])
    np.testing.assert_allclose(
        optimal_policy(logref, printed_combination(REWARDS, weights), 0.5),
        optimal_policy(logref, weighted_mean(REWARDS, weights), 1.0),
        rtol=1e-12,
    )


def test_the_unit_of_a_mean_is_that_of_its_members():
    np.testing.assert_allclose(
        weighted_mean(REWARDS, [2, 6]), weighted_mean(REWARDS, [0.25, 0.75]), rtol=1e-15
    )
    for weights in ([0, 0], [-1, 2]):
        with pytest.raises(ConfigError, match="0 or more"):
            weighted_mean(REWARDS, weights)
    np.testing.assert_allclose(weighted_mean(REWARDS, [0, 1]), REWARDS[1])


def test_the_minimum_grants_what_all_members_grant():
    np.testing.assert_array_equal(least(REWARDS), [1, 0, -2])


def test_disagreement_costs_reward():
    # means 2, .25, 1 and variances 1, .0625, 9
    np.testing.assert_allclose(uncertainty_weighted(REWARDS, 0.1), [1.9, 0.24375, 0.1], rtol=1e-14)
    np.testing.assert_allclose(uncertainty_weighted(REWARDS), [1.5, 0.21875, -3.5], rtol=1e-14)


def test_a_member_with_a_large_unit_decides_alone_unless_members_are_standardized():
    large = np.array([[1.0, 2, 3], [300, 200, 100], [1.1, 2, 2.9]])
    assert weighted_mean(large).argmax() == 0  # two of three prefer the last response
    assert weighted_mean(standardized(large, large)).argmax() == 2
    # each has mean 0 and variance 1 on the reference
    found = standardized(large, large)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=1), 1, rtol=1e-12)


def test_a_gross_error_of_one_member_is_not_exploited():
    # 5 members, one of which likes the third response for a wrong reason
    rewards = np.tile([1.0, 0.5, 0.0], (5, 1))
    rewards[2, 2] = 8.0
    assert weighted_mean(rewards).argmax() == 2
    assert least(rewards).argmax() == uncertainty_weighted(rewards).argmax() == 0


def test_members_are_counted():
    with pytest.raises(ShapeError, match="one each"):
        weighted_mean(REWARDS, [1.0])
    for rewards in (np.zeros((0, 3)), 1.0):
        with pytest.raises(ShapeError, match="one model or more"):
            least(rewards)


def test_the_posterior_by_hand():
    # two pairs; model 1 is right about both by 1, model 2 about one of them
    chosen, rejected = [[1, 1], [1, 0]], [[0, 0], [0, 1]]
    found = preference_log_likelihood(chosen, rejected)
    s, t = math.log(0.7310585786), math.log(0.2689414214)
    np.testing.assert_allclose(found, [2 * s, s + t], rtol=1e-9)
    weights = posterior_weights(found)
    # the odds are sigma(1) / sigma(-1) = e
    assert weights[0] / weights[1] == pytest.approx(math.e, rel=1e-12)
    assert weights.sum() == pytest.approx(1, rel=1e-15)
    prior = posterior_weights(found, [0.2, 0.8])
    assert prior[0] / prior[1] == pytest.approx(math.e / 4, rel=1e-12)
    # likelihoods far below the smallest float, and far apart
    np.testing.assert_allclose(posterior_weights([-1e5, -1e5 - 1]), weights, rtol=1e-9)
    np.testing.assert_array_equal(posterior_weights([-1e4, 0]), [0, 1])


def test_averaged_probabilities_lie_between_those_of_the_members():
    a, b, weights = np.array([1.0, -1000.0]), np.zeros(2), [0.9, 0.1]
    found = average_preference(a, b, weights)
    assert found == pytest.approx(0.9 * 0.7310585786, rel=1e-9)
    # one sure member turns the averaged reward around
    assert weighted_mean(a, weights) < -90


def test_averaged_probabilities_are_of_differences():
    """Pr(a > b) + Pr(b > a) = 1, and what both rewards have in common changes nothing."""
    a, b, weights = REWARDS, REWARDS[::-1] + 0.3, [0.75, 0.25]
    found = average_preference(a, b, weights)
    np.testing.assert_allclose(found + average_preference(b, a, weights), 1)
    np.testing.assert_allclose(average_preference(a + 7, b + 7, weights), found)


def test_an_ensemble_scores_texts():
    members = [RewardModel(decoder(seed=seed), seed).score for seed in (0, 1, 2)]
    ensemble = RewardEnsemble(members, least)
    texts = [[1, 2, 3], [4, 5]]
    expected = np.stack([member(texts) for member in members])
    np.testing.assert_array_equal(ensemble.rewards(texts), expected)
    np.testing.assert_array_equal(ensemble.score(texts), expected.min(axis=0))
    np.testing.assert_allclose(RewardEnsemble(members).score(texts), expected.mean(axis=0))


def test_an_ensemble_and_a_network_have_their_defaults():
    ensemble = RewardEnsemble((lambda texts: np.ones(len(texts)),))
    assert ensemble.combine is weighted_mean
    with pytest.raises(FrozenInstanceError):
        ensemble.combine = least
    # tanh units, and what is drawn is of seed 0
    network = FusionNetwork(3)
    assert network.hidden.weight.shape == (3, 8) and network.out.weight.dtype == np.float32
    same = FusionNetwork(3, seed=0).hidden.weight.numpy()
    np.testing.assert_array_equal(network.hidden.weight.numpy(), same)
    assert (FusionNetwork(3, seed=1).hidden.weight.numpy() != same).any()


def test_a_fusion_network_is_its_formula():
    """w_2 tanh(W_1 r + b_1) + w r by hand, of 2 members and 2 units."""
    network = FusionNetwork(2, hidden=2)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert shapes == {
        "mean.weight": (2, 1),
        "hidden.weight": (2, 2),
        "hidden.bias": (2,),
        "out.weight": (2, 1),
    }
    network.hidden.weight.data[...] = [[1.0, 0.0], [-0.5, 2.0]]  # of member 1, of member 2
    network.hidden.bias.data[...] = [0.25, 0.0]
    network.out.weight.data[...] = [[3.0], [-2.0]]
    a, b = 1.0, 0.5
    expected = (a + b) / 2 + 3 * math.tanh(a - 0.5 * b + 0.25) - 2 * math.tanh(2 * b)
    rewards = np.array([[a, b]])
    found = network(rewards)
    assert found.numpy() == pytest.approx([expected], rel=1e-6)
    # in the precision of the network, and the same of a Tensor
    assert found.dtype == np.float32
    given = Tensor(rewards.astype(np.float32))
    np.testing.assert_array_equal(network(given).numpy(), found.numpy())


def test_units_of_a_fusion_network_begin_with_variance_1_over_members():
    weight = FusionNetwork(4, hidden=4000).hidden.weight.numpy()
    # 16000 draws: the standard error of their deviation is .5 / sqrt(32000) = .0028
    assert weight.std() == pytest.approx(0.5, abs=4 * 0.0028)


def test_training_sets_of_members():
    rng, data = np.random.default_rng(0), list(range(50))
    samples = bootstrap(data, 3, rng)
    assert [len(one) for one in samples] == [50] * 3 and samples[0] != samples[1]
    # each example is in a sample with probability 1 - (1 - 1/50)^50 = .636
    assert 20 < len(set(samples[0])) < 44
    cut = parts(data, 3, rng)
    assert sorted(sum(cut, [])) == data and [len(one) for one in cut] == [17, 17, 16]
    assert sum(cut, []) != data
    assert sorted(parts([1, 2, 3], 3, rng)) == [[1], [2], [3]]
    with pytest.raises(ConfigError, match="no 4 parts"):
        parts([1, 2, 3], 4, rng)


def test_a_fusion_network_begins_as_the_mean_and_learns_whom_to_trust():
    # model 1 is right, except where model 2 is far above 0
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(400, 2, 2))
    gold = np.where(responses[..., 1] > 0.5, -1.0, 1.0) * responses[..., 0]
    examples = []
    for pair, value in zip(responses, gold):
        examples.append(tuple(pair[np.argsort(-value)]))
    model, task = FusionNetwork(2, hidden=16), Fusion()
    first = responses[:, 0]
    np.testing.assert_allclose(model(first).numpy(), first.mean(axis=1), atol=1e-6)
    before = evaluate(model, task, examples[300:])["accuracy"]
    fit(model, task, examples[:300], epochs=30, batch_size=50, learning_rate=5e-2)
    after = evaluate(model, task, examples[300:])["accuracy"]
    assert after > max(0.75, before + 0.1)


# Members by aspect

# A response has three statements, true (6) or false (7), and three points, made (3) or not (4).
ASPECTS = {"accuracy": lambda y: y.count("6"), "completeness": lambda y: y.count("3")}


def text_pair(better, worse):
    return EncodedPair(*(encode_sft([1], [*map(int, y), 2]) for y in (better, worse)))


def rated(prompts, rng):
    """{aspect: pairs by the ratings of that aspect}, of two responses to each prompt."""
    ratings = {name: [] for name in ASPECTS}
    for prompt in range(prompts):
        for _ in range(2):
            y = "".join([*rng.choice(["6", "7"], 3), *rng.choice(["3", "4"], 3)])
            for name, rate in ASPECTS.items():
                ratings[name].append(Rating(str(prompt), y, rate(y)))
    found = {name: pairs_of_ratings(given) for name, given in ratings.items()}
    return {name: [text_pair(p.chosen, p.rejected) for p in all] for name, all in found.items()}


def test_a_bench_has_an_accuracy_for_each_subset_and_their_mean():
    def length(texts):
        return np.array([len(ids) for ids in texts])

    longer, shorter, equal = text_pair("66", "6"), text_pair("6", "66"), text_pair("6", "7")
    bench = {"chat": [longer, longer, longer, shorter], "safety": [shorter, equal]}
    # the mean of subsets, and not of all six pairs (.583)
    assert bench_accuracy(length, bench) == {"chat": 0.75, "safety": 0.25, "mean": 0.5}
    for empty in ({}, {"chat": [longer], "safety": []}):
        with pytest.raises(DataError, match="needs a pair"):
            bench_accuracy(length, empty)


def test_members_of_several_aspects_know_their_own_and_together_both():
    rng = np.random.default_rng(0)
    training, bench = rated(150, rng), rated(300, rng)

    def train(pairs, seed):
        config = GPTConfig(8, context=10, n_layer=1, n_head=2, d_model=16, dropout=0.0)
        model = RewardModel(GPT(config, seed))
        fit(model, RewardModeling(), pairs, epochs=8, batch_size=20, learning_rate=1e-2)
        return model.score

    ensemble = RewardEnsemble.trained(train, training)
    assert len(ensemble.members) == 2 and ensemble.combine is weighted_mean
    alone = [bench_accuracy(member, bench) for member in ensemble.members]
    assert alone[0]["accuracy"] > 0.9 and alone[1]["completeness"] > 0.9
    # what is true says nothing of what is complete: a coin, or less in pairs that differ in both
    assert max(alone[0]["completeness"], alone[1]["accuracy"]) < 0.65
    together = bench_accuracy(ensemble.score, bench)
    assert min(together["accuracy"], together["completeness"]) > 0.65
    assert together["mean"] > max(one["mean"] for one in alone)


def test_each_member_has_a_training_set_and_a_number_of_its_own():
    def train(numbers, member):
        return lambda texts: np.full(len(texts), 10.0 * member + sum(numbers))

    strict = RewardEnsemble.trained(train, [[1, 2], [4], []], least)
    np.testing.assert_array_equal(strict.rewards([[0]]), [[3], [14], [20]])
    assert strict.score([[0]]) == 3


# Several rewards at once


def test_the_front_has_what_nothing_dominates():
    points = [[1, 0], [0, 1], [0.5, 0.5], [0.4, 0.5], [0, 0.9], [1, 0]]
    assert pareto_front(points).tolist() == [True, True, True, False, False, True]
    assert pareto_front([[1, 2, 3]]).tolist() == [True]
    with pytest.raises(ShapeError, match=r"\(n, M\)"):
        pareto_front([1, 2])


LOGREF = np.log([0.4, 0.3, 0.2, 0.1])
TWO = np.array([[1.0, 0.2, -0.5, 0.8], [-1.0, 0.5, 1.0, 0.6]])


def test_the_ends_of_the_trade_off_are_the_best_policies_of_each_reward():
    weights, points, divergences = trade_off(LOGREF, TWO, 0.5, steps=5)
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 0.75, 1])
    for end, reward in ((0, TWO[0]), (-1, TWO[1])):
        logp = optimal_policy(LOGREF, reward, 0.5)
        np.testing.assert_allclose(points[end], [expectation(logp, r) for r in TWO], rtol=1e-12)
        assert divergences[end] == pytest.approx(kl(logp, LOGREF), rel=1e-12)
    # more of one reward is less of the other
    assert (np.diff(points[:, 0]) < 0).all() and (np.diff(points[:, 1]) > 0).all()
    assert pareto_front(points).all()
    assert len(trade_off(LOGREF, TWO, 0.5)[0]) == 11


def test_a_mixture_is_best_for_its_weights():
    # no random policy has a higher weighted reward less beta KL
    rng, weights, beta = np.random.default_rng(0), np.array([0.3, 0.7]), 0.5

    def objective(logp):
        return weights @ [expectation(logp, r) for r in TWO] - beta * kl(logp, LOGREF)

    best = objective(scalarized_policy(LOGREF, TWO, weights, beta))
    others = [objective(np.log(rng.dirichlet(np.ones(4)))) for _ in range(200)]
    assert best > max(others)


def test_rewards_of_one_value_have_no_scale():
    with pytest.raises(DataError, match="no scale"):
        standardized(REWARDS, np.ones((2, 3)))
