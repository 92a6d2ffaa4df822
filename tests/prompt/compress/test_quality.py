"""A compressed prompt costs nothing if it is the prompt; otherwise agreement and divergence are
those of the formulas, and random deletion is the baseline.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.compress.test_selective_context import is_subsequence
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt import Completion, ScriptedLM
from tinylm.prompt.compress.quality import (
    Quality,
    against_random,
    agreement,
    option_divergence,
    quality,
    random_deletion,
    sampled_divergence,
    token_scores,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt

LM = text_model(n_layer=1, context=160)
ITEMS = [Item(f"{c}?", options=("x", "yy", "z")) for c in "abcde"]
FULL, SHORT = "Choose one of the three letters.", "Choose a letter."


def test_the_full_prompt_itself_costs_nothing():
    found = quality(LM, FULL, FULL, ITEMS)
    assert found == Quality(1.0, 0, 1.0, pytest.approx(0.0, abs=1e-12))
    assert sampled_divergence(LM, FULL, FULL, ITEMS[:2]) == pytest.approx(0.0, abs=1e-9)


def test_the_divergence_is_that_of_the_options_distributions():
    found = option_divergence(LM, FULL, SHORT, ITEMS)
    expected = []
    for item in ITEMS:
        p, q = (
            LM.score(FewShotPrompt(text).prompt(item), [" x", " yy", " z"]).probabilities()
            for text in (FULL, SHORT)
        )
        expected.append((p * np.log(p / q)).sum())
    np.testing.assert_allclose(found, np.mean(expected))
    assert found > 0


def test_an_option_without_probability_adds_nothing():
    prompt = "{}\n\nQ: a?\nA:"
    lm = ScriptedLM(
        {
            prompt.format("f"): {" x": 0.0, " yy": -np.inf, " z": 0.0},
            prompt.format("s"): {" x": 0.0, " yy": 0.0, " z": 0.0},
        }
    )
    found = option_divergence(lm, "f", "s", ITEMS[:1])
    np.testing.assert_allclose(found, np.log(3 / 2))  # halves against thirds


def test_agreement_is_the_share_of_equal_answers():
    prompt = "{}\n\nQ: {}\nA:"
    questions = [Item("a"), Item("b"), Item("c")]
    replies = {"f": (" 1", " 2", " 3"), "s": (" 1", " 2.0 ", " 4")}
    lm = ScriptedLM(
        {
            prompt.format(text, item.question): reply
            for text, row in replies.items()
            for item, reply in zip(questions, row)
        }
    )
    assert agreement(lm, "f", "s", questions) == 2 / 3


def test_the_sampled_divergence_estimates_that_of_replies():
    item = Item("a?")
    prompts = [FewShotPrompt(text).prompt(item) for text in (FULL, SHORT)]
    # Replies of one token, the end among them: the divergence of the next token's distributions.
    log_p, log_q = (
        log_probabilities(LM.lm.next_logits(np.array([LM.ids(text)])))[0] for text in prompts
    )
    p, terms = np.exp(log_p), log_p - log_q
    exact = (p * terms).sum()
    found = sampled_divergence(LM, FULL, SHORT, [item], samples=400, max_tokens=1)
    deviation = np.sqrt((p * (terms - exact) ** 2).sum() / 400)
    assert abs(found - exact) < 4 * deviation
    again = sampled_divergence(LM, FULL, SHORT, [item], samples=400, max_tokens=1)
    assert found == again != sampled_divergence(LM, FULL, SHORT, [item], seed=1, max_tokens=1)


def test_a_reply_that_ends_at_once_counts():
    # Any token may be the end: here it is the one that is most probable after the full prompt.
    lm, item = text_model(n_layer=1, context=160), Item("a?")
    full, short = (FewShotPrompt(text).prompt(item) for text in (FULL, SHORT))
    (end,) = lm.complete(full, max_tokens=1).tokens
    lm.opened = dataclasses.replace(lm.opened, eos=end, ends=(end,))
    seeds = [s for s in range(400) if lm.sample(full, 1, s, max_tokens=4)[0].tokens == [end]]
    found = sampled_divergence(lm, FULL, SHORT, [item], samples=1, seed=seeds[0], max_tokens=4)
    p, q = (token_scores(lm, text, [[end]])[0] for text in (full, short))
    assert found == pytest.approx(p - q) and found != 0


def test_replies_are_scored_as_tokens():
    lm = text_model(n_layer=1, context=160)
    tokens = [list(b" y"), list(b"abc")]
    found = token_scores(lm, "Q:", tokens)
    np.testing.assert_allclose(found, lm.score("Q:", [" y", "abc"]).sums)
    own = lm.sample("Q:", 2, max_tokens=5)
    np.testing.assert_allclose(
        token_scores(lm, "Q:", [one.tokens for one in own]), [one.logprob for one in own]
    )
    before = lm.account.copy()
    token_scores(lm, "Q:", tokens)
    used = lm.account.since(before)
    # The first token of a text, Q and the colon; then two and three tokens.
    assert (used.calls, used.prompt_tokens, used.read_tokens, used.scored_tokens) == (1, 3, 3, 5)
    with pytest.raises(ConfigError, match="sampled_divergence: .* a ScriptedLM does not"):
        sampled_divergence(ScriptedLM([]), "f", "s", ITEMS)


def test_items_without_options_are_compared_by_their_replies():
    items = [Item("a?"), Item("b?", options=("x", "y"))]
    found = quality(LM, FULL, SHORT, items, max_tokens=3)
    sampled = sampled_divergence(LM, FULL, SHORT, items, max_tokens=3)
    same = agreement(LM, FULL, SHORT, items, max_tokens=3)
    assert found == Quality(len(SHORT) / len(FULL), len(FULL) - len(SHORT), same, sampled)


def test_every_item_draws_with_seeds_of_its_own(monkeypatch):
    def sample(prompt, count, seed, max_tokens):
        seen.append((count, seed, max_tokens))
        return [Completion("y", [1], np.zeros(1), "length")] * count

    lm, seen = text_model(n_layer=1, context=160), []
    monkeypatch.setattr(lm, "sample", sample)
    differences = [
        np.subtract(
            *(token_scores(lm, FewShotPrompt(t).prompt(i), [[1]])[0] for t in (FULL, SHORT))
        )
        for i in ITEMS[:2]
    ]
    assert sampled_divergence(lm, FULL, SHORT, ITEMS[:2]) == pytest.approx(np.mean(differences))
    assert seen == [(4, 0, 16), (4, 4, 16)]


@given(text=st.text("ab é", min_size=1, max_size=20), seed=st.integers(0, 99), data=st.data())
def test_random_deletion_keeps_as_many_tokens_as_wanted(text, seed, data):
    tokens = data.draw(st.integers(0, len(text)))
    found = random_deletion(LM, text, tokens, np.random.default_rng(seed))
    assert is_subsequence(found.text, text) and len(found.text) == tokens
    assert found.before == LM.count(text)
    with pytest.raises(ConfigError, match=f"{len(text) + 1} of {len(text)} tokens"):
        random_deletion(LM, text, len(text) + 1, np.random.default_rng(seed))


def test_every_token_is_as_likely_to_stay():
    rng = np.random.default_rng(0)
    texts = [random_deletion(LM, "abcde", 2, rng).text for _ in range(1000)]
    counts = np.array([sum(letter in text for text in texts) for letter in "abcde"])
    assert np.abs(counts - 400).max() < 4 * np.sqrt(1000 * 0.4 * 0.6)  # 4 standard deviations
    with pytest.raises(ConfigError, match="-1 of 5"):
        random_deletion(LM, "abcde", -1, rng)


def test_a_method_is_measured_against_random_ones_of_its_length():
    rng = np.random.default_rng(0)
    found, random = against_random(LM, FULL, SHORT, ITEMS, rng)
    assert found == quality(LM, FULL, SHORT, ITEMS)
    assert len(random) == 5 and len({one.divergence for one in random}) == 5
    assert all((one.ratio, one.saved) == (found.ratio, found.saved) for one in random)
    form = FewShotPrompt(question_name="I", answer_name="O")
    other, _ = against_random(LM, FULL, SHORT, ITEMS, rng, draws=1, form=form)
    assert other.divergence != found.divergence
