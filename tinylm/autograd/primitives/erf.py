"""The error function, vectorized: NumPy has none, and the exact GELU needs one.

In float64 W. J. Cody's rational Chebyshev approximations (Math. Comp. 23, 1969), the ones behind
many C libraries: three ranges of |x|, in each a ratio of two polynomials. In float32 one polynomial
inside a tanh, 20 times as fast. Read next: kernels/activations.py, which uses it.
"""

import math

import numpy as np

from tinylm.autograd.primitives.choice import blockwise
from tinylm.autograd.primitives.exponentials import is_short, short

# fmt: off
# Cody's coefficients, highest power first, numerator and denominator of R:
#   erf(x)  = x R(x^2)                                    for |x| <= 0.46875
#   erfc(x) = exp(-x^2) R(x)                              for 0.46875 < x <= 4
#   erfc(x) = exp(-x^2)/x (1/sqrt(pi) - R(1/x^2)/x^2)     for x > 4
_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
     3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
     6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
     1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
     3.43936767414372164e3, 1.23033935480374942e3),
)
_LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
     1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
     6.05183413124413191e-2, 2.33520497626869185e-3),
)
# fmt: on


def _ratio(coefficients, x):
    """R(x) = P(x)/Q(x), by Horner's rule: ((a x + b) x + c) x + ..., in place."""
    top, bottom = coefficients
    p = x * top[0] + top[1]
    q = x * bottom[0] + bottom[1]
    for a, b in zip(top[2:], bottom[2:]):
        p *= x
        p += a
        q *= x
        q += b
    p /= q
    return p


def exact_erf(x: np.ndarray) -> np.ndarray:
    """erf(x) by Cody's ratios, elementwise: the twin of the polynomial for float32.

    x        array of any shape, float64 or float32
    returns  the same shape and dtype; within 3e-16 of math.erf in float64, 4e-7 in float32
    """
    # All three ranges are computed everywhere, each with its argument cut to where it holds, and
    # np.where chooses. Beyond 30 erf is 1 and exp(-900) is 0: cutting there keeps inf * 0 away.
    a = np.minimum(np.abs(x), 30.0)
    small = x * _ratio(_SMALL, np.minimum(a, 0.46875) ** 2)
    tail = np.exp(-a * a)
    middle = 1 - tail * _ratio(_MIDDLE, np.minimum(a, 4.0))
    b = np.maximum(a, 4.0)
    inverse = 1 / (b * b)
    large = 1 - tail / b * (1 / math.sqrt(math.pi) - inverse * _ratio(_LARGE, inverse))
    outer = np.copysign(np.where(a <= 4.0, middle, large), x)  # erf(-x) = -erf(x)
    return np.where(a <= 0.46875, small, outer)


# erf(x) = tanh(x P(x^2)): artanh(erf x) / x is smooth and even, and a tanh is fast and reaches 1 at
# infinity by itself. The coefficients, lowest power first, make the largest error of
# tanh(x P) / max(erf, 0.05) on [0, 4] least, which leaves 9.5e-8 (least squares, reweighted until
# the extremes are even: Lawson 1961). The last one is positive, and x P(x^2) grows beyond 4 too.
# In another form this is the tanh approximation of GELU, whose P has two terms.
_ARTANH = (
    1.12837928094876,
    0.10276900066351477,
    -0.00019171577075514836,
    -0.0006198763568884273,
    8.766934821508032e-05,
    -5.673355046546618e-06,
    1.4211409212597472e-07,
)


def _odd_polynomial(coefficients, x, square=None, out=None):
    """x P(x^2) of float32 by Horner's rule, into `out`; square is x^2, if the caller has it."""
    if square is None:
        square = x * x
    if type(x) is np.ndarray:
        coefficients = [short(c) for c in coefficients]
    p = np.multiply(square, coefficients[-1], out=out)
    p += coefficients[-2]
    for c in reversed(coefficients[:-2]):
        p *= square
        p += c
    p *= x
    return p


# With v = x/sqrt(2):  Phi(x) = (1 + erf(v))/2 = (1 + tanh(v P(v^2)))/2 = 1/(1 + exp(-2 v P(v^2))).
_HALF_LOGIT = tuple(c / math.sqrt(2) ** (2 * k + 1) for k, c in enumerate(_ARTANH))
_LOGIT = tuple(-2 * c for c in _HALF_LOGIT)


def erf(x: np.ndarray) -> np.ndarray:
    """erf(x) = 2/sqrt(pi) * integral of exp(-t**2) for t from 0 to x, elementwise.

    x        array of any shape, float64 or shorter, or a number
    returns  the same shape and dtype; within 3e-16 of math.erf in float64, 3e-7 in float32
    """
    if isinstance(x, (int, float)):
        return math.erf(x)
    if x.dtype == np.float16:  # the polynomials reach beyond its largest number
        return erf(x.astype(np.float32)).astype(np.float16)
    if x.dtype == np.float32:
        return blockwise(_short_erf, x)
    return exact_erf(x)


def _short_erf(x, y):
    np.tanh(_odd_polynomial(_ARTANH, x), out=y)


def normal_cdf(
    x: np.ndarray, square: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Phi(x) = (1 + erf(x/sqrt 2))/2, the normal distribution function, of a float array.

    square   x^2, if the caller has it
    out      array of x's shape and dtype that may be used for the result

    Within 3e-7 in float32, where the tail at -5 keeps one digit.
    """
    if is_short(x):  # tanh is the fastest
        p = _odd_polynomial(_HALF_LOGIT, x, square, out)
        np.tanh(p, out=p)
        p *= short(0.5)
        p += short(0.5)
        return p
    if x.dtype == np.float32:
        p = _odd_polynomial(_LOGIT, x, square, out)
        np.exp(p, out=p)  # may be infinite: then Phi is 0, as it should
        p += 1
        return np.divide(1, p, out=p)
    cdf = erf(x * (1 / math.sqrt(2)))
    cdf += 1
    cdf *= 0.5
    return cdf
