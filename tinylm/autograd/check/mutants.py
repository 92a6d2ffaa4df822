"""Mutants: wrong derivatives, made on purpose, every one of which the checker must reject.

For every rule of every operation the usual ways to be wrong are made mechanically here; the errors
that people really make are written out in known_rule_errors.py and known_errors.py. `planted` puts
a mutant in place of the right rule, `rejected` runs the check of its operation. A mutant that is
mathematically the right rule is left out, with its reason in SAME.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import registry
from tinylm.autograd.check import known_errors, known_rule_errors
from tinylm.autograd.check.gradcheck import check_entry
from tinylm.autograd.engine import operation
from tinylm.autograd.engine.operation import unbroadcast
from tinylm.autograd.engine.tensor import Tensor, array_of
from tinylm.autograd.primitives.reductions import mean
from tinylm.autograd.primitives.shaping import broadcast_to, flip, reshape, roll
from tinylm.autograd.registry import Entry


@dataclass(frozen=True)
class Mutant:
    """A wrong derivative of the operation `name` by one of its arguments.

    what   the error, in words
    place  what `wrong` replaces: the "rule" of a primitive, the "kernel" or the "twin" of a fused
           operation
    """

    name: str
    argument: int
    what: str
    place: str
    wrong: Callable

    def __str__(self) -> str:
        return f"{self.name}, argument {self.argument}: {self.what}"


# Changes of a derivative d (a Tensor, or an array of a fused kernel), given the cotangent g
def _lose_one(d, g):
    keep = np.ones(d.shape)
    keep.reshape(-1)[np.argmax(np.abs(array_of(d)))] = 0
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
    "not linear in the cotangent": lambda d, g: d * np.mean(np.abs(array_of(g))),
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
        for name in ("abs", "relu", "maximum", "minimum", "where", "clip", "max", "min")
    },
}
NO_DERIVATIVE = {("embedding", 0), ("add_embedding", 1), ("cross_entropy", 1)}  # integer arguments


def _cut(x):
    """The same values, cut off from the graph."""
    if isinstance(x, Tensor):
        return Tensor(x.data)
    return x


def _average(g):
    """g with every entry replaced by the mean."""
    if isinstance(g, Tensor):
        return broadcast_to(mean(g), g.shape)
    return np.full_like(g, np.mean(g))


def _wrong_rule(op, argument, right, what):
    """A primitive's rule with one error: in what it reads, or in what it returns."""

    def rule(*given, **options):
        first = ()  # a variadic rule gets the position of its argument first
        if op.variadic:
            first, given = given[:1], given[1:]
        g, y, *args = given
        if what == AVERAGED:
            return right(*first, _average(g), y, *args, **options)
        if what == COTANGENT_CUT:
            return right(*first, _cut(g), y, *args, **options)
        if what == VALUES_CUT:
            return right(*first, g, _cut(y), *map(_cut, args), **options)
        if what == OTHER and op.variadic:
            return right((first[0] + 1) % len(args), g, y, *args, **options)
        if what == OTHER:
            other = _others(op, argument)[0]
            return op_rules[op.name][other](g, y, *args, **options)
        d = right(*first, g, y, *args, **options)
        if what in (SUM_IS_MEAN, SUM_IS_FIRST):
            return _summed_wrongly(d, g, args[argument].shape, what)
        return CHANGES[what](d, g)

    return rule


def _summed_wrongly(d, g, shape, what):
    """The derivative d of a broadcast argument, brought to its `shape` by a mean or by [0]."""
    full = broadcast_to(d, g.shape)
    if what == SUM_IS_FIRST:
        return _first(full, shape)
    total = unbroadcast(full, shape)
    return total * (total.size / full.size)


def _first(full, shape):
    """The first slice along every axis that `shape` was broadcast along."""
    full = full[(0,) * (full.ndim - len(shape))]
    return full[tuple(slice(0, n) for n in shape)]


op_rules = {}  # the right rules, kept while one of them is replaced


def _others(op, argument):
    """The other arguments that have a rule."""
    return [j for j, rule in enumerate(op_rules[op.name]) if rule is not None and j != argument]


def _of_primitive(name, op):
    """All mutants of a primitive."""
    op_rules[name] = list(op.rules)
    for i, right in enumerate(op.rules):
        if right is None:
            continue
        whats = [*CHANGES, AVERAGED, COTANGENT_CUT]
        if not op.linear:  # a linear rule reads no values
            whats.append(VALUES_CUT)
        if op.variadic or _others(op, i):
            whats.append(OTHER)
        if op.broadcasts:
            whats += [SUM_IS_MEAN, SUM_IS_FIRST]
        for what in whats:
            yield Mutant(name, i, what, "rule", _wrong_rule(op, i, right, what))
    for i, what, wrong in known_rule_errors.PRIMITIVE.get(name, ()):
        yield Mutant(name, i, what, "rule", wrong)


def _wrong_kernel(right, i, change):
    """A fused kernel with one wrong derivative.

    change  (backward, derivatives, g, out, args, options) -> the wrong derivative i
    """

    def kernel(*args, keep, **options):
        out, backward = right(*args, keep=keep, **options)

        def wrong(g):
            parts = _formed(backward(g))
            if i < len(parts) and parts[i] is not None:
                parts[i] = np.asarray(array_of(change(backward, parts, g, out, args, options)))
            return parts

        return out, wrong

    return kernel


def _formed(parts):
    """A kernel's derivatives, lazy ones computed."""
    return [p(None) if callable(p) else p for p in parts]


def _twin_without(twin, i):
    """A twin that takes argument i for a constant: its derivative is lost."""

    def wrong(*args, **options):
        args = list(args)
        if i < len(args):
            args[i] = _cut(args[i])
        return twin(*args, **options)

    return wrong


def _of_fused(name, op):
    """All mutants of a fused operation."""
    right, twin = op.kernel, op.twin
    count = sum(p.kind == p.POSITIONAL_OR_KEYWORD for p in op.__signature__.parameters.values())
    differentiable = [i for i in range(count) if (name, i) not in NO_DERIVATIVE]
    for i in differentiable:
        others = [j for j in differentiable if j != i]
        for what, change in _changes_of_kernel(i, others):
            yield Mutant(name, i, what, "kernel", _wrong_kernel(right, i, change))
        what = "twin that takes the argument for a constant"
        yield Mutant(name, i, what, "twin", _twin_without(twin, i))
    for i, what, wrong in known_errors.FUSED.get(name, ()):
        yield Mutant(name, i, what, "kernel", _wrong_kernel(right, i, _written_out(i, wrong)))

    def larger(*args, **options):
        return twin(*args, **options) * (1 + 1e-9)

    yield Mutant(name, 0, "twin larger by one part in 10^9", "twin", larger)


def _changes_of_kernel(i, others):
    """Mechanical errors in derivative i: pairs (what, change), `change` as in _wrong_kernel."""
    for what, change in CHANGES.items():
        yield what, lambda backward, parts, g, *rest, change=change: change(parts[i], g)
    yield AVERAGED, lambda backward, parts, g, *rest: _formed(backward(_average(g)))[i]
    if others:
        yield OTHER, lambda backward, parts, g, *rest: parts[others[0]]


def _written_out(i, wrong):
    """An error of known_errors.py as a `change` of _wrong_kernel."""
    return lambda backward, parts, g, out, args, options: wrong(g, out, parts[i], *args, **options)


def own(operations: dict[str, Callable]) -> dict[str, Callable]:
    """The operations of a dictionary that tinylm defines; users may have added theirs."""
    return {name: op for name, op in operations.items() if op.__module__.startswith("tinylm.")}


def all_mutants() -> tuple[list[Mutant], list[tuple]]:
    """(mutants, left out): a list of Mutants, and pairs (Mutant, reason) of those in SAME."""
    made = [m for name, op in own(operation.primitives).items() for m in _of_primitive(name, op)]
    made += [m for name, op in own(operation.fused_operations).items() for m in _of_fused(name, op)]
    mutants, left_out = [], []
    for m in made:
        if (m.name, m.what) in SAME:
            left_out.append((m, SAME[m.name, m.what]))
        else:
            mutants.append(m)
    return mutants, left_out


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Context in which the operation computes its derivative wrongly."""
    op = operation.primitives.get(mutant.name) or operation.fused_operations[mutant.name]

    def put(function):
        if mutant.place == "rule":
            op.rules[mutant.argument] = function
        else:
            setattr(op, mutant.place, function)

    if mutant.place == "rule":
        right = op.rules[mutant.argument]
    else:
        right = getattr(op, mutant.place)
    put(mutant.wrong)
    try:
        yield
    finally:
        put(right)


def entry_for(name: str) -> Entry:
    """The entry that checks the rules of an operation."""
    return next(entry for entry in registry.load_all().values() if name in entry.covers)


def rejected(mutant: Mutant, **settings: Any) -> str:
    """The detail with which the check of the operation's entry rejects the mutant; "" if it passes.

    A verdict of "kink" or "not repeatable" proves nothing and does not count.
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
