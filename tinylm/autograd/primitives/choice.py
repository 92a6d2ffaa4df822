"""np.where without branches, and loops over arrays in blocks that stay in the cache.

A processor guesses what a condition will be, and pays 15 to 20 cycles where it guessed wrong: of a
random mask np.where takes 4 ns an element. Bits know no guess: with m of all ones where the
condition holds and of zeros elsewhere, `a & m` is a or +0.0, and b ^ ((a ^ b) & m) is a or b, for
nan and inf too. That takes 0.3 ns. Read next: elementwise.py.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike

BLOCK = 1 << 16  # elements: 256 KiB of float32, a few of them fit into a second-level cache
MANY = 4096  # elements from which on it pays
_BITS: dict = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def chosen(condition: ArrayLike, a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """np.where(condition, a, b); for large arrays of floats by their bits (see above).

    condition  bool array or bool
    a, b       arrays or numbers that broadcast with it
    """
    shape = _shape_for_bits(condition, a, b)
    if shape is None:
        return np.where(condition, a, b)
    dtype = np.result_type(a, b)
    bits = _BITS[dtype]
    # 1 -> -1, which is all ones in two's complement; in one byte each, a quarter of the traffic
    m = np.negative(condition.view(np.int8)).astype(bits)
    out = m if m.shape == shape else None  # None: a new array
    a = np.asarray(a, dtype).view(bits)
    if type(b) in (int, float) and repr(b) in ("0", "0.0"):  # not -0.0, whose sign is a bit
        return np.bitwise_and(m, a, out=out).view(dtype)
    b = np.asarray(b, dtype).view(bits)
    m = np.bitwise_and(m, a ^ b, out=out)
    m ^= b
    return m.view(dtype)


def _shape_for_bits(condition, a, b):
    """The shape of the result if chosen() may work on bits, else None.

    It may for NumPy arrays of one float dtype, and numbers; small arrays gain nothing.
    """
    if type(condition) is not np.ndarray or condition.dtype != bool:
        return None
    arrays = [x for x in (a, b) if type(x) is np.ndarray]
    numbers = [x for x in (a, b) if type(x) in (int, float)]
    if len(arrays) + len(numbers) < 2 or len({x.dtype for x in arrays} & set(_BITS)) != 1:
        return None
    if len({x.dtype for x in arrays}) > 1:
        return None
    shape = np.broadcast_shapes(condition.shape, *(x.shape for x in arrays))
    return shape if math.prod(shape) >= MANY else None


def times_sign(g: np.ndarray, a: np.ndarray, size: np.ndarray) -> np.ndarray | float:
    """g * np.sign(a) for arrays of one shape, by the sign's bit where no a is 0 or nan.

    size     |a|, which the caller has
    """
    bits = _BITS.get(a.dtype)
    one_dtype = type(a) is np.ndarray and type(g) is np.ndarray and a.dtype == g.dtype
    if not one_dtype or bits is None or a.size < MANY or not size.min() > 0:
        return g * np.sign(a)
    # -x differs from x in its highest bit; np.sign takes 0.3 ns an element, two operations on bits
    # 0.15.
    minus = np.bitwise_and(a.view(bits), np.iinfo(bits).min)
    minus ^= g.view(bits)
    return minus.view(a.dtype)


def blockwise(step: Callable, *inputs: np.ndarray, outputs: int = 1) -> Any:
    """Results of step(*inputs, *results), which writes into the results, BLOCK elements at a time.

    inputs   arrays of one shape; step gets flat parts of them and of new arrays like the first
    returns  the result in that shape, or a tuple of `outputs`. Overflow to inf is not reported
    """
    flat = [x.reshape(-1) for x in inputs]
    results = [np.empty_like(flat[0]) for _ in range(outputs)]
    n = flat[0].size
    length = BLOCK if type(flat[0]) is np.ndarray else max(n, 1)  # a GPU has no such cache
    with np.errstate(over="ignore"):
        for start in range(0, n, length):
            part = slice(start, start + length)
            step(*(x[part] for x in flat), *(r[part] for r in results))
    results = [r.reshape(inputs[0].shape) for r in results]
    if outputs == 1:
        return results[0]
    return tuple(results)
