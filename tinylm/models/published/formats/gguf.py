"""GGUF: the file format of llama.cpp, one file with quantized weights, settings and tokenizer.

    "GGUF", version (2 or 3), number of tensors, number of settings
    settings   name, type, value: {"llama.block_count": 30, "tokenizer.ggml.tokens": [...], ...}
    tensors    name, axes, type, offset
    the rest   the tensors, each at a multiple of the alignment; offsets count from here

All little-endian, lengths in 64 bits. Axes are given fastest first: a matrix of 3 rows and 2
columns is "2, 3"; here it is (3, 2), as everywhere in NumPy. The format: docs/gguf.md of ggml. Read
next: `low_bit/blocks.py`, how weights take 4 bits; `gguf_tokenizer.py`.
"""

import bisect
import struct
from pathlib import Path

import numpy as np

from tinylm.errors import CheckpointError
from tinylm.models.published.formats.mapped import (
    Entry,
    WeightFile,
    check_overlaps,
    map_bytes,
    size_of,
)

# ggml's numbers of tensor types.
TENSOR_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    30: "BF16",
}
# Types that are not read here, by name for the message.
_NOT_READ = {
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}

# Types of settings: numbers as NumPy names them, then three that need code.
_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_BOOL, _STRING, _ARRAY = 7, 8, 9

_MOST_AXES = 4  # ggml's limit
_DEEPEST = 4  # arrays within arrays; writers use one level
_ALIGNMENT = 32  # where the settings do not give general.alignment


def read_gguf(path: str | Path) -> WeightFile:
    """Open a GGUF file; a tensor is read, and its blocks become float32, when it is indexed.

    path     of the file
    returns  WeightFile; its metadata are the settings, with arrays of numbers as NumPy arrays and
             of strings as lists
    raises   CheckpointError naming the file, and the setting or tensor, that is damaged or of an
             unknown type
    """
    data = map_bytes(path)
    cursor = _Cursor(path, data)
    if bytes(cursor.take(4, "the first four bytes")) != b"GGUF":
        raise CheckpointError(f"{path} is no GGUF file: it does not begin with the letters GGUF")
    version = cursor.number("<u4")
    if version not in (2, 3):
        if version & 0xFFFF == 0:
            why = "it is written for big-endian machines"
        else:
            why = "versions 2 and 3 are read"
        raise CheckpointError(f"{path}: GGUF version {version}; {why}")
    n_tensors, n_settings = cursor.number("<u8"), cursor.number("<u8")
    # A setting takes 13 bytes or more and a tensor 24, so these numbers have a limit before any
    # loop runs.
    cursor.check(13 * n_settings + 24 * n_tensors, f"{n_settings} settings and {n_tensors} tensors")
    metadata = {}
    for _ in range(n_settings):
        name = cursor.string("the name of a setting")
        if name in metadata:
            raise CheckpointError(f"{path}: the setting {name!r} stands twice; the file is damaged")
        metadata[name] = cursor.value(cursor.number("<u4"), name)
    described = [_described(cursor) for _ in range(n_tensors)]
    return WeightFile(path, metadata, _entries(path, data, cursor.at, described, metadata))


def _described(cursor):
    """(name, shape in NumPy's order, type number, offset) of the next tensor."""
    name = cursor.string("the name of a tensor")
    n_axes = cursor.number("<u4")
    if n_axes > _MOST_AXES:
        raise CheckpointError(
            f"{cursor.path}: tensor {name!r} has {n_axes} axes, and at most {_MOST_AXES} are "
            "possible; the file is damaged"
        )
    shape = tuple(cursor.number("<u8") for _ in range(n_axes))[::-1]  # fastest axis last
    return name, shape, cursor.number("<u4"), cursor.number("<u8")


def _entries(path, data, end, described, metadata):
    """{name: Entry}: of known kinds, within the file, aligned, no two of them overlapping.

    end        where the descriptions end
    described  list of `_described`
    raises     CheckpointError naming the tensor
    """
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if (
        not isinstance(alignment, int)
        or alignment < 1
        or alignment & (alignment - 1)  # a power of 2 shares no bit with its predecessor
        or alignment > 1 << 20
    ):
        raise CheckpointError(f"{path}: general.alignment is {alignment!r}, not a power of 2")
    start = -(-end // alignment) * alignment  # rounded up
    entries = {}
    # The size of a tensor of a type not read here is the distance to the next one.
    stops = sorted({offset for *_, offset in described} | {max(data.size - start, 0)})
    for name, shape, number, offset in described:
        known = number in TENSOR_TYPES
        try:
            if known:
                kind = TENSOR_TYPES[number]
                nbytes = size_of(kind, shape)
            elif number in _NOT_READ:
                kind = _NOT_READ[number]
                nbytes = _to_next(stops, offset)
            else:
                names = ", ".join(TENSOR_TYPES.values())
                raise ValueError(f"its type {number} (unknown) is not read here, but {names}")
            if offset % alignment:
                raise ValueError(
                    f"it begins at {offset}, not at a multiple of {alignment}; the file is damaged"
                )
            if start + offset + nbytes > data.size:
                raise ValueError(
                    f"shape {shape} of {kind} ends at byte {start + offset + nbytes}, and the file "
                    f"at {data.size}; it is cut short or damaged"
                )
            if name in entries:
                raise ValueError("it stands twice; the file is damaged")
        except ValueError as error:
            raise CheckpointError(f"{path}: tensor {name!r}: {error}") from error
        entries[name] = Entry(kind, shape, data, start + offset, nbytes, known)
    check_overlaps(path, entries)
    return entries


def _to_next(stops, offset):
    """The bytes from `offset` to the next tensor, or to the end of the file; stops are sorted."""
    place = bisect.bisect_right(stops, offset)
    if place < len(stops):
        return stops[place] - offset
    return 0


class _Cursor:
    """Reads values one after another, never past the end; `what` names them in messages."""

    def __init__(self, path, data):
        self.path, self.data, self.view, self.at = path, data, memoryview(data), 0

    def check(self, nbytes, what):
        """Refuse a value of `nbytes` if fewer are left, before anything is allocated for it."""
        if nbytes > len(self.view) - self.at:
            raise CheckpointError(
                f"{self.path}: {what} should take {nbytes} bytes, and "
                f"{len(self.view) - self.at} follow; the file is cut short or damaged"
            )

    def take(self, nbytes, what):
        """The next bytes, a memoryview."""
        self.check(nbytes, what)
        self.at += nbytes
        return self.view[self.at - nbytes : self.at]

    def number(self, code, what="a number"):
        """One number of NumPy's type `code`, as Python's int or float."""
        return np.frombuffer(self.take(int(code[2]), what), code)[0].item()

    def string(self, what):
        """One text: its length in bytes, then UTF-8."""
        text = self.take(self.number("<u8", what), what)
        try:
            return str(text, "utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self.path}: {what} is not UTF-8 ({error.reason}); the file is damaged"
            ) from error

    def value(self, kind, what, depth=0):
        """One value of a setting, of any type."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind], what)
        if kind == _BOOL:
            return self.truth(self.take(1, what)[0], what)
        if kind == _STRING:
            return self.string(what)
        if kind == _ARRAY and depth < _DEEPEST:
            return self.array(what, depth)
        raise CheckpointError(
            f"{self.path}: {what} has the type {kind} at depth {depth}, which does not exist; the "
            "file is damaged"
        )

    def array(self, what, depth):
        """An array of a setting: its type, its length, its values."""
        kind, length = self.number("<u4", what), self.number("<u8", what)
        if kind in _NUMBERS:  # a view of the file, because it may be large
            code = _NUMBERS[kind]
            return np.frombuffer(self.take(length * int(code[2]), what), code)
        # A truth value takes one byte, an empty string 8, an empty array 12: so a false length is
        # found before the loop.
        self.check(length * {_BOOL: 1, _STRING: 8}.get(kind, 12), what)
        if kind == _STRING:
            return self.strings(length, what)
        return [self.value(kind, what, depth + 1) for _ in range(length)]

    def strings(self, length, what):
        """As `string`, `length` times, in a fast loop: a vocabulary and its merges are 100,000."""
        unpack, view, at, found = struct.Struct("<Q").unpack_from, self.view, self.at, []
        last = len(view) - 8  # the last place where a length may begin
        try:
            for _ in range(length):
                if at > last:
                    break
                stop = at + 8 + unpack(view, at)[0]
                if stop > len(view):
                    break
                found.append(str(view[at + 8 : stop], "utf-8"))
                at = stop
        except UnicodeDecodeError:
            pass
        self.at = at
        if len(found) < length:
            self.string(what)  # reads the next one again and raises its error
        return found

    def truth(self, byte, what):
        """A truth value, 0 or 1."""
        if byte > 1:
            raise CheckpointError(
                f"{self.path}: {what} is the byte {byte}, but only 0 and 1 are truth values"
            )
        return bool(byte)
