"""`tinylm bench`: the same work done by tinylm and by every installed peer, in turn.

Shared machines change their speed from minute to minute, so the seconds of one run mean little.
Each contestant is a process of its own; they take turns on the same weights and batches, and the
result is the ratio within a round. The losses must agree to 1e-4, or it was not the same work.
`tinylm bench batches` measures the cost of making a batch relative to a training step, for every
objective; `tinylm bench operations` forward and backward of single operations, one thread, in one
process; `tinylm bench prompting` what prompts save by what they have in common; `tinylm bench
smollm2` a prompt and decoding with a published model, its weights in 32, 8 and 4 bits, beside
transformers (also of weights in a file or folder); `tinylm bench align` one update of DPO, GRPO and
PPO, beside TRL; `tinylm bench parallel` processes beside BLAS threads, and MPI beside shared
memory. Read next: contestants.py, which runs inside those processes; bench_batches.py;
bench_operations.py; bench_prompting.py; bench_smollm2.py; bench_align.py; bench_parallel.py.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.cli.measure.workloads import USUAL, WORKS, batches, initial_weights
from tinylm.cli.options import parse
from tinylm.cli.terminal import bare
from tinylm.errors import ConfigError, TinylmError
from tinylm.json_text import json_text
from tinylm.machine import blas_kernels
from tinylm.prompt.protocol.opened import is_published
from tinylm.settings import at_least, setting


@dataclass
class BenchSettings:
    """Settings of `tinylm bench`."""

    rounds: int = setting(
        7, "turns that every contestant takes after a warm-up; each gives one ratio", at_least(1)
    )
    seconds: float = setting(
        1.0, "about how long a turn lasts (operations: a fiftieth of it)", at_least(0.01)
    )
    workers: int = setting(
        2, "processes of tinylm's parallel contestants; 1 leaves them out", at_least(1)
    )
    decoding: bool = setting(True, "also measure decoding with a cache at batch 1")
    training: bool = setting(True, "measure training steps")
    peers: bool = setting(True, "run the peers that are installed (torch eager and torch.compile)")
    data: str | None = setting(
        None, "prompting: file of labelled reviews, `text<TAB>0|1` a line, instead of made-up ones"
    )
    threads: int = setting(1, "align: threads of tinylm and of TRL", at_least(1))
    json: bool = setting(False, "print one JSON object instead of tables")


class Contestant:
    """A process that takes n steps on request and reports their time and their losses.

    command   words before the job, which is one more, as JSON; a contestant of tinylm unless given
    """

    def __init__(self, label: str, command: Sequence[str] | None = None, **job: Any) -> None:
        self.label, self.job = label, job
        command = command or [sys.executable, "-m", "tinylm.cli.measure.contestants"]
        # A process of its own, so that no library shares threads or memory with another.
        self.process = subprocess.Popen(
            [*command, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.seconds, self.values, self.shares = [], [], []

    def turn(self, steps: int) -> float:
        """Seconds per step over `steps` steps; None if the process is gone."""
        try:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            # The process has ended; close() reads why from its last line.
            return None
        # Losses, by which main() sees that all do the same work.
        self.values += answer["values"]
        self.shares.append(answer.get("communication", 0.0) / answer["seconds"])
        return answer["seconds"] / steps

    def close(self) -> Any:
        """End the process. Returns its peak memory in bytes, or its last line on stderr if it failed."""
        try:
            # 0 steps: the process prints its peak memory and ends.
            out, err = self.process.communicate("0\n", timeout=60)
            return json.loads(out.splitlines()[-1])["peak_bytes"]
        except (ValueError, KeyError, IndexError, BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            if not self.process.stderr.closed:
                err = self.process.stderr.read()
            return (err.strip().splitlines() or ["no message"])[-1]


def products() -> str:
    """A line that says with which kernels NumPy multiplies matrices here, where that is known."""
    text = f"Matrix products of tinylm by OpenBLAS's kernels for {blas_kernels() or 'unknown'}"
    if "OPENBLAS_CORETYPE" in os.environ:
        text += ", chosen by OPENBLAS_CORETYPE:\nunset it to see what this processor can do"
    return text + "."


def contestants_for(kind: Any, settings: BenchSettings) -> list:
    """(label, job) of every contestant; the first is the reference of the ratios."""
    jobs = []
    if settings.peers and _installed("torch"):
        jobs.append(("torch eager", {"library": "torch"}))
        jobs.append(("torch.compile", {"library": "torch", "compile": True}))
    jobs.append(("tinylm, 1 process", {"library": "tinylm", "workers": 1}))
    n = settings.workers
    if kind == "training" and n > 1:
        jobs.append((f"tinylm, {n} processes", {"library": "tinylm", "workers": n}))
    return jobs


def _installed(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def measure(
    work: Any, kind: Any, settings: BenchSettings, folder: str, progress: Callable, jobs: Any = None
) -> dict[str, Any]:
    """Run one work with every contestant in turn. Returns a dict ready for JSON.

    jobs   (label, job) of every contestant; those of contestants_for() unless given
    """
    path = Path(folder) / f"{work}.npz"
    weights = initial_weights(WORKS[work], decoding=kind == "decoding")
    # The same weights and batches for all, read from one file.
    np.savez(path, batches=batches(WORKS[work]), **weights)
    field = [
        Contestant(label, kind=kind, work=work, file=str(path), **job)
        for label, job in jobs or contestants_for(kind, settings)
    ]
    steps, out = {}, {}
    for c in field:  # the warm-up: compiles, fills caches, and sets the length of a turn
        c.turn(1)
        once = c.turn(2)
        if once is None:
            out[c.label] = c.close()
        else:
            steps[c] = max(1, round(settings.seconds / once))
    field = [c for c in field if c in steps]
    for r in range(settings.rounds):
        # In turn within a round: what else the machine does slows all of them alike.
        for c in field:
            c.seconds.append(c.turn(steps[c]))
            if c.seconds[-1] is None:
                raise TinylmError(f"bench: {c.label} has ended in the middle: {c.close()}")
        progress(f"{work} {kind}: round {r + 1} of {settings.rounds}")
    peaks = {c.label: c.close() for c in field}
    return {
        "work": work,
        "kind": kind,
        "kernels": blas_kernels(),
        "skipped": out,
        "contestants": [_row(c, field[0], peaks) for c in field],
    }


def _row(c, reference, peaks):
    """The figures of one contestant: times as fast as the reference in the same round."""
    # Of one round each: a slow minute is in both times.
    ratios = [a / b for a, b in zip(reference.seconds, c.seconds)]
    n = min(len(c.values), len(reference.values), 3)
    # np.max, as max() passes over a loss that is nan.
    apart = float(np.max(np.abs(np.subtract(c.values[:n], reference.values[:n]))))
    return {
        "label": c.label,
        "seconds": statistics.median(c.seconds),
        "ratio_min": min(ratios),
        "ratio_median": statistics.median(ratios),
        "ratio_max": max(ratios),
        "values": c.values[:n],
        "apart": apart,
        "peak_bytes": peaks[c.label],
        "memory_ratio": peaks[c.label] / peaks[reference.label],
        "tokens": c.job.get("tokens"),
        "communication": statistics.median(c.shares),
    }


def same_work(row: dict[str, Any]) -> bool:
    """True if a contestant had the losses of the reference, up to rounding; nan is never the same."""
    return row["apart"] <= 1e-4


def table(result: dict[str, Any]) -> str:
    """A measured work as lines of text."""
    work, rows = WORKS[result["work"]], result["contestants"]
    reference = rows[0]["label"]
    tokens, unit = work.batch * work.context, "ms/step"
    if result["kind"] == "decoding":
        tokens, unit = 1, "ms/token"
    lines = [
        f"{result['work']} {result['kind']}: {work.describe()}",
        f"  {'':<22}{unit:>10}{'tokens/s':>11}"
        f"   times as fast as {reference}: min  median  max{'peak MiB':>11}{'of it':>7}",
    ]
    for row in rows:
        lines.append(
            f"  {row['label']:<22}{1e3 * row['seconds']:>10.3f}{tokens / row['seconds']:>11.0f}"
            f"{'':>{20 + len(reference)}}{row['ratio_min']:>6.2f}"
            f"{row['ratio_median']:>8.2f}{row['ratio_max']:>5.2f}"
            f"{row['peak_bytes'] / 2**20:>11.0f}{row['memory_ratio']:>7.2f}"
        )
        if not same_work(row):
            lines.append(
                f"  {row['label']}: NOT THE SAME WORK, first values differ by "
                f"{row['apart']:.1e}: {row['values']}"
            )
    lines += [f"  {label}: left out ({reason})" for label, reason in result["skipped"].items()]
    return "\n".join(lines)


def bench_works(settings: BenchSettings, words: Sequence[str]) -> int:
    """`tinylm bench [WORK...]`: training and decoding beside torch."""
    if not (settings.training or settings.decoding):
        raise ConfigError("nothing to measure: --no-training and --no-decoding were both given")
    results = []

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=bare(sys.stderr), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for kind in ("training",) * settings.training + ("decoding",) * settings.decoding:
            for work in words:
                if kind == "decoding" and not WORKS[work].decodes:
                    continue
                results.append(measure(work, kind, settings, folder, progress))
                progress("")
                if not settings.json:
                    print(table(results[-1]) + "\n", flush=True)
    if settings.json:
        print(json_text(results, indent=1))
    elif settings.workers > 1 and settings.training:
        print(
            "Ratios above 1 are faster. Several tinylm processes use one BLAS thread each; the "
            "peers are one process\nwith as many threads as there are cores. Memory of several "
            "processes counts shared pages once for each."
        )
    if not settings.json:
        print(products())
    if not all(same_work(row) for result in results for row in result["contestants"]):
        raise TinylmError("the contestants did not do the same work: see the rows marked above")
    return 0


def bench_batches(settings: BenchSettings) -> int:
    """`tinylm bench batches`."""
    from tinylm.cli.measure.bench_batches import HEAD, batches, line, verdict

    found = []
    if settings.json:
        print(json_text(list(batches(settings.rounds)), indent=1))
        return 0
    print(HEAD, flush=True)
    for row in batches(settings.rounds):
        found.append(row)
        print(line(row), flush=True)
    print(verdict(found))
    return 0


def bench_operations(settings: BenchSettings) -> int:
    """`tinylm bench operations`."""
    from tinylm.cli.measure.bench_operations import TURN, bench, head, lines

    rows = bench(settings.rounds, TURN * settings.seconds, settings.peers)
    if settings.json:
        print(json_text(list(rows), indent=1))
        return 0
    print(head(), flush=True)
    for text in lines(rows):
        print(text, flush=True)
    return 0


def bench_prompting(settings: BenchSettings, name: str = "smollm2") -> int:
    """`tinylm bench prompting [MODEL]`."""
    from tinylm.cli.measure.bench_prompting import bench, line

    rows = []
    for row in bench(name, settings.rounds, settings.peers, settings.data):
        rows.append(row)
        if not settings.json:
            print(line(row), flush=True)
    if settings.json:
        print(json_text(rows, indent=1))
    return 0


def bench_smollm2(settings: BenchSettings, name: str) -> int:
    """`tinylm bench smollm2`, or of other published weights."""
    from tinylm.cli.measure.bench_smollm2 import bench, head, lines

    results = []
    if not settings.json:
        print(head(name), flush=True)
    for result in bench(Contestant, name, settings.rounds, settings.seconds, settings.peers):
        results.append(result)
        if not settings.json:
            print("\n".join(lines(result)), flush=True)
    if settings.json:
        print(json_text(results, indent=1))
    return 0


def bench_align(settings: BenchSettings) -> int:
    """`tinylm bench align`."""
    from tinylm.cli.measure.bench_align import NO_PEER, bench, line

    rows = []
    given = settings.rounds, settings.seconds, settings.peers, settings.threads
    for row in bench(Contestant, *given):
        rows.append(row)
        if not settings.json:
            print(line(row), flush=True)
    if settings.json:
        print(json_text(rows, indent=1))
    elif settings.peers and not _installed("trl"):
        print(NO_PEER)
    return 0


def bench_parallel(settings: BenchSettings, words: Sequence[str]) -> int:
    """`tinylm bench parallel [WORK...]`."""
    from tinylm.cli.measure.bench_parallel import bench, head, lines

    results = []
    if not settings.json:
        print(head(settings), flush=True)
    for result in bench(settings, words or ["W1", "W2"]):
        results.append(result)
        if not settings.json:
            print("\n".join(lines(result)), flush=True)
    if settings.json:
        print(json_text(results, indent=1))
    return 0


def main(argv: Sequence[str]) -> int:
    """The verb: works to measure as plain words, all of them by default."""
    settings, words = parse(
        argv,
        BenchSettings,
        positionals=("[WORK...]",),
        verb="bench",
        about=__doc__.split("Read next")[0],
        examples=(
            "tinylm bench",
            "tinylm bench W1 --rounds 11",
            "tinylm bench W3 --no-decoding --json",
            "tinylm bench M1",
            "tinylm bench batches",
            "tinylm bench operations",
            "tinylm bench prompting smollm2 --rounds 3",
            "tinylm bench smollm2",
            "tinylm bench align",
            "tinylm bench parallel W1",
        ),
    )
    if words == ["batches"]:
        return bench_batches(settings)
    if words == ["operations"]:
        return bench_operations(settings)
    if words == ["align"]:
        return bench_align(settings)
    if words[:1] == ["prompting"] and len(words) < 3:
        return bench_prompting(settings, *words[1:])
    if len(words) == 1 and words[0] not in WORKS and is_published(words[0]):
        return bench_smollm2(settings, words[0])
    parallel = words[:1] == ["parallel"]
    unknown = [w for w in words[parallel:] if w not in WORKS]
    if unknown:
        raise ConfigError(
            f"no work {unknown[0]!r}: choose from {', '.join(WORKS)}, or batches, operations, "
            "prompting or align alone, smollm2 or a file of weights, or parallel before works"
        )
    if parallel:
        return bench_parallel(settings, words[1:])
    return bench_works(settings, words or USUAL)
