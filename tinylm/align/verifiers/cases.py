"""Gradient-check cases of verifiers. Labels are constants."""

import numpy as np

from tinylm.align.rewards.cases import ONCE, decoder
from tinylm.align.verifiers.outcome import OutcomeVerification, OutcomeVerifier, verification_loss
from tinylm.align.verifiers.paths import JudgedPath
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.finetune.tasks.cases import loss_of

COUNTED = np.array([[False, True, True], [True, False, False]])
PATHS = [JudgedPath(np.array([0, 1, 2, 3]), 2, True), JudgedPath(np.array([4, 2]), 1, False)]

register(
    "align.verification_loss",
    verification_loss,
    lambda rng: [call(normal(rng, 2, 3), right=np.array([1, 0]), counted=COUNTED)],
    covers=(),
    source="Cobbe et al. 2021",
)
register(
    "align.OutcomeVerification",
    loss_of,
    lambda rng: [
        call(OutcomeVerifier(decoder(rng)).eval(), OutcomeVerification(language=0.5), PATHS),
        call(OutcomeVerifier(decoder(rng)).eval(), OutcomeVerification("last", 0.0), PATHS),
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="Cobbe et al. 2021",
)
