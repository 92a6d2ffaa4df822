"""Losses that ask for a margin between two answers, and no more   (after Rafailov et al. 2023).

DPO's loss falls for ever as the margin grows: with labels that never disagree, the policy leaves
the reference without end. A hinge has no gradient beyond its margin, and a squared distance pulls
back from beyond it. Notation as in dpo.py: rho = log[pi(y|x) / ref(y|x)]. Each loss is one number a
pair. Read next: kto.py.
"""

from typing import Any

import numpy as np

from tinylm.align.preference.dpo import log_ratio, logit
from tinylm.autograd import Tensor, relu


def hinge(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> Tensor:
    """A margin of 1 between implicit rewards   (Liu et al. 2024, RSO: "hinge-norm")

        max(0, 1 - beta (rho_c - rho_r))

    arguments  as in dpo(): **sums**
    returns    (B,); 1 where policy and reference agree

    RSO is this loss on pairs of samples of the optimal policy, which statistical rejection sampling
    draws. TRL's loss_type="hinge". Check: tinylm gradcheck align.hinge
    """
    return relu(1 - logit(chosen, rejected, ref_chosen, ref_rejected, beta))


def slic(
    chosen: Tensor,
    rejected: Tensor,
    margin: float = 1.0,
    target: float | None = None,
    weight: float = 0.0,
) -> Tensor:
    """Sequence likelihood calibration: a margin of log-probabilities   (Zhao et al. 2023, SLiC-HF,
    rank calibration loss)

        max(0, margin - log pi(y_c|x) + log pi(y_r|x)) - weight log pi(y_t|x)

    chosen, rejected  (B,) Tensors of **sums**; there is no reference policy
    target            (B,) Tensor, log-probabilities of the targets of supervised fine-tuning, which
                      keep the policy near it; the chosen answers unless given
    weight            of that regularizer
    returns           (B,)
    Check: tinylm gradcheck align.slic
    """
    loss = relu(margin - chosen + rejected)
    if not weight:
        return loss
    if target is None:
        target = chosen
    return loss - weight * target


def ipo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
) -> Any:
    """Identity preference optimization: a target for the margin   (Azar et al. 2023, eq. 17)

        (rho_c - rho_r - 1 / (2 beta))^2

    chosen, rejected          (B,) Tensors, **mean** log-probabilities of a token of the response
    ref_chosen, ref_rejected  (B,) arrays, means as well
    beta       the paper's tau; 1 / (2 beta) is the margin at which the policy rests
    returns    (B,); (1 / (2 beta))^2 at the start: 25 at beta = 0.1

    The derivative by `chosen` is 2 (rho_c - rho_r - 1 / (2 beta)). The paper has responses of one
    token; with sums over many tokens a fixed target means less for long answers, and TRL's
    loss_type="ipo" takes means after its authors' advice. Check: tinylm gradcheck align.ipo
    """
    rho = log_ratio(chosen, ref_chosen) - log_ratio(rejected, ref_rejected)
    return (rho - 1 / (2 * beta)) ** 2
