"""Preference losses without a reference policy: half the memory, and no second forward pass.

What keeps the policy near its start is then the likelihood of the chosen answers (CPO, ORPO), or
only that a mean log-probability cannot grow past 0 (SimPO). Each loss is one number a pair. Read
next: divergences.py.
"""

from tinylm.autograd import Tensor, exp, log, minimum, softplus

SURE = -1e-6  # log p above this counts as this: the odds p / (1 - p) stay below a million


def log_odds(mean_logp: Tensor) -> Tensor:
    """log[p / (1 - p)] of p = exp(mean_logp): (B,) -> (B,)."""
    mean_logp = minimum(mean_logp, SURE)
    return mean_logp - log(1 - exp(mean_logp))


def orpo(chosen: Tensor, rejected: Tensor, weight: float = 0.1) -> Tensor:
    """Odds ratio preference optimization   (Hong et al. 2024, eqs. 6, 7)

        -log pi(y_c|x) - weight log sigmoid(log odds(y_c|x) - log odds(y_r|x))

    chosen, rejected  (B,) Tensors, **mean** log-probabilities of a token; odds are p / (1 - p) of
                      p = exp(mean), the geometric mean of the tokens' probabilities
    weight            the paper's lambda (TRL calls it beta)
    returns           (B,). The first term is supervised fine-tuning on the chosen answer, so no
                      stage of it goes before; TRL averages it over the tokens of the batch instead
    Check: tinylm gradcheck align.orpo
    """
    return -chosen + weight * softplus(log_odds(rejected) - log_odds(chosen))


def simpo(chosen: Tensor, rejected: Tensor, beta: float = 2.0, gamma: float = 1.0) -> Tensor:
    """Simple preference optimization   (Meng et al. 2024, eq. 6)

        -log sigmoid(beta (m_c - m_r) - gamma)      m: mean log-probability of a token

    chosen, rejected  (B,) Tensors, **means**
    gamma             the margin of rewards beta m, inside the sigmoid as it stands: not times beta.
                      (The authors' code is given gamma / beta, and multiplies by beta)
    returns           (B,); log(1 + e^gamma) where both answers are as probable
    Check: tinylm gradcheck align.simpo
    """
    return softplus(gamma - beta * (chosen - rejected))


def cpo(chosen: Tensor, rejected: Tensor, beta: float = 0.1, weight: float = 1.0) -> Tensor:
    """Contrastive preference optimization: DPO under a uniform reference   (Xu et al. 2024, eq. 3,
    and the likelihood that their final objective adds)

        -log sigmoid(beta (log pi(y_c|x) - log pi(y_r|x))) - weight log pi(y_c|x)

    chosen, rejected  (B,) Tensors, **sums**; a uniform reference cancels only between answers of
                      one length
    weight            of the likelihood of the chosen answers. TRL divides that by their tokens
    returns           (B,)
    Check: tinylm gradcheck align.cpo
    """
    return softplus(-beta * (chosen - rejected)) - weight * chosen
