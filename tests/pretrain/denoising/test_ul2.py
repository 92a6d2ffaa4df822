"""UL2: every denoiser announces itself, and none loses a token."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.denoising.noise import DRAWS
from tinylm.pretrain.denoising.sentinels import reconstruct
from tinylm.pretrain.denoising.ul2 import Sequential, ul2
from tinylm.pretrain.special import Special

SPECIAL = Special.after(9, others=3)
R, S, X = SPECIAL.others


def test_seven_denoisers_each_with_its_mode():
    mixture, x = ul2(SPECIAL), np.arange(100) % 9
    shares = {R: {15}, S: set(range(25, 76)), X: {50, 15}}
    for i, row in enumerate(Random(0).uniform((70, DRAWS, 101), np.float64)):
        source, target = mixture.parts[i % 7](x, row)
        assert (target < 9).sum() in shares[source[0]]
        assert np.array_equal(reconstruct(source[1:], target, SPECIAL.sentinels), x)
    assert [part.mode for part in mixture.parts] == [R, R, X, X, X, X, S]


def test_the_sequential_denoiser_is_prefix_lm_with_a_sentinel():
    source, target = Sequential(SPECIAL, S)(np.arange(8), np.full((DRAWS, 9), 0.5))
    assert source.tolist() == [S, 0, 1, 2, 3, SPECIAL.sentinels[0]] and target.tolist() == [
        SPECIAL.sentinels[0],
        4,
        5,
        6,
        7,
    ]


def test_long_spans_make_few_sentinels():
    mixture, x = ul2(SPECIAL), np.arange(100) % 9
    row = Random(1).uniform((DRAWS, 101), np.float64)
    spans = [int(np.isin(part(x, row)[0], SPECIAL.sentinels).sum()) for part in mixture.parts[:6]]
    assert spans == [
        5,
        2,
        17,
        6,
        1,
        1,
    ]  # 15/3, 15/8, 50/3, 50/8, 15/64, 50/64, rounded, at least one


def test_mode_tokens_are_needed():
    with pytest.raises(ConfigError, match="0 mode tokens, needs three"):
        ul2(Special.after(9))
