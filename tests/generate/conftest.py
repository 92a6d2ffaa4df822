"""What the tests of generation may ask for."""

import numpy as np
import pytest

from tests.generate.small import chi_square_bound, make_gpt


@pytest.fixture
def gpt():
    """The maker of small models."""
    return make_gpt


@pytest.fixture
def assert_sampled_from():
    """Function (counts, probabilities): fail if counts are not a sample; wrong once in a million
    right samplers.
    """

    def check(counts, probabilities):
        counts, expected = np.asarray(counts, float), np.asarray(probabilities) * np.sum(counts)
        assert not counts[expected == 0].any(), "something of probability 0 was drawn"
        counts, expected = counts[expected > 0], expected[expected > 0]
        few = expected < 5  # the usual rule: pool cells that expect fewer than 5
        if few.any():
            counts = np.append(counts[~few], counts[few].sum())
            expected = np.append(expected[~few], expected[few].sum())
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert statistic < chi_square_bound(len(counts)), (
            f"chi-square {statistic:.1f} over {len(counts)} cells"
        )

    return check
