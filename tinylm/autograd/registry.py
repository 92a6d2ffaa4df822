"""The registry of everything differentiable: how to call it, on which inputs, away from kinks.

One dictionary for all of tinylm. Each package describes its own operations, modules and objectives
in modules named `cases*.py`. The tests and the `tinylm gradcheck` command run over these entries,
and a test fails if something differentiable has none. Read next: primitives/cases.py and
kernels/cases.py for the entries of autograd, check/gradcheck.py for their use.
"""

import importlib
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinylm
from tinylm.errors import ConfigError

ENTRIES: dict[str, "Entry"] = {}


@dataclass(frozen=True)
class Call:
    """One drawn set of arguments; floating-point arrays in `args` are differentiated.

    Which others are, see Subject in check/differences.py.
    """

    args: tuple
    options: dict


def call(*args: Any, **options: Any) -> Call:
    """A Call with these arguments, written as the call itself would be."""
    return Call(args, options)


@dataclass(frozen=True)
class Entry:
    """One differentiable thing and how to check it.

    name       as users call it: "softmax", "nn.LayerNorm"
    function   takes the drawn arguments and returns Tensors; modules may be among the arguments
    draw       numpy Generator -> iterable of Calls: shapes, options and values that between them
               reach every case
    order      how often it can be differentiated: 2, or 1 with the reason in `reason`
    avoid      (*args, **options) -> distance to the nearest kink; a call nearer than `margin` is
               drawn again
    tolerance  relative error allowed in float64 instead of gradcheck.TOLERANCE, with the `reason`
    source     book equation or paper
    covers     names of the recorded operations whose rules this entry checks; () if it is composed
               of others
    """

    name: str
    function: Callable
    draw: Callable
    order: int = 2
    avoid: Callable | None = None
    margin: float = 0.02  # differences reach two steps of 1e-3 to each side: ten times that
    tolerance: float | None = None
    reason: str = ""
    source: str = ""
    covers: tuple = ()

    def calls(self, seed: int = 0) -> list[Call]:
        """The drawn calls, the same for the same seed.

        raises  ConfigError if a thousand draws do not keep away from the kinks
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        calls = list(self.draw(rng))
        if self.avoid is None:
            return calls
        for _ in range(1000):
            near = [
                i for i, c in enumerate(calls) if self.avoid(*c.args, **c.options) < self.margin
            ]
            if not near:
                return calls
            again = list(self.draw(rng))
            for i in near:
                calls[i] = again[i]
        raise ConfigError(
            f"{self.name}: 1000 draws all came within {self.margin} of a kink: "
            "draw values further apart"
        )


def register(name: str, function: Callable, draw: Callable, **fields: Any) -> Entry:
    """Add an Entry under its name, with `fields` as in Entry, and return it.

    raises  ConfigError if the name is taken, or if another order or tolerance has no reason
    """
    entry = Entry(name, function, draw, **{"covers": (name,), **fields})
    if name in ENTRIES:
        raise ConfigError(f"register: there is already an entry named {name!r}")
    if (entry.order != 2 or entry.tolerance is not None) and not entry.reason:
        raise ConfigError(
            f"register: {name} departs from order 2 or from the table of tolerances: "
            "give the reason in reason="
        )
    ENTRIES[name] = entry
    return entry


def load_all() -> dict[str, Entry]:
    """Import every `cases*` module of tinylm's packages and return the dictionary of entries."""
    for module in pkgutil.walk_packages(tinylm.__path__, "tinylm."):
        if module.name.split(".")[-1].startswith("cases"):
            importlib.import_module(module.name)
    return ENTRIES
