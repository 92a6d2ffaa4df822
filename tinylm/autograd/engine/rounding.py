"""Results of fewer digits than their arrays hold: arithmetic of a format that NumPy does not have.

Inside `rounding(rule)` every operation computes in the dtype of its arrays, float32, and what it
returns is rounded to numbers of the format: the arrays hold what a machine of that format would
have in memory. There are three places where a value is made, and each rounds:

    forward    the result of an operation (operation.py)
    backward   the cotangent that an operation sends to an argument, and the sum of several
               (backward.py)

Within an operation nothing is rounded: products and sums are accumulated in float32, as units for
bfloat16 do, and a fused kernel keeps its intermediate values in float32, as on a GPU it keeps them
in registers. A single number, such as a loss, stays float32: it takes no memory. Views are left
alone, as their numbers were rounded where they were made, and so is float64, which is asked for
where digits matter. Read next: train/precision/mixed.py, which trains so.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_rule = ContextVar("rounding", default=None)  # one value per thread


@dataclass(frozen=True)
class Rounding:
    """A format's rule of rounding.

    forward   function of an array of floats -> new array of its shape and dtype, rounded
    backward  the same for cotangents
    kernels   name of a fused operation -> function of its kernel that returns the kernel to run
              instead: for formats so short that only the operands of products have them
    """

    forward: Callable
    backward: Callable
    kernels: dict = field(default_factory=dict)


@contextlib.contextmanager
def rounding(rule: Rounding | None) -> Iterator[None]:
    """A context in which operations, and the backward passes through them, round as `rule` says.

    rule   Rounding, or None for no rounding
    """
    token = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(token)


def is_rounding() -> bool:
    """True inside rounding(rule)."""
    return _rule.get() is not None


def rounded(out: Any) -> Any:
    """The result of an operation as the rule in force has it."""
    rule = _rule.get()
    if rule is None or not out.ndim or out.dtype != np.float32:
        return out
    return rule.forward(out)


def rounded_back(g: np.ndarray) -> np.ndarray:
    """A cotangent, or a sum of them, as the rule in force has it; g is an array."""
    rule = _rule.get()
    if rule is None or not g.ndim or g.dtype != np.float32:
        return g
    return rule.backward(g)


def kernel_of(label: str, kernel: Callable) -> Callable:
    """The kernel to run for a fused operation under the rule in force."""
    rule = _rule.get()
    if rule is None or label not in rule.kernels:
        return kernel
    return rule.kernels[label](kernel)
