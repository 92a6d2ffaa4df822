"""The incremental trainer learns the merges that the definition prescribes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.tokenizers.bpe import learn_merges_by_definition
from tinylm.tokenizers.bpe_train import learn_merges

TRAINERS = [learn_merges, learn_merges_by_definition]
a, b, c, d = b"abcd"

# Two letters make runs and overlaps; few distinct counts make ties.
COUNTS = st.dictionaries(
    st.lists(st.sampled_from(b"ab"), max_size=12).map(bytes), st.integers(1, 3), max_size=8
)
BYTES = st.dictionaries(st.binary(max_size=8), st.integers(1, 5), max_size=8)


@given(st.one_of(COUNTS, BYTES), st.integers(0, 40), st.integers(1, 4))
@settings(max_examples=200)  # short examples, and rare ones are what it is about
def test_incremental_is_by_definition(counts, n_merges, min_count):
    assert learn_merges(counts, n_merges, min_count) == learn_merges_by_definition(
        counts, n_merges, min_count
    )


@pytest.mark.parametrize("letters", [b"ab", b"abc", b"abcdefgh"])
def test_incremental_is_by_definition_on_long_pieces(letters):
    draw = random.Random(0)
    counts = {
        bytes(draw.choices(letters, k=draw.randrange(1, 200))): draw.randrange(1, 9)
        for _ in range(20)
    }
    assert learn_merges(counts, 150) == learn_merges_by_definition(counts, 150)


@pytest.mark.parametrize("train", TRAINERS)
def test_the_textbook_example(train):
    # Gage's "aaabdaaabac": aa occurs 4 times (overlaps count), then (aa, a) and (a, b) and (aaa, b)
    # twice each. The ties go to smaller ids: (a, b) = 257; then (256, 257) "aaab", after which no
    # pair occurs twice.
    assert train({b"aaabdaaabac": 1}, 10) == [(a, a), (a, b), (256, 257)]


@pytest.mark.parametrize("train", TRAINERS)
def test_ties_go_to_the_older_tokens_whatever_the_order(train):
    assert train({b"cd": 2, b"ab": 2, b"ad": 2}, 3) == [(a, b), (a, d), (c, d)]
    assert train({b"ad": 2, b"ab": 2, b"cd": 2}, 3) == [(a, b), (a, d), (c, d)]


@pytest.mark.parametrize("train", TRAINERS)
def test_counts_are_weighted_by_the_piece(train):
    assert train({b"ab": 3, b"cd": 2, b"dcd": 2}, 1) == [(c, d)]  # 2 + 2 > 3


@pytest.mark.parametrize("train", TRAINERS)
def test_a_run_is_merged_from_the_left(train):
    # "aaaaa" becomes aa aa a, where (aa, a) = (256, 97) and (aa, aa) = (256, 256) occur once each.
    # The tie goes to the smaller ids, which gives aa aaa, and at last one token.
    assert train({b"aaaaa": 1}, 9, min_count=1) == [(a, a), (256, a), (256, 257)]


@given(COUNTS)
def test_no_two_merges_make_the_same_bytes(counts):
    tokens = [bytes([value]) for value in range(256)]
    for left, right in learn_merges(
        counts, 99, min_count=1
    ):  # more than pieces of 12 letters can give: to the end
        tokens.append(tokens[left] + tokens[right])
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize("train", TRAINERS)
def test_rare_pairs_are_left_alone(train):
    assert train({b"abcd": 1}, 5) == []
    assert train({b"ab": 2, b"cd": 3}, 5, min_count=3) == [(c, d)]


@pytest.mark.parametrize("train", TRAINERS)
def test_nothing_to_learn(train):
    assert train({}, 5) == [] and train({b"": 7, b"a": 7}, 5) == [] and train({b"ab": 2}, 0) == []


def test_progress_is_told_after_each_merge():
    told = []
    learn_merges({b"abcd": 2}, 3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
