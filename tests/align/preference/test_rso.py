"""RSO's samples follow the optimal policy of a model whose responses can all be listed."""

import itertools

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import optimal_policy
from tinylm.align.inference import every_response
from tinylm.align.preference import DPO, rso_pairs, rso_samples, tune
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.errors import ConfigError, DataError
from tinylm.generate import generate_batch
from tinylm.generate.protocol.enumerable import EnumerableLM

LM, BETA, END = EnumerableLM.random(3, 2, seed=1, eos=0), 0.5, 0
# every response to [1], its probability, and a reward with maximum 1
LISTED = every_response(LM, [1], 2, eos=END)
NUMBER = {one.tokens: i for i, one in enumerate(LISTED)}
REWARDS = np.linspace(1.0, -1.0, len(LISTED))[[3, 0, 5, 1, 6, 2, 4]]
LOGREF = np.array([one.logprob for one in LISTED])
BEST = np.exp(optimal_policy(LOGREF, REWARDS, BETA))
MANY = {"eos": END, "candidates": 2000, "beta": BETA, "maximum": 1.0}


def reward(prompt, response):
    return REWARDS[NUMBER[tuple(response)]]


def number(encoded):
    return NUMBER[tuple(encoded.ids[encoded.prompt :].tolist())]


def assert_follows(found, law):
    """Counts within 5 deviations of a law, where 5 or more are to be expected."""
    n = found.sum()
    assert n > 100 and found[law == 0].sum() == 0
    common = n * law > 5
    spread = np.sqrt(law * (1 - law) / n)
    assert (np.abs(found / n - law) < 5 * spread)[common].all() and law[common].sum() > 0.9


def test_samples_that_are_kept_follow_the_optimal_policy():
    assert np.exp(LOGREF).sum() == pytest.approx(1) and np.abs(BEST - np.exp(LOGREF)).max() > 0.1
    responses, rewards = rso_samples(LM, [1], reward, 2, kept=2000, **MANY)
    rows = np.array([NUMBER[tuple(y)] for y in responses])
    np.testing.assert_array_equal(rewards, REWARDS[rows])
    assert_follows(np.bincount(rows, minlength=len(BEST)), BEST)
    # the share that is kept: Z exp(-maximum / beta)
    share = np.exp(LOGREF) @ np.exp((REWARDS - 1.0) / BETA)
    assert abs(len(rows) / 2000 - share) < 5 * np.sqrt(share * (1 - share) / 2000)


def test_pairs_are_two_independent_samples_in_the_order_of_their_rewards():
    """Chosen a, rejected b: 2 pi*(a) pi*(b), of all pairs whose responses differ."""
    pairs = rso_pairs(LM, [[1]], reward, 2, kept=2000, **MANY)
    found = np.zeros((len(BEST), len(BEST)))
    for pair in pairs:
        assert pair.chosen.ids[0] == 1 and pair.probability == 1
        found[number(pair.chosen), number(pair.rejected)] += 1
    law = 2 * np.outer(BEST, BEST) * (REWARDS[:, None] > REWARDS)
    assert_follows(found, law / law.sum())


def test_as_published_a_number_is_kept_of_each_prompt():
    """Without a known maximum: eight of 64, so four pairs, less those of equal rewards."""
    responses, rewards = rso_samples(LM, [1], reward, 2, eos=END)
    assert len(responses) == len(rewards) == 8
    pairs = rso_pairs(LM, [[1], [2]], reward, 2, eos=END)
    assert 2 <= len(pairs) <= 8  # of 2.4 and 1.2 to be expected
    assert [p.chosen.ids[0] for p in pairs] == [p.rejected.ids[0] for p in pairs]
    assert {p.chosen.ids[0] for p in pairs} == {1, 2}
    assert all(REWARDS[number(p.chosen)] > REWARDS[number(p.rejected)] for p in pairs)
    assert rso_pairs(LM, [[1]], lambda prompt, response: 1.0, 2, eos=END) == []
    with pytest.raises(ConfigError, match="9 of 8 candidates"):
        rso_samples(LM, [1], reward, 2, eos=END, candidates=8, kept=9)
    with pytest.raises(ConfigError, match="above the maximum 0.5"):
        rso_samples(LM, [1], reward, 2, eos=END, maximum=0.5)
    with pytest.raises(DataError, match="nan"):
        rso_samples(LM, [1], lambda prompt, response: np.nan, 2, eos=END)
    model = gpt(vocab_size=3)  # of 24 tokens
    with pytest.raises(DataError, match="prompt 1"):
        rso_pairs(model, [[1], [1] * 24], reward, 2, eos=END)


def test_prompts_and_rounds_have_draws_of_their_own():
    def drawn(seed, prompts):
        pairs = rso_pairs(LM, prompts, reward, 2, eos=END, seed=seed, candidates=16, beta=5.0)
        return [(number(p.chosen), number(p.rejected)) for p in pairs]

    assert drawn(0, [[1]]) == drawn(0, [[1]]) != drawn(1, [[1]])
    assert drawn(1, [[1], [1]])[: len(drawn(2, [[1]]))] == drawn(2, [[1]])  # round 1 begins at 2
    both = drawn(0, [[1], [1]])
    assert both[: len(drawn(0, [[1]]))] == drawn(0, [[1]]) and both != 2 * drawn(0, [[1]])


def test_candidates_are_the_samples_of_consecutive_seeds():
    """With one reward for all, every candidate is kept."""
    responses, _ = rso_samples(LM, [1], lambda x, y: 1.0, 2, eos=END, candidates=9, kept=9, seed=2)
    drawn = generate_batch(LM, [[1]] * 9, 2, eos=END, seed=list(range(18, 27)))
    assert sorted(responses) == sorted(drawn) and len(set(map(tuple, drawn))) > 2


@pytest.mark.parametrize("kept, pairs", [(8, 4), (7, 3), (2, 1), (1, 0)])
def test_every_response_that_is_kept_is_in_one_pair(kept, pairs):
    """No two rewards are equal here, so no pair is left out; the last of an odd number is alone."""
    given = {"eos": END, "kept": kept, "beta": 100.0}
    rewards = itertools.count()
    found = rso_pairs(LM, [[1], [2]], lambda x, y: next(rewards), 2, **given)
    assert [p.chosen.ids[0] for p in found] == [1] * pairs + [2] * pairs
    rewards = itertools.count()
    responses, ranks = rso_samples(LM, [1], lambda x, y: next(rewards), 2, **given)
    for i, pair in enumerate(found[:pairs]):
        worse, better = sorted((2 * i, 2 * i + 1), key=ranks.__getitem__)  # neighbours
        assert pair.chosen.ids.tolist() == [1, *responses[better]]
        assert pair.rejected.ids.tolist() == [1, *responses[worse]]


def test_a_reward_model_labels_what_the_policy_said_and_the_hinge_learns_from_it():
    model, judge = gpt(vocab_size=3), RewardModel(gpt(vocab_size=3, seed=1), 0)
    pairs = rso_pairs(model, [[1, 0], [2, 0]], judge, 3, candidates=24, beta=1.0, seed=2)
    for pair in pairs:
        better, worse = judge.score([pair.chosen.ids.tolist(), pair.rejected.ids.tolist()])
        assert better > worse
    assert len(pairs) > 4
    options = dict(epochs=6, batch_size=4, learning_rate=1e-2)
    losses = tune(model, DPO("hinge"), pairs, **options)
    assert losses[0] == pytest.approx(1.0) and losses[-1] < 0.9  # RSO's loss begins at 1
