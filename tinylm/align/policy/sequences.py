"""GSPO and CISPO: another ratio, and another way to clip   (Zheng et al. 2025; MiniMax 2025)

    GSPO    s_i = (pi(y_i) / pi_old(y_i))^(1/|y_i|)      one ratio for a response, clipped as PPO's
    CISPO   sg(clip(rho_t)) A log pi(y_t)                the weight is clipped, not the gradient

GSPO: rewards are of whole responses, so the ratio is too; it clips whole responses. At pi = pi_old
its gradient is that of means over each response. CISPO: where PPO's clipping drops a token from the
gradient, here it stays with a bounded weight, so that rare tokens that matter are still learnt.
Read next: fixed_points.py.
"""

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.align.constant import constant
from tinylm.align.logprobs import averaged
from tinylm.align.policy.clipping import clipped_surrogate
from tinylm.align.policy.surrogates import per_token, ratio
from tinylm.autograd import Array, Tensor, clip, exp
from tinylm.errors import ConfigError


def sequence_ratio(logp: Tensor, old: Array, counted: np.ndarray) -> Tensor:
    """(pi(y|x) / pi_old(y|x))^(1/|y|), (B,) Tensor: the geometric mean of the ratios of its tokens.

    raises   DataError for a row without a response
    """
    return exp(averaged(logp - constant(old, logp), counted))


def gspo_loss(
    logp: Tensor,
    old: Tensor,
    advantages: Tensor,
    counted: np.ndarray,
    low: float = 3e-4,
    high: float = 4e-4,
    total: int | None = None,
) -> Tensor:
    """- mean over responses of min(s A, clip(s, 1-low, 1+high) A)   (Zheng et al. 2025, eq. 5)

    advantages  (B,), of group_advantages()
    low, high   the paper's; a mean of many tokens moves far less than one of them
    total       responses of the whole batch; None: of this one
    returns     Tensor ()

    Check: tinylm gradcheck align.gspo_loss
    """
    gain = clipped_surrogate(
        sequence_ratio(logp, old, counted), constant(advantages, logp), low, high
    )
    return -gain.sum() / float(total or len(gain))


def gspo_token_loss(
    logp: Tensor,
    old: Tensor,
    advantages: Tensor,
    counted: np.ndarray,
    low: float = 3e-4,
    high: float = 4e-4,
    how: str = "sequence",
    total: int | None = None,
) -> Tensor:
    """GSPO with an advantage of each token   (Zheng et al. 2025, eq. 14)

    The ratio of token t is sg(s) pi(y_t) / sg(pi(y_t)): its value is s, its gradient the token's.
    With one advantage for all tokens, value and gradient equal gspo_loss()'s.
    """
    s = sequence_ratio(logp, old, counted).detach().data[:, None]  # (B, 1)
    rho = exp(logp - logp.detach()) * s
    gain = clipped_surrogate(rho, per_token(advantages, logp), low, high)
    return -aggregate(gain, counted, how, total)


def cispo_loss(
    logp: Tensor,
    old: Tensor,
    advantages: Tensor,
    counted: np.ndarray,
    low: float | None = None,
    high: float = 0.2,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """- mean of sg(clip(rho_t, 1-low, 1+high)) A_t log pi(y_t)   (MiniMax 2025, eqs. 4, 5)

    low      None: no lower bound, as in the paper;  high > 0
    returns  Tensor ();  other arguments as of clipped_loss()
    """
    if not high > 0 or (low is not None and not low > 0):
        raise ConfigError(f"cispo_loss: bounds {low} and {high} must be above 0")
    least = None
    if low is not None:
        least = 1 - low
    weights = clip(ratio(logp, old).detach(), least, 1 + high)
    return -aggregate(logp * (weights.data * per_token(advantages, logp)), counted, how, total)
