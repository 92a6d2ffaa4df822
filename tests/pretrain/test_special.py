"""Special ids: found, named, and asked for."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.pretrain.special import Special

SPECIAL = Special.after(10, sentinels=2)


def test_special_ids_are_known_by_name():
    assert SPECIAL.vocab_size == 21 and SPECIAL.among(np.array([9, 10, 20])).tolist() == [
        False,
        True,
        True,
    ]
    assert [SPECIAL.name(i) for i in (SPECIAL.mask, SPECIAL.start, *SPECIAL.sentinels, 3)] == [
        "[MASK]",
        "<s>",
        "[X]",
        "[Y]",
        None,
    ]
    bert = Special(vocab_size=8, cls=2, sep=3, mask=5)  # in the middle of the vocabulary
    assert bert.ordinary.tolist() == [0, 1, 4, 6, 7]
    with pytest.raises(ConfigError, match="x: the vocabulary has no special id for pad, end"):
        bert.need("x", "mask", "pad", "end")
    assert Special(5, pad=0).need("x", "pad") is None  # 0 is an id
