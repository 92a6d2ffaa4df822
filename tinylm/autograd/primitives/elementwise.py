"""Elementwise primitives: one line of forward and one derivative per argument.

Read a rule as mathematics: with y = f(a, b) and g = dL/dy, the entries are dL/da and dL/db. Sums
that undo broadcasting are added by the engine. The rules are made of operations and are themselves
recorded when a graph of the backward pass is needed, so derivatives of every order follow from this
table. Read next: shaping.py, products.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike, array_of, is_recording
from tinylm.autograd.primitives.choice import blockwise, chosen, times_sign
from tinylm.autograd.primitives.erf import erf as _erf
from tinylm.autograd.primitives.exponentials import exp_times, is_short, short
from tinylm.backend import DType
from tinylm.errors import DtypeError


def _elementwise(name, forward, *rules, doc, linear=False, check=None):
    """A named and documented primitive. `check` is its entry in the registry, if not its name."""
    check = check or name
    operation = primitive(*rules, name=name, linear=linear, broadcasts=len(rules) > 1)(forward)
    operation.__doc__ = (
        f"{doc}\n\n    Elementwise, on Tensors, arrays and numbers that broadcast; returns a Tensor."
        f"\n\n    Check: tinylm gradcheck {check}\n    "
    )
    operation.__name__ = operation.__qualname__ = name
    return operation


# A row: forward, then dL/da and dL/db from g = dL/dy. A rule uses y where that is cheaper than a:
# d(e^a)/da = y,  d(sqrt a)/da = 1/(2 y),  d(tanh a)/da = 1 - y^2,  d(a/b)/db = -a/b^2 = -y/b.
# fmt: off
add = _elementwise("add", lambda a, b: np.add(a, b), lambda g, y, a, b: g, lambda g, y, a, b: g, doc="a + b", linear=True)
sub = _elementwise("sub", lambda a, b: np.subtract(a, b), lambda g, y, a, b: g, lambda g, y, a, b: -g, doc="a - b", linear=True)
mul = _elementwise("mul", lambda a, b: np.multiply(a, b), lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, doc="a * b")
div = _elementwise("div", lambda a, b: np.true_divide(a, b),
                   lambda g, y, a, b: g / b, lambda g, y, a, b: -g * (y / b), doc="a / b")
neg = _elementwise("neg", lambda a: np.negative(a), lambda g, y, a: -g, doc="-a", linear=True)
exp = _elementwise("exp", lambda a: np.exp(a), lambda g, y, a: g * y, doc="e to the power a")
log = _elementwise("log", lambda a: np.log(a), lambda g, y, a: g / a, doc="Natural logarithm, for a > 0")
log1p = _elementwise("log1p", lambda a: np.log1p(a), lambda g, y, a: g / (1 + a), doc="log(1 + a) for a > -1, to the last digits where a is small")
expm1 = _elementwise("expm1", lambda a: np.expm1(a), lambda g, y, a: g * exp(a), doc="e to the power a, less 1, to the last digits where a is small")
sqrt = _elementwise("sqrt", lambda a: np.sqrt(a), lambda g, y, a: g / (2 * y), doc="Square root; the derivative is infinite at 0")
tanh = _elementwise("tanh", lambda a: np.tanh(a), lambda g, y, a: g * (1 - y * y), doc="Hyperbolic tangent")
sin = _elementwise("sin", lambda a: np.sin(a), lambda g, y, a: g * cos(a), doc="Sine of an angle in radians")
cos = _elementwise("cos", lambda a: np.cos(a), lambda g, y, a: -g * sin(a), doc="Cosine of an angle in radians")
abs = _elementwise("abs", lambda a: np.abs(a), lambda g, y, a: _by_abs(g, y, a), doc="Absolute value; derivative 0 at 0")
# fmt: on


def _by_abs(g, y, a):
    if is_recording():
        return g * np.sign(a.data)
    return Tensor(times_sign(g.data, a.data, y.data))


def as_floats(name: str, a: np.ndarray) -> np.ndarray:
    """Integers as float64; floating point as it is. Raises DtypeError for complex numbers."""
    # In a short integer type |-128| would overflow, and exp() of int8 would be float16.
    dtype = getattr(a, "dtype", None)
    if dtype is None or dtype.kind == "f":
        return a
    if dtype.kind == "c":
        raise DtypeError(f"{name}: is not defined for {dtype}: take the real part, or abs(), first")
    return a.astype(np.float64)


def _sigmoid(a):
    return stable_sigmoid(as_floats("sigmoid", a))


def stable_sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a)) of a float array or number, to the last digits at both ends."""
    # e^{-a} overflows to inf where the sigmoid is too small for a normal number, and 1/(1 + inf) is
    # 0. In float16 that begins at sigmoid(-11) = 1.7e-5, so its numbers are computed in float32.
    a = np.asarray(a) if not hasattr(a, "dtype") else a
    if a.dtype == np.float16:
        return stable_sigmoid(a.astype(np.float32)).astype(np.float16)
    return blockwise(sigmoid_step, a)


def sigmoid_step(a: np.ndarray, y: np.ndarray) -> None:
    """The sigmoid of a flat array of floats, into y of the same shape and dtype."""
    one = 1
    if is_short(a):
        one = short(1)
    if is_short(a) and a.min() >= -5.5:  # not so for nan
        exp_times(a, -1, out=y)
    else:
        np.negative(a, out=y)
        np.exp(y, out=y)
    y += one
    np.divide(one, y, out=y)


def _by_sigmoid(g, y, a):
    if is_recording():
        return g * y * (1 - y)
    return Tensor(blockwise(_sigmoid_back, y.data, g.data))


def _sigmoid_back(y, g, d):
    np.subtract(1, y, out=d)
    d *= y
    d *= g


def _softplus(a):
    a = as_floats("softplus", a)
    a = np.asarray(a) if not hasattr(a, "dtype") else a
    if a.dtype == np.float16:
        return _softplus(a.astype(np.float32)).astype(np.float16)
    return blockwise(_softplus_step, a)


def _softplus_step(a, y):
    # log(1 + e^a) = max(a, 0) + log(1 + e),  e = e^{-|a|}. With u = 1 + e rounded, 1 + e = u + c:
    #   log(1 + e) = log u + log(1 + c/u) = log u + c/u,   as c is at most half a digit of u
    # np.logaddexp and np.log1p take 5 to 15 ns an element, np.log and np.exp 0.3.
    np.abs(a, out=y)
    np.negative(y, out=y)
    np.exp(y, out=y)
    u = y + 1
    y -= u - 1
    y /= u
    np.log(u, out=u)
    y += u
    np.clip(a, 0, np.inf, out=u)
    y += u


# fmt: off
sigmoid = _elementwise("sigmoid", _sigmoid, _by_sigmoid, doc="1 / (1 + exp(-a)), stable at both ends")
softplus = _elementwise("softplus", _softplus, lambda g, y, a: g * sigmoid(a),
                        doc="log(1 + exp(a)), positive and never overflowing; -softplus(-a) is log sigmoid(a)")
erf = _elementwise("erf", lambda x: _erf(as_floats("erf", x)), lambda g, y, a: g * (2 / math.sqrt(math.pi)) * exp(-a * a),
                   doc="Error function 2/sqrt(pi) * integral of exp(-t**2) from 0 to a; in float64 to the last digit, in float32 to 3e-7")
# fmt: on


def _power(a, b):
    # np.power on float32 costs as much as 6 multiplications, and 300 if some bases are negative.
    if type(b) in (int, float):
        if b == 2:
            return a * a
        if b == 3:
            return a * a * a
    return np.power(a, b)


def _power_by_base(g, y, a, b):
    # d(a^b)/da = b a^(b-1). For b = 0 that is 0, also where a^(b-1) is not finite: 0 x inf is nan.
    if isinstance(b, (int, float)):
        if b == 2:
            return g * a * 2
        if b:
            return g * b * a ** (b - 1)
        return where(np.ones_like(g.data, bool), 0.0, g)
    # With an array b only those places are cut off. Elsewhere at b = 0 the formula must stay,
    # because the derivative by b of b a^(b-1) is 1/a there.
    with np.errstate(divide="ignore", over="ignore"):
        finite = np.isfinite(1 / array_of(a)) & np.isfinite(g.data)
    flat = (array_of(b) == 0) & ~finite
    d = g * b * power(where(flat, 1.0, a), b - 1)
    return where(flat, 0.0, d)


def _power_by_exponent(g, y, a, b):
    # d(a^b)/db = a^b log a. At a = 0 that is 0, its limit for b > 0, where log a alone is -inf.
    cut = (array_of(a) == 0) & (array_of(b) >= 0)
    return where(cut, 0.0, g * y * log(where(cut, 1.0, a)))


# fmt: off
power = _elementwise("pow", _power, _power_by_base, _power_by_exponent, check="power",
                     doc="a to the power b. The derivative by b is 0 where a = 0 and b >= 0, and nan where a < 0")
# fmt: on


def _to_larger(g, a, b):
    """The cotangent of a: g where a is larger or one is nan, g/2 at a tie, 0 where a is smaller."""
    a, b = array_of(a), array_of(b)
    to_both = where(np.equal(a, b), g * 0.5, g)
    return where(np.less(a, b), 0.0, to_both)


# fmt: off
maximum = _elementwise("maximum", lambda a, b: np.maximum(a, b),
                       lambda g, y, a, b: _to_larger(g, a, b),
                       lambda g, y, a, b: _to_larger(g, b, a),
                       doc="The larger of a and b; a tie shares the gradient in halves")
minimum = _elementwise("minimum", lambda a, b: np.minimum(a, b),
                       lambda g, y, a, b: _to_larger(g, b, a),
                       lambda g, y, a, b: _to_larger(g, a, b),
                       doc="The smaller of a and b; a tie shares the gradient in halves")
# fmt: on


@primitive(
    None,
    lambda g, y, c, a, b: where(c, g, 0.0),
    lambda g, y, c, a, b: where(c, 0.0, g),
    broadcasts=True,
)
def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a where the condition holds, else b. Elementwise with broadcasting.

    condition  bool array, not differentiated

    Check: tinylm gradcheck where
    """
    return chosen(condition, a, b)


def _inside(g, y, a, min=None, max=None):
    outside = False
    if min is not None:
        outside = np.less(a.data, min)
    if max is not None:
        outside = outside | np.greater(a.data, max)
    return where(outside, 0.0, g)


@primitive(_inside)
def clip(a: np.ndarray, min: float | None = None, max: float | None = None) -> np.ndarray:
    """a limited to [min, max]; the gradient passes where a is inside, borders included.

    min, max  numbers, or None. A nan stays nan, and the gradient passes it.

    Check: tinylm gradcheck clip
    """
    return np.clip(a, min, max)


@primitive(lambda g, y, a, dtype=None: g.astype(a.dtype), linear=True)
def astype(a: np.ndarray, dtype: DType) -> np.ndarray:
    """a converted to another dtype; the gradient is converted back.

    Integers and bools carry no gradient. Check: tinylm gradcheck astype
    """
    return a.astype(dtype)


@primitive(lambda g, y, a: where(y.data != 0, g, 0.0), name="relu")  # y is positive, 0 or nan
def _relu(a):
    # np.clip is 3 times as fast as np.maximum; both keep nan.
    return np.clip(a, 0.0, np.inf)


@composite
def relu(a: Tensor) -> Tensor:
    """max(a, 0)   (book eq. 2.26); derivative 0 at 0. Elementwise; returns a Tensor of a's shape.

    A nan stays nan, and the gradient passes it (hence `!= 0` in the rule, instead of `> 0`).

    Check: tinylm gradcheck relu
    """
    if isinstance(a, Tensor) and a.dtype.kind == "c":
        raise DtypeError(f"relu: is not defined for {a.dtype}: take the real part first")
    return _relu(a)


def weigh(weights: Array, values: TensorLike) -> Tensor:
    """weights * values, and 0 where the weight is 0: there a value may be inf, as log 0 in p log p.

    weights  Tensor or array, any shape; values broadcasts to it. Both are differentiated; where a
             weight is 0 and its value not finite, neither gets a gradient.

    Check: tinylm gradcheck weigh
    """
    hidden = (array_of(weights) == 0) & ~np.isfinite(array_of(values))
    return mul(weights, where(hidden, 0.0, values))


def _stepwise(name, function, doc):
    """An operation that is constant between its steps, so that nothing is recorded."""

    def operation(a):
        return Tensor(function(array_of(a)))

    operation.__name__ = operation.__qualname__ = name
    operation = composite(operation)
    operation.__doc__ = f"{doc} Its derivative is 0 or undefined: the result carries no gradient."
    return operation


floor = _stepwise("floor", np.floor, "The largest integer that is not above a, elementwise.")
ceil = _stepwise("ceil", np.ceil, "The smallest integer that is not below a, elementwise.")
sign = _stepwise("sign", np.sign, "-1, 0 or 1, elementwise; nan stays nan.")


@composite
def round(a: TensorLike, decimals: int = 0) -> Tensor:
    """a rounded to `decimals` places, halves to even. The result carries no gradient."""
    return Tensor(np.round(array_of(a), decimals))
