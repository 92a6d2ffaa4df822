"""bfloat16: the upper half of a float32, the number most language models are published in.

It has float32's 8 bits of exponent and 7 of its 23 bits of mantissa, so widening is a shift by 16
bits and exact, and narrowing is rounding, to nearest with ties to even as the hardware does. NumPy
has no such type: here a bfloat16 is the uint16 of its bits. Book section 2.3.1 (low-precision
implementation). Read next: `published/formats/mapped.py`, which reads files.
"""

import numpy as np


def widen(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers whose upper 16 bits are `bits`: exact, and one pass.

    bits     (...) uint16
    returns  (...) float32
    """
    wide = np.left_shift(bits, np.uint32(16), dtype=np.uint32)
    return np.asarray(wide).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16 of each float32; ties go to the even one.

    values   (...) float32
    returns  (...) uint16. What is beyond the largest bfloat16 by half a step or more becomes
             infinite; not-a-number stays one
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    # Adding just under half of the last place kept, plus 1 if that place is odd, carries into it
    # exactly when rounding to nearest even goes up. The carry may ripple into the exponent, which
    # is right: the mantissa is then 0.
    odd = bits >> np.uint32(16) & np.uint32(1)  # the last place kept
    rounded = bits + (np.uint32(0x7FFF) + odd) >> np.uint32(16)
    # The carry could turn a NaN into an infinity or zero; a NaN keeps its upper bits, and one of
    # the mantissa is set.
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)  # above the bits of infinity
    quiet = bits >> np.uint32(16) | np.uint32(0x40)
    return np.where(nan, quiet, rounded).astype(np.uint16)


def simulate(values: np.ndarray) -> np.ndarray:
    """`values` rounded to bfloat16, as float32: the loss of precision without the speed.

    values   (...) float32, or what becomes it; on any device
    returns  (...) float32, the numbers of widen(narrow(values)), in a seventh of its time
    """
    # As in narrow(), without leaving 32 bits: the lower half is cleared, not shifted out.
    values = values.astype(np.float32, copy=False)
    bits = values.reshape(-1).view(np.uint32)
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)  # 1 where the last place kept is odd
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded &= np.uint32(0xFFFF0000)
    out = rounded.view(np.float32).reshape(values.shape)
    nan = values != values
    if np.any(nan):
        out = np.where(nan, np.float32(np.nan), out)
    return out
