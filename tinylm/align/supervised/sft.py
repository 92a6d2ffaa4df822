"""The loss of supervised fine-tuning, as a function of log-probabilities   (book eqs. 4.1 to 4.4).

    loss = - sum over (x, y) of log Pr(y | x),    log Pr(y | x) = sum_i log Pr(y_i | x, y_<i)

divided by a count, which decides how much a long answer weighs. The task of finetune/instruct takes
the token mean, and computes the output layer for the answers alone. Read first:
finetune/instruct/instructions.py; read next: turns.py.
"""

from tinylm.autograd import weigh
from tinylm.errors import ConfigError, ShapeError

AGGREGATIONS = "token", "sequence", "fixed"


def sft_loss(logp, counted, aggregation="token", total=None):
    """- log Pr(y | x), a mean over tokens or over sequences   (book eqs. 4.1, 4.2)

        token      - sum of all log Pr(y_i) / number of counted tokens
        sequence   - sum over sequences of (mean over their tokens) / number of sequences
        fixed      - sum of all log Pr(y_i) / total

    It wants single log-probabilities of tokens. "token" is the cross-entropy with ignored labels of
    torch and of TRL's SFTTrainer, and of InstructionTuning.

    logp         (B, T) Tensor, log Pr of the target at each position
    counted      (B, T) bool array, True where the target is a token of an answer or ends one
    total        what the sum is divided by, where this is a part of a batch: the counted tokens
                 ("token") or the sequences ("sequence") of the whole batch. "fixed" needs it
    returns      Tensor (), minimized; 0 where nothing is counted
    raises       ConfigError for an unknown aggregation, or "fixed" without total; ShapeError for a
                 mask of another shape

    Check: tinylm gradcheck align.sft_loss
    """
    if aggregation not in AGGREGATIONS:
        raise ConfigError(
            f"sft_loss: no aggregation {aggregation!r}: choose one of {', '.join(AGGREGATIONS)}"
        )
    if counted.shape != logp.shape:
        raise ShapeError(
            f"sft_loss: log-probabilities {logp.shape} and a mask {counted.shape} must be alike"
        )
    if aggregation == "fixed" and total is None:
        raise ConfigError("sft_loss: the aggregation 'fixed' needs total, the divisor of the sum")
    weights, count = counted, int(counted.sum())
    if aggregation == "sequence":
        lengths = counted.sum(axis=1, keepdims=True).clip(1)  # (B, 1), 1 where nothing is counted
        weights, count = counted / lengths, len(counted)
    if total is not None:
        count = total
    weights = weights / max(count, 1)  # (B, T)
    return -weigh(weights.astype(logp.dtype), logp).sum()
