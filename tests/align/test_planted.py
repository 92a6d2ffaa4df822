"""Errors planted in log-probabilities and means: each is found by the test that is named for it."""

import numpy as np
import pytest

from tests.align import test_aggregation, test_logprobs
from tinylm.align.aggregation import aggregate
from tinylm.align.logprobs import response_logprobs, summed
from tinylm.autograd import sum as sum_
from tinylm.pretrain.batch import IGNORE, Batch


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


TOKENS = test_logprobs.test_each_token_has_the_log_of_its_probability_given_all_before_it
SUMS = test_logprobs.test_sums_and_means_are_over_the_tokens_of_the_response
EACH_MEAN = test_aggregation.test_what_each_mean_is_a_mean_of
PARTS = test_aggregation.test_parts_add_up_to_the_whole_when_they_divide_by_its_count

# what, where the test looks the function up, its name, the wrong one, the test, its arguments
PLANTED = [
    ("labels shifted twice", test_logprobs, "response_logprobs", changed(shifted_again), TOKENS),
    ("labels never shifted", test_logprobs, "response_logprobs", changed(never_shifted), TOKENS),
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
]


@pytest.mark.parametrize("planted", PLANTED, ids=[planted[0] for planted in PLANTED])
def test_every_planted_error_is_found(monkeypatch, planted):
    _, module, name, wrong, test, *given = planted
    test(*given)  # right as it is
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        test(*given)
