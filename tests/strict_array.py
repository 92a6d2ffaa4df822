"""The array of the device "strict": NumPy inside, CuPy's rules outside. See strict.py."""

import collections
import functools
from types import SimpleNamespace

import numpy as np

from tests.cupy_rules import (
    API,
    DTYPES,
    MAKERS,
    WAITS,
    ZERO_D_HERE,
    SilentOnGpu,
    refuse_host,
    refuse_signature,
    refuse_wrap_around,
)

# How often the host had to wait for the device, by cause: "float", "bool", "item", "mask",
# "to_numpy", ...
synchronizations = collections.Counter()
# Calls that give the device work, by name: a kernel each, or several; and the kernels that CuPy adds
# on its own, by cause. tests/device_counter.py reads both.
calls = collections.Counter()
added = collections.Counter()

# What only describes memory that is there, or takes new memory without writing it.
NO_WORK = {"empty", "empty_like", "result_type", "shape", "ndim", "size", "may_share_memory"}
# What is a view where that is possible, and copies otherwise.
VIEWS = set(
    "reshape ravel swapaxes transpose broadcast_to expand_dims squeeze moveaxis split view astype "
    "ascontiguousarray asarray flip diagonal rollaxis atleast_1d atleast_2d array_split".split()
)


def refuse_operand(value):
    """Raise TypeError unless `value` may enter a ufunc: a device array or a scalar, never a list."""
    if not isinstance(value, (StrictArray, bool, int, float, complex, np.generic)):
        raise TypeError(f"Unsupported type {type(value)} beside a device array")


def unwrap(value):
    """`value` with every StrictArray replaced by the NumPy array inside it."""
    if isinstance(value, StrictArray):
        return value._host
    if type(value) in (list, tuple):
        return type(value)(unwrap(item) for item in value)
    if type(value) is dict:
        return {key: unwrap(item) for key, item in value.items()}
    return value


def wrap(value, given=()):
    """`value` with every NumPy array or scalar made a StrictArray; the arrays in `given` come back
    as themselves.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        same = [array for array in given if array._host is value]
        if same:
            return same[0]
        return StrictArray(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(wrap(item, given) for item in value))
    if type(value) in (list, tuple):
        return type(value)(wrap(item, given) for item in value)
    return value


def _strict_in(*values):
    for value in values:
        if isinstance(value, StrictArray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _strict_in(*value)
        elif isinstance(value, dict):
            yield from _strict_in(*value.values())


def _compute(function, args, kwargs):
    """Run a NumPy callable on what is inside; like a GPU, without floating-point warnings."""
    given = list(_strict_in(args, kwargs))
    with np.errstate(all="ignore"):
        result = wrap(function(*unwrap(args), **unwrap(kwargs)), given)
    _count(function, args, kwargs, given, result)
    return result


def _count(function, args, kwargs, given, result):
    name = function.__name__
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        ufunc = function.__self__.__name__
        name = ufunc if name == "__call__" else f"{ufunc}.{name}"
    if name in NO_WORK:
        return
    if name in VIEWS:
        made = next(_strict_in(result), None)
        if made is None or any(np.may_share_memory(made._host, x._host) for x in given):
            return
    calls[name] += 1
    if name == "matmul":
        _count_matmul(*(x for x in args if isinstance(x, StrictArray)), out=kwargs.get("out"))


def _count_matmul(a, b, out=None):
    """What CuPy 14's matmul adds to the product itself (cupy/_core/_routines_linalg.pyx)."""
    shapes = a.shape[:-2], b.shape[:-2]
    deep = max(a.ndim, b.ndim) - 2
    for x in (a, b):
        # Two matrices may be transposed. Of batches every operand is made contiguous.
        if not (x.flags.c_contiguous or (deep <= 0 and x.flags.f_contiguous)):
            added["matmul copies an operand"] += 1
    if out and not out[0].flags.c_contiguous:
        added["matmul copies its result"] += 1
    if deep > 0 and shapes[0] != shapes[1]:  # broadcast: tables of pointers, axis by axis
        added["matmul makes tables of pointers"] += 3 * deep


def call_function(function, args, kwargs, host_allowed=False):
    """One of NumPy's functions by CuPy's rules."""
    name = ".".join([*function.__module__.split(".")[1:], function.__name__])
    refuse_signature("functions", name, args, kwargs)
    if not host_allowed:
        refuse_host((args, kwargs))
    if (
        name not in MAKERS | {"einsum", "result_type"}
        and next(_strict_in(args[:1], kwargs), None) is None
    ):
        raise TypeError(
            f"CuPy's {name} wants a device array first, got {type(args[0] if args else None).__name__}"
        )
    if name in WAITS:
        synchronizations[name] += 1
    try:
        result = _compute(function, args, kwargs)
    except IndexError as error:
        refuse_wrap_around(error, name)
        raise
    if name in ZERO_D_HERE and not isinstance(result, StrictArray):
        return StrictArray(result)
    return result


def call_ufunc(ufunc, method, inputs, kwargs):
    """A ufunc or one of its methods by CuPy's rules."""
    name = ufunc.__name__
    if name not in API["ufuncs"]:
        raise TypeError(f"CuPy has no ufunc {name}")
    for operand in inputs if method != "reduceat" else inputs[:1]:
        refuse_operand(operand)
    for out in kwargs.get("out") or ():
        if not isinstance(out, StrictArray):
            raise TypeError(f"out: unsupported type {type(out)} beside a device array")
    takes = {"out", "dtype", "casting"} | (
        {"axes", "axis", "keepdims"} if name == "matmul" else set()
    )
    has = {"reduce": ("add", "multiply"), "accumulate": ("add", "multiply"), "reduceat": ("add",)}
    if name not in has.get(method, (name,)):
        raise NotImplementedError(f"`cupy_{name}.{method}` is not supported yet")
    if method in ("reduce", "accumulate", "reduceat"):
        if method == "reduce":
            takes = {"axis", "dtype", "out", "keepdims"}
        else:
            takes = {"axis", "dtype", "out"}
    if set(kwargs) - takes:
        raise TypeError(
            f"Wrong arguments for CuPy's {name}: {', '.join(sorted(set(kwargs) - takes))}"
        )
    return _compute(getattr(ufunc, method), inputs, kwargs)


class Flags:
    """CuPy's flags: memory order and ownership, nothing about writing."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.forc, self.fnc, self.owndata = flags.forc, flags.fnc, flags.owndata

    def __getitem__(self, name):
        return getattr(self, name.lower())


class StrictArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A NumPy array seen through CuPy's rules. Only `strict_module` and the device table make them."""

    __slots__ = ("_host", "__weakref__")
    __array_priority__ = 100
    __hash__ = None
    __imatmul__ = None  # NumPy writes in place, CuPy makes a new array: refuse both

    def __init__(self, host):
        host = np.asarray(host)  # a NumPy scalar becomes a 0-d array
        if host.dtype.name not in DTYPES:
            raise ValueError(f"Unsupported dtype {host.dtype}")
        self._host = host

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed: use tinylm.backend.to_cpu(x)"
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method == "at":
            return NotImplemented
        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if not function.__module__.startswith("numpy"):
            return NotImplemented
        return call_function(function, args, kwargs)

    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))  # for kernels
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    strides = property(lambda self: self._host.strides)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: Flags(self._host.flags))
    base = property(lambda self: None if self._host.base is None else StrictArray(self._host.base))
    T = property(lambda self: StrictArray(self._host.T))
    mT = property(lambda self: StrictArray(self._host.mT))
    real = property(lambda self: StrictArray(self._host.real))
    imag = property(lambda self: StrictArray(self._host.imag))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def _waiting(self, cause, convert):
        synchronizations[cause] += 1
        return convert(self._host)

    __float__ = functools.partialmethod(_waiting, "float", float)
    __int__ = functools.partialmethod(_waiting, "int", int)
    __complex__ = functools.partialmethod(_waiting, "complex", complex)
    __bool__ = functools.partialmethod(_waiting, "bool", bool)

    def item(self):
        return self._waiting("item", np.ndarray.item)

    def tolist(self):
        return self._waiting("tolist", np.ndarray.tolist)

    def tobytes(self, order="C"):
        return self._waiting("tobytes", lambda host: host.tobytes(order))

    def __repr__(self):
        return f"Strict{self._host!r}"

    def __format__(self, spec):
        return format(self._host, spec)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return StrictArray, (self._host,)

    def __getitem__(self, key):
        key = device_index(key)
        arrays = any(isinstance(part, np.ndarray) for part in key)
        if Ellipsis not in [part for part in key if not isinstance(part, np.ndarray)]:
            key += (Ellipsis,)  # NumPy gives a scalar for x[0], with the ellipsis a 0-d view
        try:
            taken = self._host[key]
        except IndexError as error:
            if arrays:
                refuse_wrap_around(error, "index")
            raise
        calls["getitem of arrays"] += arrays
        return StrictArray(taken.copy() if arrays else taken)

    def __setitem__(self, key, value):
        key = device_index(key)
        refuse_operand(value)
        if (
            isinstance(value, StrictArray)
            and value.ndim
            and any(_is_integers(part) for part in key)
        ):
            places = np.arange(self.size).reshape(self.shape)[key]
            if np.unique(places).size < places.size:
                raise SilentOnGpu(
                    "assignment with duplicate indices: which one wins is left to chance on a GPU"
                )
        calls["setitem"] += 1
        self._host[key] = unwrap(value)


def _is_integers(part):
    return isinstance(part, np.ndarray) and part.dtype != bool


def device_index(key):
    """An index as a tuple that NumPy takes; host arrays are refused, lists become arrays as in
    CuPy.
    """
    parts = []
    for part in key if isinstance(key, tuple) else (key,):
        refuse_host(part)
        if isinstance(part, (list, bool, np.bool_)):
            part = np.array(part, dtype=None if np.size(part) else np.int64)
        if isinstance(part, StrictArray):
            part = part._host
        if isinstance(part, np.ndarray) and part.dtype == bool:
            synchronizations["mask"] += 1
        parts.append(part)
    return tuple(parts)


def _add_methods():
    def make(name):
        def method(self, *args, **kwargs):
            refuse_signature("methods", name, args, kwargs)
            refuse_host((args, kwargs))
            if name in WAITS:
                synchronizations[name] += 1
            try:
                return _compute(getattr(np.ndarray, name), (self, *args), kwargs)
            except IndexError as error:
                refuse_wrap_around(error, name)
                raise

        method.__name__ = name
        return method

    for name in API["methods"]:
        setattr(StrictArray, name, make(name))


_add_methods()
