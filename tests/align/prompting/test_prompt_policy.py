import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import ListedPolicy, gradient_of, performance, policy_gradient
from tinylm.align.prompting.prompt_policy import PromptPolicy, prompt_loss, train_prompt_policy
from tinylm.errors import ConfigError

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


def test_one_prompt_has_no_other_to_compare_with():
    with pytest.raises(ConfigError, match="1 prompt has no other"):
        train_prompt_policy(policy(), START, T, len, steps=1, samples=1)
