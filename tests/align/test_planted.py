"""Errors planted in log-probabilities, means and their counts: each is found by the test that is
named for it.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.align import test_aggregation, test_logprobs
from tests.align.rlhf import test_trajectories as policy_trajectories
from tests.align.weak_to_strong import test_confidence
from tests.finetune.instruct import test_instructions
from tests.finetune.instruct import test_trajectories as sft_trajectories
from tests.finetune.instruct.talks import END
from tinylm.align.aggregation import aggregate
from tinylm.align.logprobs import response_logprobs, summed
from tinylm.autograd import sum as sum_
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.train import step, trainer
from tinylm.train.alone import ALONE


def changed(change):
    """response_logprobs() of another batch."""
    return lambda model, batch, temperature=1.0: response_logprobs(
        model, change(batch), temperature
    )


def shifted_again(batch):
    targets = np.where(batch.targets != IGNORE, np.roll(batch.inputs, -2, axis=1), IGNORE)
    return Batch(batch.inputs, targets)


def never_shifted(batch):
    return Batch(batch.inputs, np.where(batch.targets != IGNORE, batch.inputs, IGNORE))


def with_prompt(batch):
    targets = np.roll(batch.inputs, -1, axis=1)
    targets[batch.targets != IGNORE] = batch.targets[batch.targets != IGNORE]
    return Batch(batch.inputs, targets)


def padding_seen(batch):
    return Batch(batch.inputs, batch.targets)


def packed_without_walls(batch):
    return Batch(batch.inputs, batch.targets)


def end_is_padding(batch, end=0):
    """Labels are masked wherever they are the padding, here the end mark: 0 in test_logprobs."""
    return replace(batch, targets=np.where(batch.targets == end, IGNORE, batch.targets))


class EndIsPadding(InstructionTuning):
    """Instruction tuning that pads with the end mark and masks every label that is one."""

    def make_batch(self, examples, rng=None):
        return end_is_padding(super().make_batch(examples, rng), END)


class WithoutCounts:
    """A communicator that gives every worker `total` in place of the targets of the whole batch."""

    def __init__(self, comm, total):
        self.comm, self.total = comm, total

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def all_reduce(self, found):
        loss, square, _, *stops = self.comm.all_reduce(found)
        return np.array([loss, square, self.total, *stops])


def mean_of_own(model, objective, flat, batch, first, total, micro_batch, comm, streams):
    """share_of_gradient() that divides by the worker's own targets, and by the workers."""
    given = model, objective, flat, batch, first, total, micro_batch, comm, streams
    return step.share_of_gradient(*given, tokens=batch.tokens * comm.size)


def by_own_count(*given, train_step=step.train_step):
    """train_step() of workers that each take the mean over their own targets, and then the mean of
    these means.
    """
    total, comm = given[5], given[9]
    return train_step(*given[:9], WithoutCounts(comm, total), *given[10:12], mean_of_own)


def of_own_rows(objective, model, parts, comm, whole_batch=step.whole_batch):
    """What is of the whole batch, such as a threshold, of a worker's own rows instead."""
    return whole_batch(objective, model, parts, ALONE)


TOKENS = test_logprobs.test_each_token_has_the_log_of_its_probability_given_all_before_it
SUMS = test_logprobs.test_sums_and_means_are_over_the_tokens_of_the_response
EACH_MEAN = test_aggregation.test_what_each_mean_is_a_mean_of
PARTS = test_aggregation.test_parts_add_up_to_the_whole_when_they_divide_by_its_count
LEARNS = test_instructions.test_it_learns_to_answer_and_to_end


def two_workers_tune():
    sft_trajectories.test_two_workers_are_one(sft_trajectories.trajectory())


def two_workers_run_ppo():
    found = policy_trajectories.trajectory(method="ppo")
    policy_trajectories.test_two_workers_are_one(("ppo", found))


def two_workers_may_disagree():
    test_confidence.test_two_workers_are_one(test_confidence.confident_trajectory())


# what, where the test looks the function up, its name, the wrong one, the test, its arguments
PLANTED = [
    ("labels shifted twice", test_logprobs, "response_logprobs", changed(shifted_again), TOKENS),
    ("labels never shifted", test_logprobs, "response_logprobs", changed(never_shifted), TOKENS),
    ("pad token = end token", test_logprobs, "response_logprobs", changed(end_is_padding), TOKENS),
    ("pad token = end token in SFT", test_instructions, "InstructionTuning", EndIsPadding, LEARNS),
    ("prompt tokens counted", test_logprobs, "response_logprobs", changed(with_prompt), TOKENS),
    (
        "padding at the left is read",
        test_logprobs,
        "response_logprobs",
        changed(padding_seen),
        test_logprobs.test_padding_at_the_left_equals_padding_at_the_right,
        "rope",
    ),
    (
        "packed conversations see each other",
        test_logprobs,
        "response_logprobs",
        lambda model, batch, temperature=1.0: response_logprobs(
            model, batch if batch.segments is None else packed_without_walls(batch)
        ),
        test_logprobs.test_packed_rows_hold_the_responses_of_rows_of_one,
    ),
    (
        "the temperature of sampling is left out",
        test_logprobs,
        "response_logprobs",
        lambda model, batch, temperature=1.0: response_logprobs(model, batch),
        test_logprobs.test_a_temperature_gives_the_distribution_that_is_sampled,
    ),
    (
        "old log-probabilities with dropout on",
        test_logprobs,
        "frozen_logprobs",
        lambda model, batch, temperature: (
            (found := response_logprobs(model, batch, temperature))[0].data,
            found[1],
        ),
        test_logprobs.test_frozen_log_probabilities_are_arrays_without_dropout,
    ),
    (
        "the mean over the padded length",
        test_logprobs,
        "averaged",
        lambda logp, counted: summed(logp, counted) / logp.shape[1],
        SUMS,
    ),
    ("a sum for a mean", test_logprobs, "averaged", summed, SUMS),
    (
        "a mean for a sum",
        test_logprobs,
        "summed",
        lambda logp, counted: sum_(logp, axis=1) / counted.sum(axis=1),
        SUMS,
    ),
    (
        "a masked sum over an unmasked count",
        test_aggregation,
        "aggregate",
        lambda values, counted, how, total: aggregate(values, counted, "fixed", counted.size),
        EACH_MEAN,
        "token",
        None,
        10 / 4,
    ),
    (
        "the mean over tokens where responses weigh the same",
        test_aggregation,
        "aggregate",
        lambda values, counted, how, total: aggregate(values, counted, "token", total),
        EACH_MEAN,
        "sequence",
        None,
        2.0,
    ),
    *(
        (
            f"each part divided by its own count: {how}",
            test_aggregation,
            "aggregate",
            lambda values, counted, how="token", total=None: aggregate(values, counted, how),
            PARTS,
            how,
            total,
        )
        for how, total in (("token", 4), ("sequence", 2))
    ),
    ("a worker's own count: SFT", trainer, "train_step", by_own_count, two_workers_tune),
    ("a worker's own count: PPO", trainer, "train_step", by_own_count, two_workers_run_ppo),
    (
        "a threshold of a worker's own rows",
        step,
        "whole_batch",
        of_own_rows,
        two_workers_may_disagree,
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=[planted[0] for planted in PLANTED])
def test_every_planted_error_is_found(monkeypatch, planted):
    _, module, name, wrong, test, *given = planted
    test(*given)  # right as it is
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        test(*given)
