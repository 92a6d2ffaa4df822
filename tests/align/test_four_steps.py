"""From a language model to an aligned one, and what each step adds   (book 2.1.4, fig. 2.2).

A transformer of one layer over the 27 responses of three tokens: everything is a finite sum.
"""

import copy

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy, expectation, gradient_of, kl, objective, optimal_policy
from tinylm.align.feedback.annotators import SimulatedAnnotator, collect_preferences
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.inference.best_of_n import sampled
from tinylm.align.inference.guided import ValueGuided, soft_values
from tinylm.align.inference.law import best_of_n_law
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning

PROMPT, LENGTH = (1,), 3
PLEASE = 2  # the token with which a polite answer begins
ANSWERS = ListedPolicy(gpt(), [PROMPT], LENGTH).responses  # (27, 3)
POLITE = ANSWERS[:, 0] == PLEASE
# what is wanted and never shown to training: to be polite, and 0s after that
GOLD = 1.0 * POLITE + 0.5 * (ANSWERS[:, 1:] == 0).sum(axis=1)


def gold(prompt, response):
    return float(GOLD[np.array(response) @ [9, 3, 1]])


def law(model):
    """log-probabilities of the 27 responses."""
    return ListedPolicy(model, [PROMPT], LENGTH).logprobs().data[0]


def supervised(steps=30):
    """A model that was shown three demonstrations, of which one is not polite."""
    model = gpt()
    shown = [encode_sft(PROMPT, y) for y in ([2, 1, 1], [2, 0, 1], [0, 0, 0])]
    fit(model, InstructionTuning(), shown, steps=steps, learning_rate=0.02)
    return model


@pytest.fixture(scope="module")
def steps():
    """{step: what it made}"""
    base, tuned = gpt(), supervised()

    def sample(prompt, count, rng):
        drawn = sampled(tuned, list(prompt), count, LENGTH, seed=int(rng.integers(1 << 30)))
        return [one.tokens for one in drawn]

    annotator = SimulatedAnnotator(gold, temperature=0.3)
    rng = np.random.default_rng(0)
    labels = collect_preferences([PROMPT] * 200, sample, annotator, 4, 3, rng=rng)
    sides = ((encode_sft(PROMPT, p.chosen), encode_sft(PROMPT, p.rejected)) for p in labels)
    pairs = [EncodedPair(*side) for side in sides]
    reward = RewardModel(copy.deepcopy(tuned))
    fit(reward, RewardModeling(), pairs, steps=150, batch_size=64, learning_rate=0.01)
    texts = np.concatenate([np.broadcast_to(PROMPT, (27, 1)), ANSWERS], axis=1)
    scores = reward.score(texts)
    policy = ListedPolicy(copy.deepcopy(tuned), [PROMPT], LENGTH)
    logref = law(tuned)
    for _ in range(150):
        gain = objective(policy.logprobs()[0], logref, scores, 0.5)
        for p, g in zip(policy.parameters(), gradient_of(-gain, policy)):
            p.data[...] -= 0.3 * g
    return {
        "base": base,
        "tuned": tuned,
        "labels": labels,
        "scores": scores,
        "policy": policy.model,
    }


def wanted(model):
    return float(expectation(law(model), GOLD))


def test_every_step_raises_what_is_wanted(steps):
    rewards = [wanted(steps[name]) for name in ("base", "tuned", "policy")]
    assert rewards[0] + 0.2 < rewards[1] and rewards[1] + 0.15 < rewards[2]


def test_labels_are_of_the_policys_own_responses_and_mostly_right(steps):
    labels = steps["labels"]
    right = [gold("", p.chosen) >= gold("", p.rejected) for p in labels]
    assert len(labels) > 200 and 0.6 < np.mean(right) < 1


def test_a_reward_model_of_labels_orders_responses_as_they_are_wanted(steps):
    scores, chance = steps["scores"], np.exp(law(steps["tuned"]))
    higher = np.sign(scores[:, None] - scores) == np.sign(GOLD[:, None] - GOLD)
    often = chance[:, None] * chance * (GOLD[:, None] != GOLD)
    assert (higher * often).sum() / often.sum() > 0.8


def test_the_policy_is_on_its_way_to_the_best_one_by_the_learned_reward(steps):
    logref, logp = law(steps["tuned"]), law(steps["policy"])
    best = optimal_policy(logref, steps["scores"], 0.5)
    assert kl(logp, best) < 0.2 * kl(logref, best)
    assert kl(logp, logref) > 0.1


def test_one_behavior_by_three_families_of_methods():
    """Demonstrations, a reward, and a choice at inference: the same measure for all three."""
    base = gpt()
    logref, reward = law(base), 1.0 * POLITE

    def polite(logp):
        return float(np.exp(logp)[POLITE].sum())

    before = polite(logref)
    tuned = gpt()
    shown = [encode_sft(PROMPT, y) for y in ANSWERS[POLITE]]
    fit(tuned, InstructionTuning(), shown, steps=30, learning_rate=0.02)
    reinforced = optimal_policy(logref, reward, 0.5)
    best_of_four = np.log(best_of_n_law(np.exp(logref), reward, 4))
    shares = [polite(logp) for logp in (law(tuned), reinforced, best_of_four)]
    assert min(shares) > before + 0.1
    # exactly: odds times e^(1 / beta), and all four are impolite with probability (1 - before)^4
    odds = before / (1 - before) * np.exp(1 / 0.5)
    np.testing.assert_allclose(shares[1:], [odds / (1 + odds), 1 - (1 - before) ** 4])


def test_values_at_inference_give_the_policy_that_a_reward_trains():
    base = gpt()

    def reward(prompt, tokens):
        return float(tokens[0] == PLEASE)

    guided = ValueGuided(base, soft_values(base, PROMPT, reward, 0.5, LENGTH), 0.5)
    logits = guided.next_logits(np.array([PROMPT]))[0]
    first = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    best = np.exp(optimal_policy(law(base), 1.0 * POLITE, 0.5))
    np.testing.assert_allclose(first[PLEASE], best[POLITE].sum(), rtol=1e-9)
