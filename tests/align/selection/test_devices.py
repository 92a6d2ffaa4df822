"""What is measured of models does not depend on the device that they are on."""

import numpy as np

from tests.finetune.instruct.talks import model
from tinylm.align.selection.influence import sample_gradients
from tinylm.align.selection.perplexity import cross_entropies
from tinylm.align.selection.superficial import measure_shift
from tinylm.align.supervised.mitigations import tune
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning

EXAMPLES = [encode_sft([5, 6], [1, 2]), encode_sft([7], [3])]


def test_every_device_measures_alike(device):
    found = []
    for where in ("cpu", device):
        one, other = model().to(where), model(seed=1).to(where)
        shift = measure_shift(one, other, InstructionTuning().make_batch(EXAMPLES).to(where))
        gradients = sample_gradients(one, InstructionTuning(), EXAMPLES)
        found.append([cross_entropies(one, EXAMPLES), shift.kl, shift.ranks, gradients])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_every_device_forgets_alike(device):
    found = []
    for where in ("cpu", device):
        given = {"held_out": EXAMPLES[:1], "old": EXAMPLES[1:], "patience": 5}
        fitted = {"epochs": 2, "learning_rate": 1e-2, "batch_size": 2}
        tuned = tune(model().to(where), EXAMPLES, **given, **fitted)
        found.append([*tuned.losses, *tuned.held, tuned.forgotten])
    np.testing.assert_allclose(*found, atol=1e-8)
