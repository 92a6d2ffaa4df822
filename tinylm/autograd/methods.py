"""Gives Tensor its operators and methods: `a + b` is add(a, b), `x.sum(axis=0)` is sum(x, axis=0)."""

import numpy as np

from tinylm.autograd.engine import backward
from tinylm.autograd.engine.tensor import Tensor, no_grad
from tinylm.autograd.primitives import (
    elementwise,
    indexing,
    products,
    reductions,
    shaping,
    statistics,
)
from tinylm.errors import GraphError


def _flat(shape):
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        return tuple(shape[0])
    return tuple(shape)


def _setitem(self, index, values):
    """x[index] = values, outside the graph: for leaves and buffers inside no_grad(), like
    assign_().
    """
    whole = self.data
    with no_grad():
        if self.requires_grad or self._node is not None or getattr(values, "requires_grad", False):
            raise GraphError(
                "x[index] = ...: a tensor with a gradient is not assigned in place: use where() or scatter_add(), "
                "or change x.detach()"
            )
        whole[indexing._plain(index)] = values.data if isinstance(values, Tensor) else values
        self._version[0] += 1


def _as_numpy(self, dtype=None, copy=None):
    if self.requires_grad:
        raise GraphError(
            "NumPy would lose the gradient of this tensor: use a function of tinylm, or x.numpy() for the values"
        )
    return np.array(self.numpy(), dtype, copy=copy)


def _method(operation):
    return lambda self, *args, **options: operation(self, *args, **options)


def _attach():
    binary = {
        "add": elementwise.add,
        "sub": elementwise.sub,
        "mul": elementwise.mul,
        "truediv": elementwise.div,
        "pow": elementwise.power,
        "matmul": products.matmul,
    }
    for name, operation in binary.items():
        setattr(
            Tensor, f"__{name}__", lambda self, other, operation=operation: operation(self, other)
        )
        setattr(
            Tensor, f"__r{name}__", lambda self, other, operation=operation: operation(other, self)
        )
    for name in (
        "exp",
        "log",
        "sqrt",
        "tanh",
        "sigmoid",
        "erf",
        "sin",
        "cos",
        "abs",
        "clip",
        "floor",
        "ceil",
        "sign",
        "round",
    ):
        setattr(Tensor, name, _method(getattr(elementwise, name)))
    for name in ("sum", "mean", "prod", "max", "min", "logsumexp", "argmax", "argmin"):
        setattr(Tensor, name, _method(getattr(reductions, name)))
    for name in ("var", "std"):
        setattr(Tensor, name, _method(getattr(statistics, name)))
    for name in ("swapaxes", "squeeze", "ravel", "repeat", "split"):
        setattr(Tensor, name, _method(getattr(shaping, name)))
    Tensor.cumsum = lambda self, axis=None: reductions.cumsum(self, axis=axis)
    Tensor.astype = lambda self, dtype: elementwise.astype(self, dtype=dtype)
    Tensor.reshape = lambda self, *shape: shaping.reshape(self, shape=_flat(shape))
    Tensor.transpose = lambda self, *axes: shaping.transpose(
        self, axes=None if axes in ((), (None,)) else _flat(axes)
    )
    Tensor.flatten = lambda self: shaping.reshape(self, shape=(-1,))
    Tensor.tolist = lambda self: self.numpy().tolist()
    Tensor.T = property(lambda self: shaping.transpose(self))
    Tensor.__neg__ = lambda self: elementwise.neg(self)
    Tensor.__abs__ = lambda self: elementwise.abs(self)
    Tensor.__getitem__ = indexing.getitem
    Tensor.__setitem__ = _setitem
    Tensor.__len__ = lambda self: len(self.data)
    Tensor.__float__ = lambda self: float(self.data)
    Tensor.__int__ = lambda self: int(self.data)
    Tensor.__bool__ = lambda self: bool(self.data)
    Tensor.__format__ = lambda self, spec: format(
        self.item() if spec and self.size == 1 else repr(self), spec
    )
    Tensor.__iter__ = lambda self: (self[i] for i in range(len(self)))
    Tensor.__array__ = _as_numpy
    for name in (
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
    ):  # comparisons give plain bool arrays: nothing to differentiate
        method = f"__{name}__"
        setattr(
            Tensor,
            method,
            lambda self, other, method=method: getattr(self.data, method)(
                other.data if isinstance(other, Tensor) else other
            ),
        )
    Tensor.__hash__ = object.__hash__
    Tensor.backward = backward.backward


_attach()
