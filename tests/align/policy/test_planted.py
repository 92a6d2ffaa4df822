"""Errors planted in the losses of policies: each is found by the test that is named for it."""

import numpy as np
import pytest

from tests.align.policy import (
    test_advantages,
    test_baselines,
    test_clipping,
    test_critic,
    test_groups,
    test_kl,
    test_sequences,
    test_surrogates,
    test_trust_region,
)
from tinylm.align.aggregation import aggregate
from tinylm.align.policy import advantages, clipping, critic, groups, kl, surrogates
from tinylm.align.policy.baselines import mean_baseline
from tinylm.align.policy.trust_region import trpo_step
from tinylm.autograd import clip, exp, minimum

HAND = test_groups.test_advantages_by_hand
CISPO = test_sequences.test_cispo_keeps_the_gradient_of_what_it_clips
CONSTANTS = test_surrogates.test_no_gradient_reaches_advantages_and_old_log_probabilities


def zero_division(rewards, scale=True, eps=0.0, ddof=0):
    with np.errstate(invalid="ignore"):
        return groups.group_advantages(rewards, scale, 0.0, ddof)


def flowing(logp, A, counted, how="token", total=None):
    if not hasattr(A, "requires_grad"):
        return surrogates.policy_gradient_loss(logp, A, counted, how, total)
    return -aggregate(logp * A, counted, how, total)


def never_ended(rewards, values, counted, gamma=1.0, bootstrap=None):
    """The value after the end is that of the last token, as if every response had been cut."""
    last = np.asarray(values)[:, -1]
    return advantages.td_errors(rewards, values, counted, gamma, last)


def through_the_target(values, rewards, counted, gamma=1.0, semi_gradient=True, total=None):
    return critic.td_value_loss(values, rewards, counted, gamma, False, total)


def through_the_weight(logp, old, A, counted, low=None, high=0.2, how="token", total=None):
    weights = clip(surrogates.ratio(logp, old), None if low is None else 1 - low, 1 + high)
    return -aggregate(logp * weights * surrogates.per_token(A, logp), counted, how, total)


def summed_ratio(logp, old, counted):
    return exp(((logp - old) * counted).sum(axis=1))


def without_search(policy, rewards, delta=0.01, shrink=0.5, tries=20):
    return trpo_step(policy, rewards, delta * 4, shrink, tries)


class Backwards(kl.AdaptiveKL):
    def update(self, divergence, responses):
        return super().update(2 * self.target - divergence, responses)


# what, where the test looks the function up, its name, the wrong one, the test, its arguments
PLANTED = [
    (
        "the gradient flows into advantages",
        test_surrogates,
        "policy_gradient_loss",
        flowing,
        CONSTANTS,
    ),
    (
        "the ratio upside down",
        test_surrogates,
        "ratio",
        lambda logp, old: exp(old - logp),
        test_surrogates.test_the_ratio_makes_responses_of_another_policy_count_as_ones_own,
    ),
    (
        "the sign of the loss",
        test_surrogates,
        "policy_gradient_loss",
        lambda *given, **options: -surrogates.policy_gradient_loss(*given, **options),
        test_surrogates.test_one_number_for_a_response_is_that_number_for_each_of_its_tokens,
    ),
    (
        "the sample in its own baseline",
        test_baselines,
        "leave_one_out",
        mean_baseline,
        test_baselines.test_baselines_by_hand,
    ),
    (
        "a value after the end",
        test_advantages,
        "td_errors",
        never_ended,
        test_advantages.test_errors_of_the_worked_example,
    ),
    (
        "gamma or lambda left out",
        test_advantages,
        "gae",
        lambda rewards, values, counted, gamma=1.0, lam=0.95, bootstrap=None: advantages.gae(
            rewards, values, counted, gamma, 1.0, bootstrap
        ),
        test_advantages.test_advantages_of_the_worked_example,
        1.0,
        0.95,
        [0.7327125, 0.56075, 0.485, 0.3],
    ),
    (
        "whitened with what is masked",
        test_advantages,
        "whitened",
        lambda values, counted, shift=True: advantages.whitened(
            np.nan_to_num(values), np.ones_like(counted), shift
        ),
        test_advantages.test_whitened_values_have_mean_0_and_deviation_1_where_they_count,
    ),
    (
        "the target is differentiated",
        test_critic,
        "td_value_loss",
        through_the_target,
        test_critic.test_the_target_is_a_constant,
    ),
    (
        "the smaller of two errors of the critic",
        test_critic,
        "clipped_value_loss",
        lambda values, old, targets, counted, clip_at=0.2: aggregate(
            minimum((values - targets) ** 2, (old + clip(values - old, -0.2, 0.2) - targets) ** 2),
            counted,
        ),
        test_critic.test_a_value_that_has_moved_far_towards_its_target_has_no_gradient,
    ),
    (
        "clipping as it is printed",
        test_clipping,
        "clipped_surrogate",
        clipping.book_clipped_surrogate,
        test_clipping.test_the_upper_bound_may_be_another,
    ),
    (
        "only the clipped ratio",
        test_clipping,
        "clip_fraction",
        lambda logp, old, A, counted, low=0.2, high=None: float(
            (np.abs(np.exp(np.asarray(logp) - old) - 1) > low)[counted].mean()
        ),
        test_clipping.test_the_share_of_clipped_tokens,
    ),
    (
        "k3 with the other sign",
        test_kl,
        "k3",
        lambda logp, reference: kl.k3(
            2 * reference - logp.detach() + (logp.detach() - logp), reference
        ),
        test_kl.test_two_estimators_have_no_bias_and_one_has,
    ),
    (
        "a reward for leaving the reference",
        test_kl,
        "kl_in_reward",
        lambda rewards, logp, reference, counted, beta: kl.kl_in_reward(
            rewards, logp, reference, counted, -beta
        ),
        test_kl.test_the_penalty_in_the_reward_has_the_gradient_of_the_objective,
    ),
    (
        "k1 in the loss for k2",
        test_kl,
        "k2",
        kl.k1,
        test_kl.test_they_are_0_and_flat_at_the_reference_save_k1,
    ),
    (
        "beta falls when the divergence is above its target",
        test_kl,
        "AdaptiveKL",
        Backwards,
        test_kl.test_beta_follows_the_divergence,
    ),
    ("equal rewards are divided by 0", test_groups, "group_advantages", zero_division, HAND),
    (
        "a mean over tokens for a constant",
        test_groups,
        "dr_grpo_loss",
        lambda logp, old, A, counted, longest, clip_at=0.2, total=None: groups.dapo_loss(
            logp, old, A, counted, clip_at, clip_at
        ),
        test_groups.test_dr_grpo_shrinks_it_by_its_own_share_and_by_its_constant,
        2,
    ),
    (
        "each part divided by its own count",
        test_groups,
        "dapo_loss",
        lambda logp, old, A, counted, low=0.2, high=0.28, total=None: groups.dapo_loss(
            logp, old, A, counted, low, high
        ),
        test_groups.test_parts_of_a_batch_add_up,
        4,
    ),
    (
        "the ratio of a response is a product",
        test_sequences,
        "sequence_ratio",
        summed_ratio,
        test_sequences.test_the_ratio_of_a_response_is_a_geometric_mean,
    ),
    ("the gradient flows into the weight", test_sequences, "cispo_loss", through_the_weight, CISPO),
    (
        "tokens are clipped for responses",
        test_sequences,
        "gspo_loss",
        lambda logp, old, A, counted, low=3e-4, high=4e-4, total=None: clipping.clipped_loss(
            logp, old, A, counted, how="sequence", total=total, low=low, high=high
        ),
        test_sequences.test_whole_responses_are_clipped,
    ),
    (
        "PPO's clipping for CISPO's",
        test_sequences,
        "cispo_loss",
        lambda logp, old, A, counted, low=None, high=0.2, how="token", total=None: (
            clipping.clipped_loss(logp, old, A, counted, how=how, total=total, high=high)
        ),
        CISPO,
    ),
    (
        "a step twice too long",
        test_trust_region,
        "trpo_step",
        without_search,
        test_trust_region.test_a_step_gains_within_its_bound,
        "table",
        0.01,
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=[planted[0] for planted in PLANTED])
def test_every_planted_error_is_found(monkeypatch, planted):
    _, module, name, wrong, test, *given = planted
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        test(*given)


@pytest.mark.parametrize("planted", PLANTED, ids=[planted[0] for planted in PLANTED])
def test_without_the_error_the_same_test_passes(planted):
    planted[4](*planted[5:])
