"""The search: every possible layout of a model on so many GPUs, priced at once; the best, and what
keeps it from being faster.

Layouts are enumerated, not sampled: tensor ranks inside a node, stages that divide the layers,
micro-batches that divide the batch, interleaving, ZeRO and recomputation. All are one table, so one
call of step_cost prices thousands. Read next: cli/look/plan.py, which prints it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.parallel.plan.constants import UNCALIBRATED, Constants
from tinylm.parallel.plan.hardware import Hardware
from tinylm.parallel.plan.layout import Layout, obstacles
from tinylm.parallel.plan.memory import memory
from tinylm.parallel.plan.shapes import Shape
from tinylm.parallel.plan.step import Step, step_cost

USABLE = 0.92  # of a GPU's memory; the rest is the driver's, the allocator's and the collectives'
LARGEST_MICRO_BATCH = 64
DEGREES = ("tp", "pp", "dp", "micro_batch", "chunks")


@dataclass(frozen=True)
class Priced:
    """A layout and its price: Step and Memory, of numbers."""

    layout: Layout
    step: Step
    memory: object

    @property
    def seconds(self) -> float | np.ndarray:
        return self.step.seconds


def divisors(n: int) -> list[int]:
    """Whole numbers that divide n, in order."""
    return [k for k in range(1, n + 1) if n % k == 0]


def possible_layouts(shape: Shape, hardware: Hardware, gpus: int, batch: int) -> list[Layout]:
    """Every layout that divides everything, whatever memory it needs. Returns a list of Layout."""
    found = []
    for tp in divisors(min(hardware.node, gpus)):
        if shape.kv_heads % tp or shape.heads % tp or shape.hidden % tp or gpus % tp:
            continue
        sequence = int(tp > 1 and shape.context % tp == 0)
        for pp in divisors(shape.layers):
            if gpus % (tp * pp):
                continue
            dp = gpus // (tp * pp)
            if batch % dp:
                continue
            found += [
                Layout(
                    tp, dp, pp, batch, micro, chunks, zero, sequence, recompute, gradient_bytes=4
                )
                for micro in divisors(batch // dp)
                if micro <= LARGEST_MICRO_BATCH
                for chunks in _chunks(shape.layers // pp, pp, batch // dp // micro)
                for zero in _stages(dp, pp)
                for recompute in ("none", "full")
            ]
    return found


def _chunks(layers, pp, micro_batches):
    """Parts a rank may hold: 1, or divisors of its layers where micro-batches fill the pipeline."""
    if pp == 1 or micro_batches % pp:
        return [1]
    return [v for v in divisors(layers) if v <= 8]


def _stages(dp, pp):
    """Stages of ZeRO worth trying: 1 costs no more than 0; 2 and 3 do not go with pipelines."""
    if dp == 1:
        return (0,)
    if pp == 1:
        return (1, 2, 3)
    return (1,)


def stack(layouts: Sequence[Layout]) -> Layout:
    """Layouts as one Layout of arrays (n,)."""
    columns = {}
    for field in dataclasses.fields(Layout):
        values = np.array([getattr(layout, field.name) for layout in layouts])
        if values.dtype.kind in "iu":
            values = values.astype(float)  # large batches times long contexts overflow no float
        columns[field.name] = values
    return Layout(**columns)


def price(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants = UNCALIBRATED
) -> Priced:
    """One layout's Priced, in numbers."""
    step = step_cost(shape, layout, hardware, constants)
    parts = {f.name: float(getattr(step, f.name)) for f in dataclasses.fields(step)}
    held = memory(shape, layout)
    bytes_ = {f.name: float(getattr(held, f.name)) for f in dataclasses.fields(held)}
    return Priced(layout, Step(**parts), type(held)(**bytes_))


@dataclass(frozen=True)
class Search:
    """What a search found: `best` fit into memory, fastest first; `free` is the fastest of all.

    tried, fitting  numbers of layouts
    """

    best: list
    free: Priced
    tried: int
    fitting: int
    binding: str


def search(
    shape: Shape,
    hardware: Hardware,
    gpus: int,
    batch: int,
    constants: Constants = UNCALIBRATED,
    keep: int = 5,
) -> Search:
    """The fastest layouts of a model.

    gpus, batch  GPUs, and sequences of a step
    keep         how many to return
    returns      Search
    raises       ConfigError if nothing divides, or nothing fits: with what is missing
    """
    layouts = possible_layouts(shape, hardware, gpus, batch)
    if not layouts:
        raise ConfigError(
            f"no layout of {shape.layers} layers and {shape.heads} heads divides {gpus} GPUs and a "
            f"batch of {batch}: choose numbers with more common divisors"
        )
    table = stack(layouts)
    seconds = step_cost(shape, table, hardware, constants).seconds
    held = memory(shape, table).total
    fits = held <= USABLE * hardware.memory
    order = np.argsort(seconds, kind="stable")
    free = price(shape, layouts[order[0]], hardware, constants)
    if not fits.any():
        least = layouts[int(np.argmin(held))]
        raise ConfigError(
            f"no layout fits: the least memory is {held.min() / 1e9:.1f} GB a GPU "
            f"({least.words()}), of {USABLE * hardware.memory / 1e9:.1f} usable; take more GPUs"
        )
    chosen = [layouts[i] for i in order if fits[i]][:keep]
    best = [price(shape, layout, hardware, constants) for layout in chosen]
    return Search(
        best, free, len(layouts), int(fits.sum()), binding(best[0], free, hardware, shape)
    )


# What each part of a step is limited by, in words.
LIMITS = {
    "products": "matrix rate: products take the time",
    "attention": "attention: scores and values take the time",
    "passes": "memory bandwidth: element-wise work takes the time",
    "tensor": "links inside the node: collectives of tensor parallelism",
    "launches": "the host: it launches slower than the GPU computes; larger micro-batches help",
    "output": "the output layer: the vocabulary is large for so small a model",
    "bubble": "the pipeline: too few micro-batches for its stages; a larger batch helps",
    "pipeline": "the network: activations between stages",
    "data": "the network: gradients and parameters between data ranks; a larger batch helps",
    "optimizer": "the optimizer: too few sequences a step for so many parameters",
}


def binding(best: Priced, free: Priced, hardware: Hardware, shape: Shape) -> str:
    """Which constraint keeps the best layout from being faster. Returns a sentence.

    Memory, if a layout without that limit is at least 1 % faster; else the part of the step with
    the most time beyond products and attention, or those if nothing else takes a tenth.
    """
    if free.seconds < 0.99 * best.seconds:
        gain = 100 * (best.seconds / free.seconds - 1)
        return (
            f"memory: {free.layout.words()} would be {gain:.0f} % faster but needs "
            f"{free.memory.total / 1e9:.0f} GB of {USABLE * hardware.memory / 1e9:.0f}"
        )
    lost = {name: getattr(best.step, name) for name in LIMITS}
    rest = {name: t for name, t in lost.items() if name not in ("products", "attention")}
    worst = max(rest, key=rest.get)
    if rest[worst] < 0.1 * best.seconds:
        worst = max(lost, key=lost.get)
    return f"{LIMITS[worst]} ({100 * lost[worst] / best.seconds:.0f} % of the step)"


def nearest(
    shape: Shape, layout: Layout, hardware: Hardware, gpus: int, constants: Constants = UNCALIBRATED
) -> Priced:
    """The possible layout that is nearest to an impossible one, and fits into memory.

    Distance is the sum of |log2| of the ratios of tp, pp, dp, micro-batch and chunks; the same
    recomputation and stage of ZeRO come first among equals, then the faster one.
    returns  Priced, or None if nothing fits
    """
    layouts = [
        dataclasses.replace(
            found,
            attention=layout.attention,
            dropout=layout.dropout,
            gradient_bytes=layout.gradient_bytes,
            eight_bit=layout.eight_bit,
        )
        for found in possible_layouts(shape, hardware, gpus, layout.batch)
    ]
    if not layouts:
        return None
    table = stack(layouts)
    fits = memory(shape, table).total <= USABLE * hardware.memory
    away = sum(np.abs(np.log2(getattr(table, n) / getattr(layout, n))) for n in DEGREES)
    other = (table.zero != layout.zero) * 1.0 + (table.recompute != layout.recompute)
    seconds = step_cost(shape, table, hardware, constants).seconds
    order = np.lexsort((seconds, other, away))
    for i in order:
        if fits[i]:
            return price(shape, layouts[i], hardware, constants)
    return None


def checked(
    shape: Shape, layout: Layout, hardware: Hardware, gpus: int, constants: Constants = UNCALIBRATED
) -> Priced:
    """The price of a layout that was asked for.

    returns  Priced
    raises   ConfigError if it cannot be, with all reasons and the nearest layout that can
    """
    reasons = obstacles(shape, layout, hardware, gpus)
    found = None
    if not reasons:
        found = price(shape, layout, hardware, constants)
        if found.memory.total > USABLE * hardware.memory:
            reasons.append(
                f"it needs {found.memory.total / 1e9:.1f} GB a GPU, of "
                f"{USABLE * hardware.memory / 1e9:.1f} usable"
            )
    if not reasons:
        return found
    near = nearest(shape, layout, hardware, gpus, constants)
    mend = "no layout of this model on these GPUs is possible: change --gpus or --batch"
    if near is not None:
        mend = f"the nearest possible layout is {near.layout.words()}"
    raise ConfigError(f"impossible layout: {'; '.join(reasons)}; {mend}")
