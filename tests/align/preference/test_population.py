"""DPO on all pairs ends where RLHF ends; other losses end elsewhere."""

import numpy as np
import pytest

from tinylm.align.exact import log_partition, objective, optimal_policy
from tinylm.align.preference import dpo, implicit_reward, ipo, robust_dpo
from tinylm.align.preference.population import bradley_terry, own_weights, population_loss
from tinylm.autograd import Tensor, log_softmax
from tinylm.errors import ShapeError

# ref, reward, beta and the optimum pi* = ref exp(r / beta) / Z of the specification.
REF, REWARD, BETA = np.log([[0.4, 0.3, 0.2, 0.1]]), np.array([[1.0, 0.2, -0.5, 0.8]]), 0.7
OPTIMUM = np.array([[0.67307940, 0.16098708, 0.03948256, 0.12645097]])


def descend(loss, steps, rate, start=REF):
    """Probabilities after `steps` steps of exact gradient descent on logits."""
    logits = Tensor(start.copy(), requires_grad=True)
    for _ in range(steps):
        logits.grad = None
        loss(log_softmax(logits)).backward()
        logits.data -= rate * logits.grad.data
    return np.exp(log_softmax(logits).data)


def test_dpo_on_all_pairs_reaches_the_optimum_of_rlhf():
    """Curvature is about beta^2 / 4 / K a logit: steps of size 10 converge within 300."""

    def loss(logp):
        return population_loss(logp, REF, bradley_terry(REWARD), beta=BETA)

    np.testing.assert_allclose(descend(loss, 300, 10.0), OPTIMUM, rtol=0, atol=5e-9)


def test_the_optimum_is_where_the_gradient_of_dpo_vanishes():
    """For random rewards, references and weights of pairs, at any beta."""
    rng = np.random.default_rng(0)
    for beta in (0.1, 1.0, 3.0):
        reward = rng.normal(size=(2, 5))
        ref = np.log(rng.dirichlet(np.ones(5), 2))
        best = ref + reward / beta
        logits = Tensor(best, requires_grad=True)
        weights = rng.uniform(size=(5, 5))
        preference = bradley_terry(reward)
        found = population_loss(
            log_softmax(logits), ref, preference, weights=weights + weights.T, beta=beta
        )
        found.backward()
        np.testing.assert_allclose(logits.grad.data, 0, atol=1e-13)


def test_a_swapped_pair_a_wrong_beta_and_no_reference_end_elsewhere():
    """The errors of DPO, judged by the fixed point: none has a vanishing gradient at pi*."""
    errors = {
        "swapped": lambda c, r, fc, fr, beta: dpo(r, c, fr, fc, beta),
        "beta outside": lambda c, r, fc, fr, beta: beta * dpo(c, r, fc, fr, 1.0),
        "no reference": lambda c, r, fc, fr, beta: dpo(c, r, 0 * fc, 0 * fr, beta),
        "square": ipo,
    }
    for what, wrong in errors.items():
        logits = Tensor(np.log(OPTIMUM), requires_grad=True)
        found = population_loss(log_softmax(logits), REF, bradley_terry(REWARD), wrong, beta=BETA)
        found.backward()
        assert np.abs(logits.grad.data).max() > 0.01, what


def test_pairs_that_are_never_shown_leave_their_ratio_as_it_was():
    """Only {0, 1} and {2, 3} are compared: there pi / ref is right, between them unchanged."""
    weights = np.zeros((4, 4))
    weights[0, 1] = weights[1, 0] = weights[2, 3] = weights[3, 2] = 1

    def loss(logp):
        return population_loss(logp, REF, bradley_terry(REWARD), weights=weights, beta=BETA)

    found = np.log(descend(loss, 600, 5.0))[0] - REF[0]
    expected = REWARD[0] / BETA
    np.testing.assert_allclose(found[0] - found[1], expected[0] - expected[1], atol=1e-8)
    np.testing.assert_allclose(found[2] - found[3], expected[2] - expected[3], atol=1e-8)
    assert abs((found[0] - found[2]) - (expected[0] - expected[2])) > 0.5


def test_online_pairs_reach_the_optimum_that_offline_pairs_miss():
    """One objective judges both: J = E[r] - beta KL, at most beta log Z.

    Offline, response 3 is never shown: its ratio to the others cannot be learnt. Online, the pairs
    are those that the policy samples, so every response has its share.
    """
    seen = np.ones((4, 4))
    seen[3] = seen[:, 3] = 0
    preference = bradley_terry(REWARD)

    def offline(logp):
        return population_loss(logp, REF, preference, weights=seen, beta=BETA)

    def online(logp):
        return population_loss(logp, REF, preference, weights=own_weights(logp), beta=BETA)

    highest = BETA * log_partition(REF, REWARD, BETA)[0]
    missed, reached = (
        highest - objective(np.log(descend(loss, 300, 10.0)), REF, REWARD, BETA)[0]
        for loss in (offline, online)
    )
    assert reached < 1e-4
    assert missed > 0.01


def test_pairs_come_as_often_as_they_are_sampled():
    np.testing.assert_allclose(
        own_weights(np.log([[0.75, 0.25]])), [[[9, 3], [3, 1]]] / np.float64(16)
    )
    logits = Tensor(REF, requires_grad=True)
    assert isinstance(own_weights(log_softmax(logits)), np.ndarray)  # no gradient


def test_ipo_ends_at_the_mean_preference():
    """pi = ref exp(E_b[P(a > b)] / tau) / Z, b uniform, a itself with 1/2   (Azar et al. 2023)."""
    preference = bradley_terry(REWARD)
    best = optimal_policy(REF, preference.mean(axis=2), 0.4)
    logits = Tensor(best, requires_grad=True)
    population_loss(log_softmax(logits), REF, preference, ipo, beta=0.4).backward()
    np.testing.assert_allclose(logits.grad.data, 0, atol=1e-13)
    # Certain preferences: DPO has no finite optimum, IPO has this one.
    certain = bradley_terry(1e3 * REWARD)
    logits = Tensor(optimal_policy(REF, certain.mean(axis=2), 0.4), requires_grad=True)
    population_loss(log_softmax(logits), REF, certain, ipo, beta=0.4).backward()
    np.testing.assert_allclose(logits.grad.data, 0, atol=1e-13)


def test_robust_dpo_reaches_the_optimum_from_flipped_labels():
    """A fifth of the labels is flipped: robust DPO's gradient vanishes at pi*, DPO's does not."""
    clean = bradley_terry(REWARD)
    noisy = 0.8 * clean + 0.2 * (1 - clean)
    gradients = []
    for loss, options in ((robust_dpo, {"label_smoothing": 0.2}), (dpo, {})):
        logits = Tensor(optimal_policy(REF, REWARD, BETA), requires_grad=True)
        logp = log_softmax(logits)
        population_loss(logp, REF, noisy, loss, beta=BETA, **options).backward()
        gradients.append(np.abs(logits.grad.data).max())
    assert gradients[0] < 1e-13 and gradients[1] > 0.01


def test_the_policy_is_optimal_for_the_reward_that_it_implies():
    """beta log(pi / ref) as the reward of a population: pi is where DPO rests   (eq. 4.80)."""
    policy = np.log([[0.1, 0.2, 0.3, 0.4]])
    implied = implicit_reward(policy, REF, BETA)
    np.testing.assert_allclose(optimal_policy(REF, implied, BETA), policy, atol=1e-12)
    np.testing.assert_allclose(np.exp(optimal_policy(REF, REWARD, BETA)), OPTIMUM, atol=5e-9)


def test_the_loss_is_the_mean_over_unordered_pairs():
    """At pi = ref every pair costs log 2, whatever the number of prompts and responses."""
    for shape in ((1, 2), (3, 4)):
        ref = np.log(np.full(shape, 1 / shape[1]))
        reward = np.arange(np.prod(shape)).reshape(shape) / 3
        found = population_loss(Tensor(ref), ref, bradley_terry(reward))
        assert found.item() == pytest.approx(np.log(2), abs=1e-14)


@pytest.mark.parametrize("weights", [None, np.array([[9, 1, 4], [1, 9, 2], [4, 2, 9.0]])])
def test_the_loss_by_hand(weights):
    """Three pairs of each of two prompts; a response that would meet itself has no weight."""
    logp = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    ref = np.log([[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
    preference = bradley_terry(np.array([[0.0, 1.0, -1.0], [2.0, 0.5, 0.0]]))
    expected = 0.0
    for x in range(2):
        cost, total = 0.0, 0.0
        for a, b in ((0, 1), (0, 2), (1, 2)):
            shown = 1.0 if weights is None else weights[a, b]
            d = BETA * (logp[x, a] - ref[x, a] - logp[x, b] + ref[x, b])
            p = preference[x, a, b]
            cost += shown * (p * np.log1p(np.exp(-d)) + (1 - p) * np.log1p(np.exp(d)))
            total += shown
        expected += cost / total / 2
    found = population_loss(Tensor(logp), ref, preference, weights=weights, beta=BETA)
    assert found.item() == pytest.approx(expected, rel=1e-13)


def test_pairs_of_no_weight_are_not_computed():
    """Their loss may be infinite, and 0 times infinity is no number."""
    seen = []

    def of_pairs(chosen, rejected, *reference):
        seen.append(chosen.shape)
        return dpo(chosen, rejected, *reference)

    certain = np.array([[[0.5, 1.0], [0.0, 0.5]]])
    population_loss(Tensor(np.log([[0.4, 0.6]])), np.log([[0.5, 0.5]]), certain, of_pairs)
    assert seen == [(1,)]


def test_certain_preferences():
    """P(a > b) is 1 or 0 for far rewards, without overflow; the diagonal is one half."""
    found = bradley_terry(np.array([2000.0, 0.0]))
    np.testing.assert_array_equal(found, [[0.5, 1.0], [0.0, 0.5]])
    assert bradley_terry(np.array([2.0, 1.0]))[0, 1] == pytest.approx(0.7310585786, abs=5e-11)


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"\(X, K\), \(X, K\), \(X, K, K\)"):
        population_loss(Tensor(REF), REF[0], bradley_terry(REWARD))
    with pytest.raises(ShapeError, match=r"preferences \(4, 4\)"):
        population_loss(Tensor(REF), REF, bradley_terry(REWARD)[0])
