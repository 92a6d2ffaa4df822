"""With the exact soft value, guided decoding samples the optimal policy."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.inference import ValueGuided, every_response, soft_values
from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM, ModelLM, generate_batch

LM = EnumerableLM.random(3, 3, seed=4)
ENDING = EnumerableLM.random(3, 3, seed=4, eos=2)
PROMPT = [1]


def reward(prompt, tokens):
    return sum((token + 1) * weight for token, weight in zip(tokens, (1.0, -2.3, 0.7)))


def optimum(lm, beta, eos):
    """pi* = ref exp(r / beta) / Z over all responses: {tokens: probability}."""
    listing = every_response(lm, PROMPT, 3, eos=eos)
    logs = np.array([one.logprob + reward(PROMPT, one.tokens) / beta for one in listing])
    weights = np.exp(logs - logs.max())
    return dict(zip([one.tokens for one in listing], weights / weights.sum()))


@pytest.mark.parametrize("beta", [0.5, 2.0])
@pytest.mark.parametrize("lm, eos", [(LM, None), (ENDING, 2)])
def test_every_response_has_its_optimal_probability(lm, eos, beta):
    guided = ValueGuided(lm, soft_values(lm, PROMPT, reward, beta, 3, eos), beta)
    found = {one.tokens: np.exp(one.logprob) for one in every_response(guided, PROMPT, 3, eos=eos)}
    for tokens, probability in optimum(lm, beta, eos).items():
        assert found[tokens] == pytest.approx(probability, rel=1e-10)


def test_after_the_last_token_there_is_nothing_to_steer():
    value = soft_values(ENDING, PROMPT, reward, 1.0, 3, 2)
    for response in ((0, 1, 0), (0, 2), (0, 2, 0)):  # as long as may be, or ended by 2
        np.testing.assert_array_equal(value((*PROMPT, *response), np.arange(3)), 0)
    # one token before: each next token makes a response, whose value is its reward
    found = value((*PROMPT, 0, 1), np.arange(3))
    wanted = [reward(PROMPT, (0, 1, token)) for token in range(3)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_value_of_nothing_changes_nothing():
    guided = ValueGuided(LM, lambda prefix, candidates: np.zeros(len(candidates)))
    tokens = np.array([[0, 1], [2, 2]])
    np.testing.assert_allclose(guided.logits(tokens), LM.logits(tokens))


def test_beta_divides_the_value():
    def value(prefix, candidates):
        return np.array([2.0, 0.0, 0.0])[candidates]

    plain = LM.next_logits([[1]])
    for beta, added in ((1.0, 2.0), (4.0, 0.5)):
        found = ValueGuided(LM, value, beta).next_logits([[1]]) - plain
        np.testing.assert_allclose(found, [[added, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(ValueGuided(LM, value).next_logits([[1]]) - plain, [[2.0, 0, 0]])


def test_only_the_most_probable_tokens_are_scored():
    asked = []

    def value(prefix, candidates):
        asked.append((prefix, tuple(candidates.tolist())))
        return np.full(len(candidates), 50.0)

    found = ValueGuided(LM, value, top_k=2).next_logits([[0, 1]])
    order = np.argsort(-LM.next_logits([[0, 1]])[0])
    assert asked == [((0, 1), tuple(order[:2].tolist()))]  # of the last column alone
    assert found[0][order[2]] == -np.inf and np.isfinite(found[0][order[:2]]).all()
    asked.clear()
    ValueGuided(LM, value, top_k=3).next_logits([[0]])
    assert asked == [((0,), (0, 1, 2))]


def test_impossible_tokens_are_not_scored():
    """After the end only the end can come."""
    asked = []

    def value(prefix, candidates):
        asked.append(candidates.tolist())
        return np.zeros(len(candidates))

    ValueGuided(ENDING, value).next_logits([[0, 2]])
    assert asked == [[2]]


def test_generation_with_a_cache_is_that_without():
    """A transformer, prompts of unequal lengths (padded rows): the value sees tokens alone."""
    lm = ModelLM(model())
    seen = set()

    def value(prefix, candidates):
        seen.add(prefix[:2])
        return -0.1 * candidates * (1 + sum(prefix) % 3)

    guided = ValueGuided(lm, value, top_k=8)
    prompts = [[5, 6, 7], [8, 9]]
    found = generate_batch(guided, prompts, 4, seed=3)
    assert seen == {(5, 6), (8, 9)}
    for prompt, seed, tokens in zip(prompts, (3, 4), found):
        assert generate_batch(guided, [prompt], 4, seed=seed) == [tokens]
    # the same scores, read at once without a cache
    whole = np.array([prompts[0] + found[0]])
    logits = guided.logits(whole)
    for t in range(3, 7):
        np.testing.assert_allclose(logits[:, t - 1], guided.next_logits(whole[:, :t]), rtol=1e-9)


def test_a_cache_forgets_and_selects():
    guided = ValueGuided(LM, lambda prefix, candidates: candidates * 1.0 + len(prefix))
    cache = guided.new_cache(2)
    guided.logits(np.array([[0, 1], [2, 0]]), cache)
    cache.crop(1)
    assert cache.length == 1
    cache.select([1])
    np.testing.assert_allclose(guided.next_logits([[1]], cache), guided.next_logits([[2, 1]]))


def test_settings_that_do_not_fit_are_refused():
    for options in ({"beta": 0}, {"top_k": 0}):
        with pytest.raises(ConfigError, match="beta .* must be above 0, and top_k"):
            ValueGuided(LM, None, **options)
