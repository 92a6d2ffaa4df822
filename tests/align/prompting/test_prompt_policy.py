import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy, entropy, gradient_of, performance, policy_gradient
from tinylm.align.prompting import prompt_policy
from tinylm.align.prompting.prompt_policy import (
    PromptPolicy,
    prompt_logprobs,
    prompt_loss,
    train_prompt_policy,
)
from tinylm.errors import ConfigError
from tinylm.generate.loop import generate_batch
from tinylm.optim import AdamW, FlatParameters

START, T = [0], 2


def policy(V=5, seed=0, r=4):
    """A prompt policy whose adapter is not the identity."""
    found = PromptPolicy(gpt(V), r=r, seed=seed)
    rng = np.random.default_rng(seed)
    for p in found.adapter.parameters():
        p.data[...] += 0.5 * rng.normal(size=p.shape)
    return found


def listed(one):
    """All V^T prompts of a policy."""
    return ListedPolicy(one, [START], T)


def rewards(K):
    return np.random.default_rng(3).normal(size=K)


def test_the_first_prompts_are_those_of_the_language_model():
    base = gpt(5)
    ids = np.array([[0, 3, 1]])
    before = base(ids).data.copy()
    np.testing.assert_array_equal(PromptPolicy(base, r=4)(ids).data, before)
    assert np.abs(policy()(ids).data - before).max() > 0.1


def test_the_adapter_stands_before_the_frozen_output_layer():
    one = policy()
    ids = np.array([[0, 3, 1]])
    h = one.base.hidden(ids)
    np.testing.assert_array_equal(one(ids).data, one.base.logits(one.adapter(h)).data)
    assert one.vocab_size == 5
    # D r + r + r D + D numbers of width 8 and 4
    assert one.adapter.count_parameters() == 8 * 4 + 4 + 4 * 8 + 8
    assert not any(p.requires_grad for p in one.base.parameters())


def test_the_adapter_is_drawn_from_its_seed():
    a, b, c = (PromptPolicy(gpt(5), 4, *seed).adapter.down.weight.data for seed in ((), (0,), (1,)))
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)
    assert PromptPolicy(gpt(5)).adapter.down.weight.shape == (8, 32)


def test_the_expected_gradient_is_exact_by_listing_all_prompts():
    # V = 5, T = 2: 25 prompts
    one = policy()
    table = listed(one)
    R = rewards(25)
    exact = gradient_of(performance(table, R), one.adapter)
    chance = np.exp(table.logprobs().data[0])
    assert chance.sum() == pytest.approx(1)
    for found, expected in zip(policy_gradient_of(one, table, R), exact, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)
    for baseline in (0.0, 1.5):
        total = [np.zeros_like(g) for g in exact]
        for k, z in enumerate(table.responses):
            loss = prompt_loss(one, START, [z], [R[k] - baseline])
            for part, g in zip(total, gradient_of(loss, one.adapter)):
                part -= chance[k] * g
        for part, g in zip(total, exact):
            np.testing.assert_allclose(part, g, atol=1e-10)


def policy_gradient_of(one, table, R):
    """policy_gradient() of the listed prompts, in the parameters of the adapter."""

    class Both:
        parameters, logprobs = one.adapter.parameters, table.logprobs

    return policy_gradient(Both(), R)


def test_the_loss_is_a_mean_over_prompts():
    one = policy()
    a, b = [1, 2], [4, 0]
    both = prompt_loss(one, START, [a, b], [2.0, -1.0]).item()
    alone = [prompt_loss(one, START, [z], [1.0]).item() for z in (a, b)]
    assert both == pytest.approx((2 * alone[0] - alone[1]) / 2)


def test_training_repeats_itself_by_its_seed():
    def run(**given):
        one, seen = PromptPolicy(gpt(5), r=4), []

        def reward(prompts):
            seen.append(prompts)
            return [sum(z) for z in prompts]

        train_prompt_policy(one, START, T, reward, steps=2, **given)
        return seen

    assert run() == run(seed=0) != run(seed=1)
    first, second = run()
    assert len(first) == 16 and len(first[0]) == T and first != second


def test_the_entropy_is_a_reward_of_improbable_prompts():
    """Summed over all 25 prompts: the gradient of E[R] + a H."""
    one, R, a = policy(), rewards(25), 0.7
    table = listed(one)
    logp = prompt_logprobs(one, START, table.responses.tolist())
    np.testing.assert_allclose(logp, table.logprobs().data[0], atol=1e-12)
    # H = E[- log pi], of which the log inside is a constant too, as E[d log pi] = 0
    whole = performance(table, R) + a * entropy(table.logprobs()).sum()
    exact = gradient_of(whole, one.adapter)
    total = [np.zeros_like(g) for g in exact]
    for k, z in enumerate(table.responses):
        loss = prompt_loss(one, START, [z], [R[k] - a * logp[k]])
        for part, g in zip(total, gradient_of(loss, one.adapter)):
            part -= np.exp(logp[k]) * g
    for part, g in zip(total, exact, strict=True):
        np.testing.assert_allclose(part, g, atol=1e-10)


def place_of_the_best(one, R):
    """The place of the most probable prompt among all by reward: 0 for the best."""
    return int((R > R[listed(one).logprobs().data[0].argmax()]).sum())


@pytest.mark.parametrize("weight, place", [(0.0, 5), (1.0, 0)])
def test_the_exact_gradient_ends_at_a_near_prompt_and_with_entropy_at_the_best(weight, place):
    one, R, steps = PromptPolicy(gpt(5), r=4), np.random.default_rng(8).normal(size=25), 200
    table = listed(one)
    optimizer = AdamW(FlatParameters(one.adapter.parameters()), weight_decay=0.0)
    for step in range(steps):
        a = weight * max(0.0, 1 - step / (0.8 * steps))
        one.zero_grad()
        objective = performance(table, R) + a * entropy(table.logprobs()).sum()
        (-objective).backward()
        optimizer.step(2e-2)
    assert place_of_the_best(one, R) == place


@pytest.mark.slow  # 2 x 5 s: 6,400 prompts are drawn
def test_samples_end_where_the_exact_gradient_ends_and_with_entropy_at_a_better_prompt():
    R, places = np.random.default_rng(8).normal(size=25), []
    for weight in (0.0, 1.0):
        one = PromptPolicy(gpt(5), r=4)
        number = {tuple(z): k for k, z in enumerate(listed(one).responses.tolist())}

        def reward(prompts, number=number):
            return R[[number[tuple(z)] for z in prompts]]

        options = {"steps": 200, "learning_rate": 2e-2, "entropy": weight}
        train_prompt_policy(one, START, T, reward, **options)
        places.append(place_of_the_best(one, R))
    assert places[0] == 5 and places[1] <= 1


def test_the_weight_of_the_entropy_falls_to_0_and_is_not_in_what_is_returned(monkeypatch):
    seen = []

    def loss(policy, start, prompts, advantages):
        seen.append(advantages)
        return prompt_loss(policy, start, prompts, advantages)

    monkeypatch.setattr(prompt_policy, "prompt_loss", loss)
    one = PromptPolicy(gpt(5), r=4)
    given = {"steps": 5, "samples": 3, "learning_rate": 1e-12}
    means = train_prompt_policy(one, START, T, lambda z: [1.0] * 3, entropy=2.0, **given)
    np.testing.assert_array_equal(means, 1.0)
    # equal rewards: all that differs is - a log pi, and a is 2, 1.5, 1, .5, 0
    seeds = [[3 * step + i for i in range(3)] for step in range(5)]
    for step, a in enumerate((2.0, 1.5, 1.0, 0.5, 0.0)):
        z = generate_batch(one, [START] * 3, T, seed=seeds[step], temperature=1.0)
        expected = leave_one_out_of(-a * prompt_logprobs(one, START, z))
        np.testing.assert_allclose(seen[step], expected, atol=1e-6)


def leave_one_out_of(values):
    """Each value less the mean of the others."""
    return (values - values.mean()) * len(values) / (len(values) - 1)


def test_one_prompt_has_no_other_to_compare_with():
    with pytest.raises(ConfigError, match="1 prompt has no other"):
        train_prompt_policy(policy(), START, T, len, steps=1, samples=1)
