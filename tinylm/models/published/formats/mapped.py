"""Tensors that stay in their file until they are used.

A file of weights is mapped into memory, not read: the operating system loads the pages that are
touched and may drop them again. `weights["name"]` of plain numbers is a read-only view of the file
and costs nothing; what must be converted (bfloat16, quantized blocks) costs the one array that it
becomes. So a model loads in the time its own copy takes, and memory never holds the weights twice.

The layout is checked before anything becomes an array: the file is not trusted, and may be cut
short or made to do harm. Read next: `safetensors.py` and `gguf.py`, which find the entries.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.errors import CheckpointError
from tinylm.models.low_bit.bfloat16 import widen
from tinylm.models.low_bit.blocks import FORMATS, dequantize

# Plain numbers, little-endian as in every format of weights; in the order in which safetensors
# files hold them. BF16 is two bytes that NumPy has no type for.
DTYPES = {
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "F32": "<f4",
    "U32": "<u4",
    "I32": "<i4",
    "BF16": "<u2",
    "F16": "<f2",
    "U16": "<u2",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

# Bits of a number of a kind that no array here can hold: such a tensor is refused when it is used,
# and all others of its file can be.
UNREAD = {
    "C64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
    "I4": 4,
    "U4": 4,
}

_MOST_AXES = 64  # NumPy has no more
_MOST_BYTES = 1 << 63  # sizes in bytes are 64-bit integers with a sign


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in its file.

    kind    of its numbers: a name of DTYPES, UNREAD or blocks.FORMATS
    shape   tuple
    data    (n,) uint8, the mapped file
    start   its first byte
    nbytes  its length
    known   False: no array can be made of it, because `kind` is not read here
    """

    kind: str
    shape: tuple
    data: np.ndarray
    start: int
    nbytes: int
    known: bool = True

    @property
    def raw(self) -> np.ndarray:
        """Its bytes, (nbytes,) uint8, a read-only view of the file."""
        return self.data[self.start : self.start + self.nbytes]


class WeightFile(Mapping):
    """A mapping name -> array over one or several files of weights.

    path      the file or folder that was opened, for messages
    metadata  dict: the file's settings
    entries   {name: Entry}

    Arrays are read-only and have NumPy's order of axes, rows first. bfloat16 and quantized blocks
    become float32, all else keeps its type. The files must not change while they are open, because
    arrays are views of them.
    """

    def __init__(self, path: str | Path, metadata: dict[str, Any], entries: dict[str, Any]) -> None:
        self.path, self.metadata, self.entries = path, metadata, entries

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self.entry(name)
        if not entry.known:
            raise CheckpointError(
                f"{self.path}: tensor {name!r} has the dtype {entry.kind!r}, which is not read "
                f"here, but {', '.join([*DTYPES, *FORMATS])}: convert it, for example to BF16"
            )
        try:
            return to_array(entry.raw, entry.kind, entry.shape)
        except ValueError as error:
            raise CheckpointError(f"{self.path}: tensor {name!r}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: str) -> bool:
        return name in self.entries  # the inherited method would read the tensor

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor, or `default` where there is none."""
        if name in self.entries:
            return self[name]
        return default

    def entry(self, name: str) -> Entry:
        """The Entry of a tensor: its kind, shape and bytes, without converting it.

        raises  CheckpointError that names some of the tensors there are
        """
        if name not in self.entries:
            some = ", ".join(list(self.entries)[:4])
            raise CheckpointError(
                f"{self.path} has no tensor {name!r}; it has {len(self)}: {some}, ..."
            )
        return self.entries[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return self.entry(name).shape

    def parameters(self) -> int:
        """How many numbers all tensors hold together."""
        return sum(math.prod(entry.shape) for entry in self.entries.values())


def to_array(raw: np.ndarray, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of a file as an array.

    raw      (n,) uint8
    kind     a name of DTYPES or of blocks.FORMATS
    shape    of the result
    returns  a view of `raw` where the numbers can be used as they lie, else a new array: float32
             for BF16 and blocks
    raises   ValueError for truth values other than 0 and 1
    """
    if kind in FORMATS:
        array = dequantize(raw, kind, shape)
    else:
        if kind == "BOOL" and raw.size and raw.max() > 1:
            raise ValueError(f"BOOL has the byte {raw.max()}, but only 0 and 1 are truth values")
        array = raw.view(DTYPES[kind]).reshape(shape)  # (n,) bytes -> shape, no copy
        if kind == "BF16":
            array = widen(array)
        elif not array.flags.aligned:
            # The writer did not pad its header: BLAS would copy the array at every use.
            array = array.copy()
    array.flags.writeable = False
    return array


def size_of(kind: str, shape: Sequence[int]) -> int:
    """How many bytes a tensor takes in a file.

    raises  ValueError for a shape that no array can have, or of which blocks cannot be made
    """
    if len(shape) > _MOST_AXES:
        raise ValueError(f"{len(shape)} axes, and an array has at most {_MOST_AXES}")
    # Zeros count as 1: NumPy refuses the shape (0, 2**63) as well. 8: the widest number.
    if math.prod(max(n, 1) for n in shape) * 8 >= _MOST_BYTES:
        raise ValueError("it is larger than any memory")
    if kind in UNREAD:
        bits = math.prod(shape) * UNREAD[kind]
        if bits % 8:
            raise ValueError(
                f"shape {list(shape)} of {kind} is {bits} bits, which fill no whole number of bytes"
            )
        return bits // 8
    if kind not in FORMATS:
        return math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
    # Blocks of so many weights, one after another along the last axis.
    block = FORMATS[kind]
    if not shape or shape[-1] % block.weights:
        raise ValueError(
            f"{kind} comes in blocks of {block.weights} along the last axis, which is {shape[-1:]}"
        )
    return math.prod(shape) // block.weights * block.nbytes


def map_bytes(path: str | Path) -> np.ndarray:
    """A file as a read-only (n,) uint8 array whose pages are read when touched.

    raises  CheckpointError if it cannot be opened or is empty
    """
    try:
        size = os.stat(path).st_size
        if not os.path.isfile(path):
            raise CheckpointError(f"{path} is not a file; it should hold weights")
        if size == 0:
            raise CheckpointError(f"{path} is empty; it should hold weights")
        return np.asarray(np.memmap(path, np.uint8, mode="r"))
    except OSError as error:
        raise CheckpointError(
            f"cannot read the weights {path}: {error.strerror or error}"
        ) from error


def check_overlaps(path: str | Path, entries: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Refuse tensors that share bytes: each would be converted and trained as if it were alone.

    entries  {name: Entry} of one file
    returns  [(start, stop, name)] in the order of the file, empty tensors left out
    raises   CheckpointError naming two tensors
    """
    spans = sorted(
        (entry.start, entry.start + entry.nbytes, name)
        for name, entry in entries.items()
        if entry.nbytes
    )
    # Sorted by start: if any two overlap, two neighbors do.
    for (_, stop, name), (start, _, following) in zip(spans, spans[1:]):
        if start < stop:
            raise CheckpointError(
                f"{path}: tensors {name!r} and {following!r} overlap, the first ends at byte "
                f"{stop} and the second begins at {start}; the file is damaged"
            )
    return spans
