"""The remedies against forgetting, in one training."""

import dataclasses

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.supervised import plain_text, tune
from tinylm.errors import ConfigError
from tinylm.finetune.fitting import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning, answer_loss

TASK = InstructionTuning()
NEW = [encode_sft([1, 2, k], [k, 9]) for k in range(3, 7)]
OLD = [plain_text([7, 7, 8, 8, 7, 7]), plain_text([8, 7, 7, 8])]
QUICK = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "weight_decay": 0.0}


def distance(m, start):
    return sum(float(((value - start[name]) ** 2).sum()) for name, value in m.state_dict().items())


def start_of(m):
    return {name: value.copy() for name, value in m.state_dict().items()}


def test_without_remedies_it_is_plain_fine_tuning():
    ours, theirs = model(np.float32), model(np.float32)
    found = tune(ours, NEW, seed=3, **QUICK)
    np.testing.assert_array_equal(found.losses, fit(theirs, TASK, NEW, seed=3, **QUICK))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, theirs.state_dict()[name])
    assert not len(found.held) and np.isnan(found.forgotten)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.forgotten = 0.0


def test_an_anchor_holds_the_parameters_the_nearer_the_stronger_it_is():
    moved = []
    for anchor in (0.0, 1.0, 1000.0):
        m = model(np.float32)
        start = start_of(m)
        tune(m, NEW, anchor=anchor, **QUICK)
        moved.append(distance(m, start))
    # AdamW steps have a size of their own, so the strongest anchor still lets it tremble
    assert moved[0] > 1.2 * moved[1] > 1.2 * moved[2] > 0


def test_a_rate_of_zero_changes_nothing_and_forgets_nothing():
    m = model(np.float32)
    start = start_of(m)
    found = tune(m, NEW, old=OLD, **{**QUICK, "learning_rate": 0.0})
    assert distance(m, start) == 0.0 and found.forgotten == 0.0


def test_what_is_forgotten_is_the_rise_of_the_perplexity_of_old_text():
    m = model(np.float32)
    before = np.exp(answer_loss(m, TASK, OLD)[0])
    found = tune(m, NEW, old=OLD, **QUICK)
    after = np.exp(answer_loss(m, TASK, OLD)[0])
    assert found.forgotten == pytest.approx(after - before, rel=1e-6)
    assert found.forgotten != 0


def test_replayed_text_is_forgotten_less():
    forgotten = {}
    for replay in (0.0, 1.0):
        m = model(np.float32)
        found = tune(m, NEW, old=OLD, replay=replay, **QUICK)
        forgotten[replay] = found.forgotten
        # 4 examples, or 4 and as many old texts, in batches of 4: 1 or 2 steps an epoch
        assert len(found.losses) == 3 * (1 + int(replay))
    assert forgotten[1.0] < forgotten[0.0]


def test_early_stopping_gives_back_the_best_epoch():
    # Held-out answers share no token with those that are learnt, so they become less probable.
    held_out = [encode_sft([1, 2, k], [k + 20, 30]) for k in range(3, 7)]
    m, long = model(np.float32), {**QUICK, "epochs": 12, "learning_rate": 3e-2}
    found = tune(m, NEW, held_out=held_out, patience=2, **long)
    best = int(found.held.argmin())
    assert len(found.held) == best + 1 + 2 < 12  # two epochs without improvement end it
    assert answer_loss(m, TASK, held_out)[0] == pytest.approx(found.held[best], rel=1e-6)
    # without patience all epochs run, and the last parameters stay
    m = model(np.float32)
    found = tune(m, NEW, held_out=held_out, **long)
    assert len(found.held) == 12
    assert answer_loss(m, TASK, held_out)[0] == pytest.approx(found.held[-1], rel=1e-6)


def test_the_measured_loss_has_no_penalty_in_it():
    m = model(np.float32)
    found = tune(m, NEW, held_out=NEW, anchor=1e3, **QUICK)
    assert found.held[-1] == pytest.approx(answer_loss(m, TASK, NEW)[0], rel=1e-6)
    assert found.losses[-1] > 2 * found.held[-1]


def test_remedies_need_what_they_are_made_of():
    with pytest.raises(ConfigError, match="measures held_out examples"):
        tune(model(), NEW, patience=1, **QUICK)
    with pytest.raises(ConfigError, match="anchor -1"):
        tune(model(), NEW, anchor=-1, **QUICK)
    with pytest.raises(ConfigError, match="there are none"):
        tune(model(), NEW, replay=0.5, **QUICK)
