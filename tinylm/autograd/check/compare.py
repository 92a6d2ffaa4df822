"""The comparisons that a check consists of; the first that fails ends it by raising `Found`.

In this order: two runs are equal; the Jacobian equals differences; fused operations equal their
twins, and <u, J v> = <J^T u, v>; float32 and float16 agree with float64. J is the Jacobian of all
outputs by all inputs, (n_out, n_in). Read next: gradcheck.py, which runs them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.autograd.check.differences import (
    Gradient,
    Subject,
    examine,
    flat,
    measure,
    parts_of,
    pull,
)
from tinylm.autograd.engine.tensor import Tensor
from tinylm.errors import GraphError

if TYPE_CHECKING:
    from tinylm.autograd.check.gradcheck import Report


EXACT = 1e-12  # two ways to compute the same numbers in float64
FULL = 1500  # Jacobians up to this many entries are checked entirely
DIRECTIONS = 2  # random directions per input otherwise, and over all


class Found(Exception):
    """Ends a check early: (verdict, detail)."""


def require_graph(name: str, subject: Subject) -> list[Tensor]:
    """The subject's outputs. Raises GraphError if it has no input, or no recorded output."""
    outputs = subject.run()
    if not subject.leaves:
        raise GraphError(
            f"gradcheck: {name} has no input to differentiate: pass floating-point arrays, "
            f"not {_kinds(subject.args)}"
        )
    if not outputs:
        raise GraphError(
            f"gradcheck: {name} returned no floating-point Tensor: return the Tensor itself, "
            "not its .data or .item()"
        )
    if not any(y.requires_grad for y in outputs):
        raise GraphError(
            f"gradcheck: {name} recorded nothing: no operation leads from "
            f"{', '.join(subject.labels)} to its result (was it computed from .data, or inside "
            "no_grad()?)"
        )
    return outputs


def _kinds(args):
    """The dtypes or types of arguments, for an error message."""
    kinds = [str(getattr(a, "dtype", type(a).__name__)) for a in args]
    return ", ".join(kinds) or "nothing"


def repeatable(subject: Subject, weights: Sequence[np.ndarray]) -> None:
    """Two runs give the same bits, forward and backward; unrecorded ones give the same values.

    weights  one cotangent per output
    """
    runs = [subject.run() for _ in range(2)]
    cotangents = [Tensor(w) for w in weights]
    values = [flat(outputs) for outputs in runs]
    gradients = [flat(pull(outputs, subject.leaves, cotangents)) for outputs in runs]
    for what, pair in (("values", values), ("gradients", gradients)):
        if not np.array_equal(*pair, equal_nan=True):
            raise Found(
                "not repeatable",
                f"two runs on the same inputs give other {what}: draw from a tinylm Random, "
                "which is rewound, or fix the seed",
            )
    gap = _distance(values[0], subject.values())  # values() runs inside no_grad()
    if gap > EXACT:
        raise Found("wrong", f"inside no_grad() the values differ by {gap:.1e}")


def _distance(a, b):
    """Largest difference relative to the largest value of b; infinite where only one is NaN."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.max(np.abs(a - b)[~same], initial=0)
    if np.isnan(gap):
        return np.inf
    return gap / max(_largest(b), 1e-3)


def jacobian(
    report: "Report",
    subject: Gradient | Subject,
    order: int,
    mode: str,
    tolerance: float,
    rng: "np.random.Generator",
    cotangent: Callable,
) -> None:
    """U J V computed by the engine and by differences.

    The rows of U (rows, n_out) are cotangents: backward gives one row of U J at a time. The columns
    of V (n_in, directions) are directions: differences give one column of J V at a time.
    """
    outputs, leaves = subject.run(), subject.leaves
    n_out = sum(y.size for y in outputs)
    n_in = sum(x.size for x in leaves)
    largest = FULL if order == 1 else FULL / 10
    full = mode == "full" or (mode == "auto" and n_out * n_in <= largest)

    # One random cotangent always; every output and every input by itself if the Jacobian is small.
    drawn = [cotangent(rng, y.shape).reshape(1, -1) for y in outputs]
    rows = np.concatenate(drawn, axis=1)  # (1, n_out)
    if full:
        rows = np.concatenate([rows, np.eye(n_out)])
        directions = np.eye(n_in)
    else:
        directions = _directions(leaves, rng)
    rows_of_j = [_row(subject, outputs, row) for row in rows]
    engine = np.array(rows_of_j) @ directions.T  # (rows, n_in) -> (rows, directions)
    columns_of_j = [rows @ measure(subject, d) for d in directions]
    measured = np.stack(columns_of_j, axis=1)  # (rows, directions)

    # Errors are relative to the numbers compared, but not to numbers much smaller than the rest:
    # differences carry the rounding of the values.
    typical = np.sqrt(np.mean(np.square(measured)))
    floor = max(1e-3 * typical, 1e-4 * np.max(np.abs(subject.values())), 1e-30)
    worst = _relative(engine, measured, floor).max(axis=0)
    for j in np.flatnonzero(~(worst <= tolerance)):  # `not <=` is true of nan as well
        # Measured again with ever smaller steps before the rule is called wrong.
        closer, kink = examine(subject, directions[j])
        measured[:, j] = rows @ closer
        error = _relative(engine[:, j], measured[:, j], floor)
        if error.max() <= tolerance:
            continue
        report.note(order, error.max(), measured.size)
        at = np.argmax(error)
        numbers = f"the engine gives {engine[at, j]:.8g}, differences give {measured[at, j]:.8g}"
        if full:
            where = _place(subject, directions[j])
        else:
            where = _towards(subject, directions[j])
        if kink:
            raise Found(
                "kink", f"near a kink or jump at {where}: {numbers}; check at another point"
            )
        raise Found("wrong", f"derivative of order {order} by {where}: {numbers}")
    report.note(order, _relative(engine, measured, floor).max(initial=0), measured.size)


def _row(subject, outputs, row):
    """row @ J by the engine: (n_out,) -> (n_in,)."""
    cotangents = [Tensor(w) for w in parts_of(row, outputs, subject.device)]
    return flat(pull(outputs, subject.leaves, cotangents))


def _relative(a, b, floor):
    """|a - b| relative to the larger of |a| and |b|, or to `floor` if both are smaller."""
    size = np.maximum(np.abs(a), np.abs(b))
    return np.abs(a - b) / np.maximum(size, floor)


def _directions(leaves, rng):
    """Random unit directions (directions, n_in): some within each input, some through all."""
    sizes = [leaf.size for leaf in leaves]
    borders = np.cumsum([0, *sizes])
    spans = [slice(i, j) for i, j in zip(borders, borders[1:]) if j > i]
    spans.append(slice(0, borders[-1]))
    directions = np.zeros((len(spans) * DIRECTIONS, borders[-1]))
    for row, span in zip(directions, spans * DIRECTIONS):
        row[span] = rng.normal(size=row[span].shape)
        row /= np.linalg.norm(row)
    return directions


def _place(subject, direction):
    """The input and index that a unit vector moves, for an error message."""
    at = int(np.argmax(direction))
    for label, leaf in zip(subject.labels, subject.leaves):
        if at < leaf.size:
            index = tuple(int(i) for i in np.unravel_index(at, leaf.shape))
            return f"input '{label}' index {index}"
        at -= leaf.size


def _towards(subject, direction):
    """The inputs that a random direction moves, for an error message."""
    parts = parts_of(direction, subject.leaves, "cpu")
    moved = [label for label, part in zip(subject.labels, parts) if np.any(part)]
    noun = "input" if len(moved) == 1 else "inputs"
    return f"{noun} '{', '.join(moved)}' along a random direction"


def two_ways(
    subject: Subject, gradient: Gradient, weights: Sequence[np.ndarray], rng: "np.random.Generator"
) -> None:
    """What can be computed in two ways agrees, without differences and their step.

    gradient  the Gradient of the subject with cotangents `weights`
    """
    # A fused operation and its twin have the same values,
    for y in subject.run():
        node = y._node
        if node is None or not node.fused or not node.replay:
            continue
        gap = _distance(flat([y]), flat([node.replay()]))
        if gap > EXACT:
            raise Found("wrong", f"{node.op} and its composed twin differ in value by {gap:.1e}")
    # and the kernel's gradient is that of the twin, which create_graph differentiates.
    recorded, plain = gradient.run(), flat(gradient.run(create_graph=False))
    gap = _distance(plain, flat(recorded))
    if gap > EXACT:
        raise Found(
            "wrong", f"the gradient differs by {gap:.1e} from the one that create_graph records"
        )
    # <u, J v> = <J^T u, v>. The gradient J^T u is linear in u, so its derivative by u is J.
    v = [
        Tensor(backend.to_device(rng.normal(size=x.shape), subject.device)) for x in subject.leaves
    ]
    u, jv = flat(weights), flat(pull(recorded, gradient.cotangents, v))
    left, right = u @ jv, plain @ flat(v)
    allowed = 1e3 * EXACT * (np.linalg.norm(u) * np.linalg.norm(jv) + abs(right))
    if not abs(left - right) <= allowed:
        raise Found(
            "wrong",
            f"<u, Jv> = {left:.12g}, but <J^T u, v> = {right:.12g}: the gradient is not linear in "
            "the cotangent, or its derivative by it is wrong",
        )


def against_float64(
    report: "Report",
    function: Callable,
    args: Sequence,
    options: dict[str, Any],
    tolerance: float,
    rng: "np.random.Generator",
    device: str,
) -> None:
    """Values and gradients in a short dtype, against float64 at the same (rounded) point."""
    found = []  # (values, gradients) in the short dtype, then in float64
    with Subject(function, args, options, report.dtype, device) as short:
        outputs = require_graph(report.name, short)
        weights = [rng.normal(size=y.shape).astype(report.dtype) for y in outputs]
        for dtype in (report.dtype, "float64"):
            with Subject(function, short.args, short.options, dtype, device) as subject:
                found.append(_values_and_gradients(subject, dtype, weights))
    for what, low, high in zip(("value", "gradient"), *found):
        top = max(_largest(b) for b in high)
        for a, b in zip(low, high):
            # Relative to the largest entry. A part far smaller than the others, as a bias that
            # cancels, is held to a tenth of the largest part.
            error = np.max(np.abs(a - b), initial=0) / max(_largest(b), 0.1 * top, 1e-30)
            report.note(1, error, a.size)
            if not error <= tolerance:
                raise Found(
                    "wrong",
                    f"{what} in {report.dtype} is off by {error:.1e} of its largest entry in "
                    "float64",
                )


def _values_and_gradients(subject, dtype, weights):
    """Two lists of float64 vectors, one entry per output and one per input."""
    outputs = subject.run()
    for y in outputs:
        if y.dtype != dtype:
            raise Found("wrong", f"{dtype} inputs give a {y.dtype} result")
    cotangents = [Tensor(backend.to_device(w.astype(dtype), subject.device)) for w in weights]
    gradients = pull(outputs, subject.leaves, cotangents)
    return [flat([y]) for y in outputs], [flat([g]) for g in gradients]


def _largest(x):
    return np.max(np.abs(x[np.isfinite(x)]), initial=0)
