"""Arguments of an operation: sorted into operands and options, checked, and brought to one dtype.

float16 is for storage: kernels and rules calculate in float32, and only results are rounded.
Integers among the operands of a kernel take the dtype of the others. Arrays of ids and masks are
copied, so that the caller may reuse them before backward. Read next: operation.py, the two
decorators.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.habits import of_keywords
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike, rectangular
from tinylm.errors import DtypeError, ShapeError, TinylmError

if TYPE_CHECKING:
    from tinylm.autograd.engine.operation import Like


USUAL = np.dtype(np.float32), np.dtype(np.float64)  # dtypes that kernels take as they are
IDS = ("ids", "targets")  # operands that are integers by nature


def as_array(x: TensorLike, name: str) -> Any:
    """The array or scalar that an operation computes with. Raises DtypeError for other types."""
    if isinstance(x, Tensor):
        return x.data
    if isinstance(x, (int, float, complex, bool, np.generic)) or backend.is_array(x):
        # Python scalars stay weak: float32 * 2.0 is float32
        return x
    if isinstance(x, (list, tuple)):
        return rectangular(x)
    raise DtypeError(
        f"{name}: cannot use a {type(x).__name__}; pass a Tensor, an array or a number"
    )


def is_half(x: Array) -> bool:
    """True for a Tensor or an array of float16."""
    return getattr(x, "dtype", None) == np.float16


def widened(x: "Array | Like") -> "Array | Like":
    """A float16 Tensor in float32; anything else as it is."""
    if isinstance(x, Tensor) and is_half(x):
        return x.astype(np.float32)
    return x


def _is_call_error(error, function, args, options):
    """True if a TypeError is Python's own: an argument is missing, or a keyword does not exist."""
    if type(error) is not TypeError:
        return False
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError:
        return True
    return False


def _as_floats(label, operands, arrays):
    """The operands of a fused kernel as floating point: integers take the dtype of the others.

    raises  DtypeError if there is no floating-point operand at all, or a complex one
    """
    floats, others = [], {}  # dtypes of floating-point operands; name -> dtype of what is not
    for name, a in zip(operands, arrays):
        if hasattr(a, "dtype") and name not in IDS:
            if a.dtype.kind == "f":
                floats.append(a.dtype)
            else:
                others[name] = a.dtype
    if not others:
        return arrays
    name, dtype = next(iter(others.items()))
    if not floats or dtype.kind == "c":
        raise DtypeError(
            f"{label}: {name} is of dtype {dtype}, and floating point is needed: convert with "
            ".astype(np.float32)"
        )
    wide = np.result_type(*floats)
    return [a.astype(wide) if name in others else a for name, a in zip(operands, arrays)]


def _in_float32(arrays, operands):
    """(arrays, False), or (arrays in float32, True) if all that are not ids are float16."""
    floats = [a for name, a in zip(operands, arrays) if hasattr(a, "dtype") and name not in IDS]
    if not floats or not all(map(is_half, floats)):
        return arrays, False
    return [a.astype(np.float32) if is_half(a) else a for a in arrays], True


def twin_in_float32(twin: Callable) -> Callable:
    """A twin that calculates in float32 and rounds its result to float16."""

    def wide(*args, **options):
        args = [a.astype(np.float32) if is_half(a) else a for a in args]
        return twin(*args, **options).astype(np.float16)

    return wide


def rounded_backward(backward: Callable) -> Callable:
    """A kernel's backward for float16: it calculates in float32, and the engine rounds.

    Its lazy gradients ignore `out`: the optimizer's slot is float16, too short to add up in.
    """

    def unplaced(derivative):
        if callable(derivative):
            return lambda out: derivative(None)
        return derivative

    return lambda g: [unplaced(d) for d in backward(g.astype(np.float32))]


def _is_choice(x):
    """True for an array of ids or a mask: integers or bools."""
    return type(x) is np.ndarray and x.dtype.kind in "iub"


def _own(x):
    """A copy of an array of ids or of a mask: the caller may reuse the buffer before backward().

    Floats are not copied: they can be large, and the caller must leave them alone until backward().
    """
    if 0 not in x.strides:
        return x.copy()
    # Made by np.broadcast_to: along axes of stride 0 one entry is copied, and repeated again.
    once = tuple([slice(0, 1) if stride == 0 else slice(None) for stride in x.strides])
    return np.broadcast_to(x[once].copy(), x.shape)


def refusal(label: str, error: Exception, arrays: Sequence) -> TinylmError:
    """NumPy's error as one of tinylm's, with the operation's name and its arguments' shapes."""
    arrays = [a for a in arrays if hasattr(a, "dtype")]
    if isinstance(error, TypeError):  # such as an index that is no integer
        dtypes = ", ".join(str(a.dtype) for a in arrays)
        return DtypeError(
            f"{label}: {error} (arguments of dtype {dtypes}): convert with .astype(np.float32)"
        )
    shapes = ", ".join(str(a.shape) for a in arrays)
    return ShapeError(f"{label}: {error} (arguments of shape {shapes})")


def _with_keywords(label, operands, args, options):
    """The operands in order, those given by keyword after those given by position.

    raises  TypeError, as Python does, if there is a gap: layer_norm(x, bias=b) has no gain
    """
    args = list(args)
    for operand in operands[len(args) :]:
        if operand not in options:
            break
        args.append(options.pop(operand))
    after = [operand for operand in operands[len(args) :] if operand in options]
    if after:
        raise TypeError(f"{label}: {after[0]} is given, but not {operands[len(args)]} before it")
    return tuple(args)


def by_place(
    label: str,
    operands: Sequence[str],
    option_names: Sequence[str],
    args: Sequence,
    options: dict[str, Any],
) -> tuple[Sequence, dict[str, Any]]:
    """Arguments sorted into operands and options, as in linear(x, w, bias=b) or softmax(x, -1).

    operands      names of the parameters that may be differentiated
    option_names  names of the others
    returns       (values of operands, options)
    """
    count = len(operands)
    if len(args) < count and options:
        args = _with_keywords(label, operands, args, options)
    if len(args) > count:
        most = count + len(option_names)
        if len(args) > most:
            raise TypeError(f"{label}: takes {most} arguments, not {len(args)}")
        options.update(zip(option_names, args[count:]))
        args = args[:count]
        check_keepdims(label, options.get("keepdims"))
    return args, options


def check_keepdims(label: str, keepdims: Any) -> None:
    """Raise TypeError for what is no bool: NumPy has a dtype in the place of `keepdims`."""
    if not isinstance(keepdims, (bool, int, np.bool_, type(None))):
        raise TypeError(
            f"{label}: keepdims={keepdims!r:.60} is neither True nor False; a dtype is chosen by "
            "x.astype(dtype) before it"
        )


def own_choices(args: Sequence, options: dict[str, Any]) -> tuple[list, dict[str, Any]]:
    """Operands and options with arrays of ids and masks copied, for a recorded operation."""
    for name, value in options.items():
        if _is_choice(value):
            options[name] = _own(value)
    return [_own(a) if _is_choice(a) else a for a in args], options


def prepared(label: str, operands: Sequence[str], arrays: Sequence) -> tuple[Sequence, bool]:
    """(arrays of a kernel's operands as floating point, True if they were widened from float16)."""
    if all([a is None or getattr(a, "dtype", None) in USUAL for a in arrays]):
        return arrays, False
    return _in_float32(_as_floats(label, operands, arrays), operands)


def run(label: str, function: Callable, arrays: Sequence, options: dict[str, Any]) -> Any:
    """function(*arrays, **options), where NumPy's errors become tinylm's (see refusal)."""
    try:
        return function(*arrays, **options)
    except AttributeError as error:
        # A list or a string among the arguments has no .shape or .dtype. An AttributeError of any
        # other object is a bug of the function and is raised as it is.
        culprit = getattr(error, "obj", None)
        if hasattr(culprit, "dtype") or not any(culprit is a for a in arrays):
            raise
        raise DtypeError(
            f"{label}: needs a Tensor or an array, not a {type(culprit).__name__}: use Tensor()"
        ) from None
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        if isinstance(error, TinylmError):
            raise
        if _is_call_error(error, function, arrays, options):
            known = list(inspect.signature(function).parameters)
            unknown = {key: value for key, value in options.items() if key not in known}
            if unknown:
                raise TypeError(of_keywords(label, unknown, known)) from None
            raise
        raise refusal(label, error, arrays) from None
