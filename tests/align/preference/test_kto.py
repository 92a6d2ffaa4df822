"""KTO: its reference point, and single answers that are good or bad."""

import numpy as np

from tests.align.preference.one_pair import EXACT, sigma, tensor
from tinylm.align.preference import kto, kto_reference_point


def test_the_reference_point_is_a_mean_that_is_not_negative():
    logp, reference = tensor(-1.0, -2.0), np.array([-2.0, -4.0])
    assert kto_reference_point(logp, reference) == 1.5
    assert kto_reference_point(reference, logp) == 0.0
    assert isinstance(kto_reference_point(logp, reference), float)  # no gradient can pass
    assert np.isnan(kto_reference_point(tensor(np.nan, 1.0), np.zeros(2)))


def test_kto_of_single_answers():
    """Good answers want rho above the point, bad ones below; the derivative is the sigmoid's."""
    logp = tensor(-1.0, -1.0)
    found = kto(logp, np.array([-2.0, -2.0]), [True, False], point=0.5, weight_bad=2.0)
    np.testing.assert_allclose(found.data, [1 - sigma(0.05), 2 * (1 - sigma(-0.05))], **EXACT)
    found.sum().backward()
    slope = 0.1 * sigma(0.05) * sigma(-0.05)  # beta s (1 - s)
    np.testing.assert_allclose(logp.grad.data, [-slope, 2 * slope], **EXACT)
