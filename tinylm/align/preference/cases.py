"""Gradient checks of the preference losses, named align.NAME."""

import numpy as np

from tinylm.align.preference.apo import apo_down, apo_zero
from tinylm.align.preference.divergences import f_dpo
from tinylm.align.preference.dpo import dpo, log_ratio, robust_dpo
from tinylm.align.preference.kto import kto, paired_kto
from tinylm.align.preference.margins import hinge, ipo, slic
from tinylm.align.preference.no_reference import cpo, orpo, simpo
from tinylm.autograd.engine.tensor import array_of
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register


def _means(rng, n=3):
    """Mean log-probabilities of a token: negative, (n,)."""
    return -np.exp(normal(rng, n))


def _pairs(**options):
    """Two Tensors (3,) of the policy; the constants of the reference go by keyword."""

    def draw(rng):
        constants = {"ref_chosen": normal(rng, 3), "ref_rejected": normal(rng, 3)}
        return [call(3 * normal(rng, 3), 3 * normal(rng, 3), **constants, **options)]

    return draw


def _free(**options):
    def draw(rng):
        return [call(_means(rng), _means(rng), **options)]

    return draw


def _distance(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    """From the kink of the hinge: |1 - beta (rho_c - rho_r)|."""
    rho = log_ratio(array_of(chosen), ref_chosen) - log_ratio(array_of(rejected), ref_rejected)
    return float(np.abs(1 - beta * rho).min())


def _slic_distance(chosen, rejected, margin=1.0, **options):
    return float(np.abs(margin - array_of(chosen) + array_of(rejected)).min())


for _name, _function, _draw, _source in (
    ("dpo", dpo, _pairs(beta=0.7, label_smoothing=0.1), "book eq. 4.82"),
    ("robust_dpo", robust_dpo, _pairs(beta=0.7, label_smoothing=0.2), "Chowdhury et al. 2024"),
    ("ipo", ipo, _pairs(beta=0.7), "Azar et al. 2023, eq. 17"),
    ("apo_zero", apo_zero, _pairs(beta=0.7), "D'Oosterlinck et al. 2024, eq. 7"),
    ("apo_down", apo_down, _pairs(beta=0.7), "D'Oosterlinck et al. 2024, eq. 8"),
    ("paired_kto", paired_kto, _pairs(beta=0.7, point=0.3, weight_bad=1.5), "TRL, KTO on pairs"),
    ("orpo", orpo, _free(weight=0.5), "Hong et al. 2024, eq. 6"),
    ("simpo", simpo, _free(), "Meng et al. 2024, eq. 6"),
    ("cpo", cpo, _free(beta=0.7), "Xu et al. 2024, eq. 3"),
):
    register(f"align.{_name}", _function, _draw, covers=(), source=_source)

register(
    "align.f_dpo",
    f_dpo,
    lambda rng: [
        _pairs(divergence=one)(rng)[0]
        for one in ("reverse_kl", "forward_kl", "jensen_shannon", 0.3)
    ],
    covers=(),
    source="Wang et al. 2024",
)
register(
    "align.hinge",
    hinge,
    _pairs(beta=0.7),
    avoid=lambda *args, **options: _distance(*args, **options),
    covers=(),
    source="Liu et al. 2024",
)
register(
    "align.slic",
    slic,
    _free(weight=0.3),
    avoid=_slic_distance,
    covers=(),
    source="Zhao et al. 2023",
)
register(
    "align.kto",
    kto,
    lambda rng: [
        call(
            3 * normal(rng, 4),
            reference=normal(rng, 4),
            desirable=np.array([True, False, True, False]),
            point=0.3,
            beta=0.7,
            weight_good=1.2,
        )
    ],
    covers=(),
    source="Ethayarajh et al. 2024, section 4.1",
)
