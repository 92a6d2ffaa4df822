"""Fill in the middle: both orders, their way back, and rows that keep their length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.pretrain.language.fim import FillInMiddle, fill_in_middle, restore
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

WORDS = Words("def add a b return sum")
SPECIAL = WORDS.special


def test_both_orders():
    x = WORDS.ids("def add a b return sum")
    psm, spm = (fill_in_middle(x, 2, 4, SPECIAL, order) for order in (False, True))
    assert " ".join(WORDS.show(psm)) == "[PRE] def add [SUF] return sum [MID] a b </s>"
    assert " ".join(WORDS.show(spm)) == "[PRE] [SUF] return sum [MID] def add a b </s>"


@given(st.lists(st.integers(0, 5), max_size=12), st.data(), st.booleans())
def test_the_text_comes_back(row, data, suffix_first):
    first, second = sorted(data.draw(st.tuples(st.integers(0, len(row)), st.integers(0, len(row)))))
    moved = fill_in_middle(np.array(row, int), first, second, SPECIAL, suffix_first)
    assert len(moved) == len(row) + 4 and restore(moved, first, SPECIAL).tolist() == row


def test_rows_keep_their_length_and_the_share_is_kept(rng):
    x = rng.integers(0, 6, (400, 12))
    batch = FillInMiddle(SPECIAL, rate=0.5).make_batch(x, Random(0))
    whole = np.concatenate([batch.inputs, batch.targets[:, -1:]], axis=1)
    moved = (whole == SPECIAL.middle).any(1)
    assert (
        batch.inputs.shape == (400, 11) and abs(moved.sum() - 200) < 4 * 10
    )  # four standard deviations: sqrt(400 / 4)
    assert np.array_equal(whole[~moved], x[~moved])
    suffix_first = whole[moved][:, 1] == SPECIAL.suffix  # SPM, and PSM with an empty prefix
    assert 0.5 < suffix_first.mean() < 0.7
    for row, text in zip(whole[moved], x[moved]):
        if row[1] != SPECIAL.suffix:
            assert restore(row, None, SPECIAL).tolist() == text[:8].tolist()  # 12 less four marks


def test_no_share_is_causal_language_modeling(rng):
    x = rng.integers(0, 6, (3, 9))
    batch = FillInMiddle(SPECIAL, rate=0.0).make_batch(x, Random(0))
    assert np.array_equal(batch.inputs, x[:, :-1]) and np.array_equal(batch.targets, x[:, 1:])


def test_what_does_not_work_is_said():
    with pytest.raises(ShapeError, match="no room"):
        FillInMiddle(SPECIAL).make_batch(np.zeros((2, 4), int), Random(0))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        FillInMiddle(SPECIAL, rate=2)
    with pytest.raises(ConfigError, match="prefix, suffix, middle"):
        FillInMiddle(Special(9))
    with pytest.raises(DataError, match="once each"):
        restore([1, 2], 0, SPECIAL)
