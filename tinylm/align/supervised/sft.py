"""The loss of supervised fine-tuning, as a function of log-probabilities   (book eqs. 4.1 to 4.4).

    loss = - sum over (x, y) of log Pr(y | x),    log Pr(y | x) = sum_i log Pr(y_i | x, y_<i)

divided by a count, which decides how much a long answer weighs. The task of finetune/instruct takes
the token mean, and computes the output layer for the answers alone. Read first:
../aggregation.py and finetune/instruct/instructions.py; read next: turns.py.
"""

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.autograd import Tensor


def sft_loss(
    logp: Tensor, counted: np.ndarray, how: str = "token", total: int | None = None
) -> Tensor:
    """- log Pr(y | x), a mean over tokens or over sequences   (book eqs. 4.1, 4.2)

    It wants single log-probabilities of tokens. The token mean is the cross-entropy with ignored
    labels of torch and of TRL's SFTTrainer, and of InstructionTuning.

    logp     (B, T) Tensor, log Pr of the target at each position (response_logprobs)
    counted  (B, T) bool array, True where the target is a token of an answer or ends one
    how      "token", "sequence" or "fixed", and total: see aggregate()
    returns  Tensor (), minimized
    raises   as aggregate()

    Check: tinylm gradcheck align.sft_loss
    """
    return -aggregate(logp, counted, how, total)
