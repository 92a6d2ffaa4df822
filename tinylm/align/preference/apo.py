"""Anchored preference optimization: which of the two answers shall move   (D'Oosterlinck et al.
2024).

DPO wants a difference: it is content if both answers become improbable and the rejected one more
so. These two anchor the chosen answer. "zero" raises it and lowers the other, for pairs whose
chosen answer is better than what the policy writes; "down" lowers both, for a policy that is better
than the chosen answer too. Notation as in dpo.py, **sums**. Read next: no_reference.py.
"""

import numpy as np

from tinylm.align.preference.dpo import log_ratio
from tinylm.autograd import Tensor


def apo_zero(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> Tensor:
    """1 - sigmoid(beta rho_c) + sigmoid(beta rho_r)   (D'Oosterlinck et al. 2024, eq. 7)

    arguments  as in dpo()
    returns    (B,); 1 at the start. TRL's loss_type="apo_zero"
    Check: tinylm gradcheck align.apo_zero
    """
    good, bad = log_ratio(chosen, ref_chosen), log_ratio(rejected, ref_rejected)
    return (-beta * good).sigmoid() + (beta * bad).sigmoid()  # 1 - sigmoid(a) = sigmoid(-a)


def apo_down(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> Tensor:
    """sigmoid(beta rho_c) + 1 - sigmoid(beta (rho_c - rho_r))   (the same, eq. 8)

    arguments  as in dpo()
    returns    (B,); 1 at the start. TRL's loss_type="apo_down"
    Check: tinylm gradcheck align.apo_down
    """
    good, bad = log_ratio(chosen, ref_chosen), log_ratio(rejected, ref_rejected)
    return (beta * good).sigmoid() + (-beta * (good - bad)).sigmoid()
