"""One response has the same log-probability wherever it stands, and prompts have no gradient."""

import dataclasses

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.logprobs import (
    averaged,
    frozen_logprobs,
    response_logits,
    response_logprobs,
    summed,
    unpacked,
)
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.finetune.instruct.instructions import InstructionBatch, InstructionTuning
from tinylm.generate import conditional_logprob
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.models import GPT, GPTConfig
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, Batch

PAIRS = [([1, 2, 0], [3, 4]), ([5], [6, 7, 1, 2]), ([2, 2], [0])]
EXACT = dict(rtol=1e-12, atol=1e-12)  # a dozen float64 terms of size 1, in another order


def model(**settings):
    return gpt(vocab_size=8, **settings)


def batch_of(pairs):
    return InstructionTuning().make_batch([encode_sft(x, y) for x, y in pairs])


def left_padded(pairs, extra=2):
    """The same rows with all padding before the tokens."""
    rows = [encode_sft(x, y) for x, y in pairs]
    T = max(len(row) for row in rows) - 1 + extra
    inputs, targets = np.zeros((len(rows), T), np.int64), np.full((len(rows), T), IGNORE)
    mask = np.zeros((len(rows), T), bool)
    for b, row in enumerate(rows):
        n = len(row) - 1
        inputs[b, T - n :], targets[b, T - n :], mask[b, T - n :] = row.ids[:-1], row.targets(), 1
    return InstructionBatch(inputs, targets, np.array([row.prompt for row in rows]), mask)


class Fixed(Module):
    """A model whose logits are its parameter, whatever it reads."""

    def __init__(self, logits):
        self.table = Tensor(logits, requires_grad=True)

    def __call__(self, ids):
        return self.table


def test_each_token_has_the_log_of_its_probability_given_all_before_it():
    m = model()
    logp, counted = response_logprobs(m, batch_of(PAIRS))
    for b, (x, y) in enumerate(PAIRS):
        # the first token of y is predicted at the last of x
        assert np.flatnonzero(counted[b]).tolist() == list(range(len(x) - 1, len(x) + len(y) - 1))
        for i in range(len(y)):
            wanted = conditional_logprob(m, x + y[:i], y[i : i + 1])
            np.testing.assert_allclose(logp.data[b, len(x) - 1 + i], wanted, **EXACT)
    assert (logp.data[~counted] == 0).all()


def test_a_response_that_is_forced_has_the_probabilities_with_which_it_was_generated():
    """Forced decoding in one pass, against generation token by token with a cache."""
    m, prompt, logps = gpt(), [1, 2], []
    lm = as_language_model(m)
    cache = lm.new_cache(1)
    tokens, rng = np.array([prompt]), np.random.default_rng(0)
    drawn = []
    for _ in range(6):
        logits = lm.next_logits(tokens, cache)[0]
        logp = logits - np.log(np.exp(logits).sum())
        drawn.append(int(rng.choice(len(logp), p=np.exp(logp))))
        logps.append(logp[drawn[-1]])
        tokens = np.array([drawn[-1:]])
    batch = InstructionTuning().make_batch([encode_sft(prompt, drawn)])
    found, counted = response_logprobs(m, batch)
    np.testing.assert_allclose(found.data[counted], logps, **EXACT)


def test_sums_and_means_are_over_the_tokens_of_the_response():
    m = model()
    logp, counted = response_logprobs(m, batch_of(PAIRS))
    wanted = [conditional_logprob(m, x, y) for x, y in PAIRS]
    np.testing.assert_allclose(summed(logp, counted).data, wanted, **EXACT)
    lengths = [len(y) for _, y in PAIRS]
    np.testing.assert_allclose(averaged(logp, counted).data, np.divide(wanted, lengths), **EXACT)


@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_padding_at_the_left_equals_padding_at_the_right(positions):
    m = model(positions=positions)
    right = summed(*response_logprobs(m, batch_of(PAIRS)))
    left = summed(*response_logprobs(m, left_padded(PAIRS)))
    np.testing.assert_allclose(left.data, right.data, **EXACT)


def test_a_row_padded_at_the_left_stands_beside_one_padded_at_the_right():
    m, wide = model(), left_padded(PAIRS, extra=0)
    narrow = batch_of(PAIRS)
    both = [
        np.concatenate([getattr(wide, name)[:1], getattr(narrow, name)[2:]])
        for name in ("inputs", "targets", "prompt", "mask")
    ]
    mixed = summed(*response_logprobs(m, InstructionBatch(*both))).data
    wanted = summed(*response_logprobs(m, narrow)).data
    np.testing.assert_allclose(mixed, wanted[[0, 2]], **EXACT)


def test_packed_rows_hold_the_responses_of_rows_of_one():
    m = model()
    alone = summed(*response_logprobs(m, batch_of(PAIRS))).data
    one, two, three = [encode_sft(x, y) for x, y in PAIRS]
    batch = InstructionTuning().make_batch([[one, two], [three]])
    rows, counted = unpacked(*response_logprobs(m, batch), batch.segments)
    assert rows.shape == counted.shape == (3, batch.inputs.shape[1])
    np.testing.assert_allclose(summed(rows, counted).data, alone, **EXACT)
    assert counted.sum(axis=1).tolist() == [2, 4, 1]  # the lengths of the responses


def test_the_order_of_a_batch_and_its_parts_change_nothing():
    m, order = model(), [2, 0, 1]
    whole = summed(*response_logprobs(m, batch_of(PAIRS))).data
    turned = summed(*response_logprobs(m, batch_of([PAIRS[i] for i in order]))).data
    np.testing.assert_allclose(turned, whole[order], **EXACT)
    batch = batch_of(PAIRS)
    parts = [summed(*response_logprobs(m, batch.rows(b, b + 1))).data for b in range(3)]
    np.testing.assert_allclose(np.concatenate(parts), whole, **EXACT)


def test_logits_of_prompt_tokens_get_a_gradient_of_exactly_0():
    batch = batch_of(PAIRS)
    fixed = Fixed(np.random.default_rng(0).normal(size=(*batch.inputs.shape, 8)))
    logp, counted = response_logprobs(fixed, batch)
    (g,) = grad(summed(logp, counted).sum(), [fixed.table])
    assert (g.data[~counted] == 0).all()
    # d log p / d logits = onehot - p: it sums to 0 over the vocabulary
    chance = np.exp(fixed.table.data) / np.exp(fixed.table.data).sum(-1, keepdims=True)
    wanted = np.eye(8)[batch.targets[counted]] - chance[counted]
    np.testing.assert_allclose(g.data[counted], wanted, **EXACT)


def test_a_temperature_gives_the_distribution_that_is_sampled():
    batch = batch_of(PAIRS)
    table = np.random.default_rng(1).normal(size=(*batch.inputs.shape, 8))
    warm, counted = response_logprobs(Fixed(table), batch, temperature=2.0)
    plain, _ = response_logprobs(Fixed(table / 2), batch)
    np.testing.assert_allclose(warm.data, plain.data, **EXACT)
    assert np.abs(warm.data - response_logprobs(Fixed(table), batch)[0].data).max() > 0.1
    # through the model's own output layer too
    m = model()
    logits, targets = response_logits(m, batch, temperature=0.5)
    cold = logits.data - np.log(np.exp(logits.data).sum(-1, keepdims=True))
    found = response_logprobs(m, batch, temperature=0.5)[0].data[counted]
    np.testing.assert_allclose(found, cold[np.arange(len(targets)), targets], **EXACT)
    unit = response_logits(m, batch)[0].data
    np.testing.assert_allclose(logits.data, unit / 0.5, **EXACT)


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan])
def test_a_temperature_without_a_gradient_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        response_logprobs(model(), batch_of(PAIRS), temperature)


def test_a_plain_batch_counts_what_its_targets_are():
    m, ids = model(), np.array([[1, 2, 3]])
    logp, counted = response_logprobs(m, Batch(ids[:, :-1], ids[:, 1:]))
    assert counted.all()
    np.testing.assert_allclose(summed(logp, counted).data, conditional_logprob(m, [1], [2, 3]))


def test_frozen_log_probabilities_are_arrays_without_dropout():
    m = GPT(GPTConfig(8, 16, 1, 2, 8, dropout=0.5), 0, np.float64)
    batch = batch_of(PAIRS)
    assert m.training
    logp, counted = frozen_logprobs(m, batch, temperature=0.7)
    assert isinstance(logp, np.ndarray) and m.training
    wanted, also = response_logprobs(m.eval(), batch, 0.7)
    assert wanted.requires_grad and (counted == also).all()
    np.testing.assert_array_equal(logp, wanted.data)


def test_several_answers_of_one_conversation_are_one_row():
    ids, answer = np.array([1, 2, 3, 4, 5]), np.array([0, 1, 0, 0, 1], bool)
    m = model()
    logp, counted = response_logprobs(m, InstructionTuning().make_batch([Encoded(ids, answer)]))
    wanted = conditional_logprob(m, [1], [2]) + conditional_logprob(m, [1, 2, 3, 4], [5])
    np.testing.assert_allclose(summed(logp, counted).data, wanted, **EXACT)


def test_a_mean_of_nothing_is_refused():
    batch = batch_of(PAIRS)
    targets = batch.targets.copy()
    targets[1] = IGNORE
    logp, counted = response_logprobs(model(), dataclasses.replace(batch, targets=targets))
    assert summed(logp, counted).data[1] == 0
    with pytest.raises(DataError, match="row 1"):
        averaged(logp, counted)


def test_shapes_that_do_not_fit_are_refused():
    logp = Tensor(np.zeros((2, 3)))
    for reduce in (summed, averaged):
        with pytest.raises(ShapeError, match=reduce.__name__):
            reduce(logp, np.ones((2, 4), bool))
        with pytest.raises(ShapeError, match=reduce.__name__):
            reduce(Tensor(np.zeros(3)), np.ones(3, bool))
    with pytest.raises(ShapeError, match="segments"):
        unpacked(logp, np.ones((2, 3), bool), np.zeros((2, 4), int))
