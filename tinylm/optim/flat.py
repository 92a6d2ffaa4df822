"""All parameters in one contiguous buffer, all gradients in another, so that an update is one pass.

    parameters   W_1 W_2 ... | b_1 gain_1 ...      data, (n,): matrices first, then vectors
    gradients    dW_1 dW_2 ... | db_1 dgain_1 ...  grad, (n,)

Parameters become views of the first buffer. Then weight decay is an operation on a slice or a few,
the gradient norm one inner product, and a worker's share of the update a pair of indices. Each
parameter has its part of the gradient buffer as `slot`, where fused operations write their results
directly. Read next: adam.py.
"""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.device import updates
from tinylm.autograd.device.launch import can_launch
from tinylm.autograd.engine import habits
from tinylm.backend import device_of, to_device
from tinylm.errors import ConfigError


class FlatParameters:
    """Move parameters into flat buffers.

    parameters  dict of name -> Tensor, or an iterable of Tensors or (name, Tensor) pairs; a Tensor
                given twice counts once
    empty       (n, dtype) -> 1-D array, which makes the two buffers, for example in shared memory
    raises      ConfigError if there are no parameters, or they differ in dtype or device

    Attributes: data (n,); grad (n,), complete whenever it is read; n_decay, how many numbers decay;
    names and tensors, in the order of the buffer; offsets, where each begins.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[tuple[str, Tensor]] | dict[str, Tensor],
        empty: Callable | None = None,
    ) -> None:
        order = flat_order(_by_name(parameters))
        if not order:
            raise ConfigError("optimizer: there is no parameter that requires a gradient")
        kinds = {(p.dtype, p.device) for _, p in order}
        if len(kinds) > 1:
            raise ConfigError(
                f"optimizer: parameters differ in dtype or device: {sorted(map(str, kinds))}; "
                "convert the model first"
            )
        self.names = [name for name, _ in order]
        self.tensors = [p for _, p in order]
        sizes = [p.size for p in self.tensors]
        self.offsets = np.concatenate(([0], np.cumsum(sizes))).tolist()
        ranges = zip(self.tensors, self.offsets, self.offsets[1:])
        self._decayed = _merged([(start, stop) for p, start, stop in ranges if decays(p)])
        self.n_decay = sum(stop - start for start, stop in self._decayed)
        self._bounds = None

        first = self.tensors[0].data
        n = self.offsets[-1]
        if empty is None:
            self.data = np.empty_like(first, shape=(n,))
            self._buffer = np.empty_like(first, shape=(n,))
        else:
            self.data = empty(n, first.dtype)
            self._buffer = empty(n, first.dtype)
        self.version = [0]  # one buffer, one version for all
        self._move_in()
        self.zero_grad()

    def _move_in(self):
        """Copy every parameter into the buffer and make it a view of its part."""
        self.views = list(self.named(self.data).values())
        self.slots = list(self.named(self._buffer).values())
        for p, view in zip(self.tensors, self.views):
            view[...] = p.data
        self.attach()

    def attach(self) -> None:
        """Make the parameters views of this buffer, with the values that stand in it.

        Two buffers of the same parameters take turns in this way: one of the weights that are
        updated, one of the same weights in fewer digits (train/precision/mixed.py).
        """
        for p, view, slot in zip(self.tensors, self.views, self.slots):
            p.data = view
            p.slot = slot
            p._version = self.version

    def __setstate__(self, state: dict) -> None:
        # Pickle and copy.deepcopy copy each array on its own: the views must be made again.
        self.__dict__.update(state)
        self._move_in()

    def __len__(self) -> int:
        return self.offsets[-1]

    @property
    def grad(self) -> np.ndarray:
        """The buffer of gradients, (n,).

        A gradient that lies elsewhere, because it was set by hand, is copied in.
        """
        for p, slot in zip(self.tensors, self.slots):
            if p._grad is not None and p._grad.data is not slot and p.slot is slot:
                slot[...] = p._grad.data
                p._grad = Tensor(slot)
        return self._buffer

    @grad.setter
    def grad(self, values: np.ndarray) -> None:
        # flat.grad *= 2 has changed the buffer in place before it is assigned here.
        if values is not self._buffer:
            self._buffer[...] = values

    def decayed(self, start: int, stop: int) -> list[slice]:
        """Slices of the buffer between start and stop that weight decay shrinks, in order."""
        cut = ((max(low, start), min(high, stop)) for low, high in self._decayed)
        return [slice(low, high) for low, high in cut if low < high]

    def decay_bounds(self) -> np.ndarray:
        """All ranges that decay, as a kernel reads them: (2 r,) int64 on the device."""
        if self._bounds is None:
            bounds = np.array(self._decayed or [(0, 0)], np.int64).reshape(-1)
            self._bounds = to_device(bounds, device_of(self.data))
        return self._bounds

    def zero_grad(self) -> None:
        """Drop all gradients; the next backward pass overwrites the buffer, it is not cleared."""
        for p in self.tensors:
            p.grad = None

    def collect(self) -> np.ndarray:
        """The gradient buffer, complete.

        A parameter without a gradient gets zeros; a gradient that lies elsewhere is copied in.

        raises  ConfigError if a parameter has left the buffer, so that an update would not reach it
        """
        for name, p, view, slot in zip(self.names, self.tensors, self.views, self.slots):
            if p.data is not view or p.slot is not slot:
                raise ConfigError(
                    f"optimizer: parameter {name} has left its buffer, by model.to(), "
                    "x.data = ... or another optimizer: make the optimizer after that"
                )
            if p._grad is None:
                slot[...] = 0
                p._grad = Tensor(slot)
            elif p._grad.data is not slot:
                slot[...] = p._grad.data
                p._grad = Tensor(slot)
        return self._buffer

    def named(self, buffer: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> view of a buffer (n,), of moments or gradients, in the shape of the parameter."""
        views = {}
        for name, p, start in zip(self.names, self.tensors, self.offsets):
            views[name] = buffer[start : start + p.size].reshape(p.shape)
        return views


class HasParameters(Protocol):
    """What an optimizer needs of a model."""

    def named_parameters(self) -> dict[str, Tensor]:
        """Name -> parameter."""


Named = dict[str, Tensor] | Iterable[tuple[str, Tensor]]
Parameters = FlatParameters | HasParameters | Named | Iterable[Tensor]


def _by_name(parameters):
    """Name -> Tensor: of a dict, of (name, Tensor) pairs, or of Tensors, named by their number."""
    if isinstance(parameters, dict):
        parameters = parameters.items()
    named = {}
    for i, one in enumerate(parameters):
        name, p = one if isinstance(one, tuple) and len(one) == 2 else (str(i), one)
        if not isinstance(p, Tensor):
            raise ConfigError(
                f"optimizer: {p!r:.60} is no parameter: it takes a module, its parameters() or its "
                "named_parameters(), all with one learning rate"
            )
        named[name] = p
    return named


def flat_order(named: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """The (name, Tensor) pairs of a dict in the order of the buffer: what requires a gradient,
    matrices, then vectors, each in the order given.
    """
    # Of a Tensor with several names the first one counts; reversed, the first overwrites.
    unique = {id(p): (name, p) for name, p in reversed(named.items()) if p.requires_grad}
    return sorted(reversed(unique.values()), key=lambda item: item[1].ndim < 2)  # stable


def decays(parameter: Tensor) -> bool:
    """Whether weight decay shrinks a parameter.

    Matrices of maps and embeddings decay; gains, biases and other vectors do not. Parameters with
    two axes that are neither map nor embedding (slopes, log decays, tables of biases, scores) are
    marked where they are made, by nn.linear.undecayed.
    """
    return getattr(parameter, "decays", parameter.ndim >= 2)


def _merged(ranges):
    """Ranges (start, stop) in order, with adjacent ones merged: (0, 2), (2, 5) -> (0, 5)."""
    merged = []
    for start, stop in ranges:
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]
        merged.append((start, stop))
    return merged


def flatten(parameters: Parameters) -> FlatParameters:
    """FlatParameters from a module, or a dict or list of Tensors; FlatParameters unchanged."""
    if hasattr(parameters, "named_parameters"):
        parameters = parameters.named_parameters()
    if isinstance(parameters, FlatParameters):
        return parameters
    return FlatParameters(parameters)


def sum_of_squares(g: np.ndarray) -> float:
    """sum_i g_i^2 of a 1-D array, as a Python float.

    Computed in blocks: in float32, BLAS adds 65,536 squares with seven correct digits, but ten
    million with four. A block whose squares overflow is computed in float64. On a GPU all is, by
    one kernel.
    """
    if can_launch(g):
        return float(updates.squares(g)[1])
    total = 0.0
    for start in range(0, len(g), 1 << 16):
        block = wide(g[start : start + (1 << 16)])
        with np.errstate(over="ignore"):
            part = float(np.dot(block, block))
        if not math.isfinite(part):
            block = block.astype(np.float64)
            part = float(np.dot(block, block))
        total += part
    return total


def wide(array: np.ndarray) -> np.ndarray:
    """The array, converted to float32 if it is float16: for moments and norms."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array


def wide_zeros(flat: FlatParameters) -> np.ndarray:
    """Zeros (n,) for the state of an optimizer, in float32 for float16 parameters."""
    return np.zeros_like(flat.data, dtype=np.result_type(flat.data.dtype, np.float32))


def grad_norm(flat: FlatParameters) -> float:
    """sqrt(sum of g^2 over all parameters), the norm of all gradients as one vector."""
    return math.sqrt(sum_of_squares(flat.collect()))


def clip_factor(norm: float, max_norm: float) -> float:
    """min(1, max_norm / norm): the factor after which the norm is at most max_norm.

    clip_grad_norm and the trainer both clip by this rule   (Pascanu et al. 2013).
    """
    if not max_norm >= 0:  # nan too; a negative one would turn the gradient around
        raise ConfigError(f"clipping: max_norm {max_norm} must be 0 or more")
    if norm > max_norm:
        return max_norm / norm
    return 1.0


def clip_grad_norm(flat: "FlatParameters | FlatOptimizer", max_norm: float) -> float:
    """Scale all gradients so that their joint norm is at most max_norm   (Pascanu et al. 2013).

    flat     FlatParameters, or the optimizer that holds them
    returns  the norm before clipping
    """
    flat = getattr(flat, "flat", flat)
    if not isinstance(flat, FlatParameters):
        raise ConfigError(
            "clip_grad_norm: needs the optimizer or its FlatParameters, "
            f"not a {type(flat).__name__}: gradients are clipped where they lie side by side"
        )
    norm = grad_norm(flat)
    factor = clip_factor(norm, max_norm)
    if factor != 1:
        dtype = wide(flat.grad[:1]).dtype
        np.multiply(flat.grad, factor, out=flat.grad, dtype=dtype, casting="same_kind")
    return norm


class FlatOptimizer:
    """What SGD, Momentum and AdamW have in common: one buffer, and a step on a part of it.

    A rule defines update(lr, start, stop, scale), which changes flat.data[start:stop] in place, and
    state() and load_state() for checkpoints; and check(start, stop, scale) if there are gradients
    that it must not be given.

    parameters    FlatParameters, or a dict or list of Tensors
    lr            learning rate, per step; may be given to each step() instead
    weight_decay  lambda: the rule takes lr lambda times a weight off it at each step; applies to
                  matrices of maps and embeddings (decays), not to the rest
    """

    def __new__(cls, *args: Any, **options: Any) -> "FlatOptimizer":
        known = inspect.signature(cls.__init__).parameters
        for name in options:
            if name not in known and name in habits.OPTIMIZERS:
                raise TypeError(f"{cls.__name__} takes no {name}=: use {habits.OPTIMIZERS[name]}")
        return super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        # Called for names that are missing: says what they are called here.
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(habits.missing(message, habits.OPTIM.get(name)), name=name, obj=self)

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float) -> None:
        self.flat = flatten(parameters)
        self.lr = lr
        self.weight_decay = weight_decay

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients. There is no other way to clear them: set_to_none is torch's word."""
        self.flat.zero_grad()

    def check(self, start: int, stop: int, scale: float) -> None:
        """Raise TrainingError if the gradient of these elements would spoil the optimizer's state.

        Called before update(): nothing has changed then.
        """

    def bounds(self, workers: int) -> list[int] | None:
        """How workers share an update, where it cannot be cut anywhere: (workers + 1) indices of
        the buffer, from 0 to n. None: it can.
        """
        return None

    def step(
        self, lr: float | None = None, start: int = 0, stop: int | None = None, scale: float = 1.0
    ) -> None:
        """One update of elements start .. stop-1 of the flat buffer; all of them by default.

        Workers that share the update each do a part.

        lr     learning rate of this step; that of the constructor unless given
        scale  factor on the gradient: clipping this way takes no pass over the gradient
        """
        if lr is None:
            lr = self.lr
        if stop is None:
            stop = len(self.flat)
        self.check(start, stop, scale)
        self.update(lr, start, stop, scale)
        self.flat.version[0] += 1  # graphs that recorded the old values notice the change
