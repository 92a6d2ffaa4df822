"""How an operation is defined: a forward on arrays and its derivatives, in one of two tiers.

`primitive`: the derivative of each argument is a formula in Tensors, so it can be differentiated again.
`fused`: forward and backward by hand on raw arrays, with a twin made of primitives that says the same
thing plainly; the twin is used whenever derivatives of derivatives are wanted, and as the oracle in tests.
Read next: primitives/elementwise.py for the first tier, kernels/composed.py and kernels/linear.py for the second.
"""
import functools
import inspect

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.tensor import Tensor, is_first_order, observers, record, wants_grad
from tinylm.errors import DtypeError, ShapeError, TinylmError

USUAL = np.dtype(np.float32), np.dtype(np.float64)
IDS = ("ids", "targets")                                    # operands that are integers by nature
primitives, fused_operations = {}, {}                       # name -> operation; what the coverage gate of the checks walks


class Like:
    """What a linear rule may know of an argument: shape and dtype, but not the values, so that they can be freed."""

    __slots__ = ("shape", "dtype", "ndim", "size")

    def __init__(self, x):
        self.shape, self.dtype, self.ndim, self.size = x.shape, x.dtype, x.ndim, x.size


def composite(function):
    """Decorator for a function made of operations: what NumPy or Python complains about becomes an error of ours."""
    @functools.wraps(function)
    def checked(*args, **options):
        try:
            return function(*args, **options)
        except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            if isinstance(error, TinylmError) or _is_call_error(error, function, args, options):
                raise
            raise _refused(function.__name__, error, [a for a in args if hasattr(a, "shape")]) from None
    return checked


def unbroadcast(g, shape):
    """Sum a Tensor over the axes along which `shape` was broadcast: the derivative of broadcasting.

    g        Tensor (*extra, *broadcast of shape)
    returns  Tensor of `shape`
    """
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    return (g.sum(axis=axes) if axes else g).reshape(shape)


def _array(x, name):
    """The array or scalar an operation works on."""
    if isinstance(x, Tensor):
        return x.data
    if isinstance(x, (int, float, complex, bool, np.generic)) or backend.is_array(x):
        return x                                            # Python scalars stay weak: float32 * 2.0 is float32
    if isinstance(x, (list, tuple)):
        return np.asarray(x)
    raise DtypeError(f"{name}: cannot use a {type(x).__name__}; pass a Tensor, an array or a number")


def _as_array(out):
    return out if backend.is_array(out) else np.asarray(out)     # NumPy's full reductions give scalars


def _is_half(x):
    return getattr(x, "dtype", None) == np.float16


def _widened(x):
    return x.astype(np.float32) if isinstance(x, Tensor) and _is_half(x) else x


def _is_call_error(error, function, args, options):
    """True if a TypeError is Python's own about a wrong call: a missing argument, a keyword that does not exist."""
    if type(error) is not TypeError:
        return False
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError:
        return True
    return False


def _as_floats(label, operands, arrays):
    """The operands of a fused kernel as floating point: integers take the dtype of the others.

    raises  DtypeError if there is no floating-point operand at all
    """
    kinds = {name: a.dtype.kind for name, a in zip(operands, arrays) if hasattr(a, "dtype") and name not in IDS}
    if all(kind == "f" for kind in kinds.values()):
        return arrays
    floats = [a.dtype for name, a in zip(operands, arrays) if kinds.get(name) == "f"]
    name, dtype = next((n, a.dtype) for n, a in zip(operands, arrays) if kinds.get(n, "f") != "f")
    if not floats or kinds[name] == "c":
        raise DtypeError(f"{label}: {name} is of dtype {dtype}, and floating point is needed: convert with "
                         ".astype(np.float32)")
    dtype = np.result_type(*floats)
    return [a.astype(dtype) if kinds.get(n, "f") != "f" else a for n, a in zip(operands, arrays)]


def _in_float32(arrays, operands):
    """float16 operands widened, if there are no wider ones: float16 is for storage, kernels calculate in float32."""
    floats = [a for name, a in zip(operands, arrays) if hasattr(a, "dtype") and name not in IDS]
    if not floats or not all(map(_is_half, floats)):
        return arrays, False
    return [a.astype(np.float32) if _is_half(a) else a for a in arrays], True


def _twin_in_float32(twin):
    def wide(*args, **options):
        args = [a.astype(np.float32) if _is_half(a) else a for a in args]
        return twin(*args, **options).astype(np.float16)
    return wide


def _rounded_backward(backward):
    """A kernel's backward for float16: what is written lazily cannot go into the optimizer's float16 slot at once."""
    def wide(g):
        found = backward(g.astype(np.float32))
        return [(lambda out, d=d: d(None)) if callable(d) else d for d in found]
    return wide


def _is_choice(x):
    return type(x) is np.ndarray and x.dtype.kind in "iub"


def _own_choices(x):
    """A copy of an array of ids or of a mask (see _is_choice), so that the caller may reuse the buffer before backward().

    Axes along which the array only repeats itself (np.broadcast_to) stay repeated. Floats are not copied: they can be
    large, and the caller of a recorded operation must leave them alone until backward().
    """
    compact = x[tuple(slice(0, 1) if stride == 0 and n else slice(None) for stride, n in zip(x.strides, x.shape))]
    return np.broadcast_to(compact.copy(), x.shape)


def _refused(label, error, arrays):
    """NumPy's complaint as an error of ours: which operation, and what it was given."""
    if isinstance(error, TypeError):                        # an integer array where a kernel works in place
        dtypes = ", ".join(str(a.dtype) for a in arrays if hasattr(a, "dtype"))
        return DtypeError(f"{label}: {error} (arguments of dtype {dtypes}): convert with .astype(np.float32)")
    shapes = ", ".join(str(np.shape(a)) for a in arrays if a is not None)
    return ShapeError(f"{label}: {error} (arguments of shape {shapes})")


def primitive(*rules, name=None, linear=False, broadcasts=False, view=False, variadic=False):
    """Decorator that makes a differentiable operation from a function of arrays.

    rules       one per positional argument: (g, y, *args, **options) -> Tensor of the argument's shape, written in
                Tensor operations; g is the cotangent, y the output, args the arguments as Tensors or constants.
                None where there is no derivative. Keyword arguments of the function are constants.
    linear      the rules read only shapes of args and y, never values: those are not kept
    broadcasts  the arguments broadcast against each other; the sum that undoes it is added here
    view        the result shares memory with the first argument
    variadic    any number of arguments; the one rule gets the position of its argument first
    """
    def decorate(forward):
        label = name or forward.__name__
        option_names = [] if variadic else list(inspect.signature(forward).parameters)[len(rules):]

        @functools.wraps(forward)
        def operation(*args, **options):
            if len(args) > len(rules) and not variadic:     # reshape(x, (2, 3)): what follows the operands are options
                if len(args) - len(rules) > len(option_names):
                    raise TypeError(f"{label}: takes {len(rules) + len(option_names)} arguments, not {len(args)}")
                options.update(zip(option_names, args[len(rules):]))
                args = args[:len(rules)]
            if wants_grad(args):
                args = [_own_choices(a) if _is_choice(a) else a for a in args]
                for name, value in options.items():
                    if _is_choice(value):
                        options[name] = _own_choices(value)
            arrays = [_array(a, label) for a in args]
            try:
                out = _as_array(forward(*arrays, **options))
            except (ValueError, IndexError, TypeError) as error:
                if isinstance(error, TinylmError) or _is_call_error(error, forward, arrays, options):
                    raise
                raise _refused(label, error, arrays) from None
            if linear:
                kept = (operation, [Like(a) if isinstance(a, Tensor) else a for a in args], Like(out), options)
                result = record(label, out, args, _apply_rules, kept, reads="")
            else:
                result = record(label, out, args, _apply_rules, (operation, args, out, options), reads="both")
            if view and isinstance(args[0], Tensor):
                result._version = args[0]._version          # one buffer, one version
            for observe in observers:
                observe(label, args, result, options)
            return result

        operation.name, operation.rules, operation.linear = label, list(rules), linear
        operation.broadcasts, operation.variadic = broadcasts, variadic
        if getattr(forward, "__module__", "").startswith("tinylm.") or name:
            primitives[label] = operation
        return operation
    return decorate


def _apply_rules(g, node):
    """The `derive` of every primitive's node: each rule, applied where a gradient is wanted."""
    operation, args, out, options = node.saved
    recorded = isinstance(g, Tensor)                        # create_graph: everything below is recorded in turn
    g = g if recorded else Tensor(g)
    y = out if isinstance(out, Like) else Tensor(out)
    if recorded and isinstance(y, Tensor):
        y._node, y.requires_grad = node, True               # the output as a part of the graph; not held, so no reference cycle
    if _is_half(g):                                         # float16 is for storage: rules calculate in float32,
        g, y, *args = map(_widened, (g, y, *args))          # and backward.py rounds what they return
    results = []
    for i, (arg, edge) in enumerate(zip(args, node.inputs)):
        rule = operation.rules[0 if operation.variadic else i] if edge is not None else None
        if rule is None:
            results.append(None)
            continue
        d = rule(i, g, y, *args, **options) if operation.variadic else rule(g, y, *args, **options)
        if operation.broadcasts:
            d = unbroadcast(d, arg.shape)
        results.append(d if recorded else d.data)
    return results


def fused(twin, name=None, reads="inputs"):
    """Decorator that makes a fast differentiable operation from a hand-written kernel.

    The kernel takes arrays and returns (out, backward); backward(g) gives one entry per positional argument:
    a freshly made array, None, or a function of `out` that is called only if that gradient is wanted, with the
    array to write it into or None. The arrays must not overlap: gradients are added into them. `keep=False` tells
    the kernel that backward will not be called.
    twin    the same mathematics in primitives: what is used for create_graph, and what the tests compare with
    reads   "both" if backward reads the output too: then changing it in place before backward is an error
    """
    def decorate(kernel):
        label = name or kernel.__name__
        parameters = [p for p in inspect.signature(kernel).parameters.values() if p.name != "keep"]
        operands = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        option_names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

        @functools.wraps(kernel)
        def operation(*args, **options):
            for operand in operands[len(args):]:            # linear(x, weight, bias=b): operands go by position
                if operand in options:
                    args = (*args, options.pop(operand))
            if len(args) > len(operands):                   # softmax(x, -1): what follows the operands are options
                if len(args) > len(operands) + len(option_names):
                    most = len(operands) + len(option_names)
                    raise TypeError(f"{label}: takes {most} arguments, not {len(args)}")
                options.update(zip(option_names, args[len(operands):]))
                args = args[:len(operands)]
            keep = wants_grad(args)
            if keep:
                args = [_own_choices(a) if _is_choice(a) else a for a in args]
                for name, value in options.items():
                    if _is_choice(value):
                        options[name] = _own_choices(value)
            arrays = [_array(a, label) if a is not None else None for a in args]
            try:
                halved = False
                if any([a is not None and getattr(a, "dtype", None) not in USUAL for a in arrays]):
                    arrays, halved = _in_float32(_as_floats(label, operands, arrays), operands)
                out, backward = operation.kernel(*arrays, keep=keep, **options)
            except (ValueError, IndexError, TypeError) as error:
                if isinstance(error, TinylmError) or _is_call_error(error, kernel, arrays, {"keep": keep, **options}):
                    raise
                raise _refused(label, error, arrays) from None
            if halved:
                out, backward = out.astype(np.float16), _rounded_backward(backward)
            if keep:
                twin = _twin_in_float32(operation.twin) if halved else operation.twin
                replay = None if is_first_order() else lambda: twin(*args, **options)
                result = record(label, out, args, lambda g, node: backward(g), replay=replay,
                                reads=reads, fused=True)
            else:
                result = Tensor(out)
            for observe in observers:
                observe(label, args, result, options)
            return result

        operation.__signature__ = inspect.Signature(parameters)
        operation.name, operation.kernel, operation.twin = label, kernel, twin
        if kernel.__module__.startswith("tinylm.") or name:
            fused_operations[label] = operation
        return operation
    return decorate
