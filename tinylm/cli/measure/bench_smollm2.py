"""`tinylm bench smollm2`: inference of a published model, beside Hugging Face's transformers.

Of SmolLM2, or of weights in a file or folder: the time to read a prompt of 512 tokens, and of a
token while decoding one text and eight; with float32 weights, and for one text with copies in 8
and 4 bits. Where transformers is installed it does the same with the same weights, in float32.
Every contestant is a process of its own with all threads that it takes by itself; they take turns,
and the result is the ratio within a round. Logits must agree, or it was not the same work; those
of 8 and 4 bits may not, and how far they are apart is shown.

Decoding one text reads every weight once a token, so its floor is the time to read them from
memory: the bandwidth is measured in every round, and the share of it that a contestant uses is
printed. Read next: inference_works.py, what the processes do.
"""

import gc
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.cli.measure.inference_works import WORKS, InferenceWork
from tinylm.errors import ConfigError, TinylmError

if TYPE_CHECKING:
    from tinylm.cli.measure.bench import Contestant


# Float32 logits of two orders of additions: SmolLM2's differ by 4e-5.
SAME = 1e-3
# Bytes a weight: float32; codes and a float32 scale for 32 of them; a scale and an offset.
BYTES = {None: 4, 8: 1 + 4 / 32, 4: 1 / 2 + 8 / 32}
ONE_TEXT = "decoding, batch 1"


def contestants_for(work: str, peers: bool) -> list[tuple[str, dict[str, Any]]]:
    """(label, job) of every contestant of a work; the first is the reference of the ratios."""
    jobs = []
    if peers:
        jobs.append(("transformers", {"library": "transformers", "bits": None}))
    for bits in (None, 8, 4):
        if bits is None or work == ONE_TEXT:
            label = f"tinylm, {bits} bits" if bits else "tinylm, float32"
            jobs.append((label, {"library": "tinylm", "bits": bits}))
    return jobs


def prepared(name: str, folder: str, peers: bool) -> int:
    """Weights that a token reads, and a copy of the model for transformers in `folder`.

    raises  ConfigError for a model that the fast decoders do not cover
    """
    from tinylm.generate.fast.direct import DirectDecoder
    from tinylm.generate.fast.folded import supports
    from tinylm.models.published.load import load_pretrained
    from tinylm.models.published.save import save_pretrained

    model = load_pretrained(name).model
    if not supports(model):
        raise ConfigError(
            f"bench: {name} has parts that tinylm/generate/fast does not cover; "
            "`tinylm generate NAME --stats` measures any model"
        )
    if peers:
        save_pretrained(model, folder)
    return DirectDecoder(model).weight_bytes() // model.tokens.weight.dtype.itemsize


def bench(
    contestant: "type[Contestant]", name: str, rounds: int, seconds: float, peers: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield a dict for each work: work, bandwidth (bytes/s; None but for one text), rows.

    contestant  function (label, **job) -> Contestant of bench.py
    seconds     about how long a turn lasts
    raises      TinylmError if logits differ, or a process ends early
    """
    peers = peers and bool(find_spec("torch") and find_spec("transformers"))
    with tempfile.TemporaryDirectory() as folder:
        weights = prepared(name, folder, peers)
        gc.collect()  # the model is gone before the processes load theirs
        for work in WORKS:
            job = {"kind": "inference", "name": str(name), "work": work, "folder": folder}
            field = [contestant(label, **job, **own) for label, own in contestants_for(work, peers)]
            yield measured(work, field, rounds, seconds, weights)


def measured(
    work: str, field: "Sequence[Contestant]", rounds: int, seconds: float, weights: int
) -> dict[str, Any]:
    """One work of bench(), by contestants that have been started."""
    from tinylm.generate.fast.direct import memory_bandwidth

    steps, speeds = [], []
    for one in field:  # the warm-up sets the length of a turn
        one.turn(1)
        once = one.turn(2)
        if once is None:
            raise TinylmError(f"bench: {one.label} ended early: {one.close()}")
        steps.append(max(1, round(seconds / once)))
    for _ in range(rounds):
        for one, n in zip(field, steps):
            one.seconds.append(one.turn(n))
        if work == ONE_TEXT:
            speeds.append(memory_bandwidth(128, 2))
    peaks = [one.close() for one in field]
    bandwidth = statistics.median(speeds) if speeds else None
    rows = []
    for one, peak in zip(field, peaks):
        found = row(one, field[0], WORKS[work], peak)
        if bandwidth is not None:
            found["bytes"] = weights * BYTES[one.job["bits"]]
            # of one round each, as the memory of shared machines has its own quiet minutes
            shares = [found["bytes"] / s / speed for s, speed in zip(one.seconds, speeds)]
            found["share"] = statistics.median(shares)
        rows.append(found)
    return {"work": work, "bandwidth": bandwidth, "rows": rows}


def row(
    one: "Contestant", reference: "Contestant", work: InferenceWork, peak: float
) -> dict[str, Any]:
    """The figures of one contestant.

    raises  TinylmError if a float32 one does not have the logits of the reference
    """
    ratios = [a / b for a, b in zip(reference.seconds, one.seconds)]
    apart = float(np.abs(np.subtract(one.values[:3], reference.values[:3])).max())
    if one.job["bits"] is None and not apart <= SAME:
        raise TinylmError(
            f"bench: logits of {one.label} and of {reference.label} differ by {apart:.1e}: "
            "not the same work"
        )
    step = statistics.median(one.seconds)
    return {
        "label": one.label,
        "seconds": step,
        "tokens_per_second": work.batch * work.tokens / step,
        "ratio_min": min(ratios),
        "ratio_median": statistics.median(ratios),
        "ratio_max": max(ratios),
        "apart": apart,
        "peak_bytes": peak,
    }


def head(name: str) -> str:
    """What the figures depend on, as text."""
    from tinylm.cli.measure.bench_parallel import QUIET, load
    from tinylm.machine import blas_kernels, blas_threads, processor

    text = f"{name}, {processor()}, {blas_threads()} threads, BLAS kernels {blas_kernels()}"
    beside = load()
    if beside is not None and beside > QUIET:
        text += f"; load of the last minute {beside:.1f}: not a quiet machine"
    return text


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result of one work as lines of text."""
    rows = result["rows"]
    reference = rows[0]["label"]
    yield (
        f"{result['work']:<24}{'ms':>8}{'tokens/s':>10}   times as fast as {reference}: "
        f"min  median  max{'peak MiB':>11}"
    )
    for found in rows:
        text = (
            f"  {found['label']:<22}{1e3 * found['seconds']:>8.1f}"
            f"{found['tokens_per_second']:>10.0f}{'':>{20 + len(reference)}}"
            f"{found['ratio_min']:>6.2f}{found['ratio_median']:>8.2f}{found['ratio_max']:>5.2f}"
            f"{found['peak_bytes'] / 2**20:>11.0f}"
        )
        if result["bandwidth"] is not None:
            rate = found["bytes"] / found["seconds"]
            text += (
                f"   {found['bytes'] / 1e6:.0f} MB a token, {rate / 1e9:.1f} GB/s, "
                f"{found['share']:.0%} of the memory's"
            )
        if found["apart"] > SAME:
            text += f"; logits {found['apart']:.2f} apart"
        yield text
    if result["bandwidth"] is not None:
        yield f"  the memory is read at {result['bandwidth'] / 1e9:.1f} GB/s"
