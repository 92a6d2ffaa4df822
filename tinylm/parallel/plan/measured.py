"""Measured runs of others as tables: a Shape, a Layout and a Hardware whose fields are arrays.

Nothing of them is part of tinylm; a file is read where one has it. Columns must be exactly those of
the published tables. Read next: calibrate.py.
"""

import csv
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from tinylm.errors import DataError
from tinylm.parallel.plan.hardware import MACHINES, Hardware
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.shapes import Shape, gpt_shape

MEGATRON_VOCAB = 51200
MPT_VOCAB = 50368
VTRAIN = (
    *("# GPUs", "global batch", "micro batch", "hidden size", "attention heads", "# layers"),
    *("sequence length", "tensor parallelism", "data parallelism", "pipeline parallelism"),
    "iteration time (ms)",
)
MOSAIC = (
    *("section", "Model", "SeqLen (T)", "# GPUs", "GPU", "MFU", "HFU", "Model TFLOP"),
    *("MicroBatchSize", "GradAccum", "GlobalBatchSize", "Throughput (S/s)", "Throughput (T/s)"),
    *("Throughput (T/s/GPU)", "GlobalBatchSize (T)", "Precision", "MP Mode", "Sharding Strategy"),
    *("Activation Checkpointing", "Activation CPUOffload", "NumParams"),
)
# Layers, width and heads of llm-foundry's MPT models.
MPT = {
    "125m": (12, 768, 12),
    "350m": (24, 1024, 16),
    "760m": (24, 1536, 12),
    "1b": (24, 2048, 16),
    "3b": (32, 2560, 20),
    "7b": (32, 4096, 32),
    "13b": (40, 5120, 40),
    "30b": (48, 7168, 56),
    "70b": (80, 8192, 64),
}
MPT_MACHINES = {"a100_40gb": "a100-40", "a100_80gb": "a100", "h100_80gb": "h100"}


@dataclass(frozen=True)
class Runs:
    """n measured runs. Fields of shape, layout and hardware are arrays (n,) or one number for all.

    seconds  (n,) of a step
    kinds    name -> (n,) of what rows are grouped by in reports
    """

    name: str
    shape: Shape
    layout: Layout
    hardware: Hardware
    seconds: np.ndarray
    kinds: dict

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: np.ndarray) -> "Runs":
        """The runs at `rows` (indices, or bool (n,))."""
        kinds = {name: values[rows] for name, values in self.kinds.items()}
        parts = [_taken(part, rows) for part in (self.shape, self.layout, self.hardware)]
        return Runs(self.name, *parts, self.seconds[rows], kinds)


def _taken(part, rows):
    """A Shape, Layout or Hardware of some of its rows."""
    changed = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if np.ndim(value):
            changed[field.name] = value[rows]
    return replace(part, **changed)


def _rows(path, needed, optional=()):
    """The rows of a CSV file as dicts; DataError if its columns are not `needed`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name for name in reader.fieldnames or () if name not in optional]
            if columns != list(needed):
                raise DataError(f"{path} must have the columns {', '.join(needed)}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    if not rows:
        raise DataError(f"{path} has no rows")
    if any(None in row or None in row.values() for row in rows):
        raise DataError(f"{path} has a row with too few or too many columns")
    return rows


def _numbers(path, rows, column):
    try:
        values = np.array([float(row[column]) for row in rows])
    except ValueError as error:
        raise DataError(f"{path}, column {column}: {error}") from None
    if not (np.isfinite(values) & (values > 0)).all():
        raise DataError(f"{path}, column {column} must hold numbers above 0")
    return values


def read_vtrain(path: str | Path, name: str | None = None) -> Runs:
    """The runs of vTrain (Bang et al. 2024): Megatron-DeepSpeed on A100, full recomputation.

    returns  Runs; kinds tp, pp, dp, micro_batch, width
    raises   DataError
    """
    rows = _rows(path, VTRAIN, optional=("Parameters (billion)",))
    columns = [_numbers(path, rows, column) for column in VTRAIN]
    gpus, batch, micro, width, heads, layers, tokens, tp, dp, pp, milliseconds = columns
    if not np.array_equal(tp * dp * pp, gpus):
        raise DataError(f"{path} has a row whose degrees do not multiply to its GPUs")
    shape = gpt_shape(layers, width, heads, MEGATRON_VOCAB, tokens)
    layout = Layout(
        tp=tp,
        dp=dp,
        pp=pp,
        batch=batch,
        micro_batch=micro,
        recompute="full",
        attention="dense",
        dropout=1,
    )
    kinds = {"tp": tp, "pp": pp, "dp": dp, "micro_batch": micro, "width": width}
    machine = MACHINES["a100-vtrain"]
    return Runs(name or str(path), shape, layout, machine, milliseconds / 1e3, kinds)


def read_mosaic(path: str | Path, name: str | None = None) -> Runs:
    """The sharded-data-parallel runs of llm-foundry: MPT models on A100 and H100, tiled attention.

    What the table does not say is taken so: gradients travel in 32 bits but in mode PURE; the
    blocks' last map is not recomputed (PyTorch's early stop) but in mode PURE, the older runs.
    returns  Runs; kinds gpu, width, context, recompute, gpus
    raises   DataError
    """
    rows = _rows(path, MOSAIC)
    gpus, micro, batch, tokens = (
        _numbers(path, rows, column)
        for column in ("# GPUs", "MicroBatchSize", "GlobalBatchSize", "SeqLen (T)")
    )
    rate = _numbers(path, rows, "Throughput (T/s/GPU)")
    try:
        layers, width, heads = np.array([MPT[row["Model"]] for row in rows], float).T
        machines = [MACHINES[MPT_MACHINES[row["GPU"]]] for row in rows]
    except KeyError as error:
        raise DataError(f"{path}: no model or GPU {error}") from None
    pure = np.array([row["MP Mode"] == "PURE" for row in rows])
    again = np.array([row["Activation Checkpointing"] == "True" for row in rows])
    layout = Layout(
        tp=1,
        dp=gpus,
        pp=1,
        batch=batch,
        micro_batch=micro,
        zero=np.where([row["Sharding Strategy"] == "FULL_SHARD" for row in rows], 3, 2),
        recompute=np.where(again, np.where(pure, "full", "needed"), "none"),
        gradient_bytes=np.where(pure, 2, 4),
        eight_bit=np.array([row["Precision"] == "amp_fp8" for row in rows]) * 1,
    )
    kinds = {
        "gpu": np.array([row["GPU"] for row in rows]),
        "width": width,
        "context": tokens,
        "recompute": layout.recompute,
        "gpus": gpus,
    }
    shape = gpt_shape(layers, width, heads, MPT_VOCAB, tokens)
    return Runs(
        name or str(path), shape, layout, _table(machines), batch * tokens / gpus / rate, kinds
    )


def _table(machines):
    """One Hardware whose numbers are arrays, a row for each machine."""
    found = {}
    for field in fields(Hardware):
        found[field.name] = np.array([getattr(machine, field.name) for machine in machines])
    return Hardware(**found)
