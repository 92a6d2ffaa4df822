"""Every preference loss by name: what it reads, and where it starts.

A loss reads sums or means of token log-probabilities, needs a reference policy or none, and has a
value that it takes at the start of training, whatever the data, if it has a reference: the first
thing to check of a run. Read next: population.py, pairs.py.
"""

import difflib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.preference.apo import apo_down, apo_zero
from tinylm.align.preference.divergences import f_dpo
from tinylm.align.preference.dpo import dpo, robust_dpo
from tinylm.align.preference.kto import paired_kto
from tinylm.align.preference.margins import hinge, ipo, slic
from tinylm.align.preference.no_reference import cpo, orpo, simpo
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError


@dataclass(frozen=True)
class PreferenceLoss:
    """One loss of pairs of answers.

    function   (chosen, rejected[, ref_chosen, ref_rejected], **options) -> (B,) Tensor
    source     paper and equation
    start      its value where policy and reference agree, a function of beta; None without a
               reference, where that depends on the data
    mean       True: it reads means of token log-probabilities; False: sums
    point      True: it needs KTO's reference point, from answers to other prompts
    """

    function: Callable
    source: str
    start: Callable | None = None
    mean: bool = False
    point: bool = False

    @property
    def reference(self) -> bool:
        """True if the loss compares with a reference policy."""
        return self.start is not None

    @property
    def options(self) -> dict[str, float]:
        """The names of its settings and their values unless given: {name: value}."""
        known = inspect.signature(self.function).parameters.values()
        return {one.name: one.default for one in known if one.name not in _GIVEN}

    @property
    def beta(self) -> float:
        """The unit of its implicit rewards; 1 for a loss without beta."""
        return self.options.get("beta", 1.0)


# Arguments that come from the batch.
_GIVEN = ("chosen", "rejected", "ref_chosen", "ref_rejected", "point", "target")


def _log_2(beta):
    return math.log(2)


def _one(beta):
    return 1.0


LOSSES = {
    "dpo": PreferenceLoss(dpo, "Rafailov et al. 2023, eq. 7; book eq. 4.82", _log_2),
    "robust": PreferenceLoss(robust_dpo, "Chowdhury et al. 2024", _log_2),
    "f-dpo": PreferenceLoss(f_dpo, "Wang et al. 2024", _log_2),
    "hinge": PreferenceLoss(hinge, "Liu et al. 2024 (RSO)", _one),
    "ipo": PreferenceLoss(
        ipo, "Azar et al. 2023, eq. 17", lambda beta: (1 / (2 * beta)) ** 2, mean=True
    ),
    "kto": PreferenceLoss(
        paired_kto, "Ethayarajh et al. 2024, section 4.1", lambda beta: 0.5, point=True
    ),
    "apo-zero": PreferenceLoss(apo_zero, "D'Oosterlinck et al. 2024, eq. 7", _one),
    "apo-down": PreferenceLoss(apo_down, "D'Oosterlinck et al. 2024, eq. 8", _one),
    "slic": PreferenceLoss(slic, "Zhao et al. 2023"),
    "cpo": PreferenceLoss(cpo, "Xu et al. 2024, eq. 3"),
    "orpo": PreferenceLoss(orpo, "Hong et al. 2024, eq. 6", mean=True),
    "simpo": PreferenceLoss(simpo, "Meng et al. 2024, eq. 6", mean=True),
}


def preference_loss(name: str) -> PreferenceLoss:
    """The PreferenceLoss of a name.

    raises  ConfigError that lists the names, and one that is near
    """
    if name in LOSSES:
        return LOSSES[name]
    near = difflib.get_close_matches(str(name), LOSSES, 1)
    hint = ""
    if near:
        hint = f"; did you mean {near[0]!r}?"
    raise ConfigError(f"no preference loss {name!r}: choose one of {', '.join(LOSSES)}{hint}")


def check_options(name: str, options: Any) -> None:
    """Compute a loss once, of a pair whose log-probabilities are all 0: what it refuses shows here,
    and not after a file was read and scored.

    raises  ConfigError for an unknown loss, an option that it does not have, or a value that it
            refuses
    """
    row = preference_loss(name)
    unknown = [option for option in options if option not in row.options]
    if unknown:
        raise ConfigError(
            f"the loss {name!r} has no option {unknown[0]!r}; it has {', '.join(row.options)}"
        )
    answers, more = [Tensor(np.zeros(1))] * 2, {}
    if row.reference:
        answers += [np.zeros(1)] * 2
    if row.point:
        more["point"] = 0.0
    row.function(*answers, **more, **options)
