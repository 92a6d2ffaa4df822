"""Replaced-token detection: labels by comparison, samples of the softmax, separate gradients."""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import electra
from tinylm.autograd import softmax
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import SPECIAL, TEXT
from tinylm.pretrain.discriminative.replaced import (
    ReplacedBatch,
    ReplacedTokens,
    detection_losses,
    fooling_loss,
    replaced_labels,
    sample_from,
)
from tinylm.pretrain.masked.masked import MaskedLM, mask_tokens, targets_at
from tinylm.pretrain.words import Words
from tinylm.train.accuracy import answers

BOY = Words("The boy spent hours working on toys .", "decades")


# Two rows with [CLS]; masked are places 2 and 4 of the first, 1 of the second.
ORIGINAL = np.array([[SPECIAL.cls, 0, 1, 2, 3], [SPECIAL.cls, 3, 2, 1, 0]])
MASKED = np.array([[0, 0, 1, 0, 1], [0, 1, 0, 0, 0]], bool)
GUESSES = 1, 2, 0  # the first is right, the others should be 3 and 3
REPLACED = np.array([[0, 0, 0, 0, 1], [0, 1, 0, 0, 0]])


class Guesser:
    """A generator sure of GUESSES, and a discriminator of given logits that keeps its input."""

    def __init__(self, judgement):
        self.generator, self.judgement = self, judgement

    def hidden(self, ids, mask=None):
        h = np.zeros((*ids.shape, SPECIAL.vocab_size))
        h[MASKED, GUESSES] = 800.0  # softmax: exactly 1 for the guess
        return tl.Tensor(h)

    def logits(self, h):
        return h

    def discriminator(self, ids, mask=None):
        self.read = ids
        return tl.Tensor(self.judgement)


def guessed_batch():
    """ORIGINAL masked at MASKED, in row 1 the last token not judged."""
    judged = np.ones(ORIGINAL.shape, bool)
    judged[:, 0] = judged[1, 4] = False
    return ReplacedBatch(
        mask_tokens(ORIGINAL, MASKED, SPECIAL.mask),
        targets_at(ORIGINAL, MASKED),
        original=ORIGINAL,
        draws=np.full(ORIGINAL.shape, 0.5),
        judged=judged,
    )


def test_the_loss_of_the_discriminator_by_hand():
    """Label 1 where a token was replaced, 0 where it was guessed right; [CLS] does not count."""
    z = np.array([[9.0, 0.5, 1.0, -1.5, 2.0], [-9.0, -0.25, 3.0, 0.75, 7.0]])
    model = Guesser(z)
    metrics = ReplacedTokens(SPECIAL).loss(model, guessed_batch())[1]
    assert model.read.tolist() == [[SPECIAL.cls, 0, 1, 2, 2], [SPECIAL.cls, 0, 2, 1, 0]]
    p = 1 / (1 + np.exp(-z))  # probability of "replaced"
    original, replaced = -np.log(1 - p), -np.log(p)
    first = (original[0, 1] + original[0, 2] + original[0, 3] + replaced[0, 4]) / 4
    second = (replaced[1, 1] + original[1, 2] + original[1, 3]) / 3
    assert metrics["detection"] == pytest.approx((first + second) / 2, rel=1e-12)
    # the generator: 0 nats for the right guess, 800 for a wrong one; row means, then their mean
    assert metrics["masked"] == pytest.approx((800 / 2 + 800) / 2, rel=1e-12)
    assert metrics["tokens"] == 2


def test_a_perfect_discriminator_loses_nothing_and_its_opposite_everything():
    right = np.where(REPLACED, 800.0, -800.0)
    for logits, loss in (right, 0), (-right, 800):
        metrics = ReplacedTokens(SPECIAL).loss(Guesser(logits), guessed_batch())[1]
        assert metrics["detection"] == loss


def test_the_share_of_right_answers_has_the_same_labels_as_the_loss():
    model = Guesser(np.where(REPLACED, 1.0, -1.0))
    said, right = answers(model, ReplacedTokens(SPECIAL), guessed_batch())
    assert right.tolist() == said.tolist() == [0, 0, 0, 1, 1, 0, 0]


def test_the_generator_reads_nothing_but_masks_where_it_predicts(rng):
    """Not BERT's 80/10/10: ELECTRA's generator always sees [MASK]."""
    text = rng.integers(0, 4, (40, 40))
    batch = ReplacedTokens(SPECIAL).make_batch(text, Random(0))
    chosen = batch.targets != IGNORE
    assert chosen.sum() == 40 * 6  # 15 % of 40 in every row
    assert (batch.inputs[chosen] == SPECIAL.mask).all()
    assert np.array_equal(batch.inputs[~chosen], batch.original[~chosen])
    assert np.array_equal(batch.original[:, 1:], text)
    assert (batch.original[:, 0] == SPECIAL.cls).all()
    assert np.array_equal(batch.targets[chosen], batch.original[chosen])
    own = ReplacedTokens(SPECIAL, MaskedLM(SPECIAL, rate=0.5)).make_batch(text, Random(0))
    assert (own.targets != IGNORE).sum() == 40 * 20  # a MaskedLM that is given is the one used


def test_every_token_but_special_ones_is_judged():
    text = np.array([[0, 1, SPECIAL.pad, SPECIAL.pad], [3, SPECIAL.sep, 2, 1]])
    judged = ReplacedTokens(SPECIAL).make_batch(text, Random(0)).judged
    assert judged.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 1, 0, 1, 1]]


def test_a_token_that_was_got_right_is_original():
    x = BOY.ids("[CLS] The boy spent hours working on toys .")
    masked = mask_tokens(x, np.isin(np.arange(9), (4, 7)), BOY.special.mask)
    assert " ".join(BOY.show(masked)) == "[CLS] The boy spent [MASK] working on [MASK] ."
    replaced = BOY.ids("[CLS] The boy spent decades working on toys .")
    assert replaced_labels(x, replaced).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert not replaced_labels(x, x).any()  # of a perfect generator nothing is replaced


def test_samples_have_the_probabilities_of_the_softmax():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    logits = np.log(p + 1e-300)
    drawn = sample_from(np.broadcast_to(logits, (8000, 4)), Random(0).uniform((8000,), np.float64))
    counts = np.bincount(drawn, minlength=4)
    deviations = np.sqrt(8000 * p * (1 - p))  # of a binomial; none for p = 0
    assert (abs(counts - 8000 * p) <= 4 * deviations).all()
    assert sample_from(np.zeros((1, 3)), np.array([1 - 1e-16])).item() == 2


def test_detection_is_binary_cross_entropy_for_any_logit():
    z = np.array([[-1.5, 0.0, 2.0, 800.0, -800.0]])
    losses = detection_losses(tl.Tensor(z), np.array([[1, 0, 1, 1, 0]])).numpy()[0]
    by_hand = [np.log1p(np.exp(1.5)), np.log(2), np.log1p(np.exp(-2.0))]
    np.testing.assert_allclose(losses[:3], by_hand, rtol=1e-12)
    assert losses[3] == 0 and losses[4] == 0
    wrong = detection_losses(tl.Tensor(z), np.array([[0, 0, 0, 0, 1]])).numpy()[0, 3:]
    assert wrong.tolist() == [800, 800]


def test_the_generator_learns_by_masked_lm_alone():
    """No gradient of detection reaches a weight that is the generator's alone."""
    model, objective = electra(), ReplacedTokens(SPECIAL)
    batch = objective.make_batch(TEXT, Random(0))
    own = [p for p in model.generator.blocks[0].parameters()]
    plain = tl.grad(ReplacedTokens(SPECIAL, weight=0.0).loss(model, batch)[0], own)
    weighted = tl.grad(objective.loss(model, batch)[0], own)
    for a, b in zip(plain, weighted):
        assert a is None or np.array_equal(a.numpy(), b.numpy())
    metrics = objective.loss(model, batch)[1]
    total = metrics["masked"] + 50 * metrics["detection"]
    assert metrics["loss"] == pytest.approx(total, rel=1e-12)
    alone = ReplacedTokens(SPECIAL, weight=0.0).loss(model, batch)[0].item()
    assert alone == pytest.approx(metrics["masked"], rel=1e-12)


def test_what_the_discriminator_reads_differs_only_where_masks_were():
    objective = ReplacedTokens(SPECIAL)
    batch = objective.make_batch(TEXT, Random(0))  # one of six is masked in each of two rows
    filled = objective.fill(np.random.default_rng(0).normal(size=(2, SPECIAL.vocab_size)), batch)
    assert np.array_equal(filled[batch.targets == IGNORE], batch.original[batch.targets == IGNORE])
    assert (filled[:, 0] == SPECIAL.cls).all()
    assert not batch.judged[:, 0].any() and batch.judged.sum() == TEXT.size
    perfect = np.full((2, SPECIAL.vocab_size), -50.0)
    np.put_along_axis(perfect, batch.original[batch.targets != IGNORE][:, None], 50.0, axis=1)
    assert np.array_equal(objective.fill(perfect, batch), batch.original)


def test_the_policy_gradient_is_on_average_that_of_the_expected_reward(rng):
    """The mean over all samples, weighted by their probability, against the exact gradient."""
    V, rewards = 4, rng.normal(size=4)
    logits = tl.Tensor(rng.normal(size=(1, 1, V)), requires_grad=True)
    p = np.exp(logits.numpy()[0, 0]) / np.exp(logits.numpy()).sum()
    average = 0
    for v in range(V):
        surrogate = fooling_loss(logits, np.array([[v]]), rewards[None, v : v + 1], np.array([[0]]))
        average = average + p[v] * tl.grad(surrogate, [logits])[0].numpy()
    (exact,) = tl.grad(-(softmax(logits) * rewards).sum(), [logits])
    np.testing.assert_allclose(average, exact.numpy(), rtol=1e-10, atol=1e-14)
    ignored = fooling_loss(logits, np.array([[2]]), np.array([[3.0]]), np.array([[IGNORE]]))
    assert ignored.item() == 0


def test_the_fooling_loss_is_a_sum_over_masked_places():
    logits = tl.Tensor(np.log([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]]))
    tokens, rewards = np.array([[0, 1, 2]]), np.array([[2.0, 3.0, 5.0]])
    targets = np.array([[0, IGNORE, 0]])
    expected = 2 * np.log(2) + 5 * np.log(2)  # the second place was not masked
    assert fooling_loss(logits, tokens, rewards, targets).item() == pytest.approx(
        expected, rel=1e-12
    )
