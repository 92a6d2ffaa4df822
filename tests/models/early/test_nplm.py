"""The neural n-gram model: size, causality, learning, and what counting cannot do."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.generate import generate, generate_batch
from tinylm.models.early.ngram import NGramLM
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.optim import Adam
from tinylm.pretrain import CausalLM


def fitted(model, sequences, steps, lr=0.02):
    """The model trained on all sequences at once, and the last loss in nats."""
    objective, optimizer = CausalLM(), Adam(model.parameters(), lr=lr)
    batch = objective.make_batch(sequences)
    for _ in range(steps):
        optimizer.zero_grad()
        loss, _ = objective.loss(model, batch)
        loss.backward()
        optimizer.step()
    return model, loss.item()


@pytest.mark.parametrize("direct", [True, False])
def test_the_number_of_parameters_is_bengios(direct):
    n, V, m, h = 4, 50, 6, 7
    expected = V * (1 + h) + h * (1 + (n - 1) * m) + (V + 1) * m + direct * V * (n - 1) * m
    assert FeedForwardNGramLM(n, V, m, h, direct).count_parameters() == expected
    assert expected < V**n / 1000  # a table would have 6.25 million entries


def test_a_position_sees_the_tokens_of_its_window_and_no_other(rng):
    model, ids = FeedForwardNGramLM(3, 6, 4, 5, dtype=np.float64), rng.integers(0, 5, (1, 8))
    changed = ids.copy()
    changed[0, 4] = 5
    differs = np.abs(model(ids).numpy() - model(changed).numpy()).max(-1)[0] > 1e-9
    np.testing.assert_array_equal(np.flatnonzero(differs), [4, 5])  # order 3: two tokens of context


def test_it_learns_a_repeated_pattern_by_heart():
    _, loss = fitted(FeedForwardNGramLM(3, 4, 4, 8), np.tile([0, 1, 1, 2, 3, 2], 6)[None], 200)
    assert loss < 0.01  # two tokens of context decide the next; the first target costs nothing


def test_words_used_alike_share_what_was_learned_of_one_of_them():
    # Words of one class are followed by words of the other; each of the 288 pairs is legal, half of
    # them are seen.
    rng, N = np.random.default_rng(0), 12
    legal = [pair for a in range(N) for b in range(N, 2 * N) for pair in ((a, b), (b, a))]
    order = rng.permutation(len(legal))
    seen, unseen = np.array([legal[i] for i in order[:144]]), [legal[i] for i in order[144:]]
    # Two numbers per word are too few to learn 24 different rows by heart.
    model, _ = fitted(FeedForwardNGramLM(2, 2 * N, 2, 4, direct=False, seed=0), seen, 100)
    p = np.exp(model.logits(np.arange(2 * N)[:, None])[:, 0])
    p /= p.sum(-1, keepdims=True)
    counts = NGramLM(2, 2 * N, "add_k", 1.0).fit(*seen)
    neural = np.mean([p[a, b] for a, b in unseen])
    counted = np.mean([counts.prob([a], b) for a, b in unseen])
    illegal = p[:N, :N].mean()
    assert (
        neural > counted and neural > 5 * illegal
    )  # counting gives a legal and an illegal unseen pair the same


def test_it_predicts_new_text_better_than_add_one_counts():
    # Text from a hidden class chain: the same order, 600 training tokens for 12**2 contexts.
    rng = np.random.default_rng(3)
    classes = np.cumsum(rng.random(1600) < 0.9) % 3
    text = classes * 4 + rng.integers(0, 4, 1600)
    train, test = text[:600], text[600:]
    counts = NGramLM(3, 12, "add_k", 1.0).fit(train)
    model, _ = fitted(FeedForwardNGramLM(3, 12, 4, 16, seed=0), train[None], 80, lr=0.01)
    logits = model(test[None, :-1]).numpy()[0].astype(np.float64)
    neural = -(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[
        np.arange(len(test) - 1), test[1:]
    ].mean()
    assert neural < -counts.logprob(test)[1:].mean()


def test_generate_decodes_from_it_alone_and_in_a_batch():
    model = FeedForwardNGramLM(3, 6, 4, 5, seed=2)
    prompts = [[1, 2, 3], [4], [5, 0]]
    assert generate_batch(model, prompts, 6, seed=1) == [
        list(generate(model, p, 6, seed=1 + r)) for r, p in enumerate(prompts)
    ]


def test_impossible_sizes_are_named():
    for sizes in ((1, 5, 2, 2), (2, 0, 2, 2), (2, 5, 0, 2), (2, 5, 2, 0)):
        with pytest.raises(ConfigError, match="must be at least 2, and .* at least 1"):
            FeedForwardNGramLM(*sizes)
    assert FeedForwardNGramLM(2, 1, 1, 1).count_parameters() == 7  # 2, 1 + 1, 1 + 1, and W


@pytest.mark.parametrize("direct", [True, False])
def test_scores_by_hand(direct):
    """b + U tanh(d + H x) + W x, x the vectors of two words side by side."""
    model = FeedForwardNGramLM(3, 2, 2, 1, direct, dtype=np.float64)
    model.words.weight.data[...] = [[np.log(2), 7], [5, 0.5], [0, 0]]  # the last: no word yet
    model.hidden.weight.data[...] = [[1], [0], [0], [1]]
    model.hidden.bias.data[...] = -0.5
    model.out.weight.data[...] = [[10, -10]]
    model.out.bias.data[...] = [1, 2]
    if direct:
        model.direct.weight.data[...] = [[0, 0], [0, 0], [0, 2], [0, 0]]
    # After 0 and 1: log 2 + 1/2 - 1/2, whose tanh is (4 - 1) / (4 + 1); W gives 2 * 5.
    found = model.scores(np.array([0, 1])).numpy()
    np.testing.assert_allclose(found, [7, -4 + 10 * direct], rtol=1e-12)
    # The text begins with 0: the window is "no word yet" and 0.
    whole = model(np.array([[0, 1], [1, 1]])).numpy()  # two texts of two words
    windows = np.array([[[2, 0], [0, 1]], [[2, 1], [1, 1]]])
    by_window = [[model.scores(window).numpy() for window in text] for text in windows]
    np.testing.assert_allclose(whole, by_window, rtol=1e-12)
    assert whole.shape == (2, 2, 2) and whole[0, 0, 0] != whole[0, 0, 1]


def test_a_table_starts_at_1_and_maps_keep_the_variance():
    model = FeedForwardNGramLM(3, 400, 50, 100, dtype=np.float64)
    for weight, inputs in (
        (model.words.weight, 1),
        (model.hidden.weight, 100),  # two words of 50 numbers
        (model.out.weight, 100),
    ):
        n = weight.numpy().size  # 10^4 or more: four deviations of a mean square
        assert np.mean(weight.numpy() ** 2) * inputs == pytest.approx(1, abs=4 * np.sqrt(2 / n))
