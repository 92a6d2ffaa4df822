"""The loss of a minibatch: ratios of 1 at first, no dropout, no gradient from policy to critic."""

from dataclasses import replace

import numpy as np
import pytest

from tests.align.rlhf.small import critic, experience_of, listed
from tests.align.small import gpt
from tinylm.align.policy import k2, k3, kl_loss
from tinylm.align.rlhf.methods import A2C, GRPO, PPO, RLOO, DrGRPO
from tinylm.align.rlhf.models import ActorCritic, FourModels
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.autograd import Tensor, grad
from tinylm.errors import DataError
from tinylm.models import GPT, GPTConfig
from tinylm.train.alone import ALONE

POLICY, REFERENCE = listed(), gpt(vocab_size=2, seed=3)
ROWS = np.arange(3)
SCORES = np.array([1.0, -0.5, 2.0])


def prepared(method, beta=0.3, policy=POLICY, value=None):
    """(objective, ActorCritic, samples) of all three responses."""
    models = FourModels(policy.model, None, REFERENCE, value)
    objective = PolicyObjective(method, 2)
    objective.begin(beta)
    samples = experience_of(policy, method, ROWS, SCORES, models).samples()
    return objective, models.trained(), samples


def loss_of(objective, model, samples):
    return objective.loss(model, objective.make_batch(samples))[0]


def moved(model):
    """Another policy, as after an update."""
    return ActorCritic(gpt(vocab_size=2, seed=1), model.value)


def test_before_the_first_update_every_ratio_is_1():
    objective, model, samples = prepared(GRPO(group=3))
    loss_of(objective, model, samples)
    assert objective.measured(ALONE)["largest_ratio"] < 1e-12
    with pytest.raises(DataError, match="before the first update"):
        loss_of(objective, moved(model), samples)
    objective.fresh = False
    loss_of(objective, moved(model), samples)  # later ratios are what the method is about


def test_before_the_first_update_it_is_the_policy_that_drew():
    """Not only the one that `old` was computed with, by the same function as the loss."""
    objective, model, samples = prepared(GRPO(group=3))
    loss_of(objective, model, samples)
    other = [replace(one, drawn=one.drawn + 1e-6) for one in samples]
    with pytest.raises(DataError, match="differ by 1e-06 in a log-probability"):
        loss_of(objective, model, other)
    objective.fresh = False
    loss_of(objective, model, other)


def test_dropout_is_off_in_the_ratio():
    policy = listed()
    policy.model = GPT(GPTConfig(2, 24, 1, 2, 8, dropout=0.5), 0, np.float64).eval()
    objective, model, samples = prepared(PPO(whiten="none"), policy=policy, value=critic())
    model.train()
    batch = objective.make_batch(samples)
    objective.fresh = False
    one, other = (objective.loss(model, batch)[1]["loss"] for _ in range(2))
    assert one == other and model.training and model.policy.training


@pytest.mark.parametrize("method", [A2C(value_weight=0.0), PPO(whiten="none", value_weight=0.0)])
def test_no_gradient_reaches_the_critic_through_advantages(method):
    objective, model, samples = prepared(method, value=critic())
    loss = loss_of(objective, model, samples)
    found = grad(loss, model.value.parameters())
    assert all(g is None or not np.any(g.data) for g in found)


def test_the_critic_learns_from_its_own_loss():
    objective, model, samples = prepared(A2C(), value=critic())
    found = grad(loss_of(objective, model, samples), model.value.parameters())
    assert max(np.abs(g.data).max() for g in found) > 1e-3


@pytest.mark.parametrize("kl, estimator", [("k2", k2), ("k3", k3)])
def test_the_penalty_in_the_loss_is_the_estimator_by_its_name(kl, estimator):
    method = GRPO(group=3, kl=kl)
    objective, model, samples = prepared(method, beta=0.3)
    with_penalty = loss_of(objective, model, samples).item()
    objective.begin(0.0)
    without = loss_of(objective, model, samples).item()
    batch = objective.make_batch(samples)
    counted = batch.targets >= 0
    each = estimator(Tensor(batch.old), batch.reference)
    wanted = kl_loss(each, counted, 0.3, "sequence").item()
    assert with_penalty - without == pytest.approx(wanted, rel=1e-10)


def test_a_penalty_in_the_reward_is_not_in_the_loss_too():
    objective, model, samples = prepared(RLOO(group=3))
    one = loss_of(objective, model, samples).item()
    objective.begin(100.0)
    assert loss_of(objective, model, samples).item() == one


@pytest.mark.parametrize(
    "method", [PPO(whiten="none"), PPO(how="fixed"), A2C(), GRPO(group=3), DrGRPO(group=3)]
)
def test_parts_of_a_minibatch_add_up(method):
    """Weights are what each loss is a mean of: tokens, or responses."""
    value = critic() if method.critic else None
    objective, model, samples = prepared(method, value=value)
    batch = objective.make_batch(samples)
    whole, figures = objective.loss(model, batch)
    weights, losses = [], []
    for r in range(3):
        loss, one = objective.loss(model, batch.rows(r, r + 1))
        weights.append(one["tokens"])
        losses.append(loss.item())
    assert figures["tokens"] == sum(weights) == {"token": 5}.get(method.how, 3)
    assert np.average(losses, weights=weights) == pytest.approx(whole.item(), rel=1e-10)


def test_what_is_measured_is_a_mean_over_minibatches():
    objective, model, samples = prepared(GRPO(group=3))
    objective.fresh = False
    whole = loss_of(objective, model, samples).item()
    parts = [loss_of(objective, model, samples[:1]).item()]
    parts.append(loss_of(objective, model, samples[1:]).item())
    found = objective.measured(ALONE)
    # three rows, one row and two rows
    assert found["loss"] == pytest.approx((3 * whole + parts[0] + 2 * parts[1]) / 6, rel=1e-10)
    objective.begin(0.1)
    assert objective.measured(ALONE) == {}


def test_moved_is_the_divergence_of_the_old_policy_from_the_new():
    objective, model, samples = prepared(RLOO(group=3))
    objective.fresh = False
    loss_of(objective, model, samples)
    assert objective.measured(ALONE)["moved"] == pytest.approx(0, abs=1e-15)
    objective.begin(0.0)
    objective.fresh = False
    shifted = [replace(one, old=one.old + np.log(2.0)) for one in samples]  # pi = pi_old / 2
    loss_of(objective, model, shifted)
    # exp(-d) - 1 + d with d = log pi_old - log pi = log 2
    assert objective.measured(ALONE)["moved"] == pytest.approx(0.5 - 1 + np.log(2), rel=1e-10)


def test_entropy_is_of_the_distributions_that_tokens_were_drawn_from():
    objective, model, samples = prepared(RLOO(group=3))
    loss_of(objective, model, samples)
    p = np.exp([sample.old[0] for sample in samples])  # of [0], [1, ..], [1, ..]
    q = np.exp([sample.old[1] for sample in samples[1:]])  # of the second token after [1]
    first, second = (-(x * np.log(x)).sum() for x in ([p[0], 1 - p[0]], [q[0], q[1]]))
    found = objective.measured(ALONE)["entropy"]
    assert found == pytest.approx((3 * first + 2 * second) / 5, rel=1e-10)
