"""`tinylm bench parallel`: what processes gain over threads, and MPI costs beside shared memory.

Of each work, three comparisons in turns, as of `tinylm bench`:

    training    one process with BLAS threads on all cores; N processes with one each that share the
                same batch, by shared memory and by MPI; and the share of their time in exchanges,
                in which they also wait for each other
    all_reduce  of as many float32 as the model has parameters: by shared memory, by MPI in the
                order of ranks, and by MPI's own
    all_gather  the same of slices of the parameters

A rank of MPI spins while it waits inside the library, so with other work on the machine its figures
say more of that work than of MPI. Read next: contestants.py.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinylm.cli.measure.bench import measure, same_work
from tinylm.cli.measure.workloads import WORKS, initial_weights
from tinylm.errors import TinylmError
from tinylm.machine import cores, processor

QUIET = 0.5  # processes beside the benchmark above which it is called not quiet


def load() -> float | None:
    """Processes that wanted a core in the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def mpiexec() -> tuple[str | None, str | None]:
    """(path of mpiexec, None), or (None, why there is none)."""
    if importlib.util.find_spec("mpi4py") is None:
        return None, 'no mpi4py: pip install "tinylm[mpi]"'
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    return found, None if found else "no mpiexec"


def head(settings: Any) -> str:
    """What the figures depend on, as text."""
    beside = load()
    text = f"{processor()}, {cores()} cores, {settings.workers} processes; "
    if beside is None:
        return text + "measure on a quiet machine"
    text += f"load of the last minute {beside:.1f}"
    if beside > QUIET:
        text += ": NOT A QUIET MACHINE, measure again when nothing else runs"
    return text


def contestants(kind: str, workers: int) -> tuple[list[tuple], str | None]:
    """(label, job) of every contestant of a kind of work, the reference of the ratios first, and
    why MPI is left out, or None.
    """
    path, reason = mpiexec()
    shared = {"library": "tinylm", "workers": workers}
    over_mpi = shared | {
        "mpi": True,
        "command": [path, "-n", str(workers), sys.executable, "-m", CONTESTANTS],
    }
    jobs = []
    if kind == "training":
        jobs.append(("1 process, BLAS threads", {"library": "tinylm", "workers": 1}))
    else:
        shared, over_mpi = shared | {"operation": kind}, over_mpi | {"operation": kind}
    if workers > 1:
        jobs.append((f"{workers} processes, shared", shared))
        if path:
            jobs.append((f"{workers} processes, MPI", over_mpi))
        if path and kind == "all_reduce":
            jobs.append((f"{workers} processes, MPI's own", over_mpi | {"native": True}))
    return jobs, reason


CONTESTANTS = "tinylm.cli.measure.contestants"


def bench(
    settings: Any, words: Sequence[str], progress: Callable = lambda text: None
) -> Iterator[dict[str, Any]]:
    """Yield the measured dicts of bench.measure() for every work and kind.

    raises  TinylmError if the contestants did not do the same work
    """
    kinds = ["training"] + ["all_reduce", "all_gather"] * (settings.workers > 1)
    with tempfile.TemporaryDirectory() as folder:
        for work in words:
            numbers = sum(array.size for array in initial_weights(WORKS[work]).values())
            for kind in kinds:
                jobs, reason = contestants(kind, settings.workers)
                over = "training" if kind == "training" else "collective"
                found = measure(work, over, settings, folder, progress, jobs)
                if not all(same_work(row) for row in found["contestants"]):
                    raise TinylmError(f"{work} {kind}: the contestants did not do the same work")
                if reason and settings.workers > 1:
                    found["skipped"] = found["skipped"] | {"MPI": reason}
                found |= {"kind": kind, "numbers": numbers, "processor": processor()}
                yield found | {"load": load()}


def lines(result: dict[str, Any]) -> list[str]:
    """A measured comparison as lines of text."""
    work, kind, rows = WORKS[result["work"]], result["kind"], result["contestants"]
    title, unit = f"{result['work']} {kind} of {result['numbers']:,} float32", "GB/s"
    amount, digits = result["numbers"] * 4 / 1e9, 3
    if kind == "training":
        title, unit = f"{result['work']} training: {work.describe()}", "tokens/s"
        amount, digits = work.batch * work.context, 0
    found = [
        title,
        f"  {'':<26}{'ms':>10}{unit:>11}  times as fast: min  median     max  exchanging",
    ]
    for row in rows:
        ratios = [row[f"ratio_{which}"] for which in ("min", "median", "max")]
        found.append(
            f"  {row['label']:<26}{1e3 * row['seconds']:>10.3f}"
            f"{amount / row['seconds']:>11,.{digits}f}{'':>12}"
            + "".join(f"{ratio:>8.2f}" for ratio in ratios)
            + f"{row['communication']:>12.1%}"
        )
    return found + [f"  {label}: left out ({why})" for label, why in result["skipped"].items()]
