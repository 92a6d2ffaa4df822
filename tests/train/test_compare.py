"""Comparisons of runs: several seeds and prompts, and the same tokens read by all."""
import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.train.compare import EqualReading, report


def test_one_seed_or_one_prompt_is_not_reported():
    assert report([1.0, 2.0, 6.0]) == (3.0, 1.0, 6.0)
    assert report([[0.0, 1.0], [0.5, 0.5]]) == (0.5, 0.0, 1.0)
    too_few = ([1.0], "one seed"), ([[1.0], [2.0]], "one prompt"), ([[1.0, 2.0]], "one seed")
    for few, what in too_few:
        with pytest.raises(ConfigError, match=what):
            report(few)
        assert report(few, single=True)[1:] == (np.min(few), np.max(few))


def test_models_that_read_different_tokens_are_not_compared():
    ids = np.arange(12).reshape(3, 4)
    equal = EqualReading()
    for name in "ab":
        for seed in (0, 1):
            equal.read(name, seed, ids + seed)
            equal.read(name, seed, ids)
    assert equal.check() == 2 * 24      # two batches of 12 from each of two seeds
    equal.read("a", 2, ids)
    with pytest.raises(DataError, match="b has no run of seed 2"):
        equal.check()
    equal.read("b", 2, ids[::-1])
    with pytest.raises(DataError, match="b read 12 tokens in the run of seed 2"):
        equal.check()
