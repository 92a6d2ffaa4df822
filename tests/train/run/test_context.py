"""A short text gets a context that it can fill, and what is not read of pairs is said."""

import types

import numpy as np
import pytest

from tinylm.errors import DataError
from tinylm.train import TrainConfig
from tinylm.train.run.context import cut_line, fitted


class Side:
    """A token file of documents with these lengths."""

    def __init__(self, *sizes):
        self.documents = types.SimpleNamespace(sizes=lambda: np.array(sizes, np.int64))
        self.count = sum(sizes)

    def __len__(self):
        return self.count


def text(train, val=50):
    return types.SimpleNamespace(train=Side(train), val=Side(val))


def context(tokens, given=(), **settings):
    """(context, short_context, lines) for a text of so many tokens."""
    lines = []
    config = fitted(TrainConfig(**settings), text(tokens), given, lines.append)
    return config.context, config.short_context, lines


def test_a_text_that_fills_the_windows_changes_nothing():
    # A window of 256 inputs has 257 tokens; an encoder's of 64 has 64.
    assert context(257) == (256, 64, [])
    assert context(64, objective="masked") == (64, 0, [])


def test_a_shorter_text_gets_half_of_its_tokens():
    found = context(256)
    assert found[:2] == (128, 0)
    assert found[2] == [
        "context: 128 tokens instead of 256, as the text has 256 to learn from; --context N sets it"
    ]
    assert context(63, objective="mlm")[0] == 31


def test_a_context_that_was_set_stays_and_so_does_that_of_a_program():
    assert context(20, given=("context",), context=64)[0] == 64
    assert context(20, given=("short_context",))[0] == 256
    assert context(20, given=None)[0] == 256


def test_a_text_with_nothing_to_predict_is_refused():
    for train, val in ((1, 5), (5, 1)):
        with pytest.raises(DataError, match=f"{train} tokens to learn from, {val} to validate"):
            fitted(TrainConfig(), text(train, val), (), print)
    fitted(TrainConfig(val_fraction=0.0), text(300, 0), (), print)


def test_pairs_that_are_cut_are_counted_with_the_setting_that_mends_it():
    config = TrainConfig(objective="translation", data=("pairs.tsv",), context=10)
    # Lengths with [SEP] between the two: 10 and 5 tokens fit, 13 and 20 lose 3 and 10.
    data = types.SimpleNamespace(train=Side(11, 14, 6), val=Side(21))
    assert cut_line(config, data) == (
        "2 of 4 pairs are longer than the context of 10 tokens and are cut: 13 of 48 tokens are "
        "not read; --context 20 reads all"
    )
    config.context = 20
    assert cut_line(config, data) == ""
    assert cut_line(TrainConfig(), data) == ""
