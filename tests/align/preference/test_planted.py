"""Errors planted in losses of pairs: each is found by the test that is named for it."""

import math
from dataclasses import replace

import pytest

from tests.align.feedback import test_pairs
from tests.align.preference import test_losses, test_tuning
from tinylm.align.feedback.pairs import EncodedPair, LeftOut, encode_pairs
from tinylm.align.preference import LOSSES, simpo
from tinylm.finetune.instruct.conversations import Encoded


def compared_before_they_are_cut(tokenizer, template, pairs, limit=None, begin=None):
    """encode_pairs() that looks for equal answers first, and cuts afterwards."""
    examples, left = encode_pairs(tokenizer, template, pairs, None, begin)
    kept, cut = [], []
    for number, pair in enumerate(examples):
        texts = [
            Encoded(one.ids[:limit], one.answer[:limit]) for one in (pair.chosen, pair.rejected)
        ]
        if limit is not None and max(len(pair.chosen), len(pair.rejected)) > limit:
            cut.append(number)
        kept.append(EncodedPair(*texts))
    return kept, LeftOut(tuple(cut), left.identical)


def margin_within_beta(chosen, rejected, beta=2.0, gamma=1.0):
    """The margin multiplied by beta, as if gamma stood beside the log-probabilities."""
    return simpo(chosen, rejected, beta=beta, gamma=beta * gamma)


def share_of_beta(chosen, rejected, beta=2.0, gamma=1.0):
    """gamma / beta where gamma is meant."""
    return simpo(chosen, rejected, beta=beta, gamma=gamma / beta)


@pytest.mark.parametrize("name, mean", [("ipo", False), ("orpo", False), ("simpo", False)])
def test_sums_in_a_loss_of_means_are_found(name, mean, monkeypatch):
    killer = test_tuning.test_a_loss_is_that_of_answers_scored_one_by_one
    killer(name)  # right as it is
    monkeypatch.setitem(LOSSES, name, replace(LOSSES[name], mean=mean))
    with pytest.raises(AssertionError):
        killer(name)


@pytest.mark.parametrize("name", ["dpo", "hinge", "cpo", "slic", "apo-zero"])
def test_means_in_a_loss_of_sums_are_found(name, monkeypatch):
    killer = test_tuning.test_a_loss_is_that_of_answers_scored_one_by_one
    killer(name)
    monkeypatch.setitem(LOSSES, name, replace(LOSSES[name], mean=True))
    with pytest.raises(AssertionError):
        killer(name)


@pytest.mark.parametrize("wrong", [margin_within_beta, share_of_beta])
def test_a_margin_of_simpo_in_the_wrong_place_is_found(wrong):
    killer = test_losses.test_a_loss_without_reference_is_its_formula
    given = {"beta": 3.0, "gamma": 0.6}, math.log(1 + math.exp(0.6 - 3 * 0.5))
    killer(simpo, *given)
    with pytest.raises(AssertionError):
        killer(wrong, *given)


def test_pairs_that_are_equal_once_they_are_cut_are_found(monkeypatch):
    killer = test_pairs.test_a_pair_that_is_cut_to_the_same_text_is_counted_and_left_out
    killer()
    monkeypatch.setattr(test_pairs, "encode_pairs", compared_before_they_are_cut)
    with pytest.raises(AssertionError):
        killer()
