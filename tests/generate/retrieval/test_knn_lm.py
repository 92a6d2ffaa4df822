"""The nearest-neighbor language model: the worked example, its two limits, and what eq. 2.67 says
if taken literally.
"""

import numpy as np
import pytest

from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import ModelLM, generate
from tinylm.generate.protocol.score import log_probabilities, sequence_logprob
from tinylm.generate.retrieval.knn_lm import (
    KNNLM,
    ClusteredDatastore,
    Datastore,
    build_datastore,
    knn_probabilities,
)

LN2 = np.log(2)
TEXTS = [[0, 1, 2, 3, 4, 1, 2], [3, 3, 1, 0, 4]]


def test_worked_example():
    # neighbors (distance, token): (0, a), (ln 2, b), (ln 4, a): weights 1, 1/2, 1/4; a has 5/4 of
    # 7/4
    knn = knn_probabilities(np.array([[0, LN2, 2 * LN2]]), np.array([[0, 1, 0]]), 4)
    np.testing.assert_allclose(knn, [[5 / 7, 2 / 7, 0, 0]], rtol=1e-14)
    mixed = 0.25 * knn + 0.75 * np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(
        mixed, [[0.2535714, 0.2214286, 0.225, 0.3]], atol=5e-8
    )  # the digits printed


def test_votes_depend_on_differences_of_distances_alone():
    near, tokens = np.array([[0, LN2, 2 * LN2]]), np.array([[0, 1, 0]])
    far = knn_probabilities(near + 1e5, tokens, 4)  # e^-100000 is 0: all would have no vote
    np.testing.assert_allclose(far, [[5 / 7, 2 / 7, 0, 0]], rtol=1e-10)
    # Twice the temperature is half the distance.
    np.testing.assert_allclose(
        knn_probabilities(2 * near, tokens, 4, temperature=2.0),
        knn_probabilities(near, tokens, 4),
        rtol=1e-14,
    )


def test_the_equation_as_printed_prefers_tokens_that_were_never_retrieved():
    # softmax of minus (d_a, d_b, 0, 0) = -(1, 2, 0, 0); with infinity instead of 0 it is right, for
    # single votes
    printed = np.exp(log_probabilities(-np.array([1.0, 2.0, 0.0, 0.0])))
    np.testing.assert_allclose(printed, [0.146963, 0.054065, 0.399486, 0.399486], atol=5e-7)
    corrected = knn_probabilities(np.array([[1.0, 2.0]]), np.array([[0, 1]]), 4)
    np.testing.assert_allclose(corrected, [[0.731059, 0.268941, 0, 0]], atol=5e-7)


@pytest.fixture
def store(gpt):
    return build_datastore(gpt(), TEXTS)


def test_the_datastore_holds_every_state_and_what_followed(gpt, store):
    assert len(store) == 6 + 4 and store.tokens.tolist() == TEXTS[0][1:] + TEXTS[1][1:]
    hidden, _ = ModelLM(gpt()).hidden_and_logits(np.array([TEXTS[1]]))
    np.testing.assert_allclose(store.keys[6:], hidden[0, :-1], rtol=0, atol=1e-12)
    grown = store.add(store.keys[:2], store.tokens[:2])
    assert len(grown) == 12 and len(store) == 10


def test_every_vector_keeps_its_token_when_others_are_added():
    store = Datastore([[0.0, 0.0], [3.0, 0.0]], [7, 5])
    grown = store.add(np.array([[0.0, 1.0]]), np.array([2]))
    assert grown.keys.tolist() == [[0, 0], [3, 0], [0, 1]] and grown.tokens.tolist() == [7, 5, 2]
    distances, tokens = grown.search(np.array([[0.0, 1.0], [3.0, 0.0]]), 2)
    assert tokens.tolist() == [[2, 7], [5, 7]] and distances.tolist() == [[0, 1], [0, 9]]
    distances, tokens = store.search(np.array([[1.0, 0.0]]), 9)  # two entries are all there are
    assert tokens.tolist() == [[7, 5]] and distances.tolist() == [[1, 4]]


@pytest.mark.parametrize(
    "keys, tokens",
    [
        (np.zeros((2, 3)), np.zeros(3, int)),
        (np.zeros(2), np.zeros(2, int)),
        (np.zeros((2, 3)), np.zeros((2, 1), int)),
        (np.zeros(2), np.zeros((2, 3))),
    ],
)
def test_a_datastore_needs_a_token_for_each_vector(keys, tokens):
    with pytest.raises(ShapeError, match=r"must be \(N, D\) and \(N,\)"):
        Datastore(keys, tokens)


def test_share_zero_is_the_model_and_share_one_the_neighbors(gpt, store):
    model, ids = gpt(), np.array([TEXTS[0]])
    plain = log_probabilities(ModelLM(model).logits(ids))
    np.testing.assert_allclose(
        KNNLM(model, store, share=0.0).logits(ids), plain, rtol=0, atol=1e-12
    )
    # at a stored position the nearest state is itself, at distance 0: as t -> 0 only its token is
    # left
    alone = np.exp(KNNLM(model, store, k=3, share=1.0, temperature=1e-9).logits(ids))[0, :-1]
    np.testing.assert_allclose(alone, np.eye(5)[TEXTS[0][1:]], rtol=0, atol=1e-12)


def test_mixtures_are_distributions_and_follow_the_formula(gpt, store):
    model, ids = gpt(), np.array([[4, 2, 0]])
    hidden, logits = ModelLM(model).hidden_and_logits(ids)
    mixed = np.exp(KNNLM(model, store, k=4, share=0.3, temperature=2.0).logits(ids))[0]
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-12)
    for h, row, got in zip(hidden[0], np.exp(log_probabilities(logits[0])), mixed):
        d = ((store.keys - h) ** 2).sum(axis=1)
        votes = np.zeros(5)
        for j in np.argsort(d)[:4]:
            votes[store.tokens[j]] += np.exp(-d[j] / 2.0)
        np.testing.assert_allclose(got, 0.3 * votes / votes.sum() + 0.7 * row, rtol=1e-9)


def test_a_position_can_be_kept_from_finding_itself(gpt, store):
    model, ids = gpt(), np.array([TEXTS[0]])
    found = KNNLM(model, store, k=1, share=1.0, leave_out=True).logits(ids)[0, :-1]
    for h, token in zip(store.keys[:6], found.argmax(axis=1)):
        d = ((store.keys - h) ** 2).sum(axis=1)
        d[d == 0] = np.inf
        assert token == store.tokens[d.argmin()]


def test_a_position_does_not_find_itself_when_read_with_other_rounding(gpt, store):
    model, ids = gpt(), np.array([TEXTS[0]])
    rounded = Datastore(store.keys * (1 + 8 * np.finfo(np.float64).eps), store.tokens)
    options = dict(k=1, share=1.0, leave_out=True)
    found, expected = (KNNLM(model, s, **options).logits(ids)[0, :-1] for s in (rounded, store))
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_a_state_a_little_away_is_another_state(gpt, store):
    # A hundred-millionth away: far above rounding, so it is a neighbor, and the nearest one.
    model, ids = gpt(), np.array([TEXTS[0]])
    near = Datastore(store.keys * (1 + 1e-8), store.tokens)
    found = KNNLM(model, near, k=1, share=1.0, leave_out=True).logits(ids)[0, :-1]
    assert found.argmax(axis=1).tolist() == TEXTS[0][1:]


def test_without_a_neighbor_the_model_decides_alone(gpt, store):
    model, ids = gpt(), np.array([TEXTS[0][:1]])
    only = Datastore(store.keys[:1], store.tokens[:1])  # the very state that is asked about
    lm = KNNLM(model, only, k=3, share=0.9, leave_out=True)
    plain = log_probabilities(ModelLM(model).logits(ids))
    np.testing.assert_allclose(lm.logits(ids), plain, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(lm.next_logits(ids), lm.logits(ids)[:, -1])


def test_a_store_in_clusters_gives_as_many_neighbors_as_are_asked_for(store):
    clustered = ClusteredDatastore(store, 3, probes=3)
    for k, given in (1, 1), (4, 4), (99, len(store)):  # there are no more than all
        for part in clustered.search(store.keys[:2], k):
            assert part.shape == (2, given)


def test_all_clusters_give_what_the_exact_store_gives(gpt, store):
    model, ids = gpt(), np.array([TEXTS[1]])
    exact = KNNLM(model, store, k=4).logits(ids)
    np.testing.assert_allclose(
        KNNLM(model, ClusteredDatastore(store, 3, probes=3), k=4).logits(ids),
        exact,
        rtol=0,
        atol=1e-12,
    )


def test_it_is_a_language_model_like_any_other_and_changes_no_weight(gpt, store):
    model = gpt(context=12)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    lm = KNNLM(model, build_datastore(model, TEXTS), share=0.5)
    tokens = list(generate(lm, [0], 8, temperature=0))
    steps, sequence = 0.0, [0]
    for token in tokens:  # uncached, one prefix at a time
        row = lm.logits(np.array([sequence]))[0, -1]
        assert token == row.argmax()
        steps += row[token]
        sequence.append(token)
    assert abs(sequence_logprob(lm, sequence) - steps) < 1e-10
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


def test_what_cannot_be_is_refused(gpt, store):
    for bad in {"share": 1.1}, {"share": -0.1}, {"k": 0}, {"temperature": 0.0}:
        with pytest.raises(ConfigError, match=f"{list(bad)[0]} {list(bad.values())[0]}"):
            KNNLM(gpt(), store, **bad)
    with pytest.raises(ShapeError, match="Datastore"):
        Datastore(np.zeros((3, 2)), np.zeros(2))
