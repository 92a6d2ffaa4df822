"""Is alignment superficial? What tuning changes, token by token   (book section 4.2.3; Zhou et al.
2023; measured as by Lin et al. 2024).

The hypothesis: a model learns what it knows in pre-training, and alignment only chooses among what
it can express already. Then the tuned model's token is mostly also the base model's best, and where
it is not, mostly near the beginning of the response.

    rank      how many tokens the base model finds more probable than the tuned model's best
    KL(i)     mean KL(base || tuned) at the i-th token of a response

Both models read the same response. Read next: learning_curve.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.logprobs import response_logits
from tinylm.autograd import no_grad
from tinylm.backend import to_cpu
from tinylm.finetune.divergence import divergences
from tinylm.finetune.instruct.instructions import InstructionBatch
from tinylm.nn import evaluating
from tinylm.pretrain.batch import IGNORE

MARGINAL = 3  # ranks 1 and 2 are marginal shifts, from 3 on it is a shift   (Lin et al. 2024)


@dataclass(frozen=True)
class Shift:
    """What tuning changed at each token of responses.

    ranks      (n,) rank under the base model of the tuned model's most probable token, from 0
    kl         (n,) KL(base || tuned)
    positions  (n,) number of the token in its response, from 0
    """

    ranks: np.ndarray
    kl: np.ndarray
    positions: np.ndarray

    def shares(self) -> dict[str, float]:
        """{"unshifted": share of rank 0, "marginal": of ranks 1 and 2, "shifted": of others}."""
        unshifted = float((self.ranks == 0).mean())
        shifted = float((self.ranks >= MARGINAL).mean())
        return {"unshifted": unshifted, "marginal": 1 - unshifted - shifted, "shifted": shifted}

    def kl_by_position(self) -> np.ndarray:
        """The mean KL at each position, over the responses that reach it: (longest,) float64."""
        counts = np.bincount(self.positions)
        return np.bincount(self.positions, weights=self.kl) / counts


def measure_shift(base: Any, tuned: Any, batch: InstructionBatch) -> Shift:
    """Compare two models on the responses of a batch: Shift.

    base, tuned  models over one vocabulary; dropout is off
    batch        InstructionBatch, one response a row, such as answers of the tuned model
    """
    logits = []
    with no_grad(), evaluating(base), evaluating(tuned):
        for model in (base, tuned):
            logits.append(response_logits(model, batch)[0])  # (n, V)
        kl = to_cpu(divergences(*logits).data)
    before, after = (to_cpu(one.data) for one in logits)
    best = after.argmax(axis=1)  # (n,) the tuned model's token
    own = np.take_along_axis(before, best[:, None], axis=1)  # (n, 1) its logit under the base
    ranks = (before > own).sum(axis=1)
    counted = to_cpu(batch.targets) != IGNORE  # (B, T); the n positions in the order of nonzero
    positions = (np.cumsum(counted, axis=1) - 1)[counted]
    return Shift(ranks, kl, positions)
