"""How to check the gradients of the losses of this room, named align.NAME."""

import numpy as np

from tinylm.align.policy import clipping, critic, groups, kl, sequences, surrogates
from tinylm.autograd.engine.tensor import array_of
from tinylm.autograd.registry import call, register
from tinylm.backend import device_of, to_cpu, to_device

COUNTED = np.array([[False, True, True], [True, True, False]])
LOGP = -np.array([[0.5, 1.0, 2.0], [0.2, 1.5, 0.7]])
# Log-ratios well away from the bounds at log .8 and log 1.2, on either side of them.
OLD = LOGP - np.array([[0.5, 0.05, 0.6], [-0.6, -0.1, 0.4]])
REFERENCE = LOGP - 0.3
EACH = np.array([[1.0, -0.5, 2.0], [-1.0, 0.7, 0.3]])  # advantages of tokens
WHOLE = np.array([1.5, -0.8])  # of responses
WIDE = {"low": 0.2, "high": 0.3}  # of ratios of whole responses


def _there(array, like):
    """A constant on the device and of the dtype of a Tensor."""
    array = np.asarray(array)
    if array.dtype.kind == "f":
        array = array.astype(like.dtype)
    return to_device(array, device_of(like.data))


def _checked(name, loss, *constants, source="", avoid=None, **options):
    """Register a loss of one Tensor (2, 3) and of constants on its device."""
    register(
        f"align.{name}",
        lambda logp: loss(logp, *(_there(c, logp) for c in constants), **options),
        lambda rng: [call(LOGP + 0.02 * rng.normal(size=LOGP.shape))],
        covers=(),
        source=source,
        avoid=avoid,
    )


def _from_bounds(logp):
    """The distance of log-ratios from where clipping begins."""
    d = to_cpu(array_of(logp)) - OLD
    return float(np.abs(d[..., None] - np.log([0.8, 1.2, 1.28])).min())


def _clipped(name, loss, *constants, **options):
    _checked(name, loss, *constants, avoid=_from_bounds, **options)


_checked(
    "policy_gradient_loss",
    surrogates.policy_gradient_loss,
    EACH,
    COUNTED,
    source="book eq. 4.28; Williams 1992",
)
_checked("entropy_loss", surrogates.entropy_loss, source="Williams and Peng 1991")
_checked("importance_loss", surrogates.importance_loss, OLD, EACH, COUNTED, source="book eq. 4.45")
_clipped(
    "clipped_loss", clipping.clipped_loss, OLD, EACH, COUNTED, source="Schulman et al. 2017, eq. 7"
)
_clipped(
    "book_clipped_loss",
    clipping.clipped_loss,
    OLD,
    EACH,
    COUNTED,
    surrogate=clipping.book_clipped_surrogate,
    source="book eqs. 4.49, 4.50",
)
_clipped(
    "dual_clipped_loss",
    clipping.clipped_loss,
    OLD,
    EACH,
    COUNTED,
    surrogate=clipping.dual_clipped_surrogate,
    source="Ye et al. 2020",
)
_checked("rloo_loss", groups.rloo_loss, WHOLE, COUNTED, source="Ahmadian et al. 2024, eq. 8")
_clipped(
    "grpo_loss",
    groups.grpo_loss,
    OLD,
    REFERENCE,
    WHOLE,
    COUNTED,
    source="Shao et al. 2024, eq. 3",
)
_clipped("dapo_loss", groups.dapo_loss, OLD, WHOLE, COUNTED, source="Yu et al. 2025, eq. 8")
_clipped(
    "dr_grpo_loss", groups.dr_grpo_loss, OLD, WHOLE, COUNTED, longest=3, source="Liu et al. 2025"
)
_checked(
    "gspo_loss", sequences.gspo_loss, OLD, WHOLE, COUNTED, **WIDE, source="Zheng et al. 2025, eq. 5"
)
# Ratios beyond the bound, where the weight that CISPO does not differentiate is constant.
_checked("cispo_loss", sequences.cispo_loss, LOGP - 2.0, WHOLE, COUNTED, source="MiniMax 2025")
_checked("k2", kl.k2, REFERENCE, source="Schulman 2020")
_checked("k3", kl.k3, REFERENCE, source="Schulman 2020")
_checked("weighted_k3", kl.weighted_k3, OLD, REFERENCE, source="Schulman 2020")
_checked("book_penalty", kl.book_penalty, REFERENCE, COUNTED, source="book eq. 4.56")
_checked("token_kl", kl.token_kl, EACH)
_checked("value_loss", critic.value_loss, EACH, COUNTED, source="book eq. 4.32")
_checked(
    "residual_value_loss",
    critic.td_value_loss,
    EACH,
    COUNTED,
    gamma=0.9,
    semi_gradient=False,
    source="book eq. 4.32",
)
_checked("clipped_value_loss", critic.clipped_value_loss, OLD, EACH, COUNTED)
register(
    "align.clipped_surrogate",
    lambda rho: clipping.clipped_surrogate(rho, _there(EACH, rho)),
    lambda rng: [call(np.exp(LOGP - OLD) + 0.01 * rng.normal(size=LOGP.shape))],
    covers=(),
    source="Schulman et al. 2017, eq. 7",
)
