"""`tinylm bench operations`: forward and backward of single operations, one thread, beside torch.

Both libraries get the same arrays and take turns in one process; the clock counts what the
processor does for that process, so that what else the machine does disturbs less. The result of an
operation is the median of the ratios within a round, tinylm's time over torch's: lower is better.
Outputs and gradients must agree, or it was not the same work. Without torch tinylm alone is timed.
Read next: operations.py, the list.
"""

import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinylm import autograd
from tinylm.cli.measure.bench_parallel import QUIET, load
from tinylm.cli.measure.operations import OPERATIONS
from tinylm.errors import TinylmError
from tinylm.machine import blas_threads, keep_freed_memory, processor

ABOVE = 2.0  # an operation that takes more than this many times torch's time is marked
TURN = 0.02  # of --seconds: there are sixty operations


def _tensor(x):
    if x.dtype.kind == "f":
        return autograd.Tensor(x, requires_grad=True)
    return x  # ids and masks


def ours(operation: Any, arrays: Sequence) -> Callable:
    """A function () -> (y, gradients) of tinylm: forward and backward with a cotangent."""
    tensors = [_tensor(x) for x in arrays]
    leaves = [x for x in tensors if isinstance(x, autograd.Tensor)]
    g = _cotangent(operation.ours(autograd, *tensors).data)

    def once():
        for x in leaves:
            x.grad = None
        y = operation.ours(autograd, *tensors)
        y.backward(g)
        return y.data, [x.grad for x in leaves]

    return once


def theirs(operation: Any, arrays: Sequence, torch: Any) -> Callable:
    """The same of torch."""
    tensors = [torch.from_numpy(x) for x in arrays]
    leaves = [x.requires_grad_() for x in tensors if x.dtype == torch.float32]
    y = operation.theirs(torch, *tensors)
    g = torch.from_numpy(_cotangent(y.detach().numpy()))

    def once():
        for x in leaves:
            x.grad = None
        y = operation.theirs(torch, *tensors)
        y.backward(g)
        return y.detach(), [x.grad for x in leaves]

    return once


def _cotangent(y):
    return np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)


def same_work(name: str, found: Any, expected: Any) -> None:
    """Raise TinylmError if outputs or gradients differ by more than 1e-4 of the largest value."""
    for a, b in zip([found[0], *found[1]], [expected[0], *expected[1]]):
        a, b = np.asarray(getattr(a, "data", a)), b.numpy()
        if a.shape != b.shape or not np.allclose(a, b, 0, 1e-4 * max(1, np.abs(b).max())):
            raise TinylmError(f"{name}: tinylm and torch did not do the same work")


def seconds_of(once: Callable, times: int) -> float:
    """Processor seconds of a call, the mean of `times`."""
    start = time.process_time()
    for _ in range(times):
        once()
    return (time.process_time() - start) / times


def measured(operation: Any, rounds: int, seconds: float, torch: Any = None) -> dict[str, Any]:
    """A dict of one operation: group, name, seconds of both, ratio (None without torch)."""
    rng = np.random.default_rng(0)
    arrays = [make(rng) for make in operation.inputs]
    field = [ours(operation, arrays)]
    if torch is not None:
        field.append(theirs(operation, arrays, torch))
        same_work(operation.name, *(once() for once in field))
    # The warm-up sets the length of a turn.
    times = [max(1, round(seconds / max(seconds_of(once, 2), 1e-6))) for once in field]
    found = [[seconds_of(once, n) for once, n in zip(field, times)] for _ in range(rounds)]
    medians = [statistics.median(of_one) for of_one in zip(*found)]
    ratio = None
    if torch is not None:
        ratio = statistics.median(a / b for a, b in found)  # of one round each
    row = {"group": operation.group, "name": operation.name, "ours": medians[0]}
    return row | {"theirs": (*medians, None)[1], "ratio": ratio}


def bench(
    rounds: int, seconds: float, peers: bool = True, operations: Sequence = OPERATIONS
) -> Iterator[dict[str, Any]]:
    """Yield measured() for every operation, with one thread for each library.

    seconds  about how long a turn of one library lasts
    raises   TinylmError if the two do not agree
    """
    torch = None
    if peers and importlib.util.find_spec("torch"):
        import torch
    before = blas_threads()
    blas_threads(1)
    if torch is not None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
    keep_freed_memory()
    try:
        for operation in operations:
            yield measured(operation, rounds, seconds, torch)
    finally:
        blas_threads(before)
        if torch is not None:
            torch.set_num_threads(threads)


def head() -> str:
    """What the figures depend on, and the columns, as text."""
    text, beside = f"{processor()}, one thread", load()
    if beside is not None:
        text += f"; load of the last minute {beside:.1f}"
        if beside > QUIET:
            text += ": not a quiet machine, believe the ratios only"
    return (
        f"{text}\nforward and backward in float32, tinylm's time over torch's, lower is better:\n"
        f"  {'':<20}{'tinylm us':>11}{'torch us':>11}{'ratio':>8}"
    )


def line(row: dict[str, Any]) -> str:
    """A row of bench() as text."""
    text = f"  {row['name']:<20}{1e6 * row['ours']:>11.1f}"
    if row["ratio"] is None:
        return text
    text += f"{1e6 * row['theirs']:>11.1f}{row['ratio']:>8.2f}"
    if row["ratio"] > ABOVE:
        text += f"  above {ABOVE:g}"
    return text


def geometric_mean(ratios: Sequence[float]) -> float:
    """exp of the mean logarithm: half and twice the time balance out."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows of bench() as text, each group under its name, and the means at the end."""
    found = []
    for row in rows:
        if not found or found[-1]["group"] != row["group"]:
            yield row["group"]
        found.append(row)
        yield line(row)
    yield from verdict(found)


def verdict(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The geometric means of the groups and of all, and what is above 2, as lines."""
    if any(row["ratio"] is None for row in rows):
        yield "torch is not installed or --no-peers was given: tinylm alone was timed"
        return
    yield "geometric means"
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = geometric_mean([row["ratio"] for row in rows if row["group"] == group])
        yield f"  {group:<20}{of_group:>30.2f}"
    yield f"  {f'all {len(rows)}':<20}{geometric_mean([row['ratio'] for row in rows]):>30.2f}"
    above = sorted((row for row in rows if row["ratio"] > ABOVE), key=lambda row: -row["ratio"])
    names = ", ".join(f"{row['name']} {row['ratio']:.1f}" for row in above)
    yield f"  above {ABOVE:g}: {names or 'none'}"
