"""Where training comes to rest: pi*, or a policy of the method's own, by enumeration and sampling.

The specification's case of four responses, here the four tokens of a language model that says one.
"""

import numpy as np
import pytest

from tests.align.rlhf.small import critic, expected_update
from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy, StepTable, optimal_policy
from tinylm.align.policy import group_advantages, k3
from tinylm.align.policy.fixed_points import descend, expected_advantages, sampled_loss
from tinylm.align.rlhf import train_policy
from tinylm.align.rlhf.methods import A2C, CISPO, DAPO, GRPO, GSPO, PPO, RLOO, DrGRPO, Reinforce
from tinylm.autograd import Tensor
from tinylm.nn import Module
from tinylm.optim.schedule import linear_decay

REF, R, BETA = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 0.2, -0.5, 0.8]), 0.7
BEST = np.exp(optimal_policy(np.log(REF), R, BETA))


class Bandit(Module):
    """The same distribution of the next token after every text."""

    def __init__(self, chance):
        self.logits = Tensor(np.log(chance), requires_grad=True)

    def __call__(self, ids):
        return self.logits + np.zeros((*ids.shape, 1))  # (V,) -> (B, T, V)


def update_at(chance, method, size, value=None):
    """The expected gradient of a method's loss for a policy, (4,)."""
    policy = ListedPolicy(Bandit(chance), [[0]], 1, vocab_size=4)
    (found,) = expected_update(policy, method, R, Bandit(REF), size, value, eos=None)
    return found


def in_reward(kind, **options):
    return kind(kl="reward", beta=BETA, **options)


@pytest.mark.parametrize(
    "method, size",
    [
        (in_reward(Reinforce, baseline="none"), 1),
        (in_reward(Reinforce), 2),
        (in_reward(A2C), 1),
        (in_reward(PPO, whiten="none"), 1),
        (in_reward(RLOO, group=2), 2),
        # the factor (G-1)/G is that of reward and penalty alike
        (in_reward(DrGRPO, group=2), 2),
        # in one token k2 has the gradient of the divergence
        (RLOO(group=2, kl="k2", beta=BETA), 2),
    ],
    ids=lambda given: type(given).__name__,
)
def test_with_the_penalty_in_the_reward_the_best_policy_is_at_rest(method, size):
    value = None
    if method.critic:
        value = critic()
    np.testing.assert_allclose(update_at(BEST, method, size, value), 0, atol=1e-12)
    assert np.abs(update_at(REF, method, size, value)).max() > 1e-2


@pytest.mark.parametrize("method", [GRPO(group=2, scale=False, kl="k2", beta=BETA)])
def test_a_mean_with_itself_rests_at_that_of_a_smaller_reward(method):
    smaller = np.exp(optimal_policy(np.log(REF), R / 2, BETA))
    np.testing.assert_allclose(update_at(smaller, method, 2), 0, atol=1e-12)
    assert np.abs(update_at(BEST, method, 2)).max() > 1e-2


@pytest.mark.parametrize("kind", [GRPO, DAPO, GSPO, CISPO])
def test_groups_that_are_standardized_rest_elsewhere(kind):
    """With responses of one token the four are alike: .700 of the first, with k3 in the loss."""

    def loss(logp):
        weights = expected_advantages(np.exp(logp.data), R, 2, group_advantages)
        return sampled_loss(logp, weights, BETA * k3(logp, np.log(REF)))

    rest = descend(loss, np.log(REF), rate=2.0, tolerance=1e-8)
    assert rest[0] == pytest.approx(0.6999, abs=1e-4)
    method = kind(group=2, kl="k3", beta=BETA)
    np.testing.assert_allclose(update_at(rest, method, 2), 0, atol=1e-7)
    assert np.abs(update_at(BEST, method, 2)).max() > 1e-2


# Responses of 1, 2, 3 and 3 tokens, groups of two, k3 in the loss; GRPO's mean of each response and
# DAPO's of all tokens rest apart (tests/align/policy/test_fixed_points.py).
OF_EACH, OF_TOKENS = [0.69980, 0.12303, 0.09133, 0.08584], [0.68239, 0.13696, 0.09650, 0.08415]


@pytest.mark.parametrize(
    "kind, options, own, other",
    [
        (GRPO, {}, OF_EACH, OF_TOKENS),
        (GSPO, {}, OF_EACH, OF_TOKENS),
        (DAPO, {"draws": 1}, OF_TOKENS, OF_EACH),
        (CISPO, {}, OF_TOKENS, OF_EACH),
    ],
)
def test_with_unequal_lengths_each_rests_at_its_own_point(kind, options, own, other):
    def update(chance):
        policy = ListedPolicy(StepTable.of(chance), [[0]], 3, eos=0)
        method = kind(group=2, kl="k3", beta=BETA, **options)
        (found,) = expected_update(policy, method, R, StepTable.of(REF), 2, eos=0)
        return np.abs(found).max()

    assert update(own) < 1e-5  # of five places
    assert update(other) > 2e-3


def distance(one, other):
    """Total variation, 0 to 1."""
    return 0.5 * np.abs(one - other).sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, options",
    [
        ("reinforce", {}),
        ("a2c", {}),
        ("rloo", {}),
        ("ppo", {"whiten": "none", "epochs": 2, "value_clip": None}),
    ],
)
def test_training_reaches_the_best_policy(method, options):
    """Nine responses of two tokens, 64 draws of them a step: what is left is the noise of these."""
    model, length, steps = gpt(vocab_size=3), 2, 200
    policy = ListedPolicy(model, [[1, 0]], length)
    rewards = np.random.default_rng(0).normal(size=9)
    start = policy.logprobs().data[0]
    best = np.exp(optimal_policy(start, rewards, BETA))
    train_policy(
        model,
        [[1, 0]],
        lambda prompt, response: rewards[3 * response[0] + response[1]],
        method,
        steps=steps,
        group=64,
        max_tokens=length,
        beta=BETA,
        rate=lambda update: 2e-2 * linear_decay(update, steps * options.get("epochs", 1), 0),
        **options,
    )
    assert distance(np.exp(start), best) > 0.2
    assert distance(np.exp(policy.logprobs().data[0]), best) < 0.05
