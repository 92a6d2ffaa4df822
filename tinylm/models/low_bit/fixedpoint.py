"""Fixed-point arithmetic: real numbers as integers with a shared scale, and products of integers
alone.

    s = max|x| / (2^(bits-1) - 1),   q = round(x / s),   x ~ s q,   |x - s q| <= s / 2
    y = x W  ~  s_x s_W (q_x q_W)    with q_x q_W summed exactly in 32 bits

Book section 2.3.1 ("8-bit or 16-bit fixed-point"). Processors have instructions for products of
int8 and NumPy has not: its integer `@` is a plain loop, measured 8 times slower than what is below
for one vector and 70 times for 64. A float32 holds every integer up to 2^24, so BLAS's product of
int8 codes is the exact integer as long as no more than 1040 = 2^24 // 127^2 are summed; longer sums
are cut into such pieces. So the arithmetic here is that of integers, exactly, and its speed that of
floats. For memory and speed, `quantized.py`. Rounding has no derivative: this is for trained
models.
"""

import numpy as np

from tinylm.errors import ConfigError, DataError, ShapeError

_EXACT = (1 << 24) // 127**2  # int8 products that a float32 sums exactly
_LONGEST = ((1 << 31) - 1) // 127**2  # int8 products that an int32 sums without overflow: 133,144


def to_fixed(
    x: np.ndarray, bits: int = 8, axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric quantization: the largest number gets the largest code.

    x        array of finite floats
    bits     8 or 16
    axis     None: one scale for all. Else the axis, or axes, that share a scale: -1 gives each row
             of a matrix its own
    returns  (codes int8 or int16 of x's shape, scale float32 that broadcasts against them); x ~
             codes * scale
    raises   ConfigError for other bits, DataError if a number is not finite
    """
    if bits not in (8, 16):
        raise ConfigError(f"to_fixed: {bits} bits; there are 8 and 16")
    x = np.asarray(x)
    if not np.isfinite(x).all():
        raise DataError(
            "to_fixed: numbers must be finite; an infinity would make every other code 0"
        )
    largest = (1 << bits - 1) - 1  # 127 or 32767: -128 is not used, so codes are symmetric
    size = np.abs(x).max(axis=axis, keepdims=True, initial=0)
    scale = (size / largest).astype(np.float32)  # s = max|x| / largest
    divisor = np.where(scale == 0, 1, scale)  # zeros are coded as 0 with the scale 0
    # s rounded to float32 may be a little too small, and a code one too large: clipped.
    codes = np.clip(np.rint(x / divisor), -largest, largest)
    return codes.astype(f"int{bits}"), scale


def integer_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b of int8 codes, exact.

    a        (M, K) int8
    b        (K, N) int8
    returns  (M, N) int32
    raises   ShapeError if the sizes do not fit, or K is so large that 32 bits might overflow
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ShapeError(f"integer_product: inner sizes differ, {a.shape} @ {b.shape}")
    if a.shape[1] > _LONGEST:
        raise ShapeError(
            f"integer_product: sums of {a.shape[1]} products may overflow 32 bits; "
            f"at most {_LONGEST} are safe"
        )
    total = np.zeros((a.shape[0], b.shape[1]), np.int32)
    for start in range(0, a.shape[1], _EXACT):
        piece = slice(start, start + _EXACT)
        left = a[:, piece].astype(np.float32)
        right = b[piece].astype(np.float32)
        total += (left @ right).astype(np.int32)  # exact: below 2^24
    return total


def fixed_linear(x: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x @ W with W in 8 bits and x brought to 8 bits, each row by its own scale.

    x        (M, K) floats
    codes    (K, N) int8, scale (1, N) or (1, 1): `to_fixed(W, axis=0)`
    returns  (M, N) float32
    """
    x_codes, x_scale = to_fixed(x, axis=-1)  # (M, K), (M, 1)
    return integer_product(x_codes, codes) * (x_scale * scale)  # (M, N) * (M, N or 1)
