"""Several prompts choose every token together: checked by listing all strings."""

from dataclasses import replace

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate import EnumerableLM, generate_batch, sequence_logprob
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble import tokens
from tinylm.prompt.ensemble.marginal import log_marginal
from tinylm.prompt.ensemble.prompts import Phrasing
from tinylm.prompt.ensemble.tokens import (
    RULES,
    Joint,
    bayes_rule,
    complete_jointly,
    decode_jointly,
    mixture_rule,
    product_rule,
    token_ensemble,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.tokenizers import ByteTokenizer

LM = EnumerableLM.random(3, 4, seed=7, spread=1.5)
PROMPTS = [[0], [1, 2], [2]]  # of unequal lengths
P = np.log([[0.70, 0.25, 0.05], [0.02, 0.25, 0.73]])
HALF = np.array([0.5, 0.5])


def after(prompt, y):
    """log Pr(. | prompt, y) by table lookup: (V,)."""
    whole = (*prompt, *y)
    return np.log(LM.tables[len(whole) - 1][whole])


def test_the_rules_on_the_vector_where_they_differ():
    none = np.zeros(2)
    product = product_rule(P, HALF, none)
    np.testing.assert_allclose(product, P.sum(axis=0), rtol=0, atol=1e-12)  # eq. 3.7 to the letter
    mixture = np.exp(mixture_rule(P, HALF, none))
    np.testing.assert_allclose(mixture, [0.36, 0.25, 0.39], rtol=0, atol=1e-12)
    assert (product.argmax(), mixture.argmax()) == (1, 2)
    np.testing.assert_allclose(bayes_rule(P, HALF, none), np.log(mixture), rtol=0, atol=1e-12)
    # After tokens that the first prompt predicts 9 times as well, it weighs .9.
    later = np.exp(bayes_rule(P, HALF, np.log([0.9, 0.1])))
    np.testing.assert_allclose(later, [0.632, 0.25, 0.118], rtol=0, atol=1e-12)


def test_weights_of_the_rules():
    sharp = product_rule(P, np.array([0.25, 0.75]), np.zeros(2))
    np.testing.assert_allclose(sharp, 0.5 * P[0] + 1.5 * P[1], rtol=0, atol=1e-12)
    one = np.array([0.0, 1.0])
    for rule in RULES.values():
        found = rule(P, one, np.zeros(2))
        scale = {product_rule: 2}.get(rule, 1)
        np.testing.assert_allclose(found, scale * P[1], rtol=0, atol=1e-12)
    with np.errstate(divide="ignore"):
        veto = np.log([[0.0, 1.0], [0.5, 0.5]])
    assert product_rule(veto, HALF, np.zeros(2))[0] == -np.inf
    assert product_rule(veto, one, np.zeros(2))[0] > -np.inf  # without weight it has no veto


def test_every_token_maximizes_the_sum_over_prompts():
    found = decode_jointly(LM, PROMPTS, 3)
    y = []
    for _ in range(3):
        y.append(int(sum(after(prompt, y) for prompt in PROMPTS).argmax()))
    assert found.tokens == y
    separate = [generate_batch(LM, [prompt], 3, temperature=0.0)[0] for prompt in PROMPTS]
    assert any(one != y for one in separate)  # the prompts alone do not agree


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weights", [None, [3, 1, 2]])
def test_a_batch_of_caches_is_separate_forwards(rule, weights):
    found = decode_jointly(LM, PROMPTS, 3, rule, weights)
    for k, prompt in enumerate(PROMPTS):
        terms = sequence_logprob(LM, [*prompt, *found.tokens], reduction="none")
        np.testing.assert_allclose(found.terms[:, k], terms[len(prompt) - 1 :], rtol=0, atol=1e-12)


def test_bayes_rule_chooses_by_the_exact_marginal():
    # Pr(y_1 .. y_j | p) = sum_k w_k Pr(y_1 .. y_j | x_k): each token maximizes it, given the last.
    prior = np.array([0.2, 0.5, 0.3])
    for seed in range(20):
        lm = EnumerableLM.random(3, 4, seed=seed, spread=1.5)
        found = decode_jointly(lm, PROMPTS, 3, "bayes", prior)
        y = []
        for _ in range(3):
            logs = np.array(
                [
                    [sequence_logprob(lm, [*x, *y, v]) - _own(lm, x) for v in range(3)]
                    for x in PROMPTS
                ]
            )
            y.append(int(log_marginal(logs, prior).argmax()))
        assert found.tokens == y


def _own(lm, prompt):
    """log Pr of the tokens of a prompt after its first."""
    return sequence_logprob(lm, prompt)


def test_the_conditionals_of_bayes_rule_multiply_to_the_marginal():
    strings, _ = LM.all_strings(0)
    weights = np.array([0.25, 0.75])
    for y in strings[:, :3].tolist()[::5]:
        totals, log_p = np.zeros(2), 0.0
        for j, token in enumerate(y):
            terms = np.stack([after(x, y[:j]) for x in ([0], [2])])
            log_p += bayes_rule(terms, weights, totals)[token]
            totals = totals + terms[:, token]
        whole = weights @ [LM.probability(y, bos=0), LM.probability(y, bos=2)]
        assert np.exp(log_p) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_equal_prompts_are_greedy_decoding_after_one(rule):
    for prompt in PROMPTS:
        found = decode_jointly(LM, [prompt] * 3, 3, rule)
        assert found.tokens == generate_batch(LM, [prompt], 3, temperature=0.0)[0]
    alone = decode_jointly(LM, [[1]], 3, rule)
    assert alone.tokens == generate_batch(LM, [[1]], 3, temperature=0.0)[0]


def test_on_a_model_with_a_key_value_cache():
    gpt = make_gpt(7, 16, spread=0.6)
    prompts = [[1, 2, 3, 4], [5], [6, 0]]
    found = decode_jointly(gpt, prompts, 6)
    lm, y = as_language_model(gpt), []
    for _ in range(6):
        logits = [lm.next_logits(np.array([[*x, *y]]))[0] for x in prompts]
        shifted = [z - np.log(np.exp(z - z.max()).sum()) - z.max() for z in logits]
        y.append(int(sum(shifted).argmax()))
    assert found.tokens == y and found.terms.shape == (6, 3)


def test_where_a_text_ends():
    tokenizer = ByteTokenizer()
    gpt = make_gpt(256, 32, spread=0.6)
    free = decode_jointly(gpt, [[1], [2, 3]], 8, tokenizer=tokenizer)
    assert (len(free.tokens), free.finish) == (8, "length")
    assert free.text == bytes(free.tokens).decode("utf-8", "replace")
    end = free.tokens[3]
    first = free.tokens.index(end)
    ended = decode_jointly(gpt, [[1], [2, 3]], 8, eos=end, tokenizer=tokenizer)
    assert (ended.tokens, ended.finish) == (free.tokens[: first + 1], "end")
    assert len(ended.terms) == first + 1
    letters = EnumerableLM([np.eye(3)[[1, 2, 0]]] + _cycle(3), None)
    stopped = decode_jointly(letters, [[0]], 4, stop="c", tokenizer=_Letters())
    assert (stopped.text, stopped.tokens, stopped.finish) == ("b", [1], "stop")
    assert stopped.terms.shape == (1, 1)  # of the tokens that are in the text
    assert decode_jointly(LM, PROMPTS, 0).terms.shape == (0, 3)


class _Letters:
    """a, b, c."""

    def token_bytes(self, token):
        return b"abc"[token : token + 1]


def _cycle(n):
    """Tables of a model that writes a b c a b c .."""
    tables = []
    for i in range(1, n + 1):
        table = np.zeros((3,) * (i + 2))
        for last in range(3):
            table[..., last, (last + 1) % 3] = 1.0
        tables.append(table)
    return tables


def test_the_context_bounds_prompts_and_reply():
    # 4 tokens are read at most: after the prompt of 2 the last token read is the second new one.
    assert len(decode_jointly(LM, [[0], [1, 2]], 9).tokens) == 3
    assert len(decode_jointly(LM, [[0, 1, 2, 0]], 9).tokens) == 1
    with pytest.raises(DataError, match="a prompt has 5 tokens and the model reads 4"):
        decode_jointly(LM, [[0], [0, 1, 2, 0, 1]], 1)


def test_what_cannot_be_decoded_is_refused():
    with pytest.raises(ConfigError, match="no rule 'sum'; there are product, mixture, bayes"):
        decode_jointly(LM, PROMPTS, 1, "sum")
    with pytest.raises(ConfigError, match="at least one prompt"):
        decode_jointly(LM, [], 1)
    # Two prompts that are certain of different tokens leave nothing to choose.
    certain = EnumerableLM([np.eye(2)])
    with pytest.raises(DataError, match="no finite maximum"):
        decode_jointly(certain, [[0], [1]], 1)
    assert decode_jointly(certain, [[0], [1]], 1, "mixture").tokens == [0]  # a tie: the lower id


# As texts.


def test_texts_are_decoded_as_their_ids():
    lm = text_model()
    prompts = ["Q: abc\nA:", "Question: abc\nAnswer:"]
    found = complete_jointly(lm, prompts, max_tokens=5)
    wanted = decode_jointly(lm.lm, [lm.ids(p) for p in prompts], 5, eos=256)
    assert found.tokens == wanted.tokens
    np.testing.assert_allclose(found.terms, wanted.terms, rtol=0, atol=1e-9)
    one = complete_jointly(lm, ["abc", "abc"], max_tokens=5)
    assert one.text == lm.complete("abc", max_tokens=5).text
    begun = complete_jointly(lm, ["ab", "ab"], begin="c", max_tokens=5)
    assert begun.tokens == one.tokens


def test_every_prompt_is_counted_and_traced():
    lm = text_model()
    with lm.tracing() as trace:
        found = complete_jointly(lm, ["abc", "de"], max_tokens=4)
    account = lm.account
    assert (account.calls, account.prompt_tokens, account.generated_tokens) == (2, 4 + 3, 8)
    assert account.read_tokens == 7 and account.seconds > 0
    assert [(call.prompt, call.reply) for call in trace.calls] == [
        ("abc", found.text),
        ("de", found.text),
    ]


def test_a_prompt_without_room_for_a_reply_is_refused():
    with pytest.raises(DataError, match="the prompt has 97 tokens and the model reads 96"):
        complete_jointly(text_model(), ["a", "b" * 96])


def test_the_method_reads_an_answer():
    lm = text_model()
    answer = token_ensemble(lm, Item("2+2?"), max_tokens=6)
    assert len(answer.details["agreement"]) == 3  # three forms of a question by default
    forms = (Phrasing("Say {*text*}"), Phrasing("Tell {*text*}"))
    found = token_ensemble(lm, Item("abc"), prompts=forms, max_tokens=6, rule="mixture")
    wanted = complete_jointly(
        lm, ["Say abc", "Tell abc"], max_tokens=6, rule="mixture", stop="\n\n"
    )
    assert found.text == wanted.text and found.value == (wanted.text.strip() or None)
    assert found.details["agreement"] == pytest.approx(wanted.terms.sum(axis=0).tolist())
    assert found.details["finish"] == wanted.finish


@pytest.mark.parametrize("kind", [Chat, ScriptedLM])
def test_a_turn_of_a_chat_may_have_paragraphs(kind, monkeypatch):
    seen = []

    def jointly(lm, prompts, stop, **options):
        seen.append(stop)
        return Joint([], np.zeros((0, 2)), "one\n\ntwo", "end")

    monkeypatch.setattr(tokens, "complete_jointly", jointly)
    forms, demo = (Phrasing("Say {*text*}"), FewShotPrompt()), Item("b", "c")
    free = token_ensemble(kind([]), Item("a"), prompts=forms)
    shown = token_ensemble(kind([]), Item("a"), [demo], prompts=forms)
    fields = ("\nContext:", "\nQ:", "\nA:")
    assert seen[1] == ("\n\n", *fields) and shown.value == "one"
    if kind is Chat:
        assert seen[0] == fields and free.value == "one\n\ntwo"
    else:
        assert seen[0] == seen[1] and free.value == "one"


def test_a_model_that_shows_no_distributions_is_refused():
    with pytest.raises(ConfigError, match="give a TextModel"):
        token_ensemble(ScriptedLM([]), Item("2+2?"))


def test_the_models_end_token_ends_a_text():
    lm = text_model(spread=1.0)
    free = complete_jointly(lm, ["abc", "de"], max_tokens=6)
    end = free.tokens[2]
    lm.opened = replace(lm.opened, eos=end, ends=(end,))
    found = complete_jointly(lm, ["abc", "de"], max_tokens=6)
    assert found.finish == "end" and found.tokens == free.tokens[: free.tokens.index(end) + 1]
    assert 0 < lm.account.seconds < 60
