"""What tuning changes, token by token."""

import dataclasses

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.selection.superficial import Shift, measure_shift
from tinylm.autograd import Tensor
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning

TASK = InstructionTuning()


class Table:
    """A model whose logits depend on the last token alone: (V, V)."""

    def __init__(self, logits):
        self.table = np.array(logits, float)

    def __call__(self, ids, **options):
        return Tensor(self.table[ids])

    def modules(self):
        return []


def shift(base, tuned, *examples):
    return measure_shift(Table(base), Table(tuned), TASK.make_batch(list(examples)))


def test_ranks_and_divergences_by_hand():
    base = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]])
    tuned = np.log([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.6, 0.3, 0.1]])
    # the response 0 1 after 2: predicted from tokens 2 and 0; that of the second row from 1
    found = shift(base, tuned, encode_sft([2], [0, 1]), encode_sft([0, 1], [2]))
    assert found.ranks.tolist() == [1, 1, 0]  # 0 beside 1 under the base: one token is better
    p, q = np.exp(base), np.exp(tuned)
    kl = (p * np.log(p / q)).sum(axis=1)
    np.testing.assert_allclose(found.kl, [kl[2], kl[0], 0.0], atol=1e-15)
    assert found.positions.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.kl_by_position(), [kl[2] / 2, kl[0]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.ranks = None


def test_shares_of_shifts():
    found = Shift(np.array([0, 0, 1, 2, 3, 9, 0, 0]), np.zeros(8), np.zeros(8, int))
    assert found.shares() == pytest.approx(
        {"unshifted": 1 / 2, "marginal": 1 / 4, "shifted": 1 / 4}
    )


def test_the_same_model_is_not_shifted_and_dropout_is_off():
    m = model().train()
    batch = TASK.make_batch([encode_sft([1, 2], [3, 4, 5]), encode_sft([6], [7])])
    found = measure_shift(m, m, batch)
    assert found.shares()["unshifted"] == 1.0
    np.testing.assert_allclose(found.kl, 0, atol=1e-12)
    assert found.positions.tolist() == [0, 1, 2, 0]
    assert m.training


def test_a_change_at_the_beginning_is_seen_there():
    base = np.zeros((4, 4))
    tuned = base.copy()
    tuned[0, 3] = 5.0  # only what follows token 0, the end of the prompt, was changed
    found = shift(base, tuned, encode_sft([0], [1, 2, 3]), encode_sft([2, 0], [1, 2]))
    profile = found.kl_by_position()
    assert profile[0] > 1 and np.allclose(profile[1:], 0) and len(profile) == 3
