"""Best-of-n over its three sets of candidates; the samples follow the exact law."""

import sys

import numpy as np
import pytest

from tinylm.align.inference import (
    Candidate,
    best_candidate,
    best_of_n,
    best_of_n_law,
    every_response,
    log_linear,
    rerank,
    reward_vote,
)
from tinylm.align.inference.best_of_n import beam, most_probable, sampled
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import EnumerableLM, conditional_logprob

LM = EnumerableLM.random(3, 3, seed=4)
ENDING = EnumerableLM.random(3, 3, seed=4, eos=2)


def reward(prompt, tokens):
    """A number of its own for every string of up to three tokens."""
    return sum((token + 1) * weight for token, weight in zip(tokens, (1.0, -2.3, 0.7)))


def test_every_response_is_listed_once_and_in_order():
    found = every_response(LM, [0], 3)
    assert len({one.tokens for one in found}) == 27
    assert np.exp([one.logprob for one in found]).sum() == pytest.approx(1)
    assert (np.diff([one.logprob for one in found]) <= 0).all()
    for one in found[:3]:
        assert one.logprob == pytest.approx(conditional_logprob(LM, [0], one.tokens))


def test_responses_that_end_early_are_listed_once():
    """(2), (0 2), (1 2), and 4 beginnings x 3 last tokens; the prompt's own 2 is no end."""
    for start in (0, 2):
        found = every_response(ENDING, [start], 3, eos=2)
        assert len(found) == len({one.tokens for one in found}) == 1 + 2 + 12
        assert np.exp([one.logprob for one in found]).sum() == pytest.approx(1)
        assert all(2 not in one.tokens[:-1] for one in found)


def test_too_many_strings_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"3\^11 strings are too many"):
        every_response(LM, [0], 11)
    # as many as are allowed are listed: 3^2 of 9, and not of 8
    module = sys.modules[every_response.__module__]
    monkeypatch.setattr(module, "MOST_STRINGS", 9)
    assert len(every_response(LM, [0], 2)) == 9
    monkeypatch.setattr(module, "MOST_STRINGS", 8)
    with pytest.raises(ConfigError, match="too many"):
        every_response(LM, [0], 2)


@pytest.mark.parametrize("lm, eos", [(LM, None), (ENDING, 2)])
def test_a_wide_beam_finds_the_true_top_n(lm, eos):
    """Width 27 holds all strings; a beam of width 1 is greedy search, which is something else."""
    wide = beam(lm, [0], 5, 3, eos=eos, width=27)
    assert [one.tokens for one in wide] == [
        one.tokens for one in most_probable(lm, [0], 5, 3, eos=eos)
    ]
    assert wide[0].logprob == pytest.approx(most_probable(lm, [0], 1, 3, eos=eos)[0].logprob)
    assert len(beam(lm, [0], 4, 3, eos=eos)) == 4


@pytest.mark.parametrize("generator", ["sample", "beam", "topn_exact"])
def test_the_best_has_the_greatest_reward_of_its_list(generator):
    found = best_of_n(LM, [0], reward, 6, 3, generator=generator)
    assert len(found.candidates) == len(found.rewards) == 6
    assert found.reward == found.rewards.max() == reward([0], found.tokens)
    assert found.tokens in [one.tokens for one in found.candidates]
    for one, value in zip(found.candidates, found.rewards):
        assert value == reward([0], one.tokens)
        assert one.logprob == pytest.approx(conditional_logprob(LM, [0], one.tokens))


def test_the_three_sets_of_candidates_differ():
    sets = {
        tuple(one.tokens for one in best_of_n(LM, [0], reward, 6, 3, generator=name).candidates)
        for name in ("sample", "topn_exact")
    }
    assert len(sets) == 2
    named = best_of_n(LM, [0], reward, 6, 3, generator="sample")
    assert best_of_n(LM, [0], reward, 6, 3).candidates == named.candidates


def test_all_strings_give_the_best_string_of_all():
    best = best_of_n(LM, [0], reward, 27, 3, generator="topn_exact")
    assert best.reward == max(reward([0], one.tokens) for one in every_response(LM, [0], 3))


def test_one_sample_is_the_policy_and_more_follow_the_law():
    """400 draws of the best of 2 among 9 strings: each share within 5 deviations, .5 / 20."""
    listing = every_response(LM, [0], 2)
    p, r = np.exp([one.logprob for one in listing]), [reward([0], one.tokens) for one in listing]
    law = best_of_n_law(p, r, 2)
    place = {one.tokens: i for i, one in enumerate(listing)}
    pool = sampled(LM, [0], 800, 2, seed=11)
    counts = np.zeros(9)
    for i in range(0, 800, 2):
        pair = pool[i : i + 2]
        best = best_candidate(pair, [reward([0], one.tokens) for one in pair])
        counts[place[best.tokens]] += 1
    deviation = np.sqrt(law * (1 - law) / 400)
    assert (np.abs(counts / 400 - law) < 5 * deviation + 1e-12).all()
    one = best_of_n(LM, [0], reward, 1, 2, seed=11)
    assert one.tokens == pool[0].tokens


def test_samples_are_independent_and_repeatable():
    found = sampled(LM, [0], 4, 3, seed=5)
    assert found == sampled(LM, [0], 4, 3, seed=5)
    assert sampled(LM, [0], 4, 3) == sampled(LM, [0], 4, 3, seed=0)  # unless it is given
    assert [one.tokens for one in found[1:]] == [
        one.tokens for one in sampled(LM, [0], 3, 3, seed=6)
    ]
    assert len({one.tokens for one in sampled(LM, [0], 4, 3, temperature=0.0)}) == 1  # greedy
    assert all(2 not in one.tokens[:-1] for one in sampled(ENDING, [0], 20, 3, eos=2))


def test_of_equal_rewards_the_first_is_taken():
    candidates = [Candidate((i,), -1.0) for i in range(4)]
    assert best_candidate(candidates, [0, 2, 2, 1]).tokens == (1,)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="sample, beam, topn_exact"):
        best_of_n(LM, [0], reward, 2, 3, generator="top")
    with pytest.raises(ConfigError, match="n = 0"):
        best_of_n(LM, [0], reward, 0, 3)
    with pytest.raises(DataError, match=r"the reward of \(1,\) is nan"):
        best_candidate([Candidate((0,), -1.0), Candidate((1,), -1.0)], [0.0, np.nan])


# Re-ranking.


def test_weights_on_the_model_alone_keep_its_order():
    found = every_response(LM, [0], 3)
    ranked = rerank(found, [lambda one: one.logprob, lambda one: len(one.tokens)], [1.0, 0.0])
    assert [one for _, one in ranked] == found


def test_scores_are_added_with_their_weights():
    candidates = [Candidate((0,), -1.0), Candidate((1, 1), -2.0)]
    scorers = [lambda one: one.logprob, lambda one: len(one.tokens)]
    assert log_linear(scorers, [2.0, 0.5])(candidates[1]) == 2 * -2 + 0.5 * 2
    ranked = rerank(candidates, scorers, [1.0, 3.0])
    assert ranked == [(4.0, candidates[1]), (2.0, candidates[0])]


def test_a_scorer_of_weight_zero_is_not_called():
    def never(candidate):
        raise AssertionError

    assert log_linear([never, len], [0, 1])("ab") == 2
    with pytest.raises(ShapeError, match="1 weights for 2 scorers"):
        log_linear([len, len], [1.0])


def test_a_vote_by_reward_lies_between_a_plain_vote_and_best_of_n():
    values, rewards = ["a", "a", "b"], [0.0, 0.0, 1.0]
    assert reward_vote(values, rewards, beta=1e9).value == "a"
    assert reward_vote(values, rewards, beta=0.1).value == "b"
    # e^1 against 2, and beta is 1
    assert reward_vote(values, rewards).value == "b"
    assert reward_vote(values, rewards).confidence == pytest.approx(np.e / (np.e + 2))
    assert reward_vote(values, [1000.0, 0.0, 0.0]).confidence == 1  # no overflow
    assert reward_vote(values, [0.0, 0.0, 1.0], beta=2.0).value == "a"
