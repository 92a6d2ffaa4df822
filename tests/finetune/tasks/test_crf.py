import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tinylm.autograd import Tensor
from tinylm.errors import ShapeError
from tinylm.finetune.tasks.crf import LinearChain, log_partition, path_score, viterbi

EXACT = 1e-12  # the same sums in another order, float64


def drawn(seed, m, K, B=1):
    """Emissions (B, m, K), transitions, start, stop."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(B, m, K)),
        rng.normal(size=(K, K)),
        rng.normal(size=K),
        rng.normal(size=K),
    )


def all_scores(e, A, start, stop):
    """Every sequence of tags with its score."""
    return {
        y: start[y[0]]
        + stop[y[-1]]
        + sum(e[i, t] for i, t in enumerate(y))
        + sum(A[a, b] for a, b in zip(y, y[1:]))
        for y in itertools.product(range(e.shape[1]), repeat=len(e))
    }


@given(seed=st.integers(0, 10**6), m=st.integers(1, 5), K=st.integers(1, 4))
def test_forward_recursion_and_viterbi_equal_enumeration(seed, m, K):
    e, *rest = drawn(seed, m, K)
    scores = all_scores(e[0], *rest)
    Z = np.logaddexp.reduce(list(scores.values()))
    assert log_partition(*map(Tensor, (e, *rest))).item() == pytest.approx(Z, abs=EXACT)
    tags, best = viterbi(e[0], *rest)
    assert tuple(tags) == max(scores, key=scores.get) and best == pytest.approx(
        max(scores.values()), abs=EXACT
    )
    found = path_score(Tensor(e), tags[None], *map(Tensor, rest)).item()
    assert found == pytest.approx(best, abs=EXACT)


def test_probabilities_of_all_sequences_sum_to_one():
    e, *rest = drawn(0, 3, 3)
    model = filled(rest)
    sequences = np.array(list(itertools.product(range(3), repeat=3)))
    losses = model(Tensor(np.repeat(e, 27, axis=0)), sequences).numpy()
    assert np.exp(-losses).sum() == pytest.approx(1, abs=EXACT) and losses.min() >= 0


def test_padding_changes_nothing():
    e, *rest = drawn(1, 5, 3, B=2)
    held = np.array([[True] * 5, [True] * 2 + [False] * 3])
    whole = log_partition(*map(Tensor, (e, *rest)), held).numpy()
    alone = log_partition(*map(Tensor, (e[1:, :2], *rest))).item()
    assert whole[1] == pytest.approx(alone, abs=EXACT)
    tags, scores = viterbi(e, *rest, held)
    short, score = viterbi(e[1, :2], *rest)
    assert tags[1].tolist() == [*short, 0, 0, 0] and scores[1] == pytest.approx(score, abs=EXACT)
    gold = np.array([[0, 1, 2, 1, 0], [2, 1, -100, -100, -100]])
    found = path_score(Tensor(e), gold, *map(Tensor, rest), held).numpy()
    assert found[1] == pytest.approx(
        path_score(Tensor(e[1:, :2]), gold[1:, :2], *map(Tensor, rest)).item(), abs=EXACT
    )


def test_without_transitions_the_best_is_the_best_of_each_word():
    e, *_ = drawn(2, 9, 5)
    assert viterbi(e[0])[0].tolist() == e[0].argmax(axis=-1).tolist()


def test_a_new_chain_is_the_loss_of_independent_tags():
    e, *_ = drawn(3, 4, 3)
    gold = np.array([[0, 2, 1, 1]])
    log_p = e - np.logaddexp.reduce(e, axis=-1, keepdims=True)
    expected = -sum(log_p[0, i, t] for i, t in enumerate(gold[0]))
    assert LinearChain(3, np.float64)(Tensor(e), gold).item() == pytest.approx(expected, abs=EXACT)


def test_the_gradient_of_the_partition_is_the_probability_of_each_tag():
    e, *rest = drawn(4, 3, 3)
    x = Tensor(e, requires_grad=True)
    log_partition(x, *map(Tensor, rest)).sum().backward()
    scores = all_scores(e[0], *rest)
    Z = np.logaddexp.reduce(list(scores.values()))
    marginal = np.zeros((3, 3))
    for y, score in scores.items():
        for i, tag in enumerate(y):
            marginal[i, tag] += np.exp(score - Z)
    np.testing.assert_allclose(x.grad.numpy()[0], marginal, rtol=0, atol=EXACT)


def filled(rest):
    """A chain of 3 tags with these transitions, start and stop."""
    model = LinearChain(3, np.float64)
    for p, values in zip((model.transitions, model.start, model.stop), rest):
        p.data[...] = values
    return model


def test_the_gradient_of_a_chain_is_what_it_expects_minus_what_it_sees():
    # d log Z / d A_kj is the expected number of steps from k to j, and the gold path has its own
    e, *rest = drawn(5, 3, 3)
    model, gold = filled(rest), (2, 0, 0)
    model(Tensor(e), np.array([gold])).sum().backward()
    scores = all_scores(e[0], *rest)
    Z = np.logaddexp.reduce(list(scores.values()))
    transitions, start, stop = np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    for y, score in [*scores.items(), (gold, None)]:
        weight = -1 if score is None else np.exp(score - Z)
        start[y[0]] += weight
        stop[y[-1]] += weight
        for pair in zip(y, y[1:]):
            transitions[pair] += weight
    for p, expected in zip(
        (model.transitions, model.start, model.stop), (transitions, start, stop)
    ):
        np.testing.assert_allclose(p.grad.numpy(), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", [Tensor, np.asarray])
def test_the_best_path_of_a_chain_is_that_of_enumeration_among_those_allowed(kind):
    e, *rest = drawn(6, 4, 3)
    model, scores = filled(rest), all_scores(e[0], *rest)
    never, first = {(0, 2), (1, 1)}, 1  # pairs that may not follow, and a tag that may not begin
    allowed = np.zeros((3, 3)), np.zeros(3)
    for pair in never:
        allowed[0][pair] = -np.inf
    allowed[1][first] = -np.inf
    fit = [y for y in scores if y[0] != first and not never & set(zip(y, y[1:]))]
    for limits, among in ((None, scores), (allowed, fit)):
        tags, best = model.best(kind(e), None, limits)
        assert tuple(tags[0]) == max(among, key=scores.get)
        assert best[0] == pytest.approx(max(scores[y] for y in among), abs=EXACT)


def test_of_equal_sequences_the_one_with_smaller_last_tags():
    assert viterbi(np.zeros((3, 2)))[0].tolist() == [0, 0, 0]


def test_viterbi_wants_words_and_tags():
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        viterbi(np.zeros(3))
    with pytest.raises(ShapeError, match="at least one word"):
        viterbi(np.zeros((0, 3)))


def test_a_forbidden_transition_beyond_a_rows_words_changes_nothing():
    chain = LinearChain(2, np.float64)
    chain.transitions.data[0, 0] = -np.inf
    emissions, tags = np.arange(6.0).reshape(1, 3, 2), np.array([[1, 0, 0]])
    held = np.array([[True, True, False]])
    padded = chain(tl.Tensor(emissions), tags, held).numpy()
    np.testing.assert_allclose(
        padded, chain(tl.Tensor(emissions[:, :2]), tags[:, :2]).numpy(), rtol=1e-12
    )


def test_the_loss_of_a_long_float16_text_keeps_its_digits(rng):
    # log Z and the score are near 600, where float16 has steps of 1/2, and their difference is
    # small
    emissions, tags = rng.normal(size=(1, 100, 3)).astype(np.float16), np.zeros((1, 100), int)
    emissions[..., 0] += 6
    narrow, wide = LinearChain(3, np.float16), LinearChain(3, np.float64)
    loss = narrow(Tensor(emissions), tags)
    assert loss.dtype == np.float16
    exact = wide(Tensor(emissions.astype(np.float64)), tags)
    np.testing.assert_allclose(loss.numpy(), exact.numpy(), rtol=1e-3)
