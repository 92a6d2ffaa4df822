"""Spans: lengths have the distributions of the papers, places do not touch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.masked import spans


def test_geometric_lengths_have_the_mean_of_the_paper():
    lengths = spans.geometric_lengths(Random(0).uniform((20000,), np.float64))
    q = 0.8
    mean = 5 - 10 * q**10 / (1 - q**10)
    assert mean == pytest.approx(3.797, abs=5e-4)  # SpanBERT, section 3.1: 3.8
    assert (
        abs(lengths.mean() - mean) < 4 * lengths.std() / np.sqrt(20000)
        and lengths.min() == 1
        and lengths.max() == 10
    )


def test_poisson_lengths_have_mean_and_variance_three():
    lengths = spans.poisson_lengths(Random(0).uniform((20000,), np.float64))
    assert abs(lengths.mean() - 3) < 4 * np.sqrt(3 / 20000)
    # The variance of a sample variance is (mu_4 - sigma^4) / n, for a Poisson number (3 + 27 - 9) /
    # n; four of its roots.
    assert abs(lengths.var() - 3) < 4 * np.sqrt(21 / 20000)
    assert (lengths == 0).mean() == pytest.approx(np.exp(-3), abs=4 * np.sqrt(np.exp(-3) / 20000))


@pytest.mark.parametrize(
    "layout", [spans.geometric_spans, spans.poisson_spans, spans.partition_spans]
)
@given(size=st.integers(1, 40), rate=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_spans_cover_their_share_and_leave_a_token_between_them(layout, size, rate, seed):
    starts, lengths = layout(size, rate, Random(seed).uniform((2, size + 1), np.float64))
    total = int(spans.budget(np.ones(size, bool), rate))
    assert lengths.sum() == total and spans.positions(starts, lengths, size).sum() == total
    assert len(starts) == 0 or (starts[0] >= 0 and starts[-1] + lengths[-1] <= size)
    assert (starts[:-1] + lengths[:-1] < starts[1:]).all()


def test_every_layout_is_as_likely():
    """Two spans of one token in four places, with a token between them: 0 and 2, 0 and 3, 1 and 3."""
    draws = Random(0).uniform((6000, 5), np.float64)
    found = [tuple(spans.place_spans([1, 1], 4, row)) for row in draws]
    assert set(found) == {(0, 2), (0, 3), (1, 3)}
    assert all(abs(found.count(pair) - 2000) < 4 * np.sqrt(6000 * 2 / 9) for pair in set(found))


def test_a_partition_has_all_ways_alike():
    draws = Random(0).uniform((6000, 4), np.float64)
    found = [tuple(spans.partition(4, 2, row)) for row in draws]
    assert all(
        abs(found.count(pair) - 2000) < 4 * np.sqrt(6000 * 2 / 9)
        for pair in [(1, 3), (2, 2), (3, 1)]
    )


def test_lengths_are_used_until_the_total_is_reached():
    assert (
        spans.fill(np.array([2, 3, 4]), 4).tolist() == [2, 2]
        and spans.fill(np.array([5]), 0).tolist() == []
    )
    with pytest.raises(ConfigError, match="do not cover 9 tokens"):
        spans.fill(np.array([2, 3]), 9)
    with pytest.raises(ConfigError, match="3 spans of 6 tokens in 7 leave 1"):
        spans.place_spans([2, 2, 2], 7, np.zeros(8))


def test_a_span_of_nothing_lies_before_its_token():
    starts = spans.place_spans(
        [0, 3], 7, np.array([0.9, 0.8, 0.1, 0.2, 0.9, 0, 0, 0])
    )  # kept tokens on the left: 2 and 3
    assert starts.tolist() == [2, 3]  # as in Table 1.1: The kitten [M] is [M] .


def test_long_poisson_lengths_are_not_cut():
    # The mean is 100, the standard deviation 10: five of them above the mean is still a length.
    assert 150 <= spans.poisson_lengths(np.array([1 - 1e-6]), 100.0)[0] <= 152


def test_a_chooser_of_spans_leaves_a_row_alone_that_has_nothing_to_choose():
    ids, choose = np.arange(20).reshape(2, 10), spans.GeometricSpans()
    eligible = np.array([[True] * 10, [False] * 10])
    assert choose(ids, eligible, Random(0), 0.5).sum(1).tolist() == [5, 0]
    assert not choose(ids, eligible, Random(0), 0.0).any()


def test_poisson_spans_read_lengths_from_the_first_row_and_places_from_the_second():
    draws = np.stack([np.full(11, 0.5), np.linspace(0, 0.99, 11)])  # 0.5: the median, 3
    starts, lengths = spans.poisson_spans(10, 0.3, draws)
    assert lengths.tolist() == [3]
    turned = spans.poisson_spans(10, 0.3, np.stack([draws[0], draws[1][::-1]]))
    assert turned[1].tolist() == [3] and turned[0].tolist() != starts.tolist()


@pytest.mark.parametrize("hidden", [[], [0, 4]], ids=["all eligible", "two are not"])
def test_a_span_of_one_token_lies_at_every_place_alike(hidden):
    width = 5 + len(hidden)  # five places are left
    ids, eligible = np.zeros((4000, width), int), np.ones((4000, width), bool)
    eligible[:, hidden] = False
    chosen = spans.GeometricSpans(longest=1)(ids, eligible, Random(0), 0.2)
    counts = chosen.sum(0)
    assert not counts[hidden].any()
    # 4000 spans over five places: four deviations of a binomial
    places = np.flatnonzero(eligible[0])
    assert (abs(counts[places] - 800) < 4 * np.sqrt(4000 * 0.2 * 0.8)).all()


RISING = np.linspace(0, 0.99, 21)


@pytest.mark.parametrize(
    "cuts, places, starts, lengths",
    [
        # 4 of 10 tokens in 4 / 2 spans: of the gaps 1, 2 and 3 the one with the least number is cut
        (RISING, RISING, [0, 2], [1, 3]),
        (RISING[::-1], RISING, [0, 4], [3, 1]),
        # 6 tokens are left, with 7 slots around them; the last two lie behind 5 and 6 of them
        (RISING, RISING[-11::-1], [5, 7], [1, 3]),
    ],
)
def test_a_partition_is_cut_by_the_first_row_and_placed_by_the_second(
    cuts, places, starts, lengths
):
    found = spans.partition_spans(10, 0.4, np.stack([cuts[:11], places[:11]]), mean=2.0)
    assert [part.tolist() for part in found] == [starts, lengths]


@pytest.mark.parametrize("share, count", [(0.0, 0), (0.05, 1), (0.1, 1), (0.25, 2), (0.75, 5)])
def test_a_partition_has_as_many_spans_as_the_mean_says(share, count):
    """Of 20 tokens 0, 1, 2, 5 and 15 are taken, three a span: 0.3 spans are one, 0.7 are one, 1.7
    are two.
    """
    starts, lengths = spans.partition_spans(20, share, np.stack([RISING, RISING]))
    assert len(starts) == len(lengths) == count
    assert lengths.sum() == 20 * share
