"""How an operation is defined: a forward on arrays and its derivatives, in one of two tiers.

`primitive`: the derivative of each argument is a formula in Tensors, so it can be differentiated
again. `fused`: forward and backward by hand on raw arrays, with a twin made of primitives that says
the same thing plainly; the twin is used whenever derivatives of derivatives are wanted, and as the
oracle in tests. Read first: arguments.py. Read next: primitives/elementwise.py for the first tier,
kernels/composed.py and kernels/linear.py for the second.
"""

import functools
import inspect

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
from tinylm.autograd.engine.tensor import Tensor, is_first_order, observers, record, wants_grad

primitives = {}
fused_operations = {}  # name -> operation; what the coverage gate of the checks walks


class Like:
    """What a linear rule may know of an argument: shape and dtype, but not the values, so that they
    can be freed.
    """

    __slots__ = ("shape", "dtype", "ndim", "size")

    def __init__(self, x):
        self.shape, self.dtype, self.ndim, self.size = x.shape, x.dtype, x.ndim, x.size


def composite(function):
    """Decorator for a function made of operations: what NumPy or Python complains about becomes an
    error of ours.
    """

    @functools.wraps(function)
    def checked(*args, **options):
        return run(function.__name__, function, args, options)

    return checked


def unbroadcast(g, shape):
    """Sum a Tensor over the axes along which `shape` was broadcast: the derivative of broadcasting.

    g        Tensor (*extra, *broadcast of shape)
    returns  Tensor of `shape`
    """
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1
    )
    return (g.sum(axis=axes) if axes else g).reshape(shape)


def _as_array(out):
    # NumPy's full reductions give scalars
    if backend.is_array(out):
        return out
    return np.asarray(out)


def primitive(*rules, name=None, linear=False, broadcasts=False, view=False, variadic=False):
    """Decorator that makes a differentiable operation from a function of arrays.

    rules       one per positional argument: (g, y, *args, **options) -> Tensor of the argument's
                shape, written in Tensor operations; g is the cotangent, y the output, args the
                arguments as Tensors or constants. None where there is no derivative. Keyword
                arguments of the function are constants.
    linear      the rules read only shapes of args and y, never values: those are not kept
    broadcasts  the arguments broadcast against each other; the sum that undoes it is added here
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
            if wants_grad(args):
                args, options = own_choices(args, options)
            arrays = [as_array(a, label) for a in args]
            out = _as_array(run(label, forward, arrays, options))
            if linear:
                kept = (
                    operation,
                    [Like(a) if isinstance(a, Tensor) else a for a in args],
                    Like(out),
                    options,
                )
                result = record(label, out, args, _apply_rules, kept, reads="")
            else:
                result = record(
                    label, out, args, _apply_rules, (operation, args, out, options), reads="both"
                )
            if view and isinstance(args[0], Tensor):
                result._version = args[0]._version  # one buffer, one version
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
    recorded = isinstance(g, Tensor)  # create_graph: everything below is recorded in turn
    if not recorded:
        g = Tensor(g)
    y = out if isinstance(out, Like) else Tensor(out)
    if recorded and isinstance(y, Tensor):
        y._node = node
        y.requires_grad = True  # the output as a part of the graph; not held, so no reference cycle
    if is_half(g):  # float16 is for storage: rules calculate in float32,
        g, y, *args = map(widened, (g, y, *args))  # and backward.py rounds what they return
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

    The kernel takes arrays and returns (out, backward); backward(g) gives one entry per positional
    argument: a freshly made array, None, or a function of `out` that is called only if that
    gradient is wanted, with the array to write it into or None. The arrays must not overlap:
    gradients are added into them. `keep=False` tells the kernel that backward will not be called.
    twin    the same mathematics in primitives: what is used for create_graph, and what the tests
            compare with
    reads   "both" if backward reads the output too: then changing it in place before backward is an
            error
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
            arrays = [as_array(a, label) if a is not None else None for a in args]
            arrays, halved = prepared(label, operands, arrays)
            out, backward = run(label, operation.kernel, arrays, {"keep": keep, **options})
            if halved:
                out, backward = out.astype(np.float16), rounded_backward(backward)
            if keep:
                twin = twin_in_float32(operation.twin) if halved else operation.twin
                replay = None if is_first_order() else lambda: twin(*args, **options)
                result = record(
                    label,
                    out,
                    args,
                    lambda g, node: backward(g),
                    replay=replay,
                    reads=reads,
                    fused=True,
                )
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
