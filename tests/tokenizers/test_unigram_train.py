"""EM climbs, pruning keeps what is needed, and the arrays agree with the plain loops of lattice.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.tokenizers import lattice
from tinylm.tokenizers.unigram_train import (
    WordLattices,
    covered_characters,
    seed_pieces,
    train_unigram,
)

WORDS = st.dictionaries(
    st.text("abc", min_size=1, max_size=8), st.integers(1, 9), min_size=1, max_size=8
)


def seeded(words):
    characters = covered_characters(words, 1.0)
    pieces, scores = seed_pieces(words, characters, 50, 4)
    return pieces, scores, WordLattices(list(words), pieces), np.array(list(words.values()), float)


@given(WORDS)
def test_the_arrays_count_as_the_loops_do(words):
    pieces, scores, lattices, weights = seeded(words)
    known = {piece: (i, scores[i]) for i, piece in enumerate(pieces)}
    counts, total = np.zeros(len(pieces)), 0.0
    for word, n in words.items():
        edges = lattice.edges(word, known, 4)
        total += n * lattice.forward(edges)[-1]
        for piece, expected in lattice.expected_counts(edges).items():
            counts[piece] += n * expected
    found, likelihood = lattices.expected(scores, weights)
    np.testing.assert_allclose(found, counts, rtol=0, atol=1e-10)  # counts of at most 8 * 9 * 8
    assert likelihood == pytest.approx(total, abs=1e-9)
    best = [lattice.best(lattice.edges(word, known, 4))[0] for word in words]
    np.testing.assert_allclose(lattices.best(scores), best, rtol=0, atol=1e-12)


@given(WORDS)
def test_no_step_of_em_lowers_the_likelihood(words):
    pieces, scores, lattices, weights = seeded(words)
    before = -np.inf
    for _ in range(6):
        expected, likelihood = lattices.expected(scores, weights)
        assert likelihood >= before - 1e-9  # rounding of a sum of at most 72 words
        # every character of every word lies in exactly one piece
        assert expected @ [len(piece) for piece in pieces] == pytest.approx(
            sum(len(w) * n for w, n in words.items())
        )
        before, scores = likelihood, np.log(np.maximum(expected, 1e-300) / expected.sum())


@given(WORDS)
def test_taking_pieces_away_leaves_the_lattice_of_the_others(words):
    pieces, scores, lattices, weights = seeded(words)
    single = sum(len(piece) == 1 for piece in pieces)
    kept = np.array([i for i in range(len(pieces)) if i < single or i % 2])
    smaller = lattices.only(kept, len(pieces))
    built = WordLattices(list(words), [pieces[i] for i in kept])
    for a, b in zip(smaller.expected(scores[kept], weights), built.expected(scores[kept], weights)):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@given(WORDS, st.integers(3, 12))
def test_the_vocabulary_has_its_size_all_characters_and_probabilities_that_sum_to_one(words, size):
    learnt = train_unigram(words, size, longest=4)
    pieces = [piece for piece, _ in learnt]
    assert len(pieces) <= size and len(set(pieces)) == len(pieces)
    assert set("".join(words)) <= set(pieces)
    assert sum(np.exp(score) for _, score in learnt) == pytest.approx(1)


def test_the_words_of_a_made_up_language_are_found():
    # Sentences of three words of a lexicon, written without spaces. Nothing but the words repeats
    # freely.
    rng, lexicon = np.random.default_rng(0), ["wug", "blick", "dax", "toma", "gavagai", "fep"]
    text = {}
    for _ in range(400):
        sentence = "".join(rng.choice(lexicon, 3))
        text[sentence] = text.get(sentence, 0) + 1
    characters = len(set("".join(lexicon)))
    pieces = [piece for piece, _ in train_unigram(text, characters + len(lexicon))]
    assert set(lexicon) <= set(pieces)


def test_the_piece_with_the_smaller_loss_goes_first():
    # "ab" saves one piece 100 times, "cd" 10 times: with room for one, the first stays.
    assert {piece for piece, _ in train_unigram({"ab": 100, "cd": 10, "a": 1, "c": 1}, 5)} == {
        "a",
        "b",
        "c",
        "d",
        "ab",
    }


def test_rare_characters_are_left_out_when_coverage_allows_it():
    words = {"a" * 50: 10, "aéa": 1}  # é is 1 of 503 characters
    assert "é" in dict(train_unigram(words, 20)) and "é" not in dict(
        train_unigram(words, 20, coverage=0.99)
    )


def test_nothing_to_learn():
    assert train_unigram({}, 5) == []


def test_settings_without_room_are_refused():
    with pytest.raises(ConfigError, match="3 characters do not fit into 2 pieces"):
        train_unigram({"abc": 1}, 2)
    with pytest.raises(ConfigError, match="coverage 0 must be"):
        train_unigram({"abc": 1}, 9, coverage=0)
