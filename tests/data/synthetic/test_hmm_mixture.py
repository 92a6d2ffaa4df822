"""The mixture of hidden Markov models: exact prediction is Bayesian inference over concepts."""

from itertools import product

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.data.synthetic.hmm_mixture import DELIMITER, HMMMixture, ginc
from tinylm.errors import DataError, ShapeError


def small(concepts=2, states=3, tokens=2, seed=0):
    """A mixture with random distributions, none of them uniform."""
    rng = Random(seed, "small")

    def random(*shape):
        p = rng.uniform(shape, np.float64) + 0.1
        return p / p.sum(-1, keepdims=True)

    return HMMMixture(
        random(concepts),
        random(concepts, states),
        random(concepts, states, states),
        random(states, tokens),
    )


def joint(mixture, text, concept):
    """p(text | concept) by summing over all paths of states."""
    total = 0.0
    for path in product(range(mixture.start.shape[1]), repeat=len(text)):
        p = 1.0
        for t, (state, token) in enumerate(zip(path, text)):
            if t == 0:
                p *= mixture.start[concept, state]
            else:
                p *= mixture.transition[concept, path[t - 1], state]
            p *= mixture.emission[state, token]
        total += p
    return total


def test_the_forward_algorithm_equals_the_sum_over_all_paths():
    mixture = small()
    texts = np.array(list(product(range(2), repeat=4)))
    log_p, _ = mixture.forward(texts)
    by_hand = [
        [[joint(mixture, text[:t], c) for c in range(2)] for t in range(5)] for text in texts
    ]
    np.testing.assert_allclose(np.exp(log_p), by_hand, rtol=1e-12)
    # All texts of one length have probability 1 together.
    np.testing.assert_allclose(np.exp(log_p[:, -1]).sum(0), 1, rtol=1e-12)


def test_posterior_and_prediction_are_those_of_bayes():
    mixture = small(seed=1)
    text = [1, 0, 1]
    posterior, predicted = mixture.posterior([text])[0], mixture.predict([text])[0]
    for t in range(4):
        weights = [mixture.prior[c] * joint(mixture, text[:t], c) for c in range(2)]
        np.testing.assert_allclose(posterior[t], np.array(weights) / sum(weights), rtol=1e-12)
        marginal = [
            sum(mixture.prior[c] * joint(mixture, [*text[:t], token], c) for c in range(2))
            for token in range(2)
        ]
        np.testing.assert_allclose(predicted[t], np.array(marginal) / sum(weights), rtol=1e-12)


def test_no_other_prediction_loses_less_on_the_texts_of_the_mixture():
    mixture = small(seed=1)
    texts = np.array(list(product(range(2), repeat=4)))

    def log_p(model):
        p = np.take_along_axis(model.predict(texts)[:, :-1], texts[..., None], 2)
        return np.log(p[..., 0]).sum(1)  # (texts,)

    right = log_p(mixture)
    entropy = -(np.exp(right) * right).sum()
    for prior in ([1, 0], [0, 1], [0.5, 0.5]):
        other = HMMMixture(prior, mixture.start, mixture.transition, mixture.emission)
        assert -(np.exp(right) * log_p(other)).sum() > entropy


def test_with_one_concept_nothing_is_left_to_infer():
    mixture = small(concepts=1)
    assert (mixture.posterior(np.zeros((2, 5), int)) == 1).all()


def test_a_concept_that_cannot_emit_a_text_is_ruled_out():
    # Concept 0 always stays in a state, concept 1 always changes it; state = token.
    mixture = HMMMixture([0.25, 0.75], [[0.5, 0.5]] * 2, [np.eye(2), np.eye(2)[::-1]], np.eye(2))
    posterior = mixture.posterior([[0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(posterior[:, 0], [[0.25, 0.75]] * 2, rtol=1e-15)
    np.testing.assert_array_equal(posterior[:, 2:], [[[1, 0]] * 2, [[0, 1]] * 2])
    predicted = mixture.predict([[0, 0]])[0, 1:]
    np.testing.assert_allclose(predicted, [[0.25, 0.75], [1, 0]], rtol=1e-15)
    # 0 0 stays and 0 1 changes: no concept does both.
    with pytest.raises(DataError, match="text 1: no concept can emit its first 3 tokens"):
        mixture.posterior([[0, 0, 0], [0, 0, 1]])


def test_a_long_text_has_a_posterior_too():
    # p(text) is below the smallest number of float64, exp(-745).
    mixture = small(tokens=8)
    ids, _ = mixture.sample(2, 500)
    assert (mixture.forward(ids)[0][:, -1] < -745).all()
    posterior = mixture.posterior(ids)
    np.testing.assert_allclose(posterior.sum(-1), 1, rtol=1e-12)


def test_samples_have_the_distribution_of_the_mixture():
    mixture = small(seed=2)
    ids, concepts = mixture.sample(6000, 3)
    assert abs((concepts == 1).mean() - mixture.prior[1]) < 4 * (0.25 / 6000) ** 0.5
    for text in product(range(2), repeat=3):
        p = sum(mixture.prior[c] * joint(mixture, text, c) for c in range(2))
        share = (ids == text).all(1).mean()
        assert abs(share - p) < 4 * (p * (1 - p) / 6000) ** 0.5  # four standard deviations
    np.testing.assert_array_equal(mixture.sample(3, 2)[0], mixture.sample(3, 2, seed=0)[0])
    assert (mixture.sample(50, 3, seed=1)[0] != mixture.sample(50, 3)[0]).any()


def test_ginc_has_a_token_for_every_entity_and_property():
    mixture = ginc(seed=3)
    assert mixture.transition.shape == (5, 100, 100) and mixture.emission.shape == (100, 50)
    assert set(mixture.emission.ravel()) == {0, 1} and (mixture.prior == 0.2).all()
    table = mixture.emission.argmax(1).reshape(10, 10)  # (entity, property)
    assert (table[:, 0] == DELIMITER).all() and (table[:, 1:] != DELIMITER).all()
    assert len(set(table[:, 1:].ravel())) > 30
    # Summed over the properties, an entity stays with probability 0.9 and more, in every concept.
    among = mixture.transition.reshape(5, 10, 10, 10, 10).sum(4)[:, :, 0]  # (C, entity, entity)
    assert (np.diagonal(among, axis1=1, axis2=2) >= 0.9 - 1e-12).all()
    np.testing.assert_allclose(among, np.broadcast_to(among[0], among.shape), atol=1e-12)
    # Summed over the entities, properties follow each other differently in every concept.
    properties = mixture.transition.reshape(5, 10, 10, 10, 10)[:, 0].sum(2)  # (C, 10, 10)
    # The floor, as ten permutations leave some of the hundred places empty.
    assert properties.min() == pytest.approx(0.01 / 10, rel=1e-9)
    assert all(np.abs(properties[0] - other).max() > 0.1 for other in properties[1:])
    # A mixture of permutations is doubly stochastic.
    np.testing.assert_allclose(properties.sum(1), 1, rtol=1e-12)
    assert mixture.start.min() > 0.9 / 100 and mixture.start.max() < 1.1 / 100
    assert (ginc().transition == ginc(seed=0).transition).all()


def test_entities_and_floor_can_be_chosen():
    still = ginc(concepts=2, entities=3, properties=2, vocab_size=5, stay=1.0, floor=0.0, seed=1)
    among = still.transition.reshape(2, 3, 2, 3, 2)
    assert all((among[:, i, :, j] == 0).all() for i in range(3) for j in range(3) if i != j)
    assert still.emission.shape == (6, 5)
    tokens = ginc(entities=10, vocab_size=3).emission.argmax(1).reshape(10, 10)[:, 1:]
    assert set(tokens.ravel()) == {1, 2}  # 90 draws
    for wrong in ({"concepts": 0}, {"entities": 0}, {"properties": 1}, {"vocab_size": 1}):
        with pytest.raises(DataError, match="ginc"):
            ginc(**wrong)
    ginc(concepts=1, entities=1, properties=2, vocab_size=2)


def test_with_a_floor_every_state_can_follow_every_other():
    # Four permutations of six leave most transitions out: the floor is needed for both kinds.
    assert (ginc(concepts=3, entities=6, properties=4, vocab_size=20).transition > 0).all()
    assert (ginc(concepts=3, entities=6, properties=4, floor=0.0).transition == 0).any()


def test_prompts_are_examples_with_a_delimiter_after_each():
    mixture = ginc(concepts=3, entities=4, properties=5, vocab_size=20, seed=0)
    states = [2, 7, 12, 17]  # property 2 of the four entities
    ids, concepts = mixture.prompts(200, 4, 3, states)
    assert ids.shape == (200, 4 * (3 + 1)) and set(concepts) == {0, 1, 2}
    assert (ids[:, 3::4] == DELIMITER).all()
    first = {int(t) for t in mixture.emission[states].argmax(1)}
    assert all({int(t) for t in ids[:, k]} == first for k in (0, 4, 8, 12))
    again = mixture.prompts(200, 4, 3, states, seed=0)[0]
    assert (ids == again).all() and (ids != mixture.prompts(200, 4, 3, states, seed=1)[0]).any()


def test_more_examples_tell_more_about_the_concept():
    mixture = ginc(concepts=3, entities=4, properties=5, vocab_size=20, seed=0)
    ids, concepts = mixture.prompts(300, 8, 4, [2, 7, 12, 17])
    right = mixture.posterior(ids)[np.arange(300), :, concepts]  # (300, T + 1)
    after = right[:, ::5].mean(0)  # after 0, 1, ..., 8 examples
    assert after[0] == pytest.approx(1 / 3) and (np.diff(after) > 0).all() and after[-1] > 0.9


def test_what_is_no_mixture_is_refused():
    good = small()
    with pytest.raises(DataError, match="rows of start must be distributions"):
        HMMMixture(good.prior, good.start * 2, good.transition, good.emission)
    with pytest.raises(DataError, match="rows of emission"):
        HMMMixture(good.prior, good.start, good.transition, [[2, -1]] * 3)
    with pytest.raises(ShapeError, match=r"need start \(2, 3\)"):
        HMMMixture(good.prior, good.start, good.transition[:1], good.emission)
    with pytest.raises(ShapeError, match="need start"):
        HMMMixture(good.prior, good.start[:1], good.transition, good.emission)
    with pytest.raises(ShapeError, match="need start"):
        HMMMixture(good.prior[None], good.start[:1], good.transition[:1], good.emission)
