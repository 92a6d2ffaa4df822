"""An average of language models is a language model."""

import copy

import numpy as np
import pytest

from tests.prompt.protocol.test_model import chat_model
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM
from tinylm.generate.loop import generate_batch
from tinylm.generate.protocol.score import exhaustive_map
from tinylm.generate.strategies.beam import beam_search
from tinylm.prompt import Answer, ScriptedLM, TextModel
from tinylm.prompt.compress.information import token_information
from tinylm.prompt.ensemble.means import arithmetic_mean, geometric_mean
from tinylm.prompt.ensemble.models import (
    EnsembleLM,
    ModelEnsemble,
    check_same_tokenizer,
    check_text_model,
    model_vote,
)
from tinylm.tokenizers import ByteTokenizer

A, B = EnumerableLM.random(3, 4, seed=0), EnumerableLM.random(3, 4, seed=1)
MEANS = pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])


def tables(lms, weights, mean):
    """The conditional distributions of the average, table by table."""
    with np.errstate(divide="ignore"):
        logs = [np.log(np.stack(pair)) for pair in zip(*(lm.tables for lm in lms))]
    return EnumerableLM([np.exp(mean(table, np.array(weights))) for table in logs])


@MEANS
def test_every_conditional_is_the_mean_of_the_members(mean):
    exact = tables([A, B], [0.25, 0.75], mean)
    ensemble = EnsembleLM([A, B], [1, 3], mean)
    strings, _ = exact.all_strings(0)
    rows = np.concatenate([np.zeros((len(strings), 1), int), strings[:, :-1]], axis=1)
    np.testing.assert_allclose(ensemble.logits(rows), exact.logits(rows), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        ensemble.next_logits(rows), exact.next_logits(rows), rtol=0, atol=1e-12
    )


@MEANS
def test_identical_members_are_the_single_model(mean):
    rows = np.array([[0, 1, 2], [2, 2, 0]])
    found = EnsembleLM([A, A, A], None, mean).logits(rows)
    np.testing.assert_allclose(found, A.logits(rows), rtol=0, atol=1e-12)


@MEANS
def test_all_weight_on_one_member_is_that_member(mean):
    rows = np.array([[0, 1, 2]])
    found = EnsembleLM([A, B], [0, 1], mean).logits(rows)
    np.testing.assert_allclose(found, B.logits(rows), rtol=0, atol=1e-12)


@MEANS
def test_with_a_cache_it_reads_token_by_token(mean):
    ensemble = EnsembleLM([A, B], None, mean)
    rows = np.array([[0, 1, 2, 1], [1, 1, 0, 2]])
    cache, found = ensemble.new_cache(2), []
    for t in range(4):
        assert cache.length == t
        found.append(ensemble.logits(rows[:, t : t + 1], cache)[:, 0])
    np.testing.assert_allclose(np.stack(found, 1), ensemble.logits(rows), rtol=0, atol=1e-12)


def test_its_cache_is_cut_chosen_and_copied_as_one():
    ensemble = EnsembleLM([A, B])
    cache = ensemble.new_cache(2)
    ensemble.next_logits(np.array([[0, 1, 2], [1, 0, 2]]), cache)
    cache.crop(2)
    assert cache.length == 2
    branch = copy.copy(cache)
    branch.select(np.array([1, 1, 0]))
    found = ensemble.next_logits(np.array([[0], [1], [2]]), branch)
    wanted = ensemble.next_logits(np.array([[1, 0, 0], [1, 0, 1], [0, 1, 2]]))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert cache.length == 2 and branch.length == 3  # the copy went on alone
    found = ensemble.next_logits(np.array([[2], [2]]), cache)
    wanted = ensemble.next_logits(np.array([[0, 1, 2], [1, 0, 2]]))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@MEANS
def test_generation_and_search_run_on_it(mean):
    ensemble, exact = EnsembleLM([A, B], None, mean), tables([A, B], [0.5, 0.5], mean)
    prompts = [[0], [1, 2]]  # of unequal length: the rows are padded
    for options in ({"temperature": 0.0}, {"seed": 3}):
        assert generate_batch(ensemble, prompts, 3, **options) == generate_batch(
            exact, prompts, 3, **options
        )
    (best,) = beam_search(ensemble, [0], 4, width=81)
    assert best.tokens == exhaustive_map(exact, [0], 4)[0]


def test_members_must_share_a_vocabulary():
    with pytest.raises(ConfigError, match=r"the vocabularies have \[3, 4\] tokens"):
        EnsembleLM([A, EnumerableLM.random(4, 2)])
    with pytest.raises(ConfigError, match="at least one model"):
        EnsembleLM([])


def test_the_shortest_context_is_that_of_the_ensemble():
    assert EnsembleLM([A, EnumerableLM.random(3, 2)]).context == 2
    endless = EnumerableLM.random(3, 2)
    endless.context = None
    assert EnsembleLM([endless, A]).context == 4
    assert EnsembleLM([endless]).context is None


# As texts.


def test_texts_with_the_average_of_two_models():
    one, two = text_model(seed=0), text_model(seed=1)
    both = ModelEnsemble([one, two])
    prompts, texts = ["abc", "de"], [" x", " yz"]
    found = both.score_batch(prompts, texts)
    for prompt, scores in zip(prompts, found):
        whole = [one.ids(prompt) + one.tokenizer.encode(text).tolist() for text in texts]
        n = len(one.ids(prompt))
        for ids, terms in zip(whole, scores.terms):
            logs = EnsembleLM([one.lm, two.lm]).logits(np.array([ids[:-1]]))[0, n - 1 :]
            np.testing.assert_allclose(terms, logs[np.arange(len(terms)), ids[n:]], atol=1e-9)
    reply = both.complete("abc", max_tokens=5)
    ids = generate_batch(EnsembleLM([one.lm, two.lm]), [one.ids("abc")], 5, temperature=0.0)[0]
    assert reply.tokens == ids
    assert both.count("abc") == 3 and both.context == 96
    assert both.length("abc", begin="d") == one.length("abc", begin="d") == 5  # and the first token


def test_one_model_alone_gives_its_own_texts():
    one = text_model()
    alone = ModelEnsemble([one])
    assert alone.complete("abc", max_tokens=6).tokens == one.complete("abc", max_tokens=6).tokens
    assert alone.score("abc", [" x"]).sums == pytest.approx(one.score("abc", [" x"]).sums)


def test_every_member_is_counted():
    one, both = text_model(), ModelEnsemble([text_model(seed=0), text_model(seed=1)])
    for lm in (one, both):
        lm.complete_batch(["abcdefghij", "xy"], max_tokens=3)
        lm.score("abc", [" x", " yz"])
    assert both.account.calls == one.account.calls == 3
    assert both.account.prompt_tokens == 2 * one.account.prompt_tokens
    assert both.account.generated_tokens == 2 * 6
    assert both.account.scored_tokens == 2 * one.account.scored_tokens == 2 * 5
    assert both.account.read_tokens >= 2 * (11 + 3 + 4)  # with the token that begins a text


def test_an_ensemble_has_the_tokens_and_the_form_of_its_members():
    both = ModelEnsemble([text_model(seed=0), text_model(seed=1)])
    assert both.token_texts("a é") == text_model().token_texts("a é") and not both.chat
    # Information of tokens is that of the average, whatever the form of prompts.
    pieces, information = token_information(both, "abc")
    assert pieces == ["a", "b", "c"]
    np.testing.assert_allclose(information, -both.score("", ["abc"]).terms[0])
    both = ModelEnsemble([chat_model(), chat_model()])
    raw = both.raw()
    assert both.chat and not raw.chat and both.length("abc") > raw.length("abc") == 3
    raw.complete("abc", max_tokens=2)
    assert both.account is raw.account and both.account.prompt_tokens == 2 * 3
    assert both.chat and token_information(both, "abc", "x")[0] == ["a", "b", "c"]


def test_tokenizers_and_forms_must_be_the_same():
    one = text_model()
    check_same_tokenizer([one, text_model(seed=1)])  # two tokenizers that are equal
    check_same_tokenizer([one])
    fewer = ByteTokenizer(["<|end|>"])
    with pytest.raises(ConfigError, match="model 2 of the ensemble has another tokenizer"):
        check_same_tokenizer([one, TextModel.of(one.opened.lm, fewer, begin=(256,), ends=(256,))])
    with pytest.raises(ConfigError, match="model 3 of the ensemble has another `begin`"):
        check_same_tokenizer([one, one, TextModel.of(one.opened.lm, one.tokenizer, ends=(256,))])
    with pytest.raises(ConfigError, match="has another `ends`"):
        check_same_tokenizer([one, TextModel.of(one.opened.lm, one.tokenizer, begin=(256,))])
    other = text_model()
    other.system = "Be brief."
    with pytest.raises(ConfigError, match="model 2 of the ensemble reads prompts in another form"):
        ModelEnsemble([one, other])
    wider = TextModel.of(one.opened.lm, ByteTokenizer(["<|endoftext|>", "<|x|>"]))
    with pytest.raises(ConfigError, match=r"\(258 and 257 tokens\)"):
        check_same_tokenizer([one, wider])


def test_models_vote_on_answers():
    calls, item = [], Item("Which?")

    def method(lm, item, demonstrations=(), *, seed=0, max_tokens=1, shout=False):
        calls.append((lm, item, demonstrations, seed, max_tokens, shout))
        return Answer(lm, f"It is {lm}.")

    answer = model_vote(["a", "b", "b"], item, "demos", method=method, seed=4, shout=True)
    assert calls[0] == ("a", item, "demos", 4, 64, True)
    assert answer.value == "b" and answer.text == "It is b."
    assert answer.details == {"answers": ["a", "b", "b"], "shares": {"b": 2 / 3, "a": 1 / 3}}
    assert model_vote(["a", "b", "b"], item, method=method, weights=[3, 1, 1]).value == "a"
    assert (
        model_vote([ScriptedLM([])], Item("?"), method=lambda *a, **k: Answer(None)).value is None
    )
    with pytest.raises(ConfigError, match="at least one model"):
        model_vote([], item, method=method)


def test_models_vote_by_the_number_where_one_is_wanted():
    def method(lm, item, demonstrations=(), **options):
        return Answer(lm)

    lms = ["It is 7.", "3 + 4 = 7", "8"]
    assert model_vote(lms, Item("?", "7"), method=method).details["shares"]["8"] == 1 / 3
    assert model_vote(lms, Item("?", "7"), method=method).value == "3 + 4 = 7"


def test_where_distributions_are_needed():
    check_text_model("here", text_model())
    check_text_model("here", ModelEnsemble([text_model()]).whole)
    with pytest.raises(ConfigError, match="here: it works on distributions .* ScriptedLM"):
        check_text_model("here", ScriptedLM([]))
