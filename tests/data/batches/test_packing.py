"""Packing loses nothing, repeats nothing, keeps documents apart and can start at any row."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.batches.packing import BestFitPacking, GreedyPacking, best_fit
from tinylm.data.batches.tokenfile import TokenFile, TokenWriter
from tinylm.errors import DataError

END = 99
lengths = st.integers(1, 9)
# Some documents are empty, some longer than a row.
corpora = st.lists(st.lists(st.integers(0, 9), max_size=25), min_size=1, max_size=8)
packings = pytest.mark.parametrize("packing", [GreedyPacking, BestFitPacking])


def arrays(corpus):
    return [np.array(document, np.int64) for document in corpus]


def with_ends(corpus):
    return Counter(token for document in corpus for token in document + [END])


@given(corpora, lengths, st.integers(0, 3))
def test_greedy_packing_loses_and_repeats_no_token(corpus, length, seed):
    packing = GreedyPacking(arrays(corpus), length, END, seed)
    rows = packing.rows(0, packing.epoch_tokens)  # N rows of T are exactly T epochs of N tokens
    expected = Counter({token: count * length for token, count in with_ends(corpus).items()})
    assert Counter(rows.tokens.ravel().tolist()) == expected and rows.segments.min() >= 0


@given(corpora, lengths, st.integers(0, 3))
def test_greedy_packing_writes_whole_documents_one_after_another(corpus, length, seed):
    packing = GreedyPacking(arrays(corpus), length, END, seed)
    stream = packing.rows(0, packing.epoch_tokens).tokens.ravel()[: packing.epoch_tokens].tolist()
    found = []
    while stream:  # the first epoch, parted at its end-of-text tokens
        end = stream.index(END)
        found.append(stream[:end])
        stream = stream[end + 1 :]
    assert sorted(found) == sorted(corpus)


@given(corpora, lengths, st.integers(0, 3), st.integers(0, 2))
def test_best_fit_packing_loses_and_repeats_no_token_in_any_epoch(corpus, length, seed, epoch):
    packing = BestFitPacking(arrays(corpus), length, END, seed)
    rows = packing.rows(epoch * packing.rows_per_epoch, packing.rows_per_epoch)
    real = rows.segments >= 0
    assert Counter(rows.tokens[real].tolist()) == with_ends(corpus)
    assert packing.efficiency == real.mean() and (rows.tokens[~real] == END).all()


@given(corpora, lengths, st.integers(0, 3))
def test_best_fit_packing_cuts_only_documents_longer_than_a_row(corpus, length, seed):
    packing = BestFitPacking(arrays(corpus), length, END, seed)
    rows = packing.rows(0, packing.rows_per_epoch)
    pieces = Counter(
        tuple(tokens[segments == s].tolist())
        for tokens, segments in zip(rows.tokens, rows.segments)
        for s in range(segments.max() + 1)
    )
    expected = Counter()
    for document in corpus:
        whole = document + [END]
        expected.update(tuple(whole[i : i + length]) for i in range(0, len(whole), length))
    assert pieces == expected


@packings
@given(corpora, lengths, st.integers(0, 30), st.integers(0, 6))
def test_rows_do_not_depend_on_what_was_asked_before(packing, corpus, length, first, count):
    straight = packing(arrays(corpus), length, END).rows(0, first + count)
    resumed = packing(arrays(corpus), length, END).rows(first, count)
    for name in ("tokens", "segments", "positions"):
        assert (getattr(resumed, name) == getattr(straight, name)[first:]).all()
        assert getattr(resumed, name).shape == (count, length)


@packings
@given(corpora, lengths)
def test_positions_count_from_the_start_of_each_piece(packing, corpus, length):
    rows = packing(arrays(corpus), length, END).rows(0, 6)
    for segments, positions in zip(rows.segments, rows.positions):
        for s in range(segments.max() + 1):
            at = np.flatnonzero(segments == s)
            assert (np.diff(at) == 1).all() and positions[at].tolist() == list(range(len(at)))


@packings
@given(corpora, lengths)
def test_mask_and_targets_stay_within_a_piece_and_in_the_past(packing, corpus, length):
    rows = packing(arrays(corpus), length, END).rows(0, 4)
    visible, targets = rows.visible(), rows.targets()
    assert visible.shape == (4, 1, length, length) and visible.any(-1).all()
    for b in range(4):
        for t in range(length):
            for s in range(length):
                assert visible[b, 0, t, s] == (
                    s <= t and rows.segments[b, t] == rows.segments[b, s]
                )
            follows = t + 1 < length and rows.segments[b, t + 1] == rows.segments[b, t] >= 0
            assert targets[b, t] == (rows.tokens[b, t + 1] if follows else -100)


@packings
def test_order_changes_with_epoch_and_seed(packing):
    corpus = [
        np.array([i, i]) for i in range(30)
    ]  # with END three tokens: one document fills one row
    make = packing(corpus, 3, END, seed=0)
    orders = [make.rows(first, 30).tokens[:, 0].tolist() for first in (0, 30)]
    orders.append(packing(corpus, 3, END, seed=1).rows(0, 30).tokens[:, 0].tolist())
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert len(set(map(tuple, orders))) == 3


@packings
def test_documents_with_their_own_ends_get_no_other_and_may_stay_on_disk(packing, tmp_path):
    with TokenWriter(tmp_path / "a.bin", 100) as out:
        for document in ([1, 2, END], [3, END], [END]):
            out.append(document)
            out.end_document()
    rows = packing(TokenFile.open(tmp_path / "a.bin").documents, 3, None).rows(0, 2)
    assert Counter(rows.tokens[rows.segments >= 0].tolist()) == Counter([1, 2, END, 3, END, END])


@packings
def test_documents_without_a_token_are_refused(packing):
    with pytest.raises(DataError, match="2 documents hold no token"):
        packing(arrays([[], []]), 4, None)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_best_fit_bins_hold_everything_within_their_capacity(sizes):
    bins = best_fit(np.array(sizes), 20)
    assert sorted(i for b in bins for i in b) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in b) for b in bins]
    assert max(loads) <= 20
    # Any-fit: what stands in a later bin had no room in an earlier one, so two bins never fit into
    # one.
    assert len(loads) < 2 or sum(sorted(loads)[:2]) > 20


def fewest_bins(sizes, capacity):
    """By trying everything; the longest first, equal loads once."""
    best = len(sizes)

    def place(i, loads):
        nonlocal best
        if len(loads) >= best:
            return
        if i == len(sizes):
            best = len(loads)
            return
        for load in sorted(set(loads)):
            if load + sizes[i] <= capacity:
                place(
                    i + 1, [*loads[: (at := loads.index(load))], load + sizes[i], *loads[at + 1 :]]
                )
        place(i + 1, [*loads, sizes[i]])

    sizes = sorted(sizes, reverse=True)
    place(0, [])
    return best


@given(st.lists(st.integers(1, 10), min_size=1, max_size=8))
def test_best_fit_is_within_johnsons_bound_of_the_fewest_bins(sizes):
    assert len(best_fit(sizes, 10)) <= 11 / 9 * fewest_bins(sizes, 10) + 6 / 9


def test_best_fit_chooses_the_tightest_bin():
    # 7 and 5 open bins with room 3 and 5; 3 fits both and fills the first, where worst fit would
    # take the second.
    assert best_fit([7, 5, 3], 10) == [[0, 2], [1]]
