"""A device for machines without a GPU: arrays that wrap NumPy and refuse whatever CuPy refuses.

Code that passes on "strict" will not cross between GPU and CPU by accident, call a function CuPy
does not have, or take a reduction for a Python number. The rules were read off CuPy 14.2:
`cupy_api.txt` holds what it offers, `cupy_rules.py` refuses the rest, `strict_array.py` is the
array. Where CuPy would go on with a silently different answer (an index out of bounds wraps around,
duplicates in an assignment race), this device raises. Read next: `test_strict.py`, which says each
rule as a test.
"""

import functools

import numpy as np

from tests import cuda_on_cpu
from tests.cupy_rules import API, CONVERTERS, SCATTERS
from tests.strict_array import (
    StrictArray,
    call_function,
    call_ufunc,
    calls,
    device_index,
    refuse_operand,
    unwrap,
)
from tinylm import backend as devices


class _Ufunc:
    """cupy.add and its like: called directly they also scatter (`.at`), which NumPy's dispatch does
    not reach.
    """

    def __init__(self, ufunc):
        self.ufunc, self.__name__ = ufunc, ufunc.__name__
        for method in "reduce", "accumulate", "reduceat", "outer":
            setattr(self, method, functools.partial(self, method=method))

    def __call__(self, *inputs, method="__call__", **kwargs):
        if "out" in kwargs and not isinstance(kwargs["out"], tuple):
            kwargs["out"] = (kwargs["out"],)
        return call_ufunc(
            self.ufunc, method, inputs, {k: v for k, v in kwargs.items() if v is not None}
        )

    def at(self, array, indices, values=None):
        if self.__name__ not in SCATTERS:
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        refuse_operand(values)
        calls[f"{self.__name__}.at"] += 1
        self.ufunc.at(array._host, device_index(indices), unwrap(values))


class _Module:
    """What `cupy` is to the GPU: NumPy's names, as far as CuPy has them, making and taking
    StrictArrays.
    """

    ndarray = StrictArray

    def __getattr__(self, name):
        found = getattr(np, name)  # AttributeError from here is the right one
        if isinstance(found, np.ufunc) and found.__name__ in API["ufuncs"]:
            return _Ufunc(found)
        if name in API["functions"]:
            return lambda *args, **kwargs: call_function(
                found, args, kwargs, host_allowed=name in CONVERTERS
            )
        if isinstance(found, (type, float)) or name in {
            "newaxis",
            "promote_types",
            "issubdtype",
            "broadcast_shapes",
        }:
            return found
        raise AttributeError(f"CuPy has no {name!r}")

    def asarray(self, a, dtype=None, order=None, *, copy=None):
        """The array on this device; a host array crosses, as it may where a move is asked for by
        name.
        """
        if isinstance(a, StrictArray):
            same = a if dtype is None or a.dtype == dtype else a.astype(dtype)
            if copy:
                return same.copy()
            return same
        return StrictArray(np.array(a, dtype=dtype, order=order or "K"))

    def ascontiguousarray(self, a, dtype=None):
        """The array on this device in row-major order."""
        if isinstance(a, StrictArray):
            return call_function(np.ascontiguousarray, (a, dtype), {})
        return self.asarray(a, dtype, "C")


strict_module = _Module()


def to_numpy(array):
    """A host copy, counted: the move that tinylm.backend.to_cpu makes."""
    return array._waiting("to_numpy", np.array)


def strict_backend():
    """The Backend of the device "strict"."""

    def philox(key, first, count):
        return StrictArray(devices.philox_arrays(key, first, count))

    def launch(source, name, grid, threads, arguments):
        """A kernel, compiled as C++."""
        calls[name] += 1
        cuda_on_cpu.run(source, name, grid, threads, unwrap(arguments))

    return devices.Backend(
        "strict",
        strict_module,
        StrictArray,
        strict_module.asarray,
        to_numpy,
        philox,
        launch if cuda_on_cpu.available() else None,
    )
