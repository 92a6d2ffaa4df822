"""Pairs of the policy's own samples: rounds of DPO, and self-play without labels."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.inference.tuning import rejection_sampling_finetune
from tinylm.align.preference import DPO, online_dpo, own_pairs, self_play_pairs, with_reference
from tinylm.align.preference import online as module
from tinylm.errors import ConfigError, DataError
from tinylm.generate import generate_batch

PROMPTS = [[5], [6, 7], [8], [9, 10]]
FIT = dict(steps=4, learning_rate=1e-2, batch_size=4)


def low(tokens):
    """The gold reward: the share of tokens below 128, about half of the vocabulary."""
    return float(np.mean([token < 128 for token in tokens]))


def prefer(prompt, a, b):
    return 1 / (1 + np.exp(-8 * (low(a) - low(b))))


def answers(pair):
    return [one.ids[one.prompt :].tolist() for one in (pair.chosen, pair.rejected)]


def test_pairs_are_two_samples_of_the_policy_in_the_preferred_order():
    m = model()
    pairs = own_pairs(m, PROMPTS, prefer, 3, seed=1)
    twice = [prompt for prompt in PROMPTS for _ in range(2)]
    samples = generate_batch(m, twice, 3, seed=8)  # seeds 8 .. 15 in round 1
    assert len(pairs) == 4
    for i, (prompt, pair) in enumerate(zip(PROMPTS, pairs)):
        assert sorted(answers(pair)) == sorted(samples[2 * i : 2 * i + 2])
        assert pair.chosen.ids[: pair.chosen.prompt].tolist() == prompt
        chosen, rejected = answers(pair)
        assert low(chosen) >= low(rejected)
        assert pair.probability == pytest.approx(prefer(prompt, chosen, rejected))
        assert pair.probability >= 0.5


def test_a_prompt_after_which_samples_would_not_fit_is_refused_before_any_is_drawn():
    """They would come from a window that slid, and not from what is trained."""
    m = model()
    longest = m.config.context + 1 - 3  # the last of 3 tokens is not read
    assert own_pairs(m, [[5] * longest], prefer, 3, seed=1)
    for draw in (
        lambda prompts: own_pairs(m, prompts, prefer, 3),
        lambda prompts: self_play_pairs(m, prompts, [[1]] * 2, 3),
        lambda prompts: rejection_sampling_finetune(m, prompts, low, 2, 3, steps=1),
    ):
        with pytest.raises(DataError, match=f"prompt 1 has {longest + 1} tokens, and 3 are to"):
            draw([[5], [5] * (longest + 1)])


@pytest.mark.parametrize("p", [0.6, 0.4])
def test_a_slight_preference_is_one(p):
    """The sample that is preferred with .6 is the chosen one, in whatever order they were drawn."""
    found = []

    def slight(prompt, a, b):
        found.append([a, b] if p > 0.5 else [b, a])
        return p

    pairs = own_pairs(model(), PROMPTS, slight, 3, seed=1)
    assert [answers(pair) for pair in pairs] == found
    assert [pair.probability for pair in pairs] == pytest.approx([0.6] * 4)


def test_rounds_draw_new_samples():
    seen = {
        tuple(map(tuple, answers(pair)))
        for k in range(3)
        for pair in own_pairs(model(), PROMPTS, prefer, 3, seed=k)
    }
    assert len(seen) == 12


def test_equal_samples_are_left_out():
    assert own_pairs(model(), PROMPTS, prefer, 3, temperature=0.0) == []
    with pytest.raises(DataError, match="round 0 has no pair"):
        online_dpo(model(), DPO(), lambda m, k: [])


def make(m, k):
    return own_pairs(m, PROMPTS * 4, prefer, 3, seed=k)


@pytest.mark.parametrize("reference", ["first", "current"])
def test_rounds_raise_the_gold_reward(reference):
    """Mean reward of 64 samples before and after three rounds; its deviation is about .04."""

    def gold(m):
        return np.mean([low(y) for y in generate_batch(m, PROMPTS * 16, 3, seed=10**6)])

    m = model()
    before = gold(m)
    found = online_dpo(m, DPO(), make, rounds=3, reference=reference, **{**FIT, "steps": 10})
    assert len(found) == 3 and all(len(losses) == 10 for _, losses in found)
    assert gold(m) > before + 0.15


def test_each_round_starts_at_its_reference():
    """ "current": every round starts at the loss of ratio 0; "first": only the first round does."""
    pairs = own_pairs(model(), PROMPTS, lambda x, a, b: 1.0, 3)
    starts = {}
    for reference in ("current", "first"):
        m = model()
        found = online_dpo(m, DPO(), lambda m, k: pairs, rounds=2, reference=reference, **FIT)
        starts[reference] = [losses[0] for _, losses in found]
    assert starts["current"] == pytest.approx([np.log(2), np.log(2)])
    assert starts["first"][0] == pytest.approx(np.log(2))
    assert starts["first"][1] < np.log(2) - 0.01


def test_a_reference_from_an_earlier_round_is_not_kept():
    """Pairs that come with a reference of another model get a new one."""
    other = model(seed=3)
    pairs = with_reference(other, own_pairs(model(), PROMPTS, prefer, 3))
    found = online_dpo(model(), DPO(), lambda m, k: pairs, **FIT)
    assert found[0][0] == len(pairs)


def test_self_play_prefers_people_to_the_policy():
    m, human = model(), [[1, 2], [3], [4, 5, 6], [7]]
    pairs = self_play_pairs(m, PROMPTS, human, 3, seed=2)
    own = generate_batch(m, PROMPTS, 3, seed=8)
    assert [answers(pair) for pair in pairs] == [list(both) for both in zip(human, own)]
    assert all(pair.probability == 1 for pair in pairs)
    human[1] = own[1]  # nothing is left to learn there
    assert len(self_play_pairs(m, PROMPTS, human, 3, seed=2)) == 3


def test_seeds_and_sampling_by_default():
    m, human = model(), [[1]] * 4
    for given, plain in (
        (
            own_pairs(m, PROMPTS, prefer, 3, seed=0, temperature=1.0),
            own_pairs(m, PROMPTS, prefer, 3),
        ),
        (
            self_play_pairs(m, PROMPTS, human, 3, seed=0, temperature=1.0),
            self_play_pairs(m, PROMPTS, human, 3),
        ),
    ):
        assert [answers(one) for one in given] == [answers(one) for one in plain]


@pytest.mark.parametrize("reference", ["first", "current"])
def test_every_round_has_an_order_of_its_own(reference, monkeypatch):
    """Seeds 5, 6, 7 for the orders of pairs in three rounds; the rounds are counted from 0."""
    seeds, numbers = [], []

    def fitted(*given, seed, **options):
        seeds.append(seed)
        return [0.0]

    def numbered(m, k):
        numbers.append(k)
        return own_pairs(m, PROMPTS, prefer, 3)

    monkeypatch.setattr(module, "fit", fitted)
    monkeypatch.setattr(module, "tune", fitted)
    online_dpo(model(), DPO(), numbered, rounds=3, reference=reference, seed=5)
    assert seeds == [5, 6, 7] and numbers == [0, 1, 2]


def test_another_reference_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="first, current"):
        online_dpo(model(), DPO(), make, reference="last")
    # One round needs no copy of the model.
    monkeypatch.setattr(module.copy, "deepcopy", None)
    online_dpo(model(), DPO(), make, **{**FIT, "steps": 1})
