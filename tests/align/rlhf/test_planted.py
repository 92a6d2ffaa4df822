"""Errors planted in the trainers of policies: each is found by the test that is named for it."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from tests.align.rlhf import (
    test_collect,
    test_experience,
    test_models,
    test_objective,
    test_rollout,
    test_trainer,
)
from tests.align.rlhf.methods import test_methods
from tinylm.align.logprobs import response_logprobs
from tinylm.align.policy import policy_gradient_loss
from tinylm.align.policy.groups import group_advantages, informative, rloo_advantages
from tinylm.align.rlhf import collect, experience, models, objective, rollout
from tinylm.align.rlhf.methods import grpo, method, on_policy
from tinylm.align.rlhf.trainer import PolicyTrainer
from tinylm.errors import TinylmError
from tinylm.generate.loop import generate_rows

place, in_reward, frozen = (
    experience.place_terminal_reward,
    experience.kl_in_reward,
    experience.frozen_logprobs,
)
roll_out, make_batch, load_state = (
    rollout.roll_out,
    experience.make_policy_batch,
    PolicyTrainer.load_state,
)


def with_dropout(model, batch, temperature=1.0):
    logp, counted = response_logprobs(model, batch, temperature)
    return logp.data, counted


def forced_end(*given, eos=None, **options):
    found = roll_out(*given, eos=eos, **options)
    ids = np.where(found.truncated[:, None] & (np.arange(found.ids.shape[1]) == 3), 0, found.ids)
    return replace(found, ids=ids)


def end_is_padding(*given, **options):
    found = roll_out(*given, **options)
    return replace(found, counted=found.ids != 0)


def most_probable(*given, **options):
    return rollout_with(top_k=1)(*given, **options)


def rollout_with(**sampling):
    def drawn(*given, **options):
        generate_rows = rollout.generate_rows
        rollout.generate_rows = lambda *a, **more: generate_rows(*a, **more, **sampling)
        try:
            return roll_out(*given, **options)
        finally:
            rollout.generate_rows = generate_rows

    return drawn


def unmasked_count(samples, per_token=True):
    batch = make_batch(samples, per_token)
    return replace(batch, weight=np.full(len(samples), batch.targets.shape[1]))


def late_values(model, examples, batch_size):
    rows = values(model, examples, batch_size)
    return [np.append(row[1:], row[-1]) for row in rows]


values = experience._values


def flowing(self, now, batch):
    loss = policy_gradient_loss(now.logp, batch.advantages, now.counted, "fixed", now.total)
    advantages = now.values.detach() * 0 + batch.returns - now.values
    return loss - (now.logp * advantages).sum(), {}


def zero_division(rewards, scale=True):
    with np.errstate(invalid="ignore"):
        return group_advantages(rewards, scale, 0.0)


def mixed_prompts(self, experience, rewards):
    groups = rewards.sum(axis=1).reshape(self.group, -1).T  # as if prompts stood together
    return rloo_advantages(groups).T.reshape(-1), None


def forgets_draws(self, *given):
    load_state(self, *given)
    self.collector.draws = 0


def forgets_beta(self, *given):
    load_state(self, *given)
    if self.kl is not None:
        self.kl.beta = self.method.beta


ENDS = test_rollout.test_a_response_ends_with_its_mark_or_is_truncated
STANDS = test_experience.test_the_reward_stands_at_the_last_token_and_the_penalty_at_every_one
PARTS = test_objective.test_parts_of_a_minibatch_add_up
RESUMED = test_trainer.test_a_resumed_training_is_one_that_never_stopped
TOKENS = test_objective.PPO(whiten="none")

# what, where the program looks it up, its name, the wrong one, the test, its arguments
PLANTED = [
    (
        "old log-probabilities with dropout on",
        experience,
        "frozen_logprobs",
        with_dropout,
        test_experience.test_old_log_probabilities_are_taken_without_dropout,
    ),
    (
        "dropout on in the update",
        objective,
        "evaluating",
        contextlib.nullcontext,
        test_objective.test_dropout_is_off_in_the_ratio,
    ),
    (
        "the temperature in sampling only",
        experience,
        "frozen_logprobs",
        lambda model, batch, temperature: frozen(model, batch),
        test_experience.test_the_temperature_of_sampling_is_that_of_the_log_probabilities,
    ),
    (
        "truncated sampling",
        test_rollout,
        "roll_out",
        most_probable,
        test_rollout.test_responses_follow_the_policy_at_its_temperature,
        1.0,
    ),
    (
        "log-probabilities of the sampler at temperature 1, whatever it drew at",
        rollout,
        "generate_rows",
        lambda *given, **options: [
            replace(row, drawn=row.logprobs) for row in generate_rows(*given, **options)
        ],
        test_rollout.test_log_probabilities_while_drawing_are_those_of_a_forward_pass,
        0.4,
    ),
    (
        "one random stream for all rows",
        test_rollout,
        "row_streams",
        lambda seed, draw, first, stop: [seed] * (stop - first),
        test_rollout.test_the_streams_of_rows_do_not_depend_on_who_draws_them,
    ),
    ("a forced end on truncated samples", test_rollout, "roll_out", forced_end, ENDS),
    (
        "padding that is the end mark hides the end",
        test_rollout,
        "roll_out",
        end_is_padding,
        test_rollout.test_the_end_mark_may_be_the_id_that_fills_the_batch,
    ),
    (
        "the reward one past the end",
        experience,
        "place_terminal_reward",
        lambda *given: np.roll(place(*given), 1, axis=1),
        STANDS,
    ),
    (
        "the penalty with the other sign",
        experience,
        "kl_in_reward",
        lambda rewards, logp, reference, counted, beta: in_reward(
            rewards, logp, reference, counted, -beta
        ),
        STANDS,
    ),
    (
        "the penalty in reward and loss",
        method,
        "ESTIMATORS",
        {**method.ESTIMATORS, "reward": method.ESTIMATORS["k2"]},
        test_objective.test_a_penalty_in_the_reward_is_not_in_the_loss_too,
    ),
    (
        "token means weighed by rows",
        objective,
        "make_policy_batch",
        lambda samples, per_token: make_batch(samples, False),
        PARTS,
        TOKENS,
    ),
    (
        "a masked sum over an unmasked count",
        objective,
        "make_policy_batch",
        unmasked_count,
        PARTS,
        TOKENS,
    ),
    (
        "the gradient of advantages flows to the critic",
        on_policy.A2C,
        "loss",
        flowing,
        test_objective.test_no_gradient_reaches_the_critic_through_advantages,
        on_policy.A2C(value_weight=0.0),
    ),
    (
        "a group of equal rewards divides by 0",
        grpo,
        "group_advantages",
        zero_division,
        test_methods.test_advantages_of_groups_are_standardized,
        grpo.GRPO,
    ),
    (
        "responses to several prompts are one group",
        on_policy.RLOO,
        "advantages",
        mixed_prompts,
        test_methods.test_rloo_compares_with_the_others_of_the_group,
    ),
    (
        "values of the state after each token",
        experience,
        "_values",
        late_values,
        test_experience.test_values_are_of_the_state_before_each_token,
    ),
    (
        "the reference is the policy itself",
        models.copy,
        "deepcopy",
        lambda model: model,
        test_models.test_the_reference_begins_as_the_policy_and_is_frozen,
    ),
    (
        "frozen models are not compared",
        models.FourModels,
        "check_frozen",
        lambda self: None,
        test_models.test_a_reference_that_moves_ends_the_training,
    ),
    (
        "the first ratio is not checked",
        objective,
        "check_first_ratio",
        lambda *given: 0.0,
        test_objective.test_before_the_first_update_every_ratio_is_1,
    ),
    (
        "groups that teach nothing are kept",
        collect,
        "informative",
        lambda scores: ~informative(scores),
        test_collect.test_groups_that_teach_nothing_are_drawn_again,
    ),
    (
        "a resumed training draws again from the first stream",
        PolicyTrainer,
        "load_state",
        forgets_draws,
        RESUMED,
        "dapo",
    ),
    (
        "a resumed training forgets the adaptive coefficient",
        PolicyTrainer,
        "load_state",
        forgets_beta,
        RESUMED,
        "ppo",
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=[planted[0] for planted in PLANTED])
def test_every_planted_error_is_found(monkeypatch, planted):
    _, where, name, wrong, test, *given = planted
    test(*given)  # right as it is
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises((AssertionError, TinylmError, pytest.fail.Exception)):
        test(*given)
