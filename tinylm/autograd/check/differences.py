"""Derivatives by differences, with which gradcheck.py compares the engine's.

A `Subject` is a function bound to its floating-point inputs, which can be moved along a direction;
`Gradient` is its gradient as another such function, so that second order is first order once more.
`measure` differentiates along a direction by a five-point stencil; `examine` repeats it with
shrinking steps, which separates a kink from a wrong rule. Read next: compare.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.backward import grad
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike, array_of, recording
from tinylm.backend import ArrayLike, DType
from tinylm.errors import GraphError

# Five points leave an error of h^4 f'''''/30 from the step and 1e-16 |f|/h from rounding. At this
# step both are about 1e-13 for functions of size one.
STEP = 1e-3
SMALLER = (1e-3, 1e-4, 1e-5, 1e-6)


class Subject:
    """A function with its differentiable inputs, as copies in `dtype` on `device`.

    Inputs are: floating-point arrays among the positional arguments (also inside lists and tuples),
    Tensors that require a gradient anywhere, and the parameters of the function and of arguments
    that have parameters. Arrays given by keyword, Tensors that require no gradient, integers, None
    and all else are constants. Use it in a `with`: parameters get their own memory back at its end.
    Random streams are rewound before every run.

    leaves, labels  the inputs, and their names in messages
    """

    def __init__(
        self,
        function: Callable,
        args: Sequence,
        options: dict[str, Any],
        dtype: DType = np.float64,
        device: str = "cpu",
    ) -> None:
        self.function, self.dtype, self.device = function, np.dtype(dtype), device
        self.leaves, self.labels = [], []
        self._before = []  # (parameter, its own array), to be put back
        self._adopt(function, "")
        self.args = [self._bind(a, f"argument {i}", True) for i, a in enumerate(args)]
        self.options = {name: self._bind(a, name, False) for name, a in options.items()}
        # The first run records where every random stream stands; later runs rewind them.
        self._draws, self._needs_tape = {}, False
        with backend.watch_draws() as draws:
            self.run()
        self._draws = draws
        try:
            self.values()
        except GraphError:  # the function itself differentiates something
            self._needs_tape = True

    def __enter__(self) -> "Subject":
        return self

    def __exit__(self, *error: BaseException | None) -> None:
        for parameter, data in self._before:
            parameter.data = data

    def _bind(self, value, label, positional):
        """The argument to call the function with: a copy, added to `leaves` if it is an input.

        positional  False for options: their arrays are constants
        """
        if isinstance(value, Tensor):
            if value.dtype.kind != "f":
                return value.to(self.device)
            copy = Tensor(self._cast(value.data), value.requires_grad, value.name)
            if value.requires_grad:
                return self._leaf(copy, label)
            return copy
        if isinstance(value, np.floating):  # NumPy's arithmetic turns 0-d arrays into scalars
            value = np.asarray(value)
        if backend.is_array(value):
            if value.dtype.kind != "f":
                return backend.to_device(value, self.device)
            if positional:
                return self._leaf(Tensor(self._cast(value), True), label)
            return self._cast(value)
        if type(value) in (list, tuple):
            return type(value)(
                self._bind(v, f"{label}[{i}]", positional) for i, v in enumerate(value)
            )
        self._adopt(value, f"{label} ")
        return value

    def _cast(self, array):
        return backend.to_device(np.array(backend.to_cpu(array), self.dtype), self.device)

    def _leaf(self, tensor, label):
        self.leaves.append(tensor)
        self.labels.append(label)
        return tensor

    def _adopt(self, owner, label):
        """Add the parameters of a module to the leaves, in this dtype while the check lasts."""
        if hasattr(owner, "named_parameters"):
            named = dict(owner.named_parameters())
        elif callable(getattr(owner, "parameters", None)):
            named = {p.name or f"parameter {i}": p for i, p in enumerate(owner.parameters())}
        else:
            return
        for name, parameter in named.items():
            known = [*self.leaves, *(p for p, _ in self._before)]
            if any(parameter is other for other in known):
                continue
            self._before.append((parameter, parameter.data))
            parameter.data = self._cast(parameter.data)
            if parameter.requires_grad:  # a frozen one is a constant
                self._leaf(parameter, label + name)

    def run(self) -> list[Tensor]:
        """The floating-point Tensors that the function returns, recorded."""
        with recording(True), backend.replay_draws(self._draws):
            return tensors(self.function(*self.args, **self.options))

    def values(self) -> np.ndarray:
        """The values it returns at this point, as one vector of float64, (n_out,)."""
        with recording(self._needs_tape), backend.replay_draws(self._draws):
            return flat(tensors(self.function(*self.args, **self.options)))


class Gradient:
    """The gradient J^T u of a subject, as a function of its inputs x and of the cotangents u.

    It has `run`, `values`, `leaves` and `labels` as Subject has, so that it can be checked alike.
    """

    def __init__(self, inner: "Gradient | Subject", cotangents: Sequence[np.ndarray]) -> None:
        self.inner, self.device, self.dtype = inner, inner.device, inner.dtype
        self.cotangents = [Tensor(w, requires_grad=True) for w in cotangents]
        self.leaves = inner.leaves + self.cotangents
        self.labels = inner.labels + [f"cotangent {i}" for i in range(len(cotangents))]

    def run(self, create_graph: bool = True) -> list[Tensor]:
        return pull(self.inner.run(), self.inner.leaves, self.cotangents, create_graph)

    def values(self) -> np.ndarray:
        return flat(self.run(create_graph=False))  # the plain backward pass, fused kernels included


def tensors(result: TensorLike) -> list[Tensor]:
    """The floating-point Tensors of a result: itself, or the members of a tuple, list or dict."""
    if isinstance(result, Tensor):
        if result.dtype.kind == "f":
            return [result]
        return []
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in tensors(part)]
    return []


def pull(
    outputs: Sequence[Tensor],
    leaves: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    create_graph: bool = False,
) -> list[Tensor]:
    """J^T u, u the cotangents of all outputs: one Tensor per leaf.

    Outputs that were not recorded contribute nothing.
    """
    total = None
    for y, u in zip(outputs, cotangents):
        if not y.requires_grad:
            continue
        part = grad(y, leaves, cotangent=u, retain_graph=True, create_graph=create_graph)
        if total is None:
            total = part
        else:
            total = [a + b for a, b in zip(total, part)]
    if total is None:
        return [Tensor(np.zeros_like(leaf.data)) for leaf in leaves]
    return total


def flat(parts: Sequence[Array]) -> np.ndarray:
    """Tensors or arrays as one NumPy vector of float64."""
    arrays = [backend.to_cpu(array_of(p)).astype(np.float64).reshape(-1) for p in parts]
    if arrays:
        return np.concatenate(arrays)
    return np.zeros(0)


def parts_of(
    vector: np.ndarray, like: Sequence[Array], device: str, dtype: DType = np.float64
) -> list[np.ndarray]:
    """A vector cut into arrays of the shapes of `like`, on a device."""
    borders = np.cumsum([0] + [x.size for x in like])
    return [
        backend.to_device(np.asarray(vector[i:j].reshape(x.shape), dtype), device)
        for x, i, j in zip(like, borders, borders[1:])
    ]


def values_along(
    subject: Gradient | Subject, direction: np.ndarray, steps: ArrayLike
) -> np.ndarray:
    """The values of a subject at x + t * direction for every t in steps: (steps, n_out).

    The inputs are put back at the end.
    """
    before = [leaf.data for leaf in subject.leaves]
    x = flat(before)
    rows = []
    try:
        for t in steps:
            moved = parts_of(x + t * direction, before, subject.device)
            for leaf, data in zip(subject.leaves, moved):
                leaf.data = data
            rows.append(subject.values())
    finally:
        for leaf, data in zip(subject.leaves, before):
            leaf.data = data
    return np.array(rows)


def unit_of(subject: Gradient | Subject, direction: np.ndarray) -> float:
    """The unit of the steps: 1, or more where inputs are so large that a step would be rounded."""
    moved = np.abs(flat(subject.leaves))[direction != 0]
    return max(1.0, 1e-3 * np.max(moved, initial=0))


def measure(subject: Gradient | Subject, direction: np.ndarray, step: float = STEP) -> np.ndarray:
    """The derivative of a subject's values along a direction, by five points: (n_out,)."""
    #      f(x + h) - f(x - h)   = 2 h f' +   h^3 f'''/3 + O(h^5)
    #      f(x + 2h) - f(x - 2h) = 4 h f' + 8 h^3 f'''/3 + O(h^5)
    # 8 times the first less the second is 12 h f': the terms in h^3 cancel.
    h = step * unit_of(subject, direction)
    low2, low, high, high2 = values_along(subject, direction, (-2 * h, -h, h, 2 * h))
    return (8 * (high - low) - (high2 - low2)) / (12 * h)


def examine(subject: Gradient | Subject, direction: np.ndarray) -> tuple[np.ndarray, bool]:
    """The derivative again with ever smaller steps.

    returns  (derivative (n_out,), True if there is a kink or a jump)
    """
    # Of the estimates the one that the next smaller step changes least, element by element: the
    # choice depends on the differences alone, never on the engine's number.
    estimates = np.array([measure(subject, direction, step) for step in SMALLER])  # (steps, n_out)
    change = np.abs(np.diff(estimates, axis=0))
    change = np.where(np.isfinite(change), change, np.inf)
    steadiest = np.argmin(change, axis=0)  # (n_out,)
    best = np.take_along_axis(estimates[1:], steadiest[None], axis=0)[0]

    # Where a function is smooth, its two one-sided slopes approach each other with the step. Near a
    # kink or a jump they keep their distance, or grow apart, over some tenfold smaller step.
    here = subject.values()
    steps = unit_of(subject, direction) * np.array(SMALLER)[:, None]  # (steps, 1)
    forward = (values_along(subject, direction, steps[:, 0]) - here) / steps
    backward = (here - values_along(subject, direction, -steps[:, 0])) / steps
    gap = np.abs(forward - backward)  # (steps, n_out)
    rounding = 1e-14 * np.max(np.abs(here), initial=1) / steps
    noise = rounding + 1e-4 * (np.abs(forward) + np.abs(backward))
    stays = (gap[1:] > 0.5 * gap[:-1]) & (gap[1:] > noise[1:])
    kink = bool(np.any(stays)) or not np.all(np.isfinite(gap))
    return best, kink
