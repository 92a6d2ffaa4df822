"""How a training step is laid out over GPUs: degrees of each scheme, micro-batches, recomputation.

Ranks are numbered as Megatron-LM numbers them: tensor ranks are neighbors, data ranks are tp apart,
stages are tp dp apart. `--layout tp=8,pp=8,dp=16` is read by `read_layout`. Read next: memory.py.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.parallel.plan.hardware import Hardware
from tinylm.parallel.plan.shapes import Shape

RECOMPUTE = ("none", "selective", "needed", "full")
ATTENTION = ("tiled", "dense")


@dataclass(frozen=True)
class Layout:
    """A layout; fields are numbers and words, or arrays (n,) for a table of n runs.

    tp, dp, pp         ranks of tensor, data and pipeline parallelism; their product is the GPUs
    batch, micro_batch sequences of a step, and of one forward pass of one rank
    chunks             parts of the model that a rank holds (interleaved 1F1B); 1 is plain 1F1B
    zero               stage of ZeRO over the data ranks, 0 to 3
    sequence           1 if norms and dropout are split over the tensor ranks too
    recompute          none; selective: scores and what follows, until values are weighted;
                       needed: a layer but for its last map, whose output nobody asks for again;
                       full: a layer
    attention          tiled: scores never reach memory; dense: they do
    dropout            1 if there is dropout, whose masks are kept
    gradient_bytes     of a gradient that travels and is kept: 2 or 4
    eight_bit          1 if the maps of the layers multiply in 8 bits
    """

    tp: int = 1
    dp: int = 1
    pp: int = 1
    batch: int = 1
    micro_batch: int = 1
    chunks: int = 1
    zero: int = 0
    sequence: int = 0
    recompute: str = "none"
    attention: str = "tiled"
    dropout: int = 0
    gradient_bytes: int = 2
    eight_bit: int = 0

    @property
    def gpus(self) -> np.ndarray | int:
        return self.tp * self.dp * self.pp

    @property
    def micro_batches(self) -> np.ndarray | float:
        """Of a rank in one step: B / (dp b)."""
        return self.batch / (self.dp * self.micro_batch)

    def says(self, recompute: str) -> Any:
        """Whether the layout recomputes so: bool, or (n,)."""
        return np.asarray(self.recompute) == recompute

    def words(self) -> str:
        """The layout as `--layout` reads it."""
        default = Layout()
        parts = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("tp", "pp", "dp", "batch", "micro_batch"):
                parts.append(f"{field.name}={value}")
            elif value != getattr(default, field.name):
                parts.append(f"{field.name}={value}")
        return ",".join(parts)


def read_layout(words: str, batch: int | None = None, gpus: int | None = None) -> Layout:
    """A layout from words such as "tp=8,pp=8,dp=16,micro_batch=2,recompute=full".

    words    name=value pairs with commas between; names are the fields of Layout
    batch    used where the words name none
    gpus     used for dp where the words name none: what tp and pp leave
    raises   ConfigError for an unknown name, a repeated one, or a value that is not of its kind
    """
    fields = {field.name: field for field in dataclasses.fields(Layout)}
    found = {}
    for pair in filter(None, (pair.strip() for pair in words.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or name not in fields:
            raise ConfigError(
                f"layout: {pair!r} is not name=value with a name among {', '.join(fields)}"
            )
        if name in found:
            raise ConfigError(f"layout: {name} is named twice: name it once")
        found[name] = _value(name, value, fields[name].type)
    if batch is not None:
        found.setdefault("batch", batch)
    if gpus is not None:
        found.setdefault("dp", max(1, gpus // (found.get("tp", 1) * found.get("pp", 1))))
    return Layout(**found)


def _value(name, value, kind):
    if name in ("recompute", "attention"):
        choices = {"recompute": RECOMPUTE, "attention": ATTENTION}[name]
        if value not in choices:
            raise ConfigError(f"layout: {name} must be one of {', '.join(choices)}, not {value!r}")
        return value
    try:
        number = int(value)
    except ValueError:
        number = -1
    low, high = {
        "zero": (0, 3),
        "sequence": (0, 1),
        "dropout": (0, 1),
        "eight_bit": (0, 1),
        "gradient_bytes": (2, 4),
    }.get(name, (1, 10**9))
    if not low <= number <= high or number == 3 and name == "gradient_bytes":
        raise ConfigError(
            f"layout: {name} must be a whole number from {low} to {high}, not {value!r}"
        )
    return number


def obstacles(
    shape: Shape, layout: Layout, hardware: Hardware, gpus: int | None = None
) -> list[str]:
    """Why a layout cannot be, in words; an empty list if it can.

    gpus    how many there are; None asks only for whole nodes
    """
    c = layout
    found = []
    if gpus is not None and c.gpus != gpus:
        found.append(f"tp * dp * pp = {c.gpus}, but there are {gpus} GPUs")
    for size, what in (
        (shape.heads, "heads"),
        (shape.kv_heads, "heads of keys"),
        (shape.hidden, "hidden units"),
    ):
        if size % c.tp:
            found.append(f"tp={c.tp} does not divide the {size} {what}")
            break
    if c.tp > hardware.node and c.tp % hardware.node:
        found.append(f"tp={c.tp} does not fill whole nodes of {hardware.node}")
    if shape.layers % (c.pp * c.chunks):
        stages = f"pp={c.pp}"
        if c.chunks > 1:
            stages = f"pp * chunks = {c.pp * c.chunks}"
        found.append(f"{stages} does not divide the {shape.layers} layers")
    if c.batch % (c.dp * c.micro_batch):
        found.append(
            f"dp * micro_batch = {c.dp * c.micro_batch} does not divide the batch of {c.batch}"
        )
    elif c.chunks > 1 and (c.pp == 1 or c.micro_batches % c.pp):
        found.append(
            f"chunks={c.chunks} needs pp above 1 that divides the {c.micro_batches:g} micro-batches"
        )
    if c.sequence and shape.context % c.tp:
        found.append(f"sequence=1 needs tp={c.tp} to divide the {shape.context} tokens")
    if c.zero >= 2 and c.pp > 1:
        found.append(f"zero={c.zero} shards gradients at every micro-batch: needs pp=1")
    return found
