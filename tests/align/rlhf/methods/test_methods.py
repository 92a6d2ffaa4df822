"""Each method is its formula: advantages by hand, the loss that of tinylm/align/policy."""

from types import SimpleNamespace

import numpy as np
import pytest

from tinylm.align import policy as losses
from tinylm.align.policy.clipping import clip_fraction, dual_clipped_surrogate
from tinylm.align.policy.surrogates import entropy_loss
from tinylm.align.rlhf.methods import A2C, CISPO, DAPO, GRPO, GSPO, PPO, RLOO, DrGRPO, Reinforce
from tinylm.align.rlhf.methods.method import ESTIMATORS, Method, Now, count
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError

rng = np.random.default_rng(0)
COUNTED = np.array([[True, True, False], [True, True, True], [True, False, False], [True] * 3])
LOGP = Tensor(np.where(COUNTED, -rng.uniform(0.5, 2, (4, 3)), 0.0), requires_grad=True)
OLD, REFERENCE, VALUES = (
    np.where(COUNTED, LOGP.data + rng.normal(size=(4, 3)), 0.0) for _ in range(3)
)
REWARDS = np.array([[0, 1.0, 0], [0, 0, 4.0], [2.0, 0, 0], [0, 0, 2.0]])  # groups of two: 1 4, 2 2
LOGITS = Tensor(rng.normal(size=(9, 5)))
NOW_VALUES = Tensor(rng.normal(size=(4, 3)))
EACH = np.where(COUNTED, rng.normal(size=(4, 3)), 0.0)
WHOLE = np.array([1.5, -1.5, 0.3, -0.3])


def experience(rewards=REWARDS):
    rollout = SimpleNamespace(lengths=COUNTED.sum(axis=1))
    return SimpleNamespace(counted=COUNTED, values=VALUES, rollout=rollout)


def now(total=None):
    return Now(LOGP, COUNTED, LOGITS, NOW_VALUES, total, 3)


def batch(advantages):
    return SimpleNamespace(
        old=OLD, reference=REFERENCE, values=VALUES, returns=EACH + VALUES, advantages=advantages
    )


def same(found, wanted):
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)


def test_reinforce_takes_the_reward_to_go_less_a_baseline():
    found, returns = Reinforce(baseline="none").advantages(experience(), REWARDS)
    assert returns is None
    np.testing.assert_allclose(found, [[1, 1, 0], [4, 4, 4], [2, 0, 0], [2, 2, 2]])
    found, _ = Reinforce(baseline="mean").advantages(experience(), REWARDS)
    np.testing.assert_allclose(found[1], 4 - 9 / 4)  # of 1, 4, 2, 2
    found, _ = Reinforce().advantages(experience(), REWARDS)
    np.testing.assert_allclose(found[1], 4 - 5 / 3)
    assert found[0, 2] == 0  # no advantage where there is no token
    Reinforce().check(2, 3)
    Reinforce(baseline="none").check(1, 3)
    with pytest.raises(ConfigError, match="one response has no others"):
        Reinforce().check(1, 3)


@pytest.mark.parametrize("kind", [PPO, A2C, Reinforce])
@pytest.mark.parametrize("whiten", ["rewards", "advantages", "both"])
def test_one_response_may_be_one_token_which_cannot_be_whitened(kind, whiten):
    more = {"baseline": "none"} if kind is Reinforce else {}
    kind(whiten="none", **more).check(1, 3)
    kind(whiten=whiten, **more).check(2, 3)
    with pytest.raises(ConfigError, match=f"{kind.__name__}: a step has one .* not '{whiten}'"):
        kind(whiten=whiten, **more).check(1, 3)


def test_the_loss_of_reinforce_is_the_mean_over_responses():
    loss, _ = Reinforce().loss(now(4), batch(EACH))
    same(loss, losses.policy_gradient_loss(LOGP, EACH, COUNTED, "fixed", 4))
    loss, _ = Reinforce(entropy=0.1).loss(now(4), batch(EACH))
    wanted = losses.policy_gradient_loss(LOGP, EACH, COUNTED, "fixed", 4)
    same(loss, wanted + 0.1 * entropy_loss(LOGITS, 4))


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_actor_critics_take_gae_and_its_targets(kind):
    method = kind(gamma=0.9, lam=0.8)
    found, returns = method.advantages(experience(), REWARDS)
    np.testing.assert_allclose(found, losses.gae(REWARDS, VALUES, COUNTED, 0.9, 0.8))
    np.testing.assert_allclose(returns, found + VALUES)


def test_a2c_of_lambda_0_has_the_td_error():
    found, _ = A2C(lam=0.0).advantages(experience(), REWARDS)
    np.testing.assert_allclose(found, losses.td_errors(REWARDS, VALUES, COUNTED))
    whole, _ = A2C().advantages(experience(), REWARDS)
    to_go = Reinforce(baseline="none").advantages(experience(), REWARDS)[0]
    np.testing.assert_allclose(whole, np.where(COUNTED, to_go - VALUES, 0.0), atol=1e-12)


def test_the_loss_of_a2c_has_an_actor_and_a_critic():
    loss, found = A2C(value_weight=0.3, entropy=0.1).loss(now(4), batch(EACH))
    critic = losses.value_loss(NOW_VALUES, EACH + VALUES, COUNTED, "fixed", 4)
    actor = losses.policy_gradient_loss(LOGP, EACH, COUNTED, "fixed", 4)
    same(loss, actor + 0.3 * critic + 0.1 * entropy_loss(LOGITS, 4))
    same(found["value_loss"], critic)


def test_the_loss_of_ppo_is_clipped_twice():
    method = PPO(clip=0.1, clip_high=0.3, value_clip=0.05, value_weight=0.4, entropy=0.1)
    loss, found = method.loss(now(), batch(EACH))
    actor = losses.clipped_loss(LOGP, OLD, EACH, COUNTED, low=0.1, high=0.3)
    given = NOW_VALUES, VALUES, EACH + VALUES, COUNTED
    critic = losses.clipped_value_loss(*given, 0.05)
    same(loss, actor + 0.4 * critic + 0.1 * entropy_loss(LOGITS))
    same(found["value_loss"], critic)
    assert found["clip_fraction"] == clip_fraction(LOGP, OLD, EACH, COUNTED, 0.1, 0.3) > 0


def test_ppo_without_the_clipping_of_values_and_with_a_dual_clip():
    loss, found = PPO(value_clip=None, dual_clip=1.5, how="fixed").loss(now(4), batch(EACH))
    bounds = {"low": 0.2, "high": None, "bound": 1.5}
    actor = losses.clipped_loss(
        LOGP, OLD, EACH, COUNTED, dual_clipped_surrogate, "fixed", 4, **bounds
    )
    critic = losses.value_loss(NOW_VALUES, EACH + VALUES, COUNTED, "fixed", 4)
    same(loss, actor + 0.5 * critic)


def test_rloo_compares_with_the_others_of_the_group():
    found, returns = RLOO(group=2).advantages(experience(), REWARDS)
    assert found.tolist() == [-3.0, 3.0, 0.0, 0.0] and returns is None
    loss, _ = RLOO(group=2).loss(now(4), batch(WHOLE))
    same(loss, losses.rloo_loss(LOGP, WHOLE, COUNTED))


@pytest.mark.parametrize("kind", [GRPO, DAPO, GSPO, CISPO])
def test_advantages_of_groups_are_standardized(kind):
    """A group of equal rewards has advantages 0, and nothing is divided by 0."""
    found, _ = kind(group=2).advantages(experience(), REWARDS)
    np.testing.assert_allclose(found, [-1.5 / 1.5001, 1.5 / 1.5001, 0, 0], rtol=1e-12)
    assert (found[2:] == 0).all()


def test_without_the_standard_deviation():
    for method in (DrGRPO(group=2), GRPO(group=2, scale=False)):
        found, _ = method.advantages(experience(), REWARDS)
        assert found.tolist() == [-1.5, 1.5, 0.0, 0.0]


def test_grpo_is_its_loss_and_its_penalty():
    method = GRPO(clip=0.1)
    loss, found = method.loss(now(), batch(WHOLE))
    whole = loss + method.penalty(now(), batch(WHOLE), 0.3)
    same(whole, losses.grpo_loss(LOGP, OLD, REFERENCE, WHOLE, COUNTED, 0.3, 0.1))
    assert found["clip_fraction"] == clip_fraction(LOGP, OLD, WHOLE, COUNTED, 0.1)


def test_dr_grpo_divides_by_a_constant():
    loss, found = DrGRPO(clip=0.1).loss(now(), batch(WHOLE))
    same(loss, losses.dr_grpo_loss(LOGP, OLD, WHOLE, COUNTED, 3, 0.1))
    assert found["clip_fraction"] == clip_fraction(LOGP, OLD, WHOLE, COUNTED, 0.1)
    assert DrGRPO().unit(3) == 3 and GRPO().unit(3) == RLOO().unit(3) == 1


def test_dapo_clips_higher_and_charges_length():
    loss, found = DAPO(low=0.1, high=0.4).loss(now(), batch(WHOLE))
    same(loss, losses.dapo_loss(LOGP, OLD, WHOLE, COUNTED, 0.1, 0.4))
    assert found["clip_fraction"] == clip_fraction(LOGP, OLD, WHOLE, COUNTED, 0.1, 0.4)
    charged, _ = DAPO(group=2, buffer=2).advantages(experience(), REWARDS)
    # lengths 2 3 1 3 of at most 3: charged 1/2, 1, 0, 1; returns .5 3 2 1
    wanted = losses.group_advantages(np.array([[0.5, 3.0], [2.0, 1.0]])).reshape(-1)
    np.testing.assert_allclose(charged, wanted, rtol=1e-12)


def test_gspo_has_one_ratio_for_a_response():
    loss, found = GSPO(low=0.1, high=0.2).loss(now(), batch(WHOLE))
    same(loss, losses.gspo_loss(LOGP, OLD, WHOLE, COUNTED, 0.1, 0.2))
    s = np.exp(((LOGP.data - OLD) * COUNTED).sum(axis=1) / COUNTED.sum(axis=1))
    still = (WHOLE > 0) & (s > 1.2) | (WHOLE < 0) & (s < 0.9)
    assert found["clip_fraction"] == still.mean()


def test_cispo_clips_weights():
    loss, _ = CISPO(low=0.1, high=0.3).loss(now(), batch(WHOLE))
    same(loss, losses.cispo_loss(LOGP, OLD, WHOLE, COUNTED, 0.1, 0.3))


def test_the_penalty_is_beta_times_the_mean_of_an_estimator():
    wanted = {
        "k1": losses.k1(LOGP, REFERENCE),
        "k2": losses.k2(LOGP, REFERENCE),
        "k3": losses.k3(LOGP, REFERENCE),
        "weighted_k3": losses.ratio(LOGP, OLD) * losses.k3(LOGP, REFERENCE),
    }
    assert set(wanted) == set(ESTIMATORS)
    for name, each in wanted.items():
        found = RLOO(kl=name).penalty(now(4), batch(WHOLE), 0.2)
        same(found, losses.kl_loss(each, COUNTED, 0.2, "fixed", 4))
    assert RLOO().penalty(now(4), batch(WHOLE), 0.2) == 0  # in the reward
    assert RLOO(kl="none").penalty(now(4), batch(WHOLE), 0.2) == 0


def test_who_needs_a_reference():
    assert RLOO().needs_reference and GRPO().needs_reference and RLOO(kl="k2").needs_reference
    assert not (DAPO().needs_reference or RLOO(kl="none").needs_reference)


def test_without_a_ratio_responses_are_read_once():
    for kind in (Reinforce, A2C, RLOO):
        with pytest.raises(ConfigError, match=f"{kind.__name__}: 2 epochs of 1 minibatches"):
            kind(epochs=2)
        with pytest.raises(ConfigError, match="1 epochs of 2 minibatches"):
            kind(minibatches=2)
    for kind in (PPO, GRPO, DrGRPO, DAPO, GSPO, CISPO):
        assert kind(epochs=2, minibatches=3).updates == 6


def test_responses_are_compared_with_one_other_at_least():
    for kind in (RLOO, GRPO, DrGRPO, DAPO, GSPO, CISPO):
        with pytest.raises(ConfigError, match="a group of 1: responses to a prompt are compared"):
            kind(group=1)
        assert kind(group=2).group == 2
    assert PPO(group=1).group == Reinforce(group=1).group == 1


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="kl must be one of reward, k1, k2, k3, weighted"):
        PPO(kl="k4")
    with pytest.raises(ConfigError, match="epochs must be a whole number, 1 or more, not True"):
        PPO(epochs=True)
    assert count(1) is None and count(0) and count(1.0)


# What each setting may be at its ends, and what it may not be.
ABOVE_0, SHARE, FROM_0 = ((1e-6, 9.0), (0.0,)), ((0, 1), (-1e-6, 1 + 1e-6)), ((0,), (-1e-6,))
RANGES = {
    Method: {"beta": FROM_0},
    Reinforce: {"entropy": FROM_0},
    A2C: {"gamma": SHARE, "lam": SHARE, "value_weight": FROM_0, "entropy": FROM_0},
    PPO: {"clip": ABOVE_0, "clip_high": ABOVE_0, "value_clip": ABOVE_0, "gamma": SHARE}
    | {"dual_clip": ((1 + 1e-6,), (1.0,)), "lam": SHARE}
    | {"value_weight": FROM_0, "entropy": FROM_0},
    GRPO: {"beta": FROM_0, "clip": ABOVE_0},
    DrGRPO: {"clip": ABOVE_0},
    DAPO: {"low": ABOVE_0, "high": ABOVE_0, "buffer": FROM_0, "draws": ((1,), (0,))},
    GSPO: {"low": ABOVE_0, "high": ABOVE_0},
    CISPO: {"low": ABOVE_0, "high": ABOVE_0},
}


@pytest.mark.parametrize("kind", RANGES, ids=lambda kind: kind.__name__)
def test_the_ends_of_a_range_belong_to_it_or_do_not(kind):
    for name, (accepted, refused) in RANGES[kind].items():
        for value in accepted:
            assert getattr(kind(**{name: value}), name) == value
        for value in refused:
            with pytest.raises(ConfigError, match=f"{name} must be"):
                kind(**{name: value})


def test_actor_critics_alone_have_a_value_model_and_dapo_alone_draws_again():
    assert {kind for kind in DEFAULTS if kind().critic} == {A2C, PPO}
    assert {kind: kind().draws for kind in DEFAULTS if kind().draws > 1} == {DAPO: 4}


DEFAULTS = {
    Method: {"group": 1, "kl": "reward", "beta": 0.05, "epochs": 1, "minibatches": 1},
    Reinforce: {"group": 1, "kl": "reward", "baseline": "leave_one_out", "entropy": 0.0},
    A2C: {"gamma": 1.0, "lam": 1.0, "value_weight": 0.5, "entropy": 0.0, "whiten": "none"},
    # Schulman et al. 2017 and Ziegler et al. 2019: epsilon .2, 4 epochs, gamma 1, lambda .95
    PPO: {"clip": 0.2, "epochs": 4, "gamma": 1.0, "lam": 0.95, "value_clip": 0.2, "how": "token"}
    | {"clip_high": None, "dual_clip": None, "whiten": "advantages", "entropy": 0.0, "group": 1},
    RLOO: {"group": 4, "kl": "reward", "how": "fixed"},
    GRPO: {"group": 8, "kl": "k3", "beta": 0.04, "clip": 0.2, "scale": True, "how": "sequence"},
    DrGRPO: {"group": 8, "kl": "none", "clip": 0.2, "how": "fixed"},
    DAPO: {"group": 8, "kl": "none", "low": 0.2, "high": 0.28, "draws": 4, "buffer": 0}
    | {"how": "token"},
    GSPO: {"group": 8, "kl": "none", "low": 3e-4, "high": 4e-4, "how": "sequence"},
    CISPO: {"group": 8, "kl": "none", "low": None, "high": 0.2, "how": "token"},
}


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_papers(kind):
    made = kind()
    assert {name: getattr(made, name) for name in DEFAULTS[kind]} == DEFAULTS[kind]


def test_a_buffer_longer_than_a_response_is_refused_before_anything_is_drawn():
    DAPO(buffer=3).check(8, 3)
    DAPO().check(8, 3)
    with pytest.raises(ConfigError, match="a buffer of 4 tokens is longer .* longest has 3"):
        DAPO(buffer=4).check(8, 3)
    with pytest.raises(ConfigError, match="whiten"):
        DAPO(whiten="rewards").check(1, 3)
