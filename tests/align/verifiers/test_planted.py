"""Errors planted in verifiers: each is found by the test that is named for it."""

import numpy as np
import pytest

from tests.align.verifiers import test_outcome, test_paths, test_scorers, test_selection
from tinylm.align.constant import constant
from tinylm.align.verifiers import outcome, paths, selection
from tinylm.autograd import softplus
from tinylm.pretrain.batch import IGNORE


def terms(logits, right):
    return softplus(logits) - logits * constant(right, logits)[:, None]


def over_all_tokens(logits, right, counted):
    return (terms(logits, right) * counted).sum() / counted.sum()


def over_padding_too(logits, right, counted):
    return (terms(logits, right) * counted).mean()


def labels_reversed(logits, right, counted):
    return outcome.verification_loss(logits, 1 - np.asarray(right), counted)


def labels_with_gradient(logits, right, counted):
    if not hasattr(right, "requires_grad"):
        return outcome.verification_loss(logits, right, counted)
    return (softplus(logits) - logits * right.reshape(-1, 1)).mean()


def batch_changed(**changes):
    """OutcomeVerification whose batches have a field changed."""
    real = outcome.OutcomeVerification

    class Wrong(real):
        def make_batch(self, examples, rng=None):
            batch = real.make_batch(self, examples, rng)
            for name, change in changes.items():
                object.__setattr__(batch, name, change(batch, examples))
            return batch

    return Wrong


def shifted_never(batch, examples):
    return np.where(batch.targets != IGNORE, batch.inputs, IGNORE)


def question_judged(batch, examples):
    judged = np.array([one.right is not None for one in examples])
    return batch.mask & judged[:, None]


def wrong_imitated(batch, examples):
    targets = np.full_like(batch.targets, IGNORE)
    for row, one in enumerate(examples):
        targets[row, one.start - 1 : len(one.ids) - 1] = one.ids[one.start :]
    return targets


def first_of_equals(scores, right):
    scores, right = np.asarray(scores, float), np.asarray(right, float)
    return np.take_along_axis(right, scores.argmax(-1)[..., None], -1)[..., 0]


MEAN = test_outcome.test_the_loss_is_the_mean_over_paths_of_the_mean_over_their_tokens
JUDGED = test_outcome.test_every_token_of_a_path_is_judged_and_none_of_its_question
READ = test_outcome.test_the_language_objective_reads_paths_that_are_not_wrong

# what, where the test looks it up, its name, the wrong one, the test, its arguments
PLANTED = [
    ("a mean over all tokens", test_outcome, "verification_loss", over_all_tokens, MEAN),
    ("a mean over padding", test_outcome, "verification_loss", over_padding_too, MEAN),
    ("labels reversed", test_outcome, "verification_loss", labels_reversed, MEAN),
    (
        "labels with a gradient",
        test_outcome,
        "verification_loss",
        labels_with_gradient,
        test_outcome.test_labels_get_no_gradient,
    ),
    (
        "the question is judged",
        test_outcome,
        "OutcomeVerification",
        batch_changed(counted=question_judged),
        JUDGED,
    ),
    (
        "targets never shifted",
        test_outcome,
        "OutcomeVerification",
        batch_changed(targets=shifted_never),
        READ,
    ),
    (
        "wrong paths are imitated",
        test_outcome,
        "OutcomeVerification",
        batch_changed(targets=wrong_imitated),
        READ,
    ),
    (
        "steps after an error keep their labels",
        test_paths,
        "labeled_parts",
        lambda steps, after_error=False: paths.labeled_parts(steps, True),
        test_paths.test_after_the_first_error_labels_are_of_no_use,
    ),
    (
        "a long path is worse than its weakest step",
        test_scorers,
        "OF_STEPS",
        {**test_scorers.OF_STEPS, "least": test_scorers.OF_STEPS["product"]},
        test_scorers.test_a_path_is_as_good_as_its_steps,
        "least",
        0.5,
    ),
    (
        "of equals the first",
        test_selection,
        "best_is_right",
        first_of_equals,
        test_selection.test_equal_scores_are_drawn_at_random,
    ),
    (
        "a vote without weights",
        test_selection,
        "vote_is_right",
        lambda answers, right, weights=None: selection.vote_is_right(answers, right),
        test_selection.test_weights_decide_a_vote,
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
