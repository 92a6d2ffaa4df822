"""The exact half of kl_estimators.py: every expectation is a sum over listed responses.

What the gradient of each estimator is in expectation, and where each algorithm comes to rest. Read
first: tinylm/align/policy/kl.py. Read next: kl_estimators.py.
"""

import numpy as np

from tinylm.align.exact import gradient_of, kl, optimal_policy
from tinylm.align.exact.policies import ListedPolicy, StepTable, TablePolicy
from tinylm.align.policy.baselines import gradient_variance, score_functions
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
from tinylm.align.policy.groups import group_advantages, rloo_advantages
from tinylm.align.policy.kl import k1, k2, k3, kl_in_reward, weighted_k3

RESPONSES = 6  # of the exact part
# Four responses with pi* = .673 .161 .039 .126: reference, rewards, beta.
CASE = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 0.2, -0.5, 0.8]), 0.7
GROUP = 4  # responses of a group


def identities(seed):
    """({place: (largest deviation from what it should be, its variance)}, name of what that is)."""
    rng = np.random.default_rng(seed)
    policy = TablePolicy(rng.normal(size=(1, RESPONSES)))
    logref = np.log(rng.dirichlet(np.ones(RESPONSES)))
    logp = policy.logprobs().data[0]
    chance, scores = np.exp(logp), score_functions(policy)
    d = logp - logref
    old = np.log(rng.dirichlet(np.ones(RESPONSES)))  # another policy that may have drawn

    def exact(divergence):
        return gradient_of(divergence(policy.logprobs()[0]), policy)[0][0]

    def expected(penalty, sampler=logp):
        terms = penalty(policy.logprobs()[0]) * np.exp(sampler)
        return gradient_of(terms.sum(), policy)[0][0]

    to_reference = exact(lambda p: kl(p, logref))
    from_reference = exact(lambda p: kl(logref, p))
    # place: (penalty, who draws, its expected gradient, w in the gradient w d log pi of a sample)
    places = {
        "k1 in the loss": (lambda p: k1(p, logref), logp, 0 * d, np.ones_like(d)),
        "k2 in the loss": (lambda p: k2(p, logref), logp, to_reference, d),
        "k3 in the loss": (lambda p: k3(p, logref), logp, from_reference, 1 - np.exp(-d)),
        "k3 times the ratio": (lambda p: weighted_k3(p, logp, logref), logp, to_reference, d),
        "k1 in the reward": (lambda p: p * k1(p, logref).data, logp, to_reference, d),
        "the same, less its mean": (
            lambda p: p * (k1(p, logref).data - chance @ d),
            logp,
            to_reference,
            d - chance @ d,
        ),
        "k3 times the ratio, of others": (
            lambda p: weighted_k3(p, old, logref),
            old,
            to_reference,
            None,
        ),
        "printed, of the reference": (lambda p: k1(p, logref), logref, -from_reference, None),
    }
    found = {}
    for name, (penalty, sampler, wanted, weights) in places.items():
        variance = np.nan
        if weights is not None:
            variance = gradient_variance(scores, chance, weights)
        found[name] = np.abs(expected(penalty, sampler) - wanted).max(), variance
    return found


WORTH = {
    "k1 in the loss": "0",
    "k2 in the loss": "KL(pi || ref)",
    "k3 in the loss": "KL(ref || pi)",
    "k3 times the ratio": "KL(pi || ref)",
    "k1 in the reward": "KL(pi || ref)",
    "the same, less its mean": "KL(pi || ref)",
    "k3 times the ratio, of others": "KL(pi || ref)",
    "printed, of the reference": "-KL(ref || pi)",
}


# Fixed points, with every expectation a sum.


def case_of(seed):
    """Four responses: probabilities of the reference, rewards and beta, at random."""
    rng = np.random.default_rng(1000 + seed)
    return rng.dirichlet(4 * np.ones(4)), rng.normal(size=4), rng.uniform(0.5, 1.0)


def fixed_points(ref, rewards, beta):
    """{algorithm: its probabilities at rest, (4,)}, pi* first."""
    logref, one = np.log(ref), np.ones((4, 1), bool)

    def in_reward(logp):
        held = kl_in_reward(rewards[:, None], logp[:, None], logref[:, None], one, beta)
        return held[:, 0]

    def grouped(advantages, penalty=None):
        """The expected loss of groups: the penalty in the reward unless it is given."""

        def loss(logp):
            given = rewards
            if penalty is None:
                given = in_reward(logp.data)
            weights = expected_advantages(np.exp(logp.data), given, GROUP, advantages)
            if penalty is None:
                return sampled_loss(logp, weights)
            return sampled_loss(logp, weights, beta * penalty(logp, logref))

        return loss

    def actor_critic(logp):
        given = in_reward(logp.data)
        return sampled_loss(logp, given - np.exp(logp.data) @ given)

    def large_group(logp):
        weights = population_advantages(np.exp(logp.data), rewards)
        return sampled_loss(logp, weights, beta * k3(logp, logref))

    losses = {
        "A2C, k1 in the reward": actor_critic,
        "RLOO, k1 in the reward": grouped(rloo_advantages),
        "RLOO, k2 in the loss": grouped(rloo_advantages, k2),
        "Dr. GRPO, k2 in the loss": grouped(own_mean, k2),
        "Dr. GRPO, k3 in the loss": grouped(own_mean, k3),
        "GRPO, k3 in the loss": grouped(group_advantages, k3),
        "GRPO, k3, a large group": large_group,
    }
    found = {"pi*": np.exp(optimal_policy(logref, rewards, beta))}
    shrunk = (GROUP - 1) / GROUP * rewards
    found["pi* of (G-1)/G r"] = np.exp(optimal_policy(logref, shrunk, beta))
    for name, loss in losses.items():
        found[name] = descend(loss, logref, rate=2.0, steps=100_000, tolerance=1e-9)
        if name.startswith("A2C"):
            found["PPO, k1 in the reward"] = _ppo(logref, in_reward)
    return found


def own_mean(rewards):
    """Advantages less the mean of the group alone: Dr. GRPO's."""
    return group_advantages(rewards, scale=False)


# Where methods rest that differ by what their loss is a mean of; k3 is in the loss of all.
MEANS = {
    "GRPO, GSPO: of each response": (group_advantages, "sequence", False),
    "DAPO, CISPO: of all tokens": (group_advantages, "token", False),
    "DAPO, until rewards differ": (group_advantages, "token", True),
    "DAPO, CISPO: of many groups": (group_advantages, "fixed", False),
    "Dr. GRPO: a constant": (own_mean, "fixed", False),
}


def fixed_points_of_tokens(ref, rewards, beta):
    """{method: its probabilities at rest, (4,)} where the responses have 1, 2, 3 and 3 tokens."""
    return {name: _at_rest(ref, rewards, beta, *kind) for name, kind in MEANS.items()}


def _at_rest(ref, rewards, beta, advantages, how, redraw):
    policy = ListedPolicy(StepTable.of(ref), [[0]], 3, eos=0)
    lengths, logref = policy.counted.sum(axis=1), policy.token_logprobs().data[0]

    def loss():
        logp = policy.token_logprobs()[0]  # (4, 3)
        chance = np.exp(logp.data.sum(axis=1))
        given = chance, rewards, lengths, GROUP, advantages, how, redraw
        return sampled_token_loss(logp, *token_weights(*given), beta * k3(logp, logref))

    follow(loss, policy, rate=0.5, steps=100_000, tolerance=1e-8)
    return np.exp(policy.logprobs().data[0])


def _ppo(logref, in_reward, rate=0.5, epochs=4):
    """Where PPO rests: several clipped steps on the responses of one policy, all of them listed."""
    policy, one = TablePolicy(logref[None]), np.ones((4, 1), bool)
    while True:
        old = policy.logprobs().data[0]
        given = in_reward(old)
        A = np.exp(old) * (given - np.exp(old) @ given)
        for epoch in range(epochs):
            logp = policy.logprobs()[0].reshape(4, 1)
            loss = clipped_loss(logp, old[:, None], A, one, how="fixed", total=1)
            (gradient,) = gradient_of(loss, policy)
            # Later epochs have none where everything is clipped: only the first can end this.
            if epoch == 0 and np.abs(gradient).max() < 1e-9:
                return np.exp(old)
            policy.logits.data[...] -= rate * gradient
