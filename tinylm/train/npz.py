"""The arrays of a checkpoint on disk: .npz as NumPy writes it, each checked before it is read.

Before memory is taken for an array, its header must have the expected shape and dtype, and the file
must be as long as that needs; its checksum is compared when it is read. Arrays are never pickled
and never compressed, so that a small file cannot claim a large memory. Read next: checkpoint.py,
which holds the expected shapes.
"""

import hashlib
import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError
from tinylm.fields import Fields
from tinylm.files import open_regular

_DTYPE = re.compile(r"[<>|][biufc]\d{1,2}", re.ASCII)
# NumPy's format: by version, in how many bytes the length of the header is written; the header, a
# Python dict literal; its longest, in bytes.
_LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}
_HEADER = re.compile(
    rb"\{'descr': '([ -&(-~]*)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)
_LONGEST = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The errors of the readers of zip files and of NumPy's headers for bytes that are neither.
UNREADABLE = (
    zipfile.BadZipFile,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    NotImplementedError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
)


def describe(array: np.ndarray) -> dict[str, Any]:
    """The description of an array in a checkpoint: {"shape", "dtype", "sha256"}."""
    array = to_cpu(array)
    if array.dtype.hasobject:
        raise CheckpointError(
            f"save checkpoint: an array of {array.dtype} is not numbers and would have to be "
            "pickled"
        )
    dtype = array.dtype.str
    return {"shape": list(array.shape), "dtype": dtype, "sha256": _checksum(array)}


def described(fields: Fields, name: str) -> dict[str, Any]:
    """The description of an array out of a file, checked: {"shape", "dtype", "sha256"}.

    fields   Fields of the object that holds it under `name`
    """
    one = fields.object(name)
    shape = one.list("shape")
    if len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise one.wrong("shape", shape, "a list of sizes")
    one.take("dtype", _is_dtype, "a dtype of numbers, such as '<f4'")
    one.take("sha256", _is_sha256, "64 hexadecimal digits")
    return dict(one.values)


def _is_sha256(value):
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_dtype(value):
    if not isinstance(value, str) or not _DTYPE.fullmatch(value):
        return False
    try:
        return np.dtype(value).str == value
    except TypeError:
        return False


def write(out: BinaryIO, members: dict[str, np.ndarray]) -> None:
    """Like np.savez, but never a pickle, and without time stamps: equal arrays give equal bytes."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, to_cpu(array), allow_pickle=False)


def read(path: str | Path, members: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays of a file.

    members  {name: description}, which must be that of the file
    returns  {name: array}
    raises   CheckpointError naming the file and the array that is damaged, or refused
    """
    try:
        with open_regular(path) as file:
            return _read(path, file, members)
    except FileNotFoundError:
        raise damaged(path, "it is missing") from None
    except OSError as error:
        raise CheckpointError(
            f"checkpoint file {path} cannot be read ({error.strerror or error})"
        ) from None


def _read(path, file, members):
    # Nothing is compressed, so the file cannot be shorter than its arrays.
    size = os.fstat(file.fileno()).st_size
    needed = sum(map(nbytes, members.values()))
    if needed > size:
        raise damaged(path, f"it is cut short: it has {size} bytes, and its arrays take {needed}")
    if file.read(1) == b"\x80":  # how a pickle begins, as np.save writes one without a header
        raise refused(path)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE as error:
        raise damaged(path, f"it is cut short or no .npz archive ({error})") from None
    with archive:
        # No array more or less than listed, and none twice.
        found = {info.filename: info for info in archive.infolist()}
        if len(found) != len(archive.infolist()) or set(found) != {f"{n}.npy" for n in members}:
            differing = sorted({name.removesuffix(".npy") for name in found} ^ set(members))
            raise damaged(path, f"its arrays are not those that are listed: {differing[:5]}")
        return {
            name: _array(path, archive, found[f"{name}.npy"], name, expected)
            for name, expected in members.items()
        }


def _array(path, archive, info, name, expected):
    """One array, read only if its header is as expected."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise damaged(path, f"array {name!r} is compressed, which no checkpoint is")

    def check(what, value):  # what: shape, dtype or sha256
        if value != expected[what]:
            raise damaged(
                path, f"array {name!r} has {what} {value}, but state.json has {expected[what]}"
            )

    try:
        with archive.open(info) as member:
            shape, fortran, dtype = _header(member)
            if dtype.hasobject:
                raise refused(path, name)
            check("shape", list(shape))
            check("dtype", dtype.str)
            if info.file_size != member.tell() + nbytes(expected):
                raise damaged(path, f"array {name!r} does not have the length in its header")
            # The bytes are read into the array itself: no second copy of it is ever in memory.
            array = np.empty(shape, dtype, order="F" if fortran else "C")
            data = array.reshape(-1, order="A").view(np.uint8)
            if member.readinto(data) != len(data) or member.read(1):
                raise damaged(path, f"array {name!r} is cut short")
    except CheckpointError:
        raise
    except UNREADABLE as error:
        raise damaged(path, f"array {name!r} cannot be read ({error})") from None
    check("sha256", _checksum(array))
    return array


def _header(member):
    """(shape, True if in Fortran's order, dtype) of NumPy's format; nothing of the data is read.

    Not by NumPy's own reader: it evaluates the header as Python, whose parser raises errors of many
    kinds on damaged text.
    """
    start = member.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in _LENGTHS:
        raise ValueError(f"it begins with {start!r}, and not as an array")
    length = int.from_bytes(member.read(_LENGTHS[start[6:]]), "little")
    text = member.read(min(length, _LONGEST))
    found = _HEADER.fullmatch(text)
    if found is None:
        raise ValueError(f"its header is {text[:60]!r}")
    descr, fortran, sizes = (part.decode() for part in found.groups())
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    return shape, fortran == "True", np.dtype(descr)


def nbytes(description: dict[str, Any]) -> int:
    """The bytes that an array of that description takes."""
    return math.prod(description["shape"]) * np.dtype(description["dtype"]).itemsize


def _checksum(array):
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.sha256(data).hexdigest()


def check_expected(
    path: str | Path,
    members: dict[str, dict[str, Any]],
    expected: dict[str, tuple[tuple[int, ...], np.dtype]],
) -> None:
    """Compare the listed arrays of a checkpoint with those of the model, before any is read.

    path      of the file
    members   {name: description}
    expected  {name: (shape, dtype)}
    raises    CheckpointError naming the first array that differs
    """
    for name in [*expected, *members]:
        model = "the model that state.json describes"
        if name not in members:
            raise CheckpointError(f"{path} lacks the array {name!r}, and {model} needs it")
        if name not in expected:
            raise CheckpointError(
                f"{path} holds the array {name!r}, and {model} has no place for it"
            )
        (shape, dtype), found = expected[name], members[name]
        if found["shape"] != list(shape) or np.dtype(found["dtype"]).newbyteorder("=") != dtype:
            raise CheckpointError(
                f"{path}: array {name!r} is {found['dtype']} of shape {found['shape']}, and "
                f"{model} needs {np.dtype(dtype).str} of {list(shape)}"
            )


def damaged(path: str | Path, why: str) -> CheckpointError:
    """The error for a file that was changed."""
    return CheckpointError(
        f"checkpoint file {path} is damaged: {why}; use another checkpoint of the run"
    )


def refused(path: str | Path, name: str | None = None) -> CheckpointError:
    """The error for a file that may run code."""
    what = "it holds"
    if name:
        what = f"array {name!r} holds"
    return CheckpointError(
        f"checkpoint file {path} is refused: {what} pickled objects, which can run any code when "
        "they are read; tinylm writes and reads plain numbers only"
    )
