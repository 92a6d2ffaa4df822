"""Each algorithm converges to its own fixed point, shown beside pi*   (four responses, exactly)."""

import numpy as np
import pytest

from tinylm.align.exact import ListedPolicy, StepTable, expected_loss, gradient_of, optimal_policy
from tinylm.align.policy.clipping import clipped_loss
from tinylm.align.policy.fixed_points import (
    descend,
    expected_advantages,
    follow,
    population_advantages,
    sampled_loss,
    sampled_token_loss,
    token_weights,
)
from tinylm.align.policy.groups import (
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    grpo_loss,
    rloo_advantages,
)
from tinylm.align.policy.kl import k1, k2, k3, kl_in_reward, kl_loss
from tinylm.align.policy.sequences import cispo_loss, gspo_loss, gspo_token_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError
from tinylm.nn.module import Module

# the specification's case: pi* = .673 .161 .039 .126
REF, R, BETA = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 0.2, -0.5, 0.8]), 0.7
LOGREF = np.log(REF)
BEST = np.array([0.67307940, 0.16098708, 0.03948256, 0.12645097])
ONE = np.ones((4, 1), bool)
CLOSE = dict(rtol=0, atol=2e-8)  # pi* is printed to eight places


def in_reward(logp):
    """Rewards with the penalty of the policy that draws."""
    held = kl_in_reward(R[:, None], logp.data[:, None], LOGREF[:, None], ONE, BETA)
    return held[:, 0]


def own_mean(rewards):
    return group_advantages(rewards, scale=False)


def reached(loss, rate=5.0):
    # curvatures of the penalty are at most beta / 4: below 2 / rate
    return descend(loss, LOGREF, rate)


def test_the_sampled_loss_is_an_expectation_whose_chances_are_constant():
    # 4 of 10 draws are the first response, and so on
    drawn = [0] * 4 + [1] * 3 + [2] * 2 + [3]
    penalty = np.array([0.3, 0.0, 1.0, 2.0])
    plain = np.mean([-R[y] * np.log(REF[y]) for y in drawn])
    logp = Tensor(LOGREF, requires_grad=True)
    assert sampled_loss(logp, R).item() == pytest.approx(plain, rel=1e-13)
    held = sampled_loss(logp, R, Tensor(penalty))
    assert held.item() == pytest.approx(plain + np.mean(penalty[drawn]), rel=1e-13)
    np.testing.assert_allclose(grad(held, [logp])[0].numpy(), -REF * R, rtol=1e-13)


def test_a2c_with_the_penalty_in_the_reward_reaches_the_best_policy():
    def loss(logp):
        rewards = in_reward(logp)
        return sampled_loss(logp, rewards - np.exp(logp.data) @ rewards)

    np.testing.assert_allclose(np.exp(optimal_policy(LOGREF, R, BETA)), BEST, **CLOSE)
    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


@pytest.mark.parametrize("size", [2, 3])
def test_rloo_with_the_penalty_in_the_reward_reaches_it_in_groups_of_any_size(size):
    def loss(logp):
        given = np.exp(logp.data), in_reward(logp), size, rloo_advantages
        return sampled_loss(logp, expected_advantages(*given))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


def ppo(low):
    """Four steps of a clipped loss on the responses of one policy, whose advantages are kept."""
    state = {"step": 0}

    def loss(logp):
        if state["step"] % 4 == 0:  # draw anew
            rewards = in_reward(logp)
            chance = np.exp(logp.data)
            state["old"], state["A"] = logp.data, chance * (rewards - chance @ rewards)
        state["step"] += 1
        given = logp.reshape(4, 1), state["old"][:, None], state["A"], ONE
        return clipped_loss(*given, low=low, how="fixed", total=1)

    return loss


@pytest.mark.parametrize("low", [0.2, 0.05])
def test_ppo_reaches_it_over_several_steps_for_each_batch(low):
    found = descend(ppo(low), LOGREF, rate=2.0, tolerance=1e-8, window=4)
    np.testing.assert_allclose(found, BEST, atol=1e-6)


def test_a_batch_whose_ratios_are_all_clipped_is_not_at_rest():
    """Its gradient is 0 after three steps of the first batch; the next batch has one again."""
    stuck = descend(ppo(0.05), LOGREF, rate=2.0, tolerance=1e-8)
    assert np.abs(stuck - BEST).max() > 0.1
    with pytest.raises(ConfigError, match="after 4 steps the gradient is still 2.*e-01"):
        descend(ppo(0.05), LOGREF, rate=2.0, steps=4, tolerance=1e-8, window=4)


def test_a_mean_with_itself_and_the_penalty_in_the_reward_reaches_it_too():
    """There the factor (G-1)/G is that of reward and penalty alike."""

    def loss(logp):
        given = np.exp(logp.data), in_reward(logp), 2, own_mean
        return sampled_loss(logp, expected_advantages(*given))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


@pytest.mark.parametrize("size", [2, 3])
def test_a_mean_with_itself_and_the_penalty_in_the_loss_reaches_that_of_a_smaller_reward(size):
    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, size, own_mean)
        return sampled_loss(logp, weights, BETA * k2(logp, LOGREF))

    shrunk = np.exp(optimal_policy(LOGREF, (size - 1) / size * R, BETA))
    np.testing.assert_allclose(reached(loss), shrunk, **CLOSE)
    assert np.abs(shrunk - BEST).max() > 0.05


def test_rloo_with_k2_in_the_loss_reaches_it():
    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, 2, rloo_advantages)
        return sampled_loss(logp, weights, BETA * k2(logp, LOGREF))

    np.testing.assert_allclose(reached(loss), BEST, **CLOSE)


def test_grpo_reaches_another_policy():
    """Standard deviation of a large group, k3 in the loss: .829 .073 .027 .072."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = reached(loss)
    np.testing.assert_allclose(found, [0.829, 0.073, 0.027, 0.072], atol=6e-4)
    # its condition: pi (A - E A) = beta (pi - pi_ref)
    A = population_advantages(found, R)
    np.testing.assert_allclose(found * A, BETA * (found - REF), atol=1e-9)
    assert np.abs(found - BEST).max() > 0.15


@pytest.mark.parametrize("size, wanted", [(2, 0.6999), (4, 0.7827)])
def test_grpo_in_small_groups_reaches_yet_others(size, wanted):
    """What the first response gets; with a large group it is .829."""

    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, size, group_advantages)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = descend(loss, LOGREF, rate=2.0, tolerance=1e-8)
    assert found[0] == pytest.approx(wanted, abs=1e-4)
    A = expected_advantages(found, R, size, group_advantages)
    np.testing.assert_allclose(found * (A - found @ A), BETA * (found - REF), atol=1e-7)


def test_k3_without_a_standard_deviation_is_not_the_penalty_either():
    """KL(ref || pi) in place of KL(pi || ref): pi (r - J) = beta (pi - pi_ref)."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R, scale=False)
        return sampled_loss(logp, weights, BETA * k3(logp, LOGREF))

    found = reached(loss)
    np.testing.assert_allclose(found * (R - found @ R), BETA * (found - REF), atol=1e-9)
    assert np.abs(found - BEST).max() > 0.01


def test_k1_in_the_loss_is_no_penalty():
    """The best response takes everything, as if beta were 0."""

    def loss(logp):
        weights = population_advantages(np.exp(logp.data), R, scale=False)
        return sampled_loss(logp, weights, BETA * k1(logp, LOGREF))

    assert descend(loss, LOGREF, rate=20.0, tolerance=1e-3)[0] > 0.99


def test_expected_advantages_of_whole_groups():
    chance = np.exp(LOGREF)
    # leave-one-out: r - J; with itself: (G-1)/G of it
    np.testing.assert_allclose(
        expected_advantages(chance, R, 3, rloo_advantages), R - chance @ R, atol=1e-15
    )
    np.testing.assert_allclose(
        expected_advantages(chance, R, 3, own_mean), 2 / 3 * (R - chance @ R), atol=1e-15
    )
    scaled = population_advantages(chance, R)
    assert chance @ scaled == pytest.approx(0, abs=1e-15)
    assert chance @ scaled**2 == pytest.approx(1)


def test_a_descent_ends_where_every_parameter_is_at_rest():
    """One of two is from the start."""

    class Two(Module):
        def __init__(self):
            self.still, self.moving = (Tensor(np.zeros(1), requires_grad=True) for _ in range(2))

    policy = Two()
    follow(lambda: (policy.still**2 + (policy.moving - 1) ** 2).sum(), policy, rate=0.25)
    assert policy.still.data == 0 and policy.moving.data == pytest.approx(1, abs=1e-10)


def test_a_descent_that_does_not_end_is_an_error():
    with pytest.raises(ConfigError, match="after 3 steps"):
        descend(lambda logp: sampled_loss(logp, R), LOGREF, steps=3)


# The same four responses as 1, 2, 3 and 3 tokens: 0, 10, 110 and 111.
LENGTHS = np.array([1, 2, 3, 3])
# Where each rests in groups of two; with one token: .6999 .1529 .0868 .0604.
RESTS = {
    "sequence": [0.6998, 0.1230, 0.0913, 0.0858],
    "token": [0.6824, 0.1370, 0.0965, 0.0842],
    "fixed": [0.6999, 0.1504, 0.0757, 0.0740],
    "redrawn": [0.7617, 0.1006, 0.0780, 0.0596],
}


def in_words(chance):
    """A policy of these responses as several tokens."""
    return ListedPolicy(StepTable.of(chance), [[0]], 3, eos=0)


LOGREF_TOKENS = in_words(REF).token_logprobs().data[0]  # (4, 3)


def rest(how, advantages=group_advantages, redraw=False):
    """Where a mean over tokens of this kind rests, with k3 in the loss and groups of two."""
    policy = in_words(REF)

    def loss():
        logp = policy.token_logprobs()[0]
        chance = np.exp(logp.data.sum(axis=1))
        weights = token_weights(chance, R, LENGTHS, 2, advantages, how, redraw)
        return sampled_token_loss(logp, *weights, BETA * k3(logp, LOGREF_TOKENS))

    follow(loss, policy, rate=1.0 if redraw else 3.0, tolerance=1e-8)
    return np.exp(policy.logprobs().data[0])


def with_k3(loss, how):
    """A loss of (logp, old, A, counted) with the penalty that is a mean of the same kind."""

    def both(logp, reference, A, counted):
        total = 2 if how == "fixed" else None
        penalty = kl_loss(k3(logp, reference), counted, BETA, how, total)
        return loss(logp, logp.data, A, counted) + penalty

    return both


def grpo(logp, reference, A, counted):
    return grpo_loss(logp, logp.data, reference, A, counted, BETA)


def dr_grpo(logp, old, A, counted):
    return dr_grpo_loss(logp, old, A, counted, longest=1)


# name: (its loss, what it is a mean of)
LOSSES = {
    "GRPO": (grpo, "sequence"),
    "GSPO": (with_k3(gspo_loss, "sequence"), "sequence"),
    "GSPO of tokens": (with_k3(gspo_token_loss, "sequence"), "sequence"),
    "DAPO": (with_k3(dapo_loss, "token"), "token"),
    "CISPO": (with_k3(cispo_loss, "token"), "token"),
    "Dr. GRPO's constant": (with_k3(dr_grpo, "fixed"), "fixed"),
}


def gradient_at(chance, loss, redraw=False):
    """The expected gradient of a loss over all groups of two, the largest of its numbers."""
    policy = in_words(chance)
    logp = policy.token_logprobs()[0]

    def of_group(group):
        if redraw and R[group[0]] == R[group[1]]:
            return 0.0
        A = group_advantages(R[group])
        return loss(logp[group], LOGREF_TOKENS[group], A, policy.counted[group])

    return np.abs(gradient_of(expected_loss(np.log(chance), 2, of_group), policy)[0]).max()


@pytest.mark.parametrize("name", LOSSES)
def test_responses_of_several_tokens_tell_the_means_apart(name):
    """GSPO rests where GRPO does, CISPO where DAPO does; none of them at another's point."""
    loss, how = LOSSES[name]
    found = rest(how)
    np.testing.assert_allclose(found, RESTS[how], atol=6e-5)
    assert gradient_at(found, loss) < 1e-7
    for other, elsewhere in RESTS.items():
        if other != how:
            assert gradient_at(np.array(elsewhere) / sum(elsewhere), loss) > 2e-3
    assert gradient_at(BEST / BEST.sum(), loss) > 1e-2


def test_drawing_again_until_rewards_differ_moves_the_point():
    """DAPO's dynamic sampling: groups of equal rewards had the penalty alone."""
    loss, _ = LOSSES["DAPO"]
    found = rest("token", redraw=True)
    np.testing.assert_allclose(found, RESTS["redrawn"], atol=6e-5)
    assert gradient_at(found, loss, redraw=True) < 1e-7
    assert gradient_at(found, loss) > 2e-2


def test_where_a_mean_of_each_response_rests_by_hand():
    """At every place: sum of pi(y) / |y| (A - beta (1 - ref / pi)) (ended - q) over y so long."""
    pi = rest("sequence")
    A = expected_advantages(pi, R, 2, group_advantages)
    for t in range(3):
        chance, before = pi[t] / pi[t:].sum(), REF[t] / REF[t:].sum()  # of an end at place t
        ended = np.arange(t, 4) == t
        ratio = np.where(ended, before / chance, (1 - before) / (1 - chance))
        pull = (A[t:] - BETA * (1 - ratio)) / LENGTHS[t:]
        assert pi[t:] * pull @ (ended - chance) == pytest.approx(0, abs=1e-7)


def test_weights_of_tokens():
    chance, pair = np.array([0.75, 0.25]), np.array([1.0, 0.0])
    given = chance, pair, np.array([1, 3]), 2, lambda r: group_advantages(r, scale=False)
    # the other is alike with the chance of the first: then 2 tokens or 6, otherwise 4, and A 1/2
    A, w = token_weights(*given, "token")
    np.testing.assert_allclose(w, [0.75 * 2 / 2 + 0.25 * 2 / 4, 0.75 * 2 / 4 + 0.25 * 2 / 6])
    np.testing.assert_allclose(A, [0.25 / 2 * 2 / 4, -0.75 / 2 * 2 / 4])
    A, w = token_weights(*given, "sequence")
    np.testing.assert_allclose([A, w], [[0.125, -0.375 / 3], [1, 1 / 3]])
    A, w = token_weights(*given, "fixed")
    np.testing.assert_allclose([A, w], [[0.125, -0.375], [1, 1]])
    # a pair of both has the chance 2 * .75 * .25 = 3/8
    A, w = token_weights(*given, "fixed", redraw=True)
    np.testing.assert_allclose(w, [0.25 / 0.375, 0.75 / 0.375])
    np.testing.assert_allclose(A, [0.125 / 0.375, -0.375 / 0.375])
    with pytest.raises(ConfigError, match="'mean' is not one of"):
        token_weights(*given, "mean")
