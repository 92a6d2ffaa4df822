"""Kahneman-Tversky optimization: good or bad answers instead of pairs   (Ethayarajh et al. 2024,
"KTO: Model Alignment as Prospect Theoretic Optimization", ICML).

Prospect theory: people value gains and losses against a reference point. Here a response's gain is
its implicit reward, and the reference point is the KL of policy and reference:

    rho(x, y) = log[pi(y|x) / ref(y|x)]
    z         = max(0, mean of rho(x, y'), y' the answer to another prompt)       a constant
    value     = sigmoid(beta (rho - z)) of a desirable answer, sigmoid(beta (z - rho)) of another
    loss      = weight (1 - value)                                      (section 4.1; TRL's "kto")

In theory z is KL(pi || ref). Mismatched answers y' stand for samples of the policy, which would
cost much more, so z is a biased estimate; it is held at 0 or above and not differentiated. The mean
is over the whole batch, whatever its micro-batches and workers (tuning.py). **Sums** of token
log-probabilities. KTO is not in the book: it belongs beside section 4.4.2. Read next: apo.py.
"""

import numpy as np

from tinylm.align.preference.dpo import log_ratio
from tinylm.autograd import Array, Tensor, where
from tinylm.autograd.engine.tensor import array_of


def kto_reference_point(logp: Array, reference: Array) -> float:
    """z: the mean log ratio of answers to other prompts, 0 if that is negative   (float)

    logp, reference  (n,) summed log-probabilities log pi(y'|x), log ref(y'|x): no gradient is kept
    returns          nan if the mean is
    """
    rho = array_of(logp) - array_of(reference)
    return float(np.maximum(0.0, np.mean(rho)))


def kto(
    logp: Tensor,
    reference: np.ndarray,
    desirable: np.ndarray,
    point: float,
    beta: float = 0.1,
    weight_good: float = 1.0,
    weight_bad: float = 1.0,
) -> Tensor:
    """KTO's loss of single answers   (Ethayarajh et al. 2024, section 4.1)

        weight_good (1 - sigmoid(beta (rho - z)))   where desirable
        weight_bad  (1 - sigmoid(beta (z - rho)))   elsewhere

    logp         (B,) Tensor, **summed** log-probabilities under the policy;  reference (B,) array
    desirable    (B,) bool
    point        z, of kto_reference_point
    weight_good, weight_bad  the paper's lambda_D and lambda_U: for n_good and n_bad answers choose
                 them so that weight_good n_good is about weight_bad n_bad, or up to 4/3 of it (TRL)
    returns      (B,); half of the weight at the start

    The derivative by logp of a desirable answer is -weight beta s (1 - s), s its sigmoid: answers
    that are far too good or too bad are left alone. Check: tinylm gradcheck align.kto
    """
    gain = beta * (log_ratio(logp, reference) - point)
    if not hasattr(desirable, "dtype"):
        desirable = np.asarray(desirable, bool)
    # 1 - sigmoid(g) = sigmoid(-g)
    return where(desirable, weight_good * (-gain).sigmoid(), weight_bad * gain.sigmoid())


def paired_kto(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
    *,
    point: float,
    weight_good: float = 1.0,
    weight_bad: float = 1.0,
) -> Tensor:
    """KTO where every prompt has a good and a bad answer: the mean of their two losses, (B,).

    arguments  as in dpo() and kto()
    returns    (B,); half of the mean weight at the start, 1/2
    """
    good = beta * (log_ratio(chosen, ref_chosen) - point)
    bad = beta * (log_ratio(rejected, ref_rejected) - point)
    return (weight_good * (-good).sigmoid() + weight_bad * bad.sigmoid()) / 2
