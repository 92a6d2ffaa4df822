"""The lattice's four answers against the list of all segmentations."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.tokenizers import lattice

TEXT = st.text("ab", max_size=7)


@st.composite
def vocabularies(draw):
    """{piece: (token, log-probability)} with both letters, so that every text of them has a
    segmentation.
    """
    pieces = [
        "a",
        "b",
        *draw(st.lists(st.text("ab", min_size=2, max_size=4), unique=True, max_size=8)),
    ]
    weights = [draw(st.floats(0.01, 1)) for _ in pieces]
    return {
        piece: (i, math.log(weight / sum(weights)))
        for i, (piece, weight) in enumerate(zip(pieces, weights))
    }


def all_ways(text, pieces):
    """Every segmentation of a text, written down: list of (log-probability, list of tokens)."""
    if not text:
        return [(0.0, [])]
    ways = []
    for stop in range(1, len(text) + 1):
        if text[:stop] in pieces:
            token, score = pieces[text[:stop]]
            ways += [
                (score + rest, [token, *tokens]) for rest, tokens in all_ways(text[stop:], pieces)
            ]
    return ways


def tokens(path):
    return [token for _, _, token in path]


@given(TEXT, vocabularies())
def test_forward_is_the_sum_over_all_segmentations(text, pieces):
    total = math.log(math.fsum(math.exp(score) for score, _ in all_ways(text, pieces)))
    edges = lattice.edges(text, pieces, 4)
    # 1e-12: at most 64 paths, each with 7 additions of numbers below 40
    assert lattice.forward(edges)[-1] == pytest.approx(total, abs=1e-12)
    assert lattice.backward(edges)[0] == pytest.approx(total, abs=1e-12)


@given(TEXT, vocabularies(), st.integers(1, 70))
def test_the_n_best_are_the_first_of_the_sorted_list(text, pieces, n):
    ways = sorted(all_ways(text, pieces), key=lambda way: -way[0])
    found = lattice.n_best(lattice.edges(text, pieces, 4), n)
    assert [score for score, _ in found] == pytest.approx(
        [score for score, _ in ways[:n]], abs=1e-12
    )
    assert len({tuple(tokens(path)) for _, path in found}) == len(found) == min(n, len(ways))
    by_tokens = {tuple(way): score for score, way in ways}
    assert all(
        by_tokens[tuple(tokens(path))] == pytest.approx(score, abs=1e-12) for score, path in found
    )


@given(TEXT, vocabularies())
def test_the_best_path_is_the_first_of_the_n_best(text, pieces):
    edges = lattice.edges(text, pieces, 4)
    score, path = lattice.best(edges)
    assert score == pytest.approx(max(score for score, _ in all_ways(text, pieces)), abs=1e-12)
    assert [0, *(end for _, end, _ in path)] == [
        *(start for start, _, _ in path),
        len(text),
    ]  # each begins where one ends


@given(TEXT, vocabularies())
def test_expected_counts_are_the_average_over_all_segmentations(text, pieces):
    ways = all_ways(text, pieces)
    total, average = math.fsum(math.exp(score) for score, _ in ways), Counter()
    for score, way in ways:
        for token in way:
            average[token] += math.exp(score) / total
    assert lattice.expected_counts(lattice.edges(text, pieces, 4)) == pytest.approx(
        dict(average), abs=1e-12
    )


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_draws_follow_the_probabilities(power):
    pieces = {"a": (0, math.log(0.5)), "aa": (1, math.log(0.3)), "aaa": (2, math.log(0.2))}
    ways = all_ways("aaaa", pieces)  # 1+1+1+1, 2+1+1 (x3), 2+2, 3+1 (x2): 7 in all
    weights = [math.exp(power * score) for score, _ in ways]
    draws = Random(0, "draws").uniform((4 * 5000,)).tolist()
    edges = lattice.edges("aaaa", pieces, 3)
    stream, seen = iter(draws), Counter()
    for _ in range(5000):
        seen[tuple(tokens(lattice.sample(edges, stream.__next__, power)))] += 1
    expected = {tuple(way): 5000 * weight / sum(weights) for (_, way), weight in zip(ways, weights)}
    chi_square = sum((seen[way] - n) ** 2 / n for way, n in expected.items())
    assert set(seen) <= set(expected)
    assert chi_square < 22.5  # 6 degrees of freedom: exceeded once in 1000 by chance


def test_a_large_power_draws_the_best_path():
    pieces = {
        "a": (0, math.log(0.4)),
        "b": (1, math.log(0.2)),
        "ab": (2, math.log(0.3)),
        "ba": (3, math.log(0.1)),
    }
    edges = lattice.edges("ababab", pieces, 2)
    draws = iter(Random(0).uniform((60,)).tolist())
    # the second best path is at most 0.08 / 0.3 as likely; to the 200th power that is 1e-115
    assert all(
        lattice.sample(edges, draws.__next__, 200) == lattice.best(edges)[1] for _ in range(10)
    )


def test_a_gap_is_named_or_bridged():
    pieces = {"a": (0, -1.0)}
    with pytest.raises(DataError, match="up to character 2"):
        lattice.best(lattice.edges("ab", pieces, 1))
    assert lattice.best(lattice.edges("aba", pieces, 1, unknown=(9, -5.0))) == (
        -7.0,
        [(0, 1, 0), (1, 2, 9), (2, 3, 0)],
    )
