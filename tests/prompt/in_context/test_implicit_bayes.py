"""The best possible prediction infers the concept, and models are measured against it."""

import itertools

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.data.synthetic.hmm_mixture import HMMMixture, ginc
from tinylm.errors import ShapeError
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt.in_context.implicit_bayes import (
    by_concept,
    compare,
    divergence,
    model_predictions,
)

BEGIN = 3


def mixture(concepts=2, seed=0):
    """Two states and three tokens, so that all texts can be listed."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])

    return HMMMixture(
        rng.dirichlet(np.ones(concepts)), rows(concepts, 2), rows(concepts, 2, 2), rows(2, 3)
    )


class Best:
    """The best prediction behind the protocol of language models."""

    vocab_size, context = 4, None

    def __init__(self, of):
        self.of = of

    def logits(self, tokens, cache=None):
        p = self.of.predict(np.asarray(tokens)[:, 1:])
        with np.errstate(divide="ignore"):
            return np.log(np.concatenate([p, np.full((*p.shape[:2], 1), 1e-300)], axis=2))

    def next_logits(self, tokens, cache=None):
        return self.logits(tokens)[:, -1]


def test_a_prediction_is_a_mean_over_concepts_by_their_posterior():
    world = mixture(3)
    texts = np.array(list(itertools.product(range(3), repeat=4)))
    parts = by_concept(world, texts)  # (81, 5, 3, 3)
    posterior = world.posterior(texts)
    assert np.allclose(world.predict(texts), np.einsum("btc,btcv->btv", posterior, parts))
    assert np.allclose(parts.sum(-1), 1)
    # p(theta | x) = p(x | theta) p(theta) / p(x), with p(x | theta) the product of its predictions.
    rows, t = np.arange(81)[:, None], np.arange(4)[None]
    likelihood = parts[rows, t, :, texts].prod(axis=1)  # (81, 3)
    joint = likelihood * world.prior
    assert np.allclose(posterior[:, 4], joint / joint.sum(-1, keepdims=True))
    assert np.isclose(joint.sum(), 1)  # over all texts of this length


def test_one_concept_is_known_from_the_beginning():
    world = mixture(1)
    texts = np.array(list(itertools.product(range(3), repeat=3)))
    assert np.allclose(world.posterior(texts), 1)
    assert np.allclose(world.predict(texts), by_concept(world, texts)[:, :, 0])


def test_divergence_is_the_loss_above_the_least_possible():
    world, lm = mixture(), make_gpt(4, seed=2)
    texts = np.array(list(itertools.product(range(3), repeat=3)))
    p = world.predict(texts)
    log_q = model_predictions(lm, texts, BEGIN)
    rows, t = np.arange(27)[:, None], np.arange(3)[None]
    of_text = p[rows, t, texts].prod(axis=1)  # (27,), sums to 1
    excess = (np.log(p[rows, t, texts]) - log_q[rows, t, texts]).sum(axis=1)
    assert np.isclose(
        (of_text * divergence(p, log_q)[:, :3].sum(1)).sum(), (of_text * excess).sum()
    )
    assert (divergence(p, log_q) > 0).all()


def test_divergence_has_no_term_where_nothing_can_happen():
    found = divergence([[0.5, 0.5, 0.0]], np.log([[0.25, 0.25, 0.5]]))
    assert np.allclose(found, np.log(2))
    with np.errstate(divide="ignore"):
        assert np.allclose(divergence([0.0, 1.0], np.log([0.0, 1.0])), 0)


def test_a_models_predictions_are_those_after_the_id_that_begins_texts():
    lm = make_gpt(4, seed=1)
    texts = np.array([[0, 2], [1, 1]])
    found = model_predictions(lm, texts, BEGIN)
    assert found.shape == (2, 3, 4)
    whole = as_language_model(lm).logits(np.array([[3, 0, 2], [3, 1, 1]]))
    assert np.allclose(found, log_probabilities(whole))


def test_examples_make_the_right_concept_probable_and_the_prediction_better():
    world = ginc(concepts=6, entities=2, properties=4, vocab_size=12, floor=0.3, seed=1)
    ids, concepts = world.prompts(600, 12, 3, states=range(8))

    class Uniform(Best):
        vocab_size = 13

        def logits(self, tokens, cache=None):
            return np.zeros((*np.shape(tokens), 13))

    found = compare(world, Uniform(world), ids, concepts, 4, begin=12)
    assert np.isclose(found.posterior[0], 1 / 6)  # before anything was read
    assert (np.diff(found.posterior[::2]) > 0).all() and found.posterior[-1] > 0.5
    # Accuracies of 600 prompts have a standard error of 0.02, their means over six of 0.008.
    assert found.best[6:].mean() > found.best[0] + 0.05
    # KL(p || uniform) = log 13 - H(p), the larger the more is known.
    assert (found.divergence > 0).all() and found.divergence[-1] > found.divergence[0]
    assert np.isclose(found.model.mean(), (ids[:, 2::4] == 0).mean())  # of equals the first token


def test_the_best_prediction_has_no_divergence_from_itself():
    world = mixture(seed=4)
    ids, concepts = world.prompts(50, 3, 3, states=[0, 1], seed=1)
    found = compare(world, Best(world), ids, concepts, 4, BEGIN)
    assert np.allclose(found.divergence, 0, atol=1e-12)
    assert np.array_equal(found.best, found.model)
    assert found.divergence.shape == found.concept.shape == found.posterior.shape == (3,)
    # who knows the concept is far from it, by what is left to infer: tokens 4 .. 7 of example 2
    known = by_concept(world, ids)[np.arange(50), 4:8, concepts]  # (50, 4, V)
    expected = divergence(known, np.log(world.predict(ids)[:, 4:8])).mean()
    assert np.isclose(found.concept[1], expected) and expected > 0
    assert np.isclose(found.posterior[0], world.prior[concepts].mean())
    by_hand = world.posterior(ids)[np.arange(50), 8, concepts].mean()
    assert np.isclose(found.posterior[2], by_hand)  # before the third example
    third = world.predict(ids)[:, 10].argmax(-1) == ids[:, 10]
    assert np.isclose(found.best[2], third.mean())


def test_prompts_that_are_no_whole_examples_are_refused():
    world = mixture()
    with pytest.raises(ShapeError, match="7 tokens are no whole examples of 4"):
        compare(world, Best(world), np.zeros((1, 7), int), [0], 4, BEGIN)
    with pytest.raises(ShapeError, match="of 1 tokens"):
        compare(world, Best(world), np.zeros((1, 3), int), [0], 1, BEGIN)
    # A token and its delimiter are the shortest example.
    assert len(compare(world, Best(world), np.zeros((1, 4), int), [0], 2, BEGIN).best) == 2
