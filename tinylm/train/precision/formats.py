"""Numbers of 16 and 8 bits, and rounding to them   (IEEE 754; Micikevicius et al. 2022).

    format    exponent  mantissa   largest   least normal   least subnormal   next above 1
    float16          5        10     65504      6.10e-5           5.96e-8     1.00098
    bfloat16         8         7   3.39e38     1.18e-38          9.18e-41     1.0078
    e5m2             5         2     57344      6.10e-5           1.53e-5     1.25
    e4m3             4         3       448      1.56e-2           1.95e-3     1.125

A number is (1 + mantissa / 2^m) 2^e, or below the least exponent mantissa / 2^m 2^e_min. e4m3 has
no infinities: their codes, but for one, are numbers too, so that it reaches 448 and not 240. Read
next: mixed.py.
"""

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
    def least_exponent(self):
        """e of the least normal number."""
        return 2 - (1 << (self.exponent - 1))

    @property
    def largest(self):
        """The largest finite number."""
        top = (1 << (self.exponent - 1)) - 1
        if self.infinite:
            return (2 - 2.0**-self.mantissa) * 2.0**top
        return (2 - 2 * 2.0**-self.mantissa) * 2.0 ** (top + 1)

    @property
    def smallest(self):
        """The smallest number above 0, a subnormal one."""
        return 2.0 ** (self.least_exponent - self.mantissa)

    @property
    def least_normal(self):
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


def round_to(values, name, saturate=False):
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
