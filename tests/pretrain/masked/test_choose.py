"""What is chosen: the right share, single tokens or whole words, nothing special."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.masked.choose import WholeWords, budget, choose_tokens
from tinylm.pretrain.masked.spans import GeometricSpans
from tinylm.pretrain.special import Special

SPECIAL = Special.after(10, sentinels=2)
PIECES = WholeWords(np.arange(SPECIAL.vocab_size) % 3 == 0)  # 0, 3, 6, 9 begin words


@given(st.data(), st.integers(0, 2**31), st.floats(0, 1))
def test_every_chooser_keeps_to_its_share_and_to_what_is_eligible(data, seed, rate):
    row = st.lists(st.integers(0, SPECIAL.vocab_size - 1), min_size=12, max_size=12)
    ids = np.array(data.draw(st.lists(row, min_size=1, max_size=3)))
    eligible = ~SPECIAL.among(ids)
    wanted = budget(eligible, rate)
    for choose in (choose_tokens, GeometricSpans()):
        chosen = choose(ids, eligible, Random(seed), rate)
        assert not (chosen & ~eligible).any() and chosen.sum(1).tolist() == wanted.tolist()
    chosen = PIECES(ids, eligible, Random(seed), rate)
    assert not (chosen & ~eligible).any() and ((chosen.sum(1) > 0) == (wanted > 0)).all()
    # Words are taken whole: more than the share only where a single word is longer than it.
    longer = chosen.sum(1) > wanted
    starts = np.cumsum(
        PIECES.starts[ids] | ~eligible | np.pad(~eligible, ((0, 0), (1, 0)))[:, :-1], axis=1
    )
    for row, over in enumerate(longer):
        words = {int(w) for w in starts[row][chosen[row]]}
        assert not over or len(words) == 1
        for word in words:
            assert chosen[row][(starts[row] == word) & eligible[row]].all()


def test_every_token_is_as_likely():
    eligible = np.ones((4000, 10), bool)
    counts = choose_tokens(None, eligible, Random(0), 0.2).sum(0)
    assert (abs(counts - 800) < 4 * np.sqrt(4000 * 0.2 * 0.8)).all()  # four standard deviations


def test_at_least_one_token_is_chosen_unless_the_rate_is_nothing():
    assert budget(np.ones((1, 3), bool), 0.15).tolist() == [1] and budget(
        np.ones((1, 3), bool), 0.0
    ).tolist() == [0]
    assert budget(np.zeros((1, 3), bool), 0.5).tolist() == [0] and budget(
        np.ones((1, 100), bool), 0.15
    ).tolist() == [15]
    with pytest.raises(ConfigError, match="from 0 to 1"):
        budget(np.ones(3, bool), 1.5)
