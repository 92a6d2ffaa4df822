"""Batches: padding, optional fields, and what counts as rows of ids."""

import numpy as np
import pytest

import tinylm as tl
from tests.strict_array import synchronizations
from tinylm.backend import to_cpu
from tinylm.pretrain.batch import IGNORE, Seq2SeqBatch, TokenBatch, as_rows, pad_rows


def test_short_rows_are_filled_up():
    ids, filled = pad_rows([[1, 2, 3], [], [4]], fill=9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]] and filled.sum(axis=1).tolist() == [
        3,
        0,
        1,
    ]
    assert pad_rows([[1]], 0, width=3)[0].tolist() == [[1, 0, 0]]


def test_fields_that_are_not_there_stay_away():
    batch = TokenBatch(np.array([[1, 2]]), np.array([[1, IGNORE]]), segments=np.array([[0, 1]]))
    assert batch.options.keys() == {"segments"} and batch.rows(0, 1).mask is None
    assert Seq2SeqBatch(batch.inputs, batch.targets).to("cpu").mask is None


def test_a_mask_that_hides_nothing_does_not_move():
    ids, mask = np.zeros((2, 2), np.int64), np.ones((2, 2), bool)
    whole = Seq2SeqBatch(ids, ids, ids, mask)
    assert whole.to("strict").mask is None and whole.to("cpu").mask is mask
    mask = np.array([[True, True], [True, False]])
    assert to_cpu(Seq2SeqBatch(ids, ids, ids, mask).to("strict").mask).tolist() == mask.tolist()


def test_unsigned_and_wrong_rows():
    assert (
        as_rows(np.array([[1, 2]], np.uint16), "x").dtype == np.int64
    )  # token files hold uint16; IGNORE is negative
    with pytest.raises(tl.errors.ShapeError, match="x: sequences have shape"):
        as_rows([1, 2], "x")
    with pytest.raises(tl.errors.DtypeError, match="float64"):
        as_rows([[1.0, 2.0]], "x")


def test_a_batch_that_was_moved_knows_its_targets_without_asking_the_device():
    targets = np.array([[1, IGNORE], [2, 3], [IGNORE, IGNORE]])
    batch = TokenBatch(np.zeros((3, 2), np.int64), targets).to("strict")
    before = synchronizations.copy()
    assert batch.tokens == 3 and batch.rows(1, 3).tokens == 2 and batch.rows(2, 3).tokens == 0
    parts = batch, batch.rows(1, 3), batch.rows(2, 3)
    places = [part.places for part in parts]  # in each part from 0
    assert synchronizations == before
    assert [to_cpu(found).tolist() for found in places] == [[0, 2, 3], [0, 1], []]
    host = batch.to("cpu")
    assert host.tokens == 3 and host.places.tolist() == [0, 2, 3]
