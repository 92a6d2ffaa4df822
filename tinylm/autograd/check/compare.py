"""The comparisons that a check consists of; the first that fails ends it by raising `Found`.

Repeatability, the Jacobian against differences, fused operations against their twins, a product
that can be taken from either side, and short dtypes against float64. Read next: gradcheck.py, which
runs them.
"""

import numpy as np

from tinylm import backend
from tinylm.autograd.check.differences import Subject, examine, flat, measure, parts_of, pull
from tinylm.autograd.engine.tensor import Tensor
from tinylm.errors import GraphError

EXACT = 1e-12  # two ways to compute the same numbers in float64
FULL = 1500  # Jacobians up to this many entries are checked entirely
DIRECTIONS = 2  # random directions per input otherwise, and over all


class Found(Exception):
    """Ends a check early: (verdict, detail)."""


def require_graph(name, subject):
    """Raise GraphError, saying what to mend, unless the subject has inputs and a recorded output to
    differentiate.
    """
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
            f"gradcheck: {name} recorded nothing: no operation leads from {', '.join(subject.labels)} "
            "to its result (was it computed from .data, or inside no_grad()?)"
        )
    return outputs


def _kinds(args):
    return ", ".join(str(getattr(a, "dtype", type(a).__name__)) for a in args) or "nothing"


def repeatable(subject, weights):
    """The same inputs give the same bits, forward and backward, and with nothing recorded the same
    values.
    """
    runs = [subject.run() for _ in range(2)]
    grads = [flat(pull(outputs, subject.leaves, [Tensor(w) for w in weights])) for outputs in runs]
    for what, (a, b) in (("values", [flat(r) for r in runs]), ("gradients", grads)):
        if not np.array_equal(a, b, equal_nan=True):
            raise Found(
                "not repeatable",
                f"two runs on the same inputs give other {what}: draw from a tinylm Random, "
                "which is rewound, or fix the seed",
            )
    recorded, plain = flat(runs[0]), subject.values()
    if _distance(recorded, plain) > EXACT:
        raise Found(
            "wrong", f"inside no_grad() the values differ by {_distance(recorded, plain):.1e}"
        )


def _distance(a, b):
    """Largest difference relative to the largest value of b; infinite if one is NaN where the other
    is not.
    """
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.max(np.abs(a - b)[~same], initial=0)
    if np.isnan(gap):
        return np.inf
    return gap / max(np.max(np.abs(b[np.isfinite(b)]), initial=0), 1e-3)


def jacobian(report, subject, order, mode, tolerance, rng, cotangent):
    """Jacobian of a subject, row by row from the engine, column by column from differences."""
    outputs, leaves = subject.run(), subject.leaves
    n_out, n_in = sum(y.size for y in outputs), sum(x.size for x in leaves)
    full = mode == "full" or mode == "auto" and n_out * n_in <= (FULL if order == 1 else FULL / 10)
    rows = np.concatenate(
        [cotangent(rng, y.shape).reshape(1, -1) for y in outputs], axis=1
    )  # (1, n_out)
    if full:
        rows = np.concatenate([rows, np.eye(n_out)])
    engine = np.array(
        [
            flat(pull(outputs, leaves, [Tensor(w) for w in parts_of(row, outputs, subject.device)]))
            for row in rows
        ]
    )
    directions = np.eye(n_in) if full else _directions(leaves, rng)
    told = engine @ directions.T  # (rows, directions)
    seen = np.stack([rows @ measure(subject, d) for d in directions], axis=1)
    floor = max(
        1e-3 * np.sqrt(np.mean(np.square(seen))), 1e-4 * np.max(np.abs(subject.values())), 1e-30
    )
    for j in np.flatnonzero(~(_relative(told, seen, floor).max(axis=0) <= tolerance)):
        place = _place(subject, directions[j]) if full else _towards(subject, directions[j])
        closer, kink = examine(subject, directions[j])
        seen[:, j] = rows @ closer
        error = _relative(told[:, j], seen[:, j], floor)
        if not error.max() <= tolerance:
            report.note(order, error.max(), seen.size)
            worst = np.argmax(error)
            numbers = f"the engine says {told[worst, j]:.8g}, differences say {seen[worst, j]:.8g}"
            if kink:
                raise Found(
                    "kink", f"near a kink or jump at {place}: {numbers}; check at another point"
                )
            raise Found("wrong", f"derivative of order {order} by {place}: {numbers}")
    report.note(order, _relative(told, seen, floor).max(initial=0), seen.size)


def _relative(a, b, floor):
    return np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)


def _directions(leaves, rng):
    """Random unit directions: some within each input, some through all of them."""
    sizes = [leaf.size for leaf in leaves]
    borders = np.cumsum([0, *sizes])
    spans = [slice(i, j) for i, j in zip(borders, borders[1:]) if j > i] + [slice(0, borders[-1])]
    directions = np.zeros((len(spans) * DIRECTIONS, borders[-1]))
    for row, span in zip(directions, spans * DIRECTIONS):
        row[span] = rng.normal(size=row[span].shape)
        row /= np.linalg.norm(row)
    return directions


def _place(subject, direction):
    at = int(np.argmax(direction))
    for label, leaf in zip(subject.labels, subject.leaves):
        if at < leaf.size:
            return (
                f"input '{label}' index {tuple(int(i) for i in np.unravel_index(at, leaf.shape))}"
            )
        at -= leaf.size


def _towards(subject, direction):
    moved = [
        label
        for label, part in zip(subject.labels, parts_of(direction, subject.leaves, "cpu"))
        if np.any(part)
    ]
    return (
        f"{'input' if len(moved) == 1 else 'inputs'} '{', '.join(moved)}' along a random direction"
    )


def two_ways(subject, gradient, weights, rng):
    """What can be computed twice agrees: fused and composed, and <u, Jv> = <J^T u, v> without any
    step.
    """
    for y in subject.run():
        replay = y._node.replay if y._node is not None and y._node.fused else None
        gap = _distance(flat([y]), flat([replay()])) if replay else 0
        if gap > EXACT:
            raise Found("wrong", f"{y._node.op} and its composed twin differ in value by {gap:.1e}")
    recorded, plain = gradient.run(), flat(gradient.run(create_graph=False))
    gap = _distance(plain, flat(recorded))
    if gap > EXACT:
        raise Found(
            "wrong", f"the gradient differs by {gap:.1e} from the one that create_graph records"
        )
    v = [
        Tensor(backend.to_device(rng.normal(size=x.shape), subject.device)) for x in subject.leaves
    ]
    jv = pull(recorded, gradient.cotangents, v)  # J^T u is linear in u: its derivative by u is J
    left, right = flat(weights) @ flat(jv), plain @ flat(v)
    if not abs(left - right) <= 1e3 * EXACT * (
        np.linalg.norm(flat(weights)) * np.linalg.norm(flat(jv)) + abs(right)
    ):
        raise Found(
            "wrong",
            f"<u, Jv> = {left:.12g}, but <J^T u, v> = {right:.12g}: the gradient is not linear in the "
            "cotangent, or its derivative by it is wrong",
        )


def against_float64(report, function, args, options, tolerance, rng, device):
    """Values and gradients in a short dtype, against float64 at the same (rounded) point."""
    found = []
    with Subject(function, args, options, report.dtype, device) as short:
        outputs = require_graph(report.name, short)
        weights = [rng.normal(size=y.shape).astype(report.dtype) for y in outputs]
        for dtype in (report.dtype, "float64"):
            with Subject(function, short.args, short.options, dtype, device) as subject:
                outputs = subject.run()
                wrong = next((t for t in outputs if t.dtype != dtype), None)
                if wrong is not None:
                    raise Found("wrong", f"{dtype} inputs give a {wrong.dtype} result")
                given = [Tensor(backend.to_device(w.astype(dtype), device)) for w in weights]
                found.append(
                    (
                        [flat([y]) for y in outputs],
                        [flat([g]) for g in pull(outputs, subject.leaves, given)],
                    )
                )
    for what, low, high in zip(("value", "gradient"), *found):
        top = max([np.max(np.abs(b[np.isfinite(b)]), initial=0) for b in high])
        for a, b in zip(low, high):
            scale = max(np.max(np.abs(b[np.isfinite(b)]), initial=0), 0.1 * top, 1e-30)
            error = np.max(np.abs(a - b), initial=0) / scale
            report.note(1, error, a.size)
            if not error <= tolerance:
                raise Found(
                    "wrong",
                    f"{what} in {report.dtype} is off by {error:.1e} of its largest entry in float64",
                )
