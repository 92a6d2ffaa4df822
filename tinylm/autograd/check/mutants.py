"""Why the checker may be believed: wrong derivatives, made on purpose, every one of which it must
reject.

For every rule of every operation the usual ways to be wrong are made mechanically here; the errors
that people really make are written out in known_errors.py. `planted` puts a mutant in place of the
right rule, `rejected` runs the same check as always. A mutant that is mathematically the right rule
is left out, with its reason in SAME.
"""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import registry
from tinylm.autograd.check import known_errors
from tinylm.autograd.check.gradcheck import check_entry
from tinylm.autograd.engine import operation
from tinylm.autograd.engine.operation import unbroadcast
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.primitives.reductions import mean
from tinylm.autograd.primitives.shaping import broadcast_to, flip, reshape, roll


@dataclass(frozen=True)
class Mutant:
    """A wrong derivative of the operation `name` by one of its arguments; `wrong` is put in
    `place`.
    """

    name: str
    argument: int
    what: str
    place: str  # "rule" (primitive), "kernel" or "twin" (fused)
    wrong: Callable

    def __str__(self):
        return f"{self.name}, argument {self.argument}: {self.what}"


# Changes of a derivative d (a Tensor, or an array of a fused kernel), given the cotangent g
def _lose_one(d, g):
    keep = np.ones(d.shape)
    keep.reshape(-1)[np.argmax(np.abs(_array(d)))] = 0
    return d * keep


def _noise(d, g):
    return d * (1 + 1e-5 * np.cos(np.arange(d.size))).reshape(d.shape)


CHANGES = {
    "zero": lambda d, g: d * 0.0,
    "negated": lambda d, g: -d,
    "one percent too large": lambda d, g: d * 1.01,
    "noise of one part in 100,000": _noise,
    "largest element lost": _lose_one,
    "moved by one place": lambda d, g: roll(d, 1),
    "in reversed order": lambda d, g: reshape(flip(reshape(d, (-1,))), d.shape),
    "not linear in the cotangent": lambda d, g: d * np.mean(np.abs(_array(g))),
}
# Changes of what a primitive's rule reads, and of the sum that undoes broadcasting
AVERAGED = "the cotangent averaged over the output"
VALUES_CUT = "argument values cut from the graph"
COTANGENT_CUT = "the cotangent cut from the graph"
OTHER = "the derivative of another argument"
SUM_IS_MEAN = "broadcasting undone by a mean"
SUM_IS_FIRST = "broadcasting undone by taking the first"

PIECEWISE = "piecewise linear: where it is smooth it has no second derivative to lose"
SAME = {
    ("add", OTHER): "both derivatives are the cotangent itself",
    **{
        (name, VALUES_CUT): PIECEWISE
        for name in ("abs", "maximum", "minimum", "where", "clip", "max", "min")
    },
}
NO_DERIVATIVE = {("embedding", 0), ("cross_entropy", 1)}  # integer arguments


def _array(x):
    if isinstance(x, Tensor):
        return x.data
    return x


def _cut(x):
    if isinstance(x, Tensor):
        return Tensor(x.data)
    return x


def _average(g):
    if isinstance(g, Tensor):
        return broadcast_to(mean(g), g.shape)
    return np.full_like(g, np.mean(g))


def _wrong_rule(op, argument, right, what):
    """A primitive's rule with one error."""

    def rule(*given, **options):
        first, (g, y, *args) = (given[:1], given[1:]) if op.variadic else ((), given)
        if what == AVERAGED:
            return right(*first, _average(g), y, *args, **options)
        if what == COTANGENT_CUT:
            return right(*first, _cut(g), y, *args, **options)
        if what == VALUES_CUT:
            return right(*first, g, _cut(y), *map(_cut, args), **options)
        if what == OTHER:
            other = (first[0] + 1) % len(args) if op.variadic else _others(op, argument)[0]
            if op.variadic:
                return right(other, g, y, *args, **options)
            return op_rules[op.name][other](g, y, *args, **options)
        d = right(*first, g, y, *args, **options)
        if what in (SUM_IS_MEAN, SUM_IS_FIRST):
            shape = args[argument].shape
            full = broadcast_to(d, g.shape)
            total = unbroadcast(full, shape)
            if what == SUM_IS_MEAN:
                return total * (total.size / full.size)
            return _first(full, shape)
        return CHANGES[what](d, g)

    return rule


def _first(full, shape):
    """The first slice along every axis that `shape` was broadcast along."""
    full = full[(0,) * (full.ndim - len(shape))]
    return full[tuple(slice(0, n) for n in shape)]


op_rules = {}  # the right rules, kept while one of them is replaced


def _others(op, argument):
    return [j for j, rule in enumerate(op_rules[op.name]) if rule is not None and j != argument]


def _of_primitive(name, op):
    op_rules[name] = list(op.rules)
    for i, right in enumerate(op.rules):
        if right is None:
            continue
        whats = [*CHANGES, AVERAGED, COTANGENT_CUT]
        whats += [] if op.linear else [VALUES_CUT]
        whats += [OTHER] if op.variadic or _others(op, i) else []
        whats += [SUM_IS_MEAN, SUM_IS_FIRST] if op.broadcasts else []
        for what in whats:
            yield Mutant(name, i, what, "rule", _wrong_rule(op, i, right, what))
    for i, what, wrong in known_errors.PRIMITIVE.get(name, ()):
        yield Mutant(name, i, what, "rule", wrong)


def _wrong_kernel(right, i, change):
    """A fused kernel whose backward is changed: change(derivatives, g, out, args, options) ->
    derivative i.
    """

    def kernel(*args, keep, **options):
        out, backward = right(*args, keep=keep, **options)

        def wrong(g):
            parts = _formed(backward(g))
            if i < len(parts) and parts[i] is not None:
                parts[i] = np.asarray(_array(change(backward, parts, g, out, args, options)))
            return parts

        return out, wrong

    return kernel


def _formed(parts):
    return [p(None) if callable(p) else p for p in parts]


def _of_fused(name, op):
    right, twin = op.kernel, op.twin
    count = sum(p.kind == p.POSITIONAL_OR_KEYWORD for p in op.__signature__.parameters.values())
    for i in range(count):
        if (name, i) in NO_DERIVATIVE:
            continue
        changes = {
            what: lambda backward, parts, g, *rest, i=i, change=change: change(parts[i], g)
            for what, change in CHANGES.items()
        }
        changes[AVERAGED] = lambda backward, parts, g, *rest, i=i: _formed(backward(_average(g)))[i]
        others = [j for j in range(count) if j != i and (name, j) not in NO_DERIVATIVE]
        if others:
            changes[OTHER] = lambda backward, parts, g, *rest, j=others[0]: parts[j]
        for what, change in changes.items():
            yield Mutant(name, i, what, "kernel", _wrong_kernel(right, i, change))
        yield Mutant(
            name,
            i,
            "twin that takes the argument for a constant",
            "twin",
            lambda *args, i=i, **options: twin(
                *[_cut(a) if j == i else a for j, a in enumerate(args)], **options
            ),
        )
    for i, what, wrong in known_errors.FUSED.get(name, ()):
        yield Mutant(
            name,
            i,
            what,
            "kernel",
            _wrong_kernel(
                right,
                i,
                lambda backward, parts, g, out, args, options, i=i, wrong=wrong: wrong(
                    g, out, parts[i], *args, **options
                ),
            ),
        )
    yield Mutant(
        name,
        0,
        "twin larger by one part in 10^9",
        "twin",
        lambda *args, **options: twin(*args, **options) * (1 + 1e-9),
    )


def own(operations):
    """Of a dictionary of operations those that tinylm defines; users may add theirs."""
    return {name: op for name, op in operations.items() if op.__module__.startswith("tinylm.")}


def all_mutants():
    """(mutants, left out): a list of Mutants, and those that are no errors as (Mutant, reason)
    pairs.
    """
    made = [m for name, op in own(operation.primitives).items() for m in _of_primitive(name, op)]
    made += [m for name, op in own(operation.fused_operations).items() for m in _of_fused(name, op)]
    return (
        [m for m in made if (m.name, m.what) not in SAME],
        [(m, SAME[m.name, m.what]) for m in made if (m.name, m.what) in SAME],
    )


@contextlib.contextmanager
def planted(mutant):
    """Inside, the operation computes its derivative wrongly."""
    op = operation.primitives.get(mutant.name) or operation.fused_operations[mutant.name]
    if mutant.place == "rule":
        right, op.rules[mutant.argument] = op.rules[mutant.argument], mutant.wrong
    else:
        right = getattr(op, mutant.place)
        setattr(op, mutant.place, mutant.wrong)
    try:
        yield
    finally:
        if mutant.place == "rule":
            op.rules[mutant.argument] = right
        else:
            setattr(op, mutant.place, right)


def entry_for(name):
    """The entry that answers for an operation."""
    return next(entry for entry in registry.load_all().values() if name in entry.covers)


def rejected(mutant, **settings):
    """How the check of the operation's own entry ends: "" if it accepts the mutant, else what it
    says.

    A verdict of "kink" or "not repeatable" would be no proof and does not count.
    """
    with planted(mutant), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # wrong rules may divide by zero
        try:
            report = check_entry(entry_for(mutant.name), **{"order": 1, **settings})
            if report and "order" not in settings:
                report = check_entry(entry_for(mutant.name), **settings)
        except Exception as error:  # a rule so wrong that backward stops is found too
            return f"{type(error).__name__}: {error}"
    if report.verdict in ("wrong", "error"):
        return report.detail
    return ""
