"""DPO under other divergences."""

import numpy as np
import pytest

from tests.align.preference.one_pair import EXACT, pair
from tinylm.align.preference import dpo, f_dpo
from tinylm.errors import ConfigError


def test_alpha_divergences_join_the_two_kls():
    """a -> 0 is the reverse KL, which is DPO; a -> 1 the forward KL."""
    reverse, forward = (
        f_dpo(*pair(), divergence=name).data for name in ("reverse_kl", "forward_kl")
    )
    np.testing.assert_allclose(f_dpo(*pair(), divergence=1e-9).data, reverse, rtol=1e-6)
    np.testing.assert_allclose(f_dpo(*pair(), divergence=1 - 1e-12).data, forward, rtol=1e-9)
    np.testing.assert_allclose(reverse, dpo(*pair()).data, **EXACT)


@pytest.mark.parametrize("divergence", ["total", 0, 1, 1.5, -0.2])
def test_an_unknown_divergence_is_refused(divergence):
    with pytest.raises(ConfigError, match="reverse_kl, forward_kl, jensen_shannon"):
        f_dpo(*pair(), divergence=divergence)
