"""All parameters in one contiguous buffer, all gradients in another: what makes an update one pass
over memory.

Parameters become views of the buffer, matrices first, so that weight decay is a slice or a few, the
gradient norm one inner product, and a worker's share of the update a pair of indices. Each
parameter offers the backward pass its place in the gradient buffer (`slot`), where fused operations
write directly. Read next: adam.py.
"""

import math

import numpy as np

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError


class FlatParameters:
    """Move parameters into flat buffers.

    parameters  dict of name -> Tensor, or an iterable of Tensors; a Tensor given twice counts once
    empty       (n, dtype) -> 1-D array: where the two buffers live (a communicator's shared memory,
                for example)
    Attributes: data, grad (n,) arrays, the second complete whenever it is read; n_decay, how many
    numbers decay; names, offsets
    raises      ConfigError if there are no parameters, or they differ in dtype or device
    """

    def __init__(self, parameters, empty=None):
        if isinstance(parameters, dict):
            named = parameters
        else:
            named = {str(i): p for i, p in enumerate(parameters)}
        unique = {id(p): (name, p) for name, p in reversed(named.items()) if p.requires_grad}
        named = dict(reversed(unique.values()))
        if not named:
            raise ConfigError("optimizer: there is no parameter that requires a gradient")
        kinds = {(p.dtype, p.device) for p in named.values()}
        if len(kinds) > 1:
            raise ConfigError(
                f"optimizer: parameters differ in dtype or device: {sorted(map(str, kinds))}; "
                "convert the model first"
            )
        order = sorted(
            named.items(), key=lambda item: item[1].ndim < 2
        )  # stable: matrices, then vectors
        self.names, self.tensors = [n for n, _ in order], [p for _, p in order]
        sizes = [p.size for p in self.tensors]
        self.offsets = np.concatenate(([0], np.cumsum(sizes))).tolist()
        self._decayed = _merged(
            [
                (start, stop)
                for p, start, stop in zip(self.tensors, self.offsets, self.offsets[1:])
                if decays(p)
            ]
        )
        self.n_decay = sum(stop - start for start, stop in self._decayed)
        first = self.tensors[0].data
        make = empty or (lambda n, dtype: np.empty_like(first, shape=(n,)))
        self.data, self._buffer = (make(self.offsets[-1], first.dtype) for _ in range(2))
        self.version = [0]  # one buffer, one version for all
        self._move_in()
        self.zero_grad()

    def _move_in(self):
        """Make every parameter a view of the buffer, with its values."""
        self.views, self.slots = (
            list(self.named(buffer).values()) for buffer in (self.data, self._buffer)
        )
        for p, view, slot in zip(self.tensors, self.views, self.slots):
            view[...] = p.data
            p.data, p.slot, p._version = view, slot, self.version

    def __setstate__(self, state):  # a copy of a view is no view: pickle, copy.deepcopy
        self.__dict__.update(state)
        self._move_in()

    def __len__(self):
        return self.offsets[-1]

    @property
    def grad(self):
        """The buffer of gradients, (n,): those that lie elsewhere, because somebody read or set
        them, are copied in.
        """
        for p, slot in zip(self.tensors, self.slots):
            if p._grad is not None and p._grad.data is not slot and p.slot is slot:
                slot[...] = p._grad.data
                p._grad = Tensor(slot)
        return self._buffer

    @grad.setter
    def grad(self, values):  # flat.grad *= 2 has changed the buffer by now
        if values is not self._buffer:
            self._buffer[...] = values

    def decayed(self, start, stop):
        """Slices of the buffer between start and stop that weight decay shrinks, in order."""
        cut = ((max(low, start), min(high, stop)) for low, high in self._decayed)
        return [slice(low, high) for low, high in cut if low < high]

    def zero_grad(self):
        """Forget all gradients; the buffer is overwritten by the next backward pass, not cleared."""
        for p in self.tensors:
            p.grad = None

    def collect(self):
        """Make the gradient buffer complete: zero where a parameter got none, copied where it is
        held elsewhere.

        raises  ConfigError if a parameter has left the buffer, so that an update would not reach it
        """
        for name, p, view, slot in zip(self.names, self.tensors, self.views, self.slots):
            if p.data is not view or p.slot is not slot:
                raise ConfigError(
                    f"optimizer: parameter {name} has left its buffer, by model.to(), x.data = ... or another "
                    "optimizer: make the optimizer after that"
                )
            if p._grad is None:
                slot[...] = 0
                p._grad = Tensor(slot)
            elif p._grad.data is not slot:
                slot[...] = p._grad.data
                p._grad = Tensor(slot)
        return self._buffer

    def named(self, buffer):
        """Name -> view of a buffer of this length (moments, gradients), each in its parameter's
        shape.
        """
        return {
            name: buffer[start:stop].reshape(p.shape)
            for name, p, start, stop in zip(
                self.names, self.tensors, self.offsets, self.offsets[1:]
            )
        }


def decays(parameter):
    """Whether weight decay shrinks a parameter.

    Matrices of maps and embeddings decay; gains, biases and other vectors do not. What has two axes
    and is neither map nor embedding says so where it is made, with nn.linear.undecayed: slopes, log
    decays, tables of biases, scores.
    """
    return getattr(parameter, "decays", parameter.ndim >= 2)


def _merged(ranges):
    """Ranges (start, stop) in order, neighbors that touch made one."""
    merged = []
    for start, stop in ranges:
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]
        merged.append((start, stop))
    return merged


def flatten(parameters):
    """FlatParameters as they are, or made from a module, or a dict or list of Tensors."""
    if hasattr(parameters, "named_parameters"):
        parameters = parameters.named_parameters()
    if isinstance(parameters, FlatParameters):
        return parameters
    return FlatParameters(parameters)


def sum_of_squares(g):
    """The squares of a 1-D array added up, as a Python float with the digits of float64.

    Block by block: BLAS adds 65,536 squares of float32 with seven digits, but ten million with
    four. A block whose squares do not fit into its dtype is taken in float64.
    """
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


def wide(array):
    """The array, in float32 if it is float16: the dtype that moments and norms of float16
    parameters have.
    """
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array


def wide_zeros(flat):
    """A buffer of zeros for an optimizer's state: (n,), in float32 for float16 parameters."""
    return np.zeros_like(flat.data, dtype=np.result_type(flat.data.dtype, np.float32))


def grad_norm(flat):
    """Euclidean norm of all gradients together, as one number."""
    return math.sqrt(sum_of_squares(flat.collect()))


def clip_factor(norm, max_norm):
    """What a gradient of this norm is multiplied by, so that its norm is at most max_norm.

    The one rule of clipping, for clip_grad_norm and for the trainer's step   (Pascanu et al. 2013).
    """
    if not max_norm >= 0:  # a negative one would turn the gradient around
        raise ConfigError(f"clipping: max_norm {max_norm} must be 0 or more")
    if norm > max_norm:
        return max_norm / norm
    return 1.0


def clip_grad_norm(flat, max_norm):
    """Scale all gradients so that their joint norm is at most max_norm   (Pascanu et al. 2013).
    Returns the norm before.

    flat   FlatParameters, or the optimizer that holds them
    """
    flat = getattr(flat, "flat", flat)
    if not isinstance(flat, FlatParameters):
        raise ConfigError(
            f"clip_grad_norm: needs the optimizer or its FlatParameters, not a {type(flat).__name__}: "
            "gradients are clipped where they lie side by side"
        )
    norm = grad_norm(flat)
    factor = clip_factor(norm, max_norm)
    if factor != 1:
        dtype = wide(flat.grad[:1]).dtype
        np.multiply(flat.grad, factor, out=flat.grad, dtype=dtype, casting="same_kind")
    return norm
