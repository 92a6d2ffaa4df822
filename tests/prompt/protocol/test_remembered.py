"""A remembered model gives the scores of the model behind it, and computes each once."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.prompt.small import Chat, text_model
from tinylm.prompt.protocol import RememberedLM, ScriptedLM

PROMPTS = ["Q: a\nA:", "Q: bc\nA:"]
TEXTS = [" yes", " no"]


@pytest.fixture
def both():
    """(a model, the same one behind a memory)."""
    lm = text_model()
    return lm, RememberedLM(lm)


def test_scores_are_those_of_the_model(both):
    lm, remembered = both
    for expected, found in zip(
        lm.score_batch(PROMPTS, TEXTS), remembered.score_batch(PROMPTS, TEXTS)
    ):
        assert found.continuations == expected.continuations
        np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12)
        assert found.apart == expected.apart
        # " yes" has four bytes, " no" three
        assert [len(terms) for terms in found.terms] == [4, 3]


def test_the_second_time_nothing_is_computed(both):
    lm, remembered = both
    first = remembered.score_batch(PROMPTS, TEXTS)
    before = lm.account.copy()
    second = remembered.score_batch(PROMPTS[::-1], TEXTS[::-1])
    assert lm.account == before
    # in the order that is asked for now
    np.testing.assert_array_equal(second[1].sums, first[0].sums[::-1])


def test_only_the_missing_text_of_a_prompt_is_computed(both):
    lm, remembered = both
    remembered.score(PROMPTS[0], TEXTS[:1])
    before = lm.account.copy()
    remembered.score_batch(PROMPTS[:1] * 2, TEXTS)
    spent = lm.account.since(before)
    # one prompt, though it came twice, and the three bytes of " no"
    assert (spent.calls, spent.scored_tokens) == (1, 3)


def test_the_beginning_of_a_reply_belongs_to_what_is_remembered(both):
    lm, remembered = both
    plain = remembered.score(PROMPTS[0], TEXTS)
    begun = remembered.score(PROMPTS[0], TEXTS, begin=" So")
    np.testing.assert_allclose(begun.sums, lm.score(PROMPTS[0], TEXTS, begin=" So").sums)
    assert not np.allclose(begun.sums, plain.sums)
    # "Q: a\nA:" has seven bytes, " So" three, and the model begins texts with one more token
    assert remembered.length(PROMPTS[0], " So") == remembered.length(PROMPTS[0]) + 3 == 11


def test_its_account_counts_what_a_search_without_memory_reads(both):
    lm, remembered = both
    for _ in range(2):
        remembered.score_batch(PROMPTS, TEXTS)
    account = remembered.account
    # twice: two prompts of 8 and 9 tokens, and 4 + 3 bytes of texts after each
    assert (account.calls, account.prompt_tokens, account.scored_tokens) == (4, 34, 28)
    assert account.read_tokens == lm.account.read_tokens
    assert lm.account.prompt_tokens == 17


def test_replies_come_from_the_model_and_are_counted(both):
    lm, remembered = both
    options = {"max_tokens": 3, "seed": 5, "temperature": 1.0, "begin": " So", "stop": ("x",)}
    found = remembered.complete_batch(PROMPTS, **options)
    account = remembered.account
    assert account.prompt_tokens == lm.account.prompt_tokens == 17 + 2 * 3
    assert account.read_tokens == lm.account.read_tokens > 0
    assert account.generated_tokens == lm.account.generated_tokens
    assert [one.text for one in found] == [
        one.text for one in lm.complete_batch(PROMPTS, **options)
    ]


def test_priors_are_remembered_too(both):
    lm, remembered = both
    found = remembered.score(PROMPTS[0], TEXTS, unconditional="A:")
    expected = lm.score(PROMPTS[0], TEXTS, unconditional="A:")
    np.testing.assert_allclose(found.by("unconditional"), expected.by("unconditional"))


def test_a_prompt_may_be_messages():
    messages = [{"role": "user", "content": "Q"}]
    lm = ScriptedLM([(messages, {" a": -1.0})])
    remembered = RememberedLM(lm)
    for _ in range(2):  # the script has one reply
        assert remembered.score(messages, [" a"]).sums == [-1.0]


def test_it_is_what_the_model_behind_it_is(both):
    lm, remembered = both
    assert remembered.context == lm.context == 96
    assert remembered.weights() == lm.weights()
    assert remembered.count("four") == 4
    assert remembered.token_texts("ab") == ["a", "b"]
    assert not remembered.chat
    assert not RememberedLM(SimpleNamespace(context=9)).chat  # of a model that does not say
    assert RememberedLM(Chat({})).chat
