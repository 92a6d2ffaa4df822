"""All responses are listed, and their probabilities sum to 1."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.exact import policies
from tinylm.align.exact.gradients import gradient_of
from tinylm.align.exact.policies import ListedPolicy, StepTable, TablePolicy
from tinylm.autograd import Tensor, exp
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import conditional_logprob
from tinylm.generate.protocol.enumerable import EnumerableLM
from tinylm.nn.module import Module

EXACT = dict(rtol=1e-12, atol=1e-12)  # a dozen float64 terms of size 1, in another order
PROMPTS = [[1], [2, 0, 2]]


class Tables(Module):
    """An EnumerableLM as a model that response_logprobs() reads."""

    def __init__(self, lm):
        self.lm, self.vocab_size = lm, lm.vocab_size

    def __call__(self, ids):
        return Tensor(self.lm.logits(ids))


def test_a_table_is_a_softmax_of_its_logits():
    policy = TablePolicy([[0.0, np.log(3)], [2.0, 2.0]])
    np.testing.assert_allclose(np.exp(policy.logprobs().data), [[0.25, 0.75], [0.5, 0.5]], **EXACT)
    assert [p.shape for p in policy.parameters()] == [(2, 2)]
    with pytest.raises(ShapeError, match="prompts"):
        TablePolicy([0.0, 1.0])


@pytest.mark.parametrize("eos, many", [(None, 9), (0, 7)])
def test_probabilities_of_a_language_model_sum_to_1(eos, many):
    """Of 9 strings of two tokens, those with another token after eos are no responses."""
    policy = ListedPolicy(gpt(), PROMPTS, 2, eos)
    logp = policy.logprobs()
    assert logp.shape == (2, many) and policy.responses.shape == (many, 2)
    np.testing.assert_allclose(exp(logp).data.sum(axis=1), 1, **EXACT)
    # so that no change of a parameter changes the sum
    for g in gradient_of(exp(logp).sum(), policy):
        np.testing.assert_allclose(g, 0, atol=1e-12)


def test_each_response_has_its_own_log_probability_given_the_prompt():
    m = gpt()
    policy = ListedPolicy(m, PROMPTS, 2)
    logp = policy.logprobs().data
    for x, prompt in enumerate(PROMPTS):
        for k, response in enumerate(policy.responses):
            wanted = conditional_logprob(m, prompt, response.tolist())
            np.testing.assert_allclose(logp[x, k], wanted, **EXACT)


def test_log_probabilities_of_tokens_stand_in_the_order_of_the_response():
    m = gpt()
    policy = ListedPolicy(m, PROMPTS, 2)
    found = policy.token_logprobs().data  # (2, 9, 2)
    k = policy.responses.tolist().index([2, 1])
    for x, prompt in enumerate(PROMPTS):
        first = conditional_logprob(m, prompt, [2])
        second = conditional_logprob(m, prompt + [2], [1])
        np.testing.assert_allclose(found[x, k], [first, second], **EXACT)


def test_nothing_counts_after_the_end():
    policy = ListedPolicy(gpt(), PROMPTS, 3, eos=0)
    ended = policy.responses.tolist().index([2, 0, 0])
    whole = policy.responses.tolist().index([2, 1, 0])
    assert policy.counted[ended].tolist() == [True, True, False]
    assert policy.counted[whole].all()
    found = policy.token_logprobs().data
    assert (found[:, ended, 2] == 0).all() and (found[:, whole] < 0).all()


def test_a_temperature_is_that_of_each_token():
    m = gpt()
    policy = ListedPolicy(m, PROMPTS, 2)
    logp = policy.logprobs(temperature=0.5).data
    np.testing.assert_allclose(np.exp(logp).sum(axis=1), 1, **EXACT)
    first = policy.token_logprobs().data[0, ::3, 0]  # of the three first tokens
    squares = np.exp(first) ** 2  # p^(1/T) / sum p^(1/T)
    found = np.exp(policy.token_logprobs(temperature=0.5).data[0, ::3, 0])
    np.testing.assert_allclose(found, squares / squares.sum(), **EXACT)


def test_a_table_of_conditional_distributions_is_listed_too():
    lm = EnumerableLM.random(3, 3, seed=4, eos=1)
    policy = ListedPolicy(Tables(lm), [[2]], 3, eos=1)
    strings, probabilities = lm.all_strings(bos=2)
    assert policy.responses.tolist() == strings.tolist()
    np.testing.assert_allclose(np.exp(policy.logprobs().data[0]), probabilities, **EXACT)


def test_a_table_of_steps_reaches_every_distribution_over_lengths():
    """Responses 0, 10, 110 and 111; the next token depends on its place alone."""
    chance = [0.4, 0.3, 0.2, 0.1]
    policy = ListedPolicy(StepTable.of(chance), [[0]], 3, eos=0)
    assert policy.counted.sum(axis=1).tolist() == [1, 2, 3, 3]
    np.testing.assert_allclose(np.exp(policy.logprobs().data), [chance], **EXACT)
    # 0 after 1: .3 of the .6 that are left; 0 after 11: .2 of .3
    tokens = np.exp(policy.token_logprobs().data[0])
    np.testing.assert_allclose(tokens[2], [0.6, 0.5, 2 / 3], **EXACT)
    assert [p.shape for p in policy.parameters()] == [(3, 2)]
    with pytest.raises(ShapeError, match="places"):
        StepTable([0.0, 1.0])


def test_a_table_of_steps_reads_places_alone_and_has_one_for_all_after_the_last():
    table = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    found = StepTable(table)(np.array([[0, 1, 2, 1], [2, 2, 0, 0]])).data
    np.testing.assert_array_equal(found, [table[[0, 1, 1, 1]]] * 2)


def test_an_example_is_a_row_of_a_batch():
    policy = ListedPolicy(gpt(), PROMPTS, 2, eos=0)
    one = policy.example(1, policy.responses.tolist().index([0, 0]))
    assert one.ids.tolist() == [2, 0, 2, 0, 0]
    assert one.answer.tolist() == [False] * 3 + [True, False]


def test_its_parameters_are_those_of_the_model():
    m = gpt()
    policy = ListedPolicy(m, PROMPTS, 1)
    assert [id(p) for p in policy.parameters()] == [id(p) for p in m.parameters()]


def test_too_many_responses_and_empty_prompts_are_refused(monkeypatch):
    monkeypatch.setattr(policies, "MOST", 9)
    assert len(ListedPolicy(gpt(), [[1]], 2).responses) == 9  # as many as may be
    with pytest.raises(ConfigError, match="more than 9"):
        ListedPolicy(gpt(), [[1], [2]], 2)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"8\^5"):
        ListedPolicy(gpt(vocab_size=8), [[1]], 5)
    assert len(ListedPolicy(gpt(), [[1]], 2, vocab_size=2).responses) == 4
    with pytest.raises(DataError, match="empty prompt"):
        ListedPolicy(gpt(), [[1], []], 1)
