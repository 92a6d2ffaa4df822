"""Gives Tensor its operators and methods: `a + b` is add(a, b), `x.sum(axis=0)` is sum(x, axis=0).

The operations are defined on Tensors in primitives/, so Tensor itself, in engine/, cannot import
them: they are attached here. Some have torch's names as well (view, permute, unsqueeze); for names
that are missing see engine/habits.py. Read next: primitives/elementwise.py.
"""

import numpy as np

from tinylm.autograd import numpy_calls
from tinylm.autograd.engine import backward, habits
from tinylm.autograd.engine.tensor import Tensor, is_recording, no_grad
from tinylm.autograd.primitives import (
    elementwise,
    indexing,
    products,
    reductions,
    shaping,
    statistics,
)
from tinylm.errors import GraphError, ShapeError

# fmt: off
OPERATORS = {
    "add": elementwise.add, "sub": elementwise.sub, "mul": elementwise.mul,
    "truediv": elementwise.div, "pow": elementwise.power, "matmul": products.matmul,
}
METHODS = {
    elementwise: ("exp", "log", "log1p", "expm1", "sqrt", "tanh", "sigmoid", "erf", "sin", "cos",
                  "abs", "clip", "floor", "ceil", "sign", "round"),
    reductions: ("sum", "mean", "prod", "max", "min", "logsumexp", "argmax", "argmin"),
    statistics: ("var", "std"),
    shaping: ("swapaxes", "squeeze", "split"),
}
REFUSED = {
    "floordiv": ("//", "tl.floor(x / n), which carries no gradient"),
    "mod": ("%", "x - n * tl.floor(x / n)"),
    "and": ("&", "the comparisons (x > 0) & (x < 1), which are arrays of bools"),
    "or": ("|", "the comparisons (x < 0) | (x > 1), which are arrays of bools"),
}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
# fmt: on


def _flat(shape):
    """x.reshape(2, 3) and x.reshape((2, 3)) both give (2, 3)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        return tuple(shape[0])
    return tuple(shape)


def _transpose(self, *axes):
    """x.transpose(), x.transpose(None) reverse the axes; x.transpose(1, 0), x.transpose((1, 0)).

    All axes are named, as in NumPy; swapaxes exchanges two of them.
    """
    if axes in ((), (None,)):
        return shaping.transpose(self)
    axes = _flat(axes)
    if len(axes) == 2 != self.ndim:
        raise ShapeError(
            f"transpose: {axes} names 2 of {self.ndim} axes: x.swapaxes{axes} exchanges two; "
            "transpose takes all in their new order, as in NumPy"
        )
    return shaping.transpose(self, axes=axes)


def _reshape(self, *shape, order="C"):
    """x.reshape(2, 3), x.reshape((2, 3)), x.reshape(-1): the values in another shape."""
    _by_rows("reshape", order)
    return shaping.reshape(self, shape=_flat(shape))


def _ravel(self, order="C"):
    """The values along one axis; x.flatten() is the same."""
    _by_rows("ravel", order)
    return shaping.reshape(self, shape=(-1,))


def _by_rows(name, order):
    if order != "C":
        raise TypeError(
            f"{name}: takes no order={order!r}: values are read row by row; x.T has the others"
        )


def _repeat(self, repeats, *more, axis=None):
    """Every entry repeated, as np.repeat; `axis` by its name alone.

    x.repeat(2, 1) is a whole that is tiled in torch, and a repetition along axis 1 in NumPy.
    """
    if more:
        given = ", ".join(map(repr, (repeats, *more)))
        raise TypeError(
            f"x.repeat({given}) says two things: NumPy's x.repeat({repeats!r}, axis={more[0]!r}) "
            "repeats each entry, torch's the whole, which is tl.concatenate([x] * n, axis)"
        )
    return shaping.repeat(self, repeats, axis=axis)


def _astype(self, dtype, copy=True):
    """Converted to a dtype; with copy=False, x itself if it has that dtype."""
    if not copy and self.dtype == dtype:
        return self
    return elementwise.astype(self, dtype=dtype)


def _view(self, *shape):
    """The values in another shape, as reshape: torch's name, for any layout in memory."""
    return shaping.reshape(self, shape=_flat(shape))


def _permute(self, *axes):
    """The axes in another order, as transpose with all axes: torch's name."""
    return shaping.transpose(self, axes=_flat(axes))


def _unsqueeze(self, axis):
    """A new axis of length 1 at this place, as expand_dims: torch's name."""
    return shaping.expand_dims(self, axis)


def _setitem(self, index, values):
    """x[index] = values, not recorded: for leaves and buffers, like assign_().

    raises  GraphError if x or the values require a gradient
    """
    whole = self.data
    with no_grad():
        if self.requires_grad or self._node is not None or getattr(values, "requires_grad", False):
            raise GraphError(
                "x[index] = ...: a tensor with a gradient is not assigned in place: use where() or "
                "scatter_add(), or change x.detach()"
            )
        if isinstance(values, Tensor):
            values = values.data
        whole[indexing._plain(index)] = values
        self._version[0] += 1


def _as_numpy(self, dtype=None, copy=None):
    """np.asarray(x), for Tensors that do not require a gradient."""
    if self.requires_grad:
        raise GraphError(
            "NumPy would lose the gradient of this tensor: use a function of tinylm, or x.numpy() "
            "for the values"
        )
    return np.array(self.numpy(), dtype, copy=copy)


def _format(self, spec):
    """f"{loss:.3f}" formats the number of a one-element Tensor; others format as repr()."""
    if spec and self.size == 1:
        return format(self.item(), spec)
    return format(repr(self), spec)


def _method(operation):
    return lambda self, *args, **options: operation(self, *args, **options)


def _left(operation):  # a + b with a Tensor a
    return lambda self, other: operation(self, other)


def _right(operation):  # a + b with only b a Tensor: Python calls b.__radd__(a)
    return lambda self, other: operation(other, self)


def _in_place(operation):
    """`p -= lr * p.grad` inside no_grad() changes a parameter; elsewhere x += y is x = x + y.

    Outside no_grad() a change in place would lose gradients, and a new Tensor keeps them.
    """

    def update(self, other):
        if is_recording() or self._node is not None or not self.requires_grad:
            return operation(self, other)
        self.assign_(operation(self, other))
        return self

    return update


def _refused(symbol, instead):
    """An operator that no operation here stands behind: TypeError that says what does."""

    def refuse(self, other):
        raise TypeError(f"{symbol}: a Tensor has no such operator; write {instead}")

    return refuse


def _getattr(self, name):
    """Called for names that are missing: says what they are called here."""
    from tinylm import autograd  # this module is a part of it

    message = habits.of_tensor(name, autograd.__all__)
    raise AttributeError(message, name=name, obj=self)


def _comparison(method):
    """A comparison of the arrays: a plain bool array, since it has no derivative."""

    def compare(self, other):
        if isinstance(other, Tensor):
            other = other.data
        return getattr(self.data, method)(other)

    return compare


def _attach_operators():
    for name, operation in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _left(operation))
        setattr(Tensor, f"__r{name}__", _right(operation))
    for name in ("add", "sub", "mul", "truediv"):
        setattr(Tensor, f"__i{name}__", _in_place(OPERATORS[name]))
    for name, (symbol, instead) in REFUSED.items():
        setattr(Tensor, f"__{name}__", _refused(symbol, instead))
        setattr(Tensor, f"__r{name}__", _refused(symbol, instead))
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _comparison(f"__{name}__"))
    Tensor.__hash__ = object.__hash__  # by identity, which a class that defines __eq__ loses
    Tensor.__neg__ = lambda self: elementwise.neg(self)
    Tensor.__pos__ = lambda self: self
    Tensor.__abs__ = lambda self: elementwise.abs(self)
    Tensor.__getitem__ = indexing.getitem
    Tensor.__setitem__ = _setitem
    Tensor.__len__ = lambda self: len(self.data)
    Tensor.__float__ = lambda self: float(self.data)
    Tensor.__int__ = lambda self: int(self.data)
    Tensor.__bool__ = lambda self: bool(self.data)
    Tensor.__format__ = _format
    Tensor.__iter__ = lambda self: (self[i] for i in range(len(self)))
    Tensor.__array__ = _as_numpy
    Tensor.__array_ufunc__ = numpy_calls.ForNumPy()
    Tensor.__array_function__ = numpy_calls.call_function
    Tensor.__getattr__ = _getattr


def _attach_methods():
    for module, names in METHODS.items():
        for name in names:
            setattr(Tensor, name, _method(getattr(module, name)))
    Tensor.cumsum = _method(reductions.cumsum)
    Tensor.astype, Tensor.repeat = _astype, _repeat
    Tensor.reshape, Tensor.ravel, Tensor.flatten = _reshape, _ravel, _ravel
    Tensor.transpose = _transpose
    Tensor.view, Tensor.permute, Tensor.unsqueeze = _view, _permute, _unsqueeze
    Tensor.tolist = lambda self: self.numpy().tolist()
    Tensor.T = property(lambda self: shaping.transpose(self))
    Tensor.mT = property(lambda self: shaping.swapaxes(self, -1, -2))
    Tensor.backward = backward.backward


_attach_operators()
_attach_methods()
