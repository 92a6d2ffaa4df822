"""Numbers of 16 and 8 bits, and rounding to them   (IEEE 754; Micikevicius et al. 2022).

    format    exponent  mantissa   largest   least normal   least subnormal   next above 1
    float16          5        10     65504      6.10e-5           5.96e-8     1.00098
    bfloat16         8         7   3.39e38     1.18e-38          9.18e-41     1.0078
    e5m2             5         2     57344      6.10e-5           1.53e-5     1.25
    e4m3             4         3       448      1.56e-2           1.95e-3     1.125

A number is (1 + mantissa / 2^m) 2^e, or below the least exponent mantissa / 2^m 2^e_min. e4m3 has
no infinities: their codes, but for one, are numbers too, so that it reaches 448 and not 240. Read
next: mixed.py; its bfloat16 is that of models/low_bit/bfloat16.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Format:
    """A floating-point format: bits of exponent and mantissa beside the sign.

    infinite  False: the largest exponent holds numbers, and one code that is not a number
    """

    name: str
    exponent: int
    mantissa: int
    infinite: bool = True

    @property
    def least_exponent(self) -> int:
        """e of the least normal number."""
        return 2 - (1 << (self.exponent - 1))

    @property
    def largest(self) -> float:
        """The largest finite number."""
        top = (1 << (self.exponent - 1)) - 1
        if self.infinite:
            return (2 - 2.0**-self.mantissa) * 2.0**top
        return (2 - 2 * 2.0**-self.mantissa) * 2.0 ** (top + 1)

    @property
    def smallest(self) -> float:
        """The smallest number above 0, a subnormal one."""
        return 2.0 ** (self.least_exponent - self.mantissa)

    @property
    def least_normal(self) -> float:
        """The smallest number with a full mantissa."""
        return 2.0**self.least_exponent


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 5, 10),
        Format("bfloat16", 8, 7),
        Format("e5m2", 5, 2),
        Format("e4m3", 4, 3, infinite=False),
    )
}


def round_to(values: np.ndarray, name: str, saturate: bool = False) -> float | np.ndarray:
    """The nearest numbers of a format, ties to the even mantissa.

    values    array of float32 or float64
    name      of FORMATS
    saturate  True: what is beyond the largest number becomes it; False: infinite, or where the
              format has no infinities not a number
    returns   array of the same shape and dtype
    raises    ConfigError for a format that there is not
    """
    if name not in FORMATS:
        raise ConfigError(f"round_to: no format {name!r}, choose one of {', '.join(FORMATS)}")
    f = FORMATS[name]
    values = np.asarray(values)
    wide = values.astype(np.float64)
    size = np.abs(wide)
    # frexp gives size = fraction 2^e with fraction in [1/2, 1): its leading bit is worth 2^(e-1).
    exponents = np.maximum(np.frexp(np.where(np.isfinite(size), size, 0))[1] - 1, f.least_exponent)
    step = np.ldexp(1.0, exponents - f.mantissa)
    rounded = np.rint(size / step) * step  # rint: halves to even
    beyond = f.largest if saturate else (np.inf if f.infinite else np.nan)
    rounded = np.where(rounded > f.largest, beyond, rounded)
    return np.copysign(rounded, wide).astype(values.dtype)


def round_float32(values: np.ndarray, name: str, saturate: bool = False) -> np.ndarray:
    """round_to for float32 alone, by its bits: a quarter of the time.

    values   array of float32;  name  of a format with fewer exponents: float16, e5m2, e4m3
    returns  array of the same shape and dtype
    """
    f = FORMATS[name]
    size = np.abs(values)
    # A mantissa of m bits: the 23 - m lowest are rounded away, to even, by a carry.
    lost = np.uint32(23 - f.mantissa)
    bits = size.view(np.uint32)
    odd = bits >> lost & np.uint32(1)
    half = np.uint32((1 << (22 - f.mantissa)) - 1)
    rounded = ((bits + half + odd) >> lost << lost).view(np.float32)
    # Subnormal numbers are multiples of the smallest, s: added to 1.5 2^23 s, float32 rounds there.
    shift = np.float32(1.5 * 2.0**23 * f.smallest)
    with np.errstate(invalid="ignore"):
        multiple = size + shift - shift
    rounded = np.where(size < np.float32(f.least_normal), multiple, rounded)
    beyond = f.largest if saturate else (np.inf if f.infinite else np.nan)
    rounded = np.where(rounded > np.float32(f.largest), np.float32(beyond), rounded)
    return np.copysign(np.where(size == size, rounded, values), values)


def round_scaled(values: np.ndarray, name: str) -> np.ndarray:
    """Rounded to a format of few bits after its largest number was scaled to the format's.

    The scale, one for all of the array, is divided out again   (Micikevicius et al. 2022, section
    3.1). What is not finite stays so.

    values   array of float32
    returns  array of the same shape and dtype
    """
    top = np.max(np.abs(values)) if values.size else 0
    if not (np.isfinite(top) and top > 0):
        return values
    with np.errstate(over="ignore"):
        scale = np.float32(FORMATS[name].largest) / top
    if not np.isfinite(scale):  # subnormal numbers only: too small to be of any weight
        return np.zeros_like(values)
    return round_float32(values * scale, name, saturate=True) / scale


def in_float8(kernel: Callable) -> Callable:
    """The kernel of a linear map whose factors have 8 bits, and whose sums do not: x and W in e4m3,
    the cotangent in e5m2   (Micikevicius et al. 2022).
    """

    def short(x, weight, bias=None, *, keep):
        x, weight = round_scaled(x, "e4m3"), round_scaled(weight, "e4m3")
        y, backward = kernel(x, weight, bias, keep=keep)

        def by_factors(g):
            # x^T g and g W^T are products; the sum of g for the bias is none
            dx, dw, _ = backward(round_scaled(g, "e5m2"))
            return dx, dw, backward(g)[2]

        return y, by_factors

    return short
