"""A reward model is the sequence classifier of transformers with one label; numbers that it and
torch gave are in tests/oracle/reward_scores.json.
"""

import json

import numpy as np
import pytest

from tests.oracle.reward_scores import FILE, MARGINS, model, rows
from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.align.rewards.pointwise import hinge_loss
from tinylm.autograd import Tensor

THEIRS = json.loads(FILE.read_text())
SCORES = Tensor(np.array(THEIRS["scores"]))
CHOSEN, REJECTED = SCORES, Tensor(SCORES.numpy()[::-1].copy())


def test_rewards_are_those_of_a_classifier_with_one_label():
    # float64 on both sides
    np.testing.assert_allclose(model()(*rows()).numpy(), THEIRS["scores"], rtol=1e-9)
    # the four texts have four rewards, so none is read at another place
    assert np.ptp(np.diff(np.sort(THEIRS["scores"]))) > 1e-3


def test_losses_are_those_of_torch():
    assert pairwise_loss(CHOSEN, REJECTED).item() == pytest.approx(THEIRS["pairwise"], rel=1e-12)
    found = pairwise_loss(CHOSEN, REJECTED, margin=np.array(MARGINS)).item()
    assert found == pytest.approx(THEIRS["margin"], rel=1e-12)
    found = pairwise_loss(CHOSEN, REJECTED, center=0.01).item()
    assert found - THEIRS["pairwise"] == pytest.approx(THEIRS["center .01"], rel=1e-9)
    assert hinge_loss(SCORES, np.ones(4)).item() == pytest.approx(THEIRS["hinge"], rel=1e-12)
