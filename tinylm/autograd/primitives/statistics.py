"""Variance, standard deviation and length, composed of primitives.

The square of 1e20 does not fit into float32, though the deviation and the length do: large values
are divided by a constant s first, and the result is multiplied by it:  |a| = s |a/s|. Read
next: products.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.arguments import check_keepdims
from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.tensor import Array, Tensor, array_of, as_tensor
from tinylm.autograd.primitives.elementwise import sqrt, where
from tinylm.autograd.primitives.reductions import accurate_sum, mean, reduced, sum
from tinylm.autograd.primitives.shaping import reshape
from tinylm.errors import DtypeError


def _wide(name, a):
    """(a as a Tensor, dtype of the result); float16 in float32, where its squares fit."""
    a = as_tensor(a)
    if a.dtype.kind == "c":
        raise DtypeError(f"{name}: is not defined for {a.dtype}: take abs() first")
    if a.dtype.kind != "f":
        return a, np.dtype(float)
    if a.dtype == np.float16:
        return a.astype(np.float32), a.dtype
    return a, a.dtype


def scale_of_squares(
    a: Array, axis: int | tuple[int, ...] | None, small: bool = True
) -> np.ndarray | float:
    """The s to divide a by along `axis` so that squares do not overflow (nor vanish, if `small`).

    returns  1.0 in all ordinary cases, else an array like a with length 1 along `axis`
    """
    a = array_of(a)
    if a.size == 0 or a.dtype.kind != "f":
        return 1.0
    limits = np.finfo(a.dtype)
    large = math.sqrt(float(limits.max) / a.size) / 2  # the sum of its squares stays below max
    least = 0
    if small:
        least = math.sqrt(float(limits.tiny)) / float(limits.eps)  # its square keeps all digits
    if _ordinary_rows(a, axis, least, large):
        return 1.0
    peak = np.max(np.abs(a), axis=axis, keepdims=True)
    ordinary = (peak >= least) & (peak <= large) | (peak == 0) | ~np.isfinite(peak)
    if np.all(ordinary):
        return 1.0
    # Brought to the border and no further, because cotangents are multiplied by s.
    border = np.where(peak > large, large, max(least, float(limits.tiny)))
    return np.where(ordinary, 1, peak / border).astype(a.dtype)


def _ordinary_rows(a, axis, least, large):
    """True if the sums of squares show that the largest value of every row is within the limits.

    A product of rows with themselves takes a tenth of the time of their maxima.
    """
    if type(a) is not np.ndarray or a.ndim == 0 or axis not in (-1, a.ndim - 1):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(a, a)  # at least the square of the peak, at most n of it
    # A sum that is 0, inf or nan says nothing.
    return bool(np.all((squares > a.shape[-1] * least**2) & (squares <= large**2)))


def _over(a, scale):
    """a / scale, and a itself in all ordinary cases, where the scale is 1.0."""
    if isinstance(scale, float) and scale == 1:
        return a
    return a / scale


def _times(a, scale):
    if isinstance(scale, float) and scale == 1:
        return a
    return a * scale


def centered(a: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
    """a less its mean along `axis`."""
    # Twice, because a mean is rounded: of 1e6 +- 1 in float32 the first one is off by up to 0.03.
    # It is taken as a constant: subtracting a constant does not change the distances.
    near = a - mean(a.data, axis=axis, keepdims=True).data
    return near - mean(near, axis=axis, keepdims=True)


def _unbiased(shape, axis, ddof):
    """n / (n - ddof), by which a mean of n squares is multiplied; 1.0 in the usual case.

    As in NumPy inf, and so nan or inf in the result, where ddof leaves nothing to divide by.
    """
    if not ddof:
        return 1.0
    n = math.prod(shape) // max(math.prod(reduced(shape, axis)), 1)
    return n / (n - ddof) if n > ddof else math.inf


def _narrow(x, dtype):
    if x.dtype == dtype:
        return x
    return x.astype(dtype)


@composite
def mean_where(a: Tensor, mask: np.ndarray, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Mean over axes of the entries where a mask is True; 0 where there is none.

    mask     bool array that broadcasts to a; entries where it is False may be inf or nan
    returns  as mean(). Of float16 the sum is float32: it may pass 65504 where the mean does not
    """
    wide, dtype = _wide("mean_where", a)
    mask = np.broadcast_to(mask, wide.shape)
    many = np.maximum(np.sum(mask, axis=axis), 1).astype(wide.dtype)
    return _narrow(sum(where(mask, wide, 0.0), axis=axis) / many, dtype)


@composite
def mean_square(a: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Mean of the squares over axes; of float16 in float32, since 300**2 overflows float16."""
    wide, dtype = _wide("mean_square", a)
    return _narrow(mean(wide * wide, axis=axis), dtype)


@composite
def var(
    a: Array,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ddof: float = 0,
) -> Tensor:
    """Variance over axes: the mean squared distance from the mean   (book eq. 2.23)

    ddof  the squares of n values are divided by n - ddof: 0 for the mean, 1 for the estimate of the
          variance that a sample was drawn from (torch's default)

    Check: tinylm gradcheck var
    """
    check_keepdims("var", keepdims)
    wide, dtype = _wide("var", a)
    large = scale_of_squares(wide, axis, small=False)  # else a distance may overflow
    distances = _times(centered(_over(wide, large), axis), large)
    spread = mean(distances * distances, axis=axis, keepdims=keepdims)
    return _narrow(_times(spread, _unbiased(wide.shape, axis, ddof)), dtype)


@composite
def std(
    a: Array,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ddof: float = 0,
) -> Tensor:
    """Standard deviation over axes, the root of var(), with its ddof.

    Where all values are equal there is no derivative; the subgradient 0 is taken, as in torch.

    Check: tinylm gradcheck std
    """
    check_keepdims("std", keepdims)
    wide, dtype = _wide("std", a)
    large = scale_of_squares(wide, axis, small=False)  # else a distance may overflow
    distances = centered(_over(wide, large), axis)
    scale = scale_of_squares(distances, axis)
    spread = mean(_over(distances, scale) ** 2, axis=axis, keepdims=True)
    spread = _times(spread, _unbiased(wide.shape, axis, ddof))
    # The slope of sqrt at 0 is infinite, so 0 must not pass through it. nan is not 0 and stays nan.
    flat = spread.data == 0
    root = where(flat, 0.0, sqrt(where(flat, 1.0, spread))) * scale * large
    if not keepdims:
        root = reshape(root, shape=reduced(wide.shape, axis))
    return _narrow(root, dtype)


def _by_norm(g, y, a, axis=None):
    # y = sqrt(sum_i a_i^2):  dy/da_i = a_i / y. At 0 the slope of sqrt is infinite: 0 is taken, as
    # in std. nan is not 0 and stays nan. a/y is at most 1, where g/y may overflow.
    zero = y.data == 0
    return a / where(zero, 1.0, y) * where(zero, 0.0, g)


@primitive(_by_norm, name="norm")
def _norm(a, axis=None):
    scale = scale_of_squares(a, axis)
    if isinstance(scale, float) and type(a) is np.ndarray and axis in (-1, a.ndim - 1) and a.ndim:
        return np.sqrt(np.vecdot(a, a))[..., None]
    squares = accurate_sum(_over(a, scale) ** 2, axis, True)
    return np.sqrt(squares) * scale


@composite
def norm(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Euclidean length over axes, the root of the sum of squares; its derivative at 0 is 0.

    Check: tinylm gradcheck norm
    """
    check_keepdims("norm", keepdims)
    wide, dtype = _wide("norm", a)
    if wide.dtype.kind != "f":  # integers
        wide = wide.astype(dtype)
    length = _norm(wide, axis=axis)
    if not keepdims:
        length = reshape(length, shape=reduced(wide.shape, axis))
    return _narrow(length, dtype)
