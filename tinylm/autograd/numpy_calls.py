"""NumPy's functions called with Tensors: np.sin(x) is tl.sin(x), and keeps the gradient.

NumPy asks its arguments what to do: elementwise functions and operators such as array + Tensor
through __array_ufunc__ (NEP 13), the others through __array_function__ (NEP 18). There are three
answers. A function with a twin here calls it and returns a Tensor. A function of values alone, such
as np.isnan, or any function of Tensors that carry no gradient, is NumPy's own and returns arrays.
What is left would lose a gradient: GraphError, with what to write instead. Read next: methods.py.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, array_of, wants_grad
from tinylm.autograd.primitives import (
    elementwise,
    indexing,
    products,
    reductions,
    shaping,
    statistics,
)
from tinylm.errors import GraphError

# fmt: off
UFUNCS = {
    np.add: elementwise.add, np.subtract: elementwise.sub, np.multiply: elementwise.mul,
    np.divide: elementwise.div, np.power: elementwise.power, np.matmul: products.matmul,
    np.negative: elementwise.neg, np.positive: lambda a: a, np.absolute: elementwise.abs,
    np.fabs: elementwise.abs, np.exp: elementwise.exp, np.log: elementwise.log,
    np.expm1: elementwise.expm1, np.log1p: elementwise.log1p,
    np.sqrt: elementwise.sqrt, np.tanh: elementwise.tanh, np.sin: elementwise.sin,
    np.cos: elementwise.cos, np.maximum: elementwise.maximum, np.minimum: elementwise.minimum,
    np.square: lambda a: a * a, np.reciprocal: lambda a: 1 / a,
    np.sign: elementwise.sign, np.floor: elementwise.floor, np.ceil: elementwise.ceil,
}
# Constant between steps, or a question about values: there is no derivative to lose.
FLAT_UFUNCS = {
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.isnan,
    np.isfinite, np.isinf, np.signbit, np.logical_and, np.logical_or, np.logical_xor,
    np.logical_not, np.rint, np.trunc, np.floor_divide,
}
# Questions about values. Those that put values into an array are not among them, see WRITERS.
FLAT = {
    np.all, np.allclose, np.any, np.argpartition, np.argsort, np.argwhere, np.array2string,
    np.array_equal, np.array_equiv, np.array_repr, np.array_str, np.bincount, np.can_cast,
    np.count_nonzero, np.digitize, np.empty_like, np.flatnonzero, np.full_like,
    np.histogram, np.isclose, np.iscomplexobj, np.isin, np.isrealobj, np.lexsort,
    np.may_share_memory, np.ndim, np.nonzero, np.ones_like, np.result_type, np.save, np.savetxt,
    np.searchsorted, np.shape, np.shares_memory, np.size, np.zeros_like,
}
# The argument of a function in FLAT that its result is linear in: its place and its name.
LINEAR_IN = {
    np.bincount: (1, "weights"), np.histogram: (4, "weights"), np.full_like: (1, "fill_value"),
}
# Functions that change their first argument, which a Tensor must be asked to.
WRITERS = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}
# NumPy's function, its twin, and NumPy's parameters in order: "axis" is called so here too,
# "a_min:min" is another name here, "-dtype" cannot be given for a Tensor.
FUNCTIONS = {
    np.sum: (reductions.sum, "a axis -dtype -out keepdims -initial -where"),
    np.mean: (reductions.mean, "a axis -dtype -out keepdims -where"),
    np.prod: (reductions.prod, "a axis -dtype -out keepdims -initial -where"),
    np.max: (reductions.max, "a axis -out keepdims -initial -where"),
    np.min: (reductions.min, "a axis -out keepdims -initial -where"),
    np.amax: (reductions.max, "a axis -out keepdims -initial -where"),
    np.amin: (reductions.min, "a axis -out keepdims -initial -where"),
    np.argmax: (reductions.argmax, "a axis -out keepdims"),
    np.argmin: (reductions.argmin, "a axis -out keepdims"),
    np.cumsum: (reductions.cumsum, "a axis -dtype -out"),
    np.var: (statistics.var, "a axis -dtype -out ddof keepdims -where -mean correction:ddof"),
    np.std: (statistics.std, "a axis -dtype -out ddof keepdims -where -mean correction:ddof"),
    np.linalg.norm: (statistics.norm, "x:a -ord axis keepdims"),
    np.clip: (elementwise.clip, "a a_min:min a_max:max -out min max"),
    np.round: (elementwise.round, "a decimals -out"),
    np.where: (elementwise.where, "condition x:a y:b"),
    np.reshape: (shaping.reshape, "a shape -order -copy"),
    np.transpose: (shaping.transpose, "a axes"),
    np.swapaxes: (shaping.swapaxes, "a axis1 axis2"),
    np.broadcast_to: (shaping.broadcast_to, "array:a shape -subok"),
    np.expand_dims: (shaping.expand_dims, "a axis"),
    np.squeeze: (shaping.squeeze, "a axis"),
    np.ravel: (shaping.ravel, "a -order"),
    np.repeat: (shaping.repeat, "a repeats axis"),
    np.concatenate: (shaping.concatenate, "arrays axis -out -dtype -casting"),
    np.stack: (shaping.stack, "arrays axis -out -dtype -casting"),
    np.split: (shaping.split, "ary:a indices_or_sections axis"),
    np.pad: (shaping.pad, "array:a pad_width mode"),
    np.flip: (shaping.flip, "m:a axis"),
    np.roll: (shaping.roll, "a shift axis"),
    np.tril: (shaping.tril, "m:a k"),
    np.triu: (shaping.triu, "m:a k"),
    np.sort: (indexing.sort, "a axis -kind -order -stable"),
    np.take_along_axis: (indexing.take_along_axis, "arr:a indices axis"),
}
INSTEAD = {
    "dot": "a @ b", "inner": "a @ b, or a @ b.T of matrices",
    "outer": "tl.einsum('i,j->ij', a, b)",
    "tensordot": "tl.einsum", "trace": "tl.einsum('ii->', a)", "diagonal": "tl.einsum('ii->i', a)",
    "vstack": "tl.concatenate(parts), or tl.stack(parts) of vectors",
    "hstack": "tl.concatenate(parts, axis=1), or tl.concatenate(parts) of vectors",
    "dstack": "tl.stack(parts, axis=-1) of matrices",
    "moveaxis": "tl.transpose", "tile": "tl.concatenate([x] * n, axis)",
    "copy": "x + 0", "mod": "x - n * tl.floor(x / n)", "remainder": "x - n * tl.floor(x / n)",
    "copyto": "x.assign_(values), or take a new tensor", "putmask": "tl.where(mask, value, x)",
    "put": "tl.scatter_add", "place": "tl.where(mask, value, x)", "log2": "tl.log(x) / np.log(2)",
    "log10": "tl.log(x) / np.log(10)", "exp2": "2.0 ** x", "tan": "tl.sin(x) / tl.cos(x)",
    "sinh": "(tl.expm1(x) - tl.expm1(-x)) / 2", "cosh": "(tl.exp(x) + tl.exp(-x)) / 2",
    "logaddexp": "tl.logsumexp(tl.stack([a, b]), axis=0)",
    "average": "tl.mean(x), or (x * w).sum() / w.sum()",
    "bincount": "tl.scatter_add((size,), ids, weights)",
    "histogram": "tl.scatter_add((size,), np.digitize(a, edges) - 1, weights)",
    "full_like": "tl.broadcast_to(value, a.shape)",
    "median": "tl.sort", "take": "x.ravel()[indices], or x[:, indices] along axis 1",
    "cumprod": "tl.stack(list(itertools.accumulate(x, tl.mul))) along axis 0",
    "add.reduce": "tl.sum(x, axis=0)", "maximum.reduce": "tl.max(x, axis=0)",
    "minimum.reduce": "tl.min(x, axis=0)", "multiply.reduce": "tl.prod(x, axis=0)",
    "add.accumulate": "tl.cumsum(x, axis=0)", "logaddexp.reduce": "tl.logsumexp(x, axis=0)",
}
# fmt: on


class ForNumPy:
    """`__array_ufunc__` of Tensor: the function for NumPy, which asks the class, and None for CuPy,
    which asks the object: with None, cupy_array + Tensor is left to Tensor.__radd__.
    """

    def __get__(self, tensor: Tensor | None, cls: type) -> Callable | None:
        if tensor is None:
            return call_ufunc
        return None


def call_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """What np.sin(tensor), array + tensor and np.add.reduce(tensor) are: a Tensor, or arrays."""
    if method == "__call__" and not options:
        twin = UFUNCS.get(ufunc)
        if twin is not None:
            return twin(*inputs)
        if ufunc in FLAT_UFUNCS:
            return ufunc(*map(array_of, inputs))
    name = ufunc.__name__
    if method != "__call__":
        name = f"{name}.{method}"
    outputs = options.get("out") or ()
    if any(isinstance(one, Tensor) for one in outputs) or _is_target(method == "at", inputs):
        _not_written(name)
    if wants_grad(inputs):
        if "out" in options:
            raise GraphError(
                f"np.{name}: NumPy would write into an array and lose the gradient of a tensor: "
                "make a new one, a = a + x instead of a += x"
            )
        _lost(name)
    return getattr(ufunc, method)(*map(array_of, inputs), **_values(options))


def call_function(
    self: Tensor, function: Callable, types: Iterable[type], args: tuple, options: dict
) -> Any:
    """What np.sum(tensor) and np.concatenate([tensor, tensor]) are: a Tensor, or arrays."""
    if function is np.where and len(args) == 1:  # where(condition) is nonzero(condition)
        function = np.nonzero
    if isinstance(options.get("out"), Tensor) or _is_target(function in WRITERS, args):
        _not_written(_name(function))
    if function is np.einsum and isinstance(args[0], str) and not options:
        return products.einsum(*args)
    if function in FUNCTIONS:
        twin, parameters = FUNCTIONS[function]
        return twin(**_renamed(function, twin, parameters.split(), args, options))
    if wants_grad(list(_tensors(_differentiated(function, args, options)))):
        _lost(_name(function))
    return function(*_values(args), **_values(options))


def _differentiated(function, args, options):
    """The arguments whose gradient NumPy's own function would lose."""
    if function not in FLAT:
        return [args, options]
    place, name = LINEAR_IN.get(function, (len(args), None))
    return [args[place : place + 1], options.get(name)]


def _is_target(writes, args):
    """Whether the first argument of a function that writes into it is a Tensor."""
    return writes and isinstance(args[0], Tensor)


def _not_written(name):
    """Raise GraphError: NumPy would change the array of a Tensor behind its graph."""
    raise GraphError(
        f"np.{name}: NumPy writes into no Tensor: use x.assign_(values) or x[index] = values"
    )


def _renamed(function, twin, parameters, args, options):
    """NumPy's arguments under the twin's names: dict. Those that are not taken must be None."""
    renamed = {}
    names = {word.lstrip("-").partition(":")[0]: word for word in parameters}
    given = dict(zip(names, args)) | options
    for name, value in given.items():
        word = names.get(name, f"-{name}")
        if not word.startswith("-"):
            renamed[word.partition(":")[2] or word] = value
        elif value is not None and value is not np._NoValue:
            raise TypeError(
                f"np.{_name(function)}: a Tensor takes no {name}=: tl.{twin.__name__} has "
                f"{', '.join(w.partition(':')[2] or w for w in parameters if w[0] != '-')}"
            )
    return renamed


def _name(function):
    """The name of a function as users type it: "sum", "linalg.norm"."""
    inner = function.__module__.removeprefix("numpy").lstrip(".")
    if not inner or inner.startswith(("_", "lib", "core")):
        return function.__name__
    return f"{inner}.{function.__name__}"


def _lost(name):
    """Raise GraphError: NumPy would lose the gradient of a Tensor in this function."""
    instead = "write it with functions of tinylm"
    if name in INSTEAD:
        instead = f"write {INSTEAD[name]}"
    raise GraphError(
        f"np.{name} has no derivative here: {instead}, or take x.numpy() for the values alone"
    )


def _tensors(value):
    """All Tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _values(value):
    """The same with the array of each Tensor in its place."""
    if isinstance(value, (list, tuple)):
        return type(value)([_values(one) for one in value])
    if isinstance(value, dict):
        return {name: _values(one) for name, one in value.items()}
    return array_of(value)
