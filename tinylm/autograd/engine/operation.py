"""How an operation is defined: a forward on arrays and its derivatives, in one of two tiers.

`primitive`: the derivative by each argument is a formula in Tensors, so it can be differentiated
again. `fused`: forward and backward by hand on raw arrays, with a twin: the same function composed
of primitives. The twin explains the kernel, is the oracle in tests, and takes its place where
derivatives of derivatives are needed. Read first: arguments.py. Read next:
primitives/elementwise.py for the first tier, kernels/composed.py and kernels/linear.py for the
second.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.arguments import (
    as_array,
    by_place,
    is_half,
    own_choices,
    prepared,
    rounded_backward,
    run,
    twin_in_float32,
    widened,
)
from tinylm.autograd.engine.part import Part
from tinylm.autograd.engine.rounding import is_rounding, kernel_of, rounded, rounding
from tinylm.autograd.engine.tensor import (
    Tensor,
    TensorLike,
    is_first_order,
    observers,
    record,
    wants_grad,
)

Function = TypeVar("Function", bound=Callable)

primitives: dict[str, Any] = {}
fused_operations: dict[str, Any] = {}  # name -> operation; a test fails if one of them has no check


class Like:
    """Shape and dtype of an argument without its values: all that the rule of a linear operation
    needs, so that the values can be freed.
    """

    __slots__ = ("shape", "dtype", "ndim", "size")

    def __init__(self, x: Tensor | np.ndarray) -> None:
        self.shape, self.dtype, self.ndim, self.size = x.shape, x.dtype, x.ndim, x.size


def composite(function: Function) -> Function:
    """Decorator for a function of operations: NumPy's errors become tinylm's, with its name."""

    @functools.wraps(function)
    def checked(*args, **options):
        return run(function.__name__, function, args, options)

    return cast(Function, checked)


def unbroadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum a Tensor over the axes along which `shape` was broadcast: the derivative of broadcasting.

    g        Tensor of a shape that `shape` broadcasts to
    returns  Tensor of `shape`
    """
    # A value that was read n times gets n cotangents, and they add up. Broadcasting reads again
    # along new leading axes, and along axes of length 1 that became longer.
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = list(range(extra))
    for i, n in enumerate(shape, extra):
        if n == 1 and g.shape[i] != 1:
            axes.append(i)
    if axes:
        g = g.sum(axis=tuple(axes))
    return g.reshape(shape)  # puts axes of length 1 back


def _as_array(out):
    """The result as an array: NumPy's full reductions return scalars."""
    if backend.is_array(out):
        return out
    return np.asarray(out)


def _show_signature(operation, function):
    """Give an operation the signature of the function of arrays it is made of, but of Tensors."""
    seen = {np.ndarray: TensorLike, np.ndarray | None: TensorLike | None}
    shown = []
    for p in inspect.signature(function).parameters.values():
        if p.name != "keep":
            shown.append(p.replace(annotation=seen.get(p.annotation, p.annotation)))
    operation.__signature__ = inspect.Signature(shown, return_annotation=Tensor)
    hints = {p.name: p.annotation for p in shown if p.annotation is not p.empty}
    operation.__annotations__ = hints | {"return": Tensor}


# From y = f(a, b) and g = dL/dy, a rule computes dL/da = g df/da. Rules are Tensor operations: with
# create_graph they are recorded like any others, which gives derivatives of every order.
def primitive(
    *rules: Callable | None,
    name: str | None = None,
    linear: bool = False,
    broadcasts: bool = False,
    view: bool = False,
    variadic: bool = False,
) -> Callable[[Callable], Callable[..., Tensor]]:
    """Decorator that makes a differentiable operation from a function of arrays.

    rules       one per positional argument: (g, y, *args, **options) -> Tensor of the argument's
                shape, written in Tensor operations; g is the cotangent, y the output, args the
                arguments as Tensors or constants. None where there is no derivative. Keyword
                arguments of the function are constants.
    linear      the rules read only shapes of args and y, never values, so values are not kept
    broadcasts  the arguments broadcast against each other; unbroadcast() is applied to the rules
    view        the result shares memory with the first argument
    variadic    any number of arguments; the one rule gets the position of its argument first
    """

    def decorate(forward):
        label = name or forward.__name__
        names = list(inspect.signature(forward).parameters)
        operands, option_names = names[: len(rules)], names[len(rules) :]

        @functools.wraps(forward)
        def operation(*args, **options):
            if not variadic:
                args, options = by_place(label, operands, option_names, args, options)
            keep = wants_grad(args)
            if keep:  # ids and masks are copied: the caller may reuse them
                args, options = own_choices(args, options)
            arrays = [as_array(a, label) for a in args]
            out = _as_array(run(label, forward, arrays, options))
            if not view:
                out = rounded(out)
            if not keep:
                result = Tensor(out)
            elif linear:  # shapes suffice: the values can be freed
                likes = [Like(a) if isinstance(a, Tensor) else a for a in args]
                saved = operation, likes, Like(out), options
                result = record(label, out, args, _apply_rules, saved, reads="")
            else:
                saved = operation, args, out, options
                result = record(label, out, args, _apply_rules, saved, reads="both")
            if view and isinstance(args[0], Tensor):
                result._version = args[0]._version  # one buffer, one version
            for observe in observers:
                observe(label, args, result, options)
            return result

        _show_signature(operation, forward)
        operation.name, operation.rules, operation.linear = label, list(rules), linear
        operation.broadcasts, operation.variadic = broadcasts, variadic
        if getattr(forward, "__module__", "").startswith("tinylm.") or name:
            primitives[label] = operation
        return operation

    return decorate


def _apply_rules(g, node):
    """The `derive` of every primitive's node: apply the rule of each argument that needs it."""
    if not isinstance(g, Tensor) and is_rounding():
        # A rule is one operation of the backward pass: backward.py rounds what it returns.
        with rounding(None):
            return _by_rules(g, node)
    return _by_rules(g, node)


def _by_rules(g, node):
    """The cotangents of a primitive's arguments, None where none is needed."""
    operation, args, out, options = node.saved
    recorded = isinstance(g, Tensor)  # create_graph: everything below is recorded in turn
    if not recorded:
        g = Tensor(g)
    y = out
    if not isinstance(out, Like):
        y = Tensor(out)
        if recorded:
            # y is a new Tensor of the same node, so that a rule that reads it, as exp's g * y, is
            # differentiated through it. Keeping the first one would be a reference cycle.
            y._node = node
            y.requires_grad = True
    if is_half(g):  # float16 is for storage: rules calculate in float32,
        g, y, *args = map(widened, (g, y, *args))  # and backward.py rounds what they return
    results = []
    for i, (arg, edge) in enumerate(zip(args, node.inputs)):
        rule = None
        if edge is not None:
            rule = _rule_of(operation, i)
        if rule is None:  # no gradient is needed, or there is none
            results.append(None)
            continue
        d = rule(g, y, *args, **options)
        if operation.broadcasts:
            d = unbroadcast(d, arg.shape)
        results.append(d if recorded or isinstance(d, Part) else d.data)
    return results


def _rule_of(operation, i):
    """The rule of argument i as (g, y, *args, **options) -> Tensor; None if it has none."""
    if operation.variadic:
        return functools.partial(operation.rules[0], i)
    return operation.rules[i]


def _replay_of(twin, halved, args, options):
    """The function that recomputes a fused operation's result by its twin, for create_graph."""
    if halved:
        twin = twin_in_float32(twin)
    return lambda: twin(*args, **options)


def _either(raw, kernel):
    """The kernel that runs `raw` where that has a result, and `kernel` elsewhere."""

    def on_device(*arrays, **options):
        found = raw(*arrays, **options)
        if found is None:
            return kernel(*arrays, **options)
        return found

    return on_device


def _without_node(backward):
    """A rule for record() of a kernel's backward, which reads what it has kept itself."""
    return lambda g, node: backward(g)


def fused(
    twin: Callable, name: str | None = None, reads: str = "inputs", raw: Callable | None = None
) -> Callable[[Callable], Callable[..., Tensor]]:
    """Decorator that makes a fast differentiable operation from a hand-written kernel.

    The kernel takes arrays and returns (out, backward). backward(g) returns one entry per
    positional argument: a freshly made array, None, or a function (out) -> array that is called
    only if that gradient is needed; `out` is the array to write it into, or None. The arrays must
    not overlap: gradients are added into them. With `keep=False` backward will not be called.

    twin    the same function of Tensors, composed of primitives: used for create_graph and as the
            oracle in tests
    reads   "both" if backward reads the output too: then changing it in place before backward is an
            error
    raw     the same function as CUDA kernels (../device/), for arrays that are not NumPy's: takes
            what the kernel takes, and returns None where only the kernel will do
    """

    def decorate(kernel):
        label = name or kernel.__name__
        parameters = [p for p in inspect.signature(kernel).parameters.values() if p.name != "keep"]
        operands = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        option_names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

        @functools.wraps(kernel)
        def operation(*args, **options):
            args, options = by_place(label, operands, option_names, args, options)
            keep = wants_grad(args)
            if keep:
                args, options = own_choices(args, options)
            arrays = [None if a is None else as_array(a, label) for a in args]
            arrays, halved = prepared(label, operands, arrays)  # float16 -> float32
            kernel = operation.kernel
            if raw is not None and type(arrays[0]) is not np.ndarray:
                kernel = _either(raw, kernel)
            kernel = kernel_of(label, kernel)
            out, backward = run(label, kernel, arrays, {"keep": keep, **options})
            out = rounded(out)
            if halved:
                out, backward = out.astype(np.float16), rounded_backward(backward)
            if keep:
                # What create_graph continues through: the twin, run on the same arguments.
                replay = None
                if not is_first_order():
                    replay = _replay_of(operation.twin, halved, args, options)
                rule = _without_node(backward)
                result = record(label, out, args, rule, replay=replay, reads=reads, fused=True)
            else:
                result = Tensor(out)
            for observe in observers:
                observe(label, args, result, options)
            return result

        _show_signature(operation, kernel)
        operation.name, operation.kernel, operation.twin = label, kernel, twin
        if kernel.__module__.startswith("tinylm.") or name:
            fused_operations[label] = operation
        return operation

    return decorate
