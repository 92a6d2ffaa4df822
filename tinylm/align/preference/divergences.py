"""DPO for other divergences than the reverse KL   (Wang et al. 2024, "Beyond reverse KL").

The policy that maximizes reward - beta D_f(pi || ref), D_f = E_ref[f(pi / ref)], satisfies

    r(x, y) = beta f'(pi(y|x) / ref(y|x)) + a constant of x

wherever f'(0) is infinite, so DPO's derivation holds with f' in place of the logarithm. f(u) = u
log u gives f'(u) = log u + 1 and DPO. Read next: losses.py.
"""

import numpy as np

from tinylm.align.preference.dpo import log_ratio
from tinylm.autograd import Tensor, exp, softplus
from tinylm.errors import ConfigError

# f'(u) as a function of log u, without constants, which cancel in a difference.
DERIVATIVES = {
    # f = u log u
    "reverse_kl": lambda rho: rho,
    # f = -log u, f' = -1/u
    "forward_kl": lambda rho: -exp(-rho),
    # f = u log u - (u + 1) log((u + 1) / 2), f' = log(2 u / (1 + u))
    "jensen_shannon": lambda rho: rho - softplus(rho),
}


def f_dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float = 0.1,
    divergence: float | str = "reverse_kl",
) -> Tensor:
    """-log sigmoid(beta f'(u_c) - beta f'(u_r)), u = pi / ref   (Wang et al. 2024)

    arguments   as in dpo(): **sums**
    divergence  of DERIVATIVES, or a number a in (0, 1): the alpha divergence, f' = (1 - u^-a) / a
    returns     (B,); log 2 at the start
    raises      ConfigError for another divergence

    TRL's f_divergence_type. Check: tinylm gradcheck align.f_dpo
    """
    derivative = _derivative(divergence)
    good = derivative(log_ratio(chosen, ref_chosen))
    bad = derivative(log_ratio(rejected, ref_rejected))
    return softplus(-beta * (good - bad))


def _derivative(divergence):
    if divergence in DERIVATIVES:
        return DERIVATIVES[divergence]
    if isinstance(divergence, str) or not 0 < divergence < 1:
        raise ConfigError(
            f"f_dpo: divergence {divergence!r} is not one of {', '.join(DERIVATIVES)}, nor a "
            "number between 0 and 1"
        )
    # u^-a = exp(-a log u); a -> 0 gives log u, a -> 1 gives 1 - 1/u
    return lambda rho: (1 - exp(-divergence * rho)) / divergence
