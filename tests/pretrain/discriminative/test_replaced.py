"""Replaced-token detection: labels by comparison, samples by the right law, gradients that stay apart."""
import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import electra
from tinylm.autograd import softmax
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import SPECIAL, TEXT
from tinylm.pretrain.discriminative.replaced import (
    ReplacedTokens,
    detection_losses,
    fooling_loss,
    replaced_labels,
    sample_from,
)
from tinylm.pretrain.masked.masked import mask_tokens
from tinylm.pretrain.words import Words

BOY = Words("The boy spent hours working on toys .", "decades")


def test_a_token_that_was_got_right_is_original():
    x = BOY.ids("[CLS] The boy spent hours working on toys .")
    masked = mask_tokens(x, np.isin(np.arange(9), (4, 7)), BOY.special.mask)
    assert " ".join(BOY.show(masked)) == "[CLS] The boy spent [MASK] working on [MASK] ."
    replaced = BOY.ids("[CLS] The boy spent decades working on toys .")
    assert replaced_labels(x, replaced).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert not replaced_labels(x, x).any()                  # of a perfect generator nothing is replaced


def test_samples_have_the_probabilities_of_the_softmax():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    logits = np.log(p + 1e-300)
    drawn = sample_from(np.broadcast_to(logits, (8000, 4)), Random(0).uniform((8000,), np.float64))
    counts = np.bincount(drawn, minlength=4)
    assert (abs(counts - 8000 * p) <= 4 * np.sqrt(8000 * p * (1 - p))).all()                # four standard deviations; 0 is exact
    assert sample_from(np.zeros((1, 3)), np.array([1 - 1e-16])).item() == 2


def test_detection_is_binary_cross_entropy_for_any_logit():
    z = np.array([[-1.5, 0.0, 2.0, 800.0, -800.0]])
    losses = detection_losses(tl.Tensor(z), np.array([[1, 0, 1, 1, 0]])).numpy()[0]
    np.testing.assert_allclose(losses[:3], [np.log1p(np.exp(1.5)), np.log(2), np.log1p(np.exp(-2.0))], rtol=1e-12)
    assert losses[3] == 0 and losses[4] == 0
    assert detection_losses(tl.Tensor(z), np.array([[0, 0, 0, 0, 1]])).numpy()[0, 3:].tolist() == [800, 800]


def test_the_generator_learns_by_masked_lm_alone():
    """With shared tables apart: no gradient of detection reaches a weight that only the generator has."""
    model, objective = electra(), ReplacedTokens(SPECIAL)
    batch = objective.make_batch(TEXT, Random(0))
    own = [p for p in model.generator.blocks[0].parameters()]
    plain = tl.grad(ReplacedTokens(SPECIAL, weight=0.0).loss(model, batch)[0], own)
    weighted = tl.grad(objective.loss(model, batch)[0], own)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(plain, weighted) if a is not None)
    loss, metrics = objective.loss(model, batch)
    assert metrics["loss"] == pytest.approx(metrics["masked"] + 50 * metrics["detection"], rel=1e-12)
    assert ReplacedTokens(SPECIAL, weight=0.0).loss(model, batch)[0].item() == pytest.approx(metrics["masked"], rel=1e-12)


def test_what_the_discriminator_reads_differs_only_where_masks_were():
    objective = ReplacedTokens(SPECIAL)
    batch = objective.make_batch(TEXT, Random(0))           # one of six is masked in each of two rows
    filled = objective.fill(np.random.default_rng(0).normal(size=(2, SPECIAL.vocab_size)), batch)
    assert np.array_equal(filled[batch.targets == IGNORE], batch.original[batch.targets == IGNORE])
    assert (filled[:, 0] == SPECIAL.cls).all() and not batch.judged[:, 0].any() and batch.judged.sum() == TEXT.size
    perfect = np.full((2, SPECIAL.vocab_size), -50.0)
    np.put_along_axis(perfect, batch.original[batch.targets != IGNORE][:, None], 50.0, axis=1)
    assert np.array_equal(objective.fill(perfect, batch), batch.original)


def test_the_policy_gradient_is_on_average_that_of_the_expected_reward(rng):
    """The book's adversarial alternative: the mean over all samples, weighted by their chance, against the exact gradient."""
    V, rewards = 4, rng.normal(size=4)
    logits = tl.Tensor(rng.normal(size=(1, 1, V)), requires_grad=True)
    p = np.exp(logits.numpy()[0, 0]) / np.exp(logits.numpy()).sum()
    average = 0
    for v in range(V):
        surrogate = fooling_loss(logits, np.array([[v]]), rewards[None, v:v + 1], np.array([[0]]))
        average = average + p[v] * tl.grad(surrogate, [logits])[0].numpy()
    exact, = tl.grad(-(softmax(logits) * rewards).sum(), [logits])
    np.testing.assert_allclose(average, exact.numpy(), rtol=1e-10, atol=1e-14)
    ignored = fooling_loss(logits, np.array([[2]]), np.array([[3.0]]), np.array([[IGNORE]]))
    assert ignored.item() == 0
