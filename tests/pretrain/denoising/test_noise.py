"""BART's corruptions: the book's sentences, and what each keeps."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.denoising import noise
from tinylm.pretrain.masked.masked import mask_tokens
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

PUPPIES = Words("The puppies are frolicking outside the house .")
WORK = Words("Hard work leads to success . Success brings happiness .")
SPECIAL = Special.after(12)
END = 0


def shown(words, ids):
    return " ".join(words.show(ids))


def at(size, *places):
    return np.isin(np.arange(size), places)


def test_masking_deletion_and_infilling_of_the_book_s_sentence():
    x, mask = PUPPIES.ids("The puppies are frolicking outside the house ."), PUPPIES.special.mask
    assert (
        shown(PUPPIES, mask_tokens(x, at(8, 3, 5), mask))
        == "The puppies are [MASK] outside [MASK] house ."
    )
    assert shown(PUPPIES, noise.delete_tokens(x, at(8, 3, 5))) == "The puppies are outside house ."
    # A span of none between The and puppies, and "frolicking outside the".
    assert (
        shown(PUPPIES, noise.infill(x, [1, 3], [0, 3], mask))
        == "The [MASK] puppies are [MASK] house ."
    )
    assert (
        shown(PUPPIES, mask_tokens(x, at(8, 3, 5, 6), mask))
        == "The puppies are [MASK] outside [MASK] [MASK] ."
    )


def test_sentences_are_reordered_and_documents_turned():
    x = WORK.ids("Hard work leads to success . Success brings happiness .")
    parts = noise.sentences(x, WORK.ids("."))
    assert (
        shown(WORK, noise.permute_sentences(parts, [1, 0]))
        == "Success brings happiness . Hard work leads to success ."
    )
    assert np.array_equal(noise.permute_sentences(parts, [0, 1]), x)
    assert (
        shown(WORK, noise.rotate(x, 2)) == "leads to success . Success brings happiness . Hard work"
    )
    assert np.array_equal(noise.rotate(noise.rotate(x, 3), len(x) - 3), x)


def test_a_last_sentence_may_have_no_end():
    assert [part.tolist() for part in noise.sentences(np.array([1, 2, 0, 3]), [0])] == [
        [1, 2, 0],
        [3],
    ]
    assert noise.sentences(np.zeros(0, int), [0]) == []


ROWS = st.lists(st.integers(0, 11), min_size=1, max_size=20)


def drawn(x, seed):
    return np.array(x), Random(seed).uniform((noise.DRAWS, len(x) + 1), np.float64)


@given(ROWS, st.integers(0, 2**31))
def test_what_each_corruption_keeps(row, seed):
    x, draws = drawn(row, seed)
    T, u = len(x), max(1, round(0.15 * len(x)))
    masked = noise.TokenMasking(SPECIAL.mask)(x, draws)
    assert (
        len(masked) == T
        and (masked == SPECIAL.mask).sum() == u
        and np.array_equal(masked[masked < 12], x[masked < 12])
    )
    deleted = noise.TokenDeletion()(x, draws)
    rest = iter(x)
    assert len(deleted) == T - u and all(
        any(token == other for other in rest) for token in deleted
    )  # a subsequence
    filled = noise.TextInfilling(SPECIAL.mask)(x, draws)
    rest = iter(x)
    assert all(any(token == other for other in rest) for token in filled if token != SPECIAL.mask)
    assert (filled < 12).sum() == T - max(1, round(0.3 * T))
    for permuted in (
        noise.SentencePermutation((END,)),
        noise.DocumentRotation(),
        noise.TokenPermutation(),
    ):
        assert Counter(permuted(x, draws).tolist()) == Counter(row)
    replaced = noise.TokenReplacement(SPECIAL.ordinary)(x, draws)
    assert len(replaced) == T and (replaced != x).sum() <= u and (replaced < 12).all()


def test_all_sentence_orders_and_all_rotations_come():
    x = np.array([1, 0, 2, 0, 3, 0])
    draws = Random(0).uniform((300, noise.DRAWS, 7), np.float64)
    assert len({tuple(noise.SentencePermutation((END,))(x, row)) for row in draws}) == 6  # 3!
    assert len({tuple(noise.DocumentRotation()(np.arange(6), row)) for row in draws}) == 6


def test_a_mixture_takes_its_parts_as_often_as_its_weights_say():
    draws = Random(0).uniform((4000, noise.DRAWS, 3), np.float64)
    mixture = noise.Mixture((None, None, None), (0.5, 0.2, 0.3))
    counts = Counter(mixture.pick(row) for row in draws)
    assert all(
        abs(counts[i] - 4000 * p) < 4 * np.sqrt(4000 * p * (1 - p))
        for i, p in enumerate(mixture.weights)
    )
    counts = Counter(noise.bart(SPECIAL, [END]).pick(row) for row in draws)
    assert sorted(counts) == [0, 1, 2, 3, 4] and max(
        abs(n - 800) for n in counts.values()
    ) < 4 * np.sqrt(4000 * 0.16)
    with pytest.raises(ConfigError, match="2 probabilities"):
        noise.Mixture((None, None), (0.5, 0.6))


def test_the_choice_of_a_part_does_not_fix_what_it_draws():
    """The choice reads a row of numbers that no corruption reads."""
    x, draws = np.arange(8), Random(0).uniform((400, noise.DRAWS, 9), np.float64)
    rotations = [
        noise.Mixture((noise.DocumentRotation(), noise.TokenDeletion()))(x, row) for row in draws
    ]
    assert len({tuple(row) for row in rotations if len(row) == 8}) == 8


def test_corruptions_can_follow_each_other():
    """BART's final model: sentences permuted, then spans filled in."""
    x = np.arange(1, 21) % 5
    both = noise.Chain(noise.SentencePermutation((END,)), noise.TextInfilling(SPECIAL.mask))
    out = both(*drawn(x, 0))
    assert (out < 12).sum() == 14 and SPECIAL.mask in out  # 30 % of 20 gone


def test_replacements_are_the_words_of_their_own_draws():
    """Row 0 of the draws chooses the places, row 1 the words: 0.0 to 0.9 are five words, twice."""
    draws = np.stack([np.zeros(10), np.arange(10) / 10, np.full(10, 0.99)])
    out = noise.TokenReplacement(np.arange(20, 25), rate=1.0)(np.zeros(10, int), draws)
    assert out.tolist() == [20, 20, 21, 21, 22, 22, 23, 23, 24, 24]


def test_a_permutation_is_the_order_of_its_draws():
    draws = np.array([[0.9, 0.1, 0.5, 0.0], [0.1, 0.2, 0.3, 0.4]])
    assert noise.TokenPermutation()(np.array([7, 8, 9]), draws).tolist() == [8, 9, 7]


# Row 0 falls from left to right, row 1 rises: what a corruption does tells which row it read.
FALLING = np.linspace(0.99, 0.0, 11)
DRAWS_BY_HAND = np.stack([FALLING, FALLING[::-1], *np.full((3, 11), 0.5)])
TEN = np.arange(10)


@pytest.mark.parametrize(
    "corruption, expected",
    [
        # 15 % of ten tokens are two: those with the smallest numbers, here the last
        (noise.TokenMasking(99), [0, 1, 2, 3, 4, 5, 6, 7, 99, 99]),
        (noise.TokenDeletion(), [0, 1, 2, 3, 4, 5, 6, 7]),
        # the words come from the rising row: 0.99 * 8 / 10 and 0.99 * 9 / 10, of 100 words
        (noise.TokenReplacement(np.arange(100, 200)), [*range(8), 179, 189]),
        (noise.TokenPermutation(), TEN[::-1].tolist()),
        (noise.DocumentRotation(), [9, *range(9)]),  # 0.99 of ten tokens
        (noise.SentencePermutation((3, 6)), [7, 8, 9, 4, 5, 6, 0, 1, 2, 3]),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_which_numbers_a_corruption_reads(corruption, expected):
    assert corruption(TEN, DRAWS_BY_HAND).tolist() == expected


def test_infilling_reads_lengths_from_the_first_row_and_places_from_the_second():
    whole = noise.TextInfilling(99)(TEN, DRAWS_BY_HAND)
    other_lengths, other_places = DRAWS_BY_HAND.copy(), DRAWS_BY_HAND.copy()
    other_lengths[0] = 0.5  # three tokens (the median of Poisson 3): the whole share in one span
    other_places[1] = DRAWS_BY_HAND[1][::-1]
    one = noise.TextInfilling(99)(TEN, other_lengths)
    assert (one == 99).sum() == 1 and len(one) == 8
    moved = noise.TextInfilling(99)(TEN, other_places)
    assert len(moved) == len(whole) and moved.tolist() != whole.tolist()


def test_a_part_is_picked_by_the_first_number_of_the_last_row():
    for weights, edges in ((None, (1 / 3, 2 / 3)), ((0.5, 0.25, 0.25), (0.5, 0.75))):
        mixture = noise.Mixture((0, 1, 2), weights)
        for number in (0.0, 0.3, 0.4, 0.6, 0.7, 0.8, 0.99):
            draws = np.full((5, 11), 0.5)
            draws[-1, 0] = number
            assert mixture.pick(draws) == sum(number >= edge for edge in edges)


@pytest.mark.parametrize("weights", [(1.5, -0.5), (0.5, 0.25, 0.25), (1.0,), (0.4, 0.4)])
def test_weights_of_a_mixture_that_are_no_probabilities_are_refused(weights):
    with pytest.raises(ConfigError, match="must be 2 probabilities that sum to 1"):
        noise.Mixture((None, None), weights)


def test_a_part_of_weight_0_is_never_picked():
    mixture = noise.Mixture(("never", "always"), (0.0, 1.0))
    assert {mixture.pick(np.full((5, 3), number)) for number in (0.0, 0.5, 0.999)} == {1}
