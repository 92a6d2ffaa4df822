"""safetensors: the file format of weights on Hugging Face, read and written with NumPy and JSON.

    8 bytes   n, the length of the header, little-endian
    n bytes   JSON {"name": {"dtype": "F32", "shape": [3, 2], "data_offsets": [from, to]},
              "__metadata__": {str: str}}
    the rest  the tensors one after another, without gaps; offsets count from here

Nothing in it is executed, and every tensor can be mapped as it is. Large models are cut into
several such files ("shards") with an index, model.safetensors.index.json: {"weight_map": {tensor:
file}}. The format: github.com/huggingface/safetensors. Read next: `gguf.py`, the other format.
"""

import json
import struct
from collections import Counter
from pathlib import Path

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError, DtypeError
from tinylm.files import WholeFile, write_text
from tinylm.models.low_bit.bfloat16 import narrow
from tinylm.models.published.formats.mapped import (
    DTYPES,
    UNREAD,
    Entry,
    WeightFile,
    check_overlaps,
    map_bytes,
    size_of,
)

# The names by which a folder's weights are found.
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_HEADER = 100_000_000  # bytes, as in the reference implementation
_LARGEST_INDEX = 100_000_000
_SHARD = 5 * 10**9  # bytes a shard, as Hugging Face cuts them


def read_safetensors(path: Path) -> WeightFile:
    """Open weights in Hugging Face's layout; a tensor is read when it is indexed.

    path     a .safetensors file, an index .json of shards, or a folder that holds model.safetensors
             or its index
    returns  WeightFile
    raises   CheckpointError naming the file, and the tensor, that is damaged or missing
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in (SINGLE, INDEX) if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"{path} holds neither {SINGLE} nor {INDEX}")
        path = found[0]
    if path.suffix == ".json":
        return _read_sharded(path)
    return _read_single(path)


def _read_single(path):
    """The WeightFile of one .safetensors file."""
    data = map_bytes(path)
    start, header = _header(path, data)
    metadata = header.pop("__metadata__", None)
    if metadata is None:  # missing, or null
        metadata = {}
    texts = isinstance(metadata, dict) and all(isinstance(one, str) for one in metadata.values())
    if not texts:
        raise CheckpointError(
            f"{path}: __metadata__ does not map strings to strings; the file is damaged"
        )
    entries = {}
    for name, described in header.items():
        try:
            entries[name] = _entry(described, data, start)
        except ValueError as error:
            raise CheckpointError(
                f"{path}: tensor {name!r}: {error}; the file is damaged"
            ) from error
    check_overlaps(path, entries)
    # The tensors follow one another without gaps, empty ones too, from the header to the end.
    end = start
    spans = [(one.start, one.start + one.nbytes, name) for name, one in entries.items()]
    for first, stop, name in sorted(spans):
        if first != end:
            raise CheckpointError(
                f"{path}: {first - end} bytes before tensor {name!r} belong to none; the file is "
                "damaged"
            )
        end = stop
    if end != data.size:
        raise CheckpointError(
            f"{path}: {data.size - end} bytes at its end belong to no tensor; the file is damaged"
        )
    return WeightFile(path, metadata, entries)


def _header(path, data):
    """(where the tensors begin, the parsed header)."""
    if data.size < 8:
        raise CheckpointError(
            f"{path} has {data.size} bytes; a safetensors file begins with 8 that give its "
            "header's length"
        )
    length = struct.unpack("<Q", data[:8].tobytes())[0]  # 64 bits, checked before it is used
    if length > min(data.size - 8, _LARGEST_HEADER):
        raise CheckpointError(
            f"{path}: the header should be {length} bytes long, but {data.size - 8} follow"
            f" and {_LARGEST_HEADER} are allowed; the file is cut short, or is no safetensors file"
        )
    # The header is copied out of the mapped file; the tensors are not.
    text = data[8 : 8 + length].tobytes()
    header = _parse(path, text)
    if not text.startswith(b"{"):
        raise CheckpointError(
            f"{path}: the header begins with {text[:8]!r} and not with '{{', as the format wants it"
        )
    return 8 + length, header


def _parse(path, text):
    """The JSON object in `text`, bytes, in which no key stands twice."""

    # json keeps the last of two equal keys, another reader may keep the first.
    def distinct(pairs):
        made = dict(pairs)
        if len(made) < len(pairs):
            ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise CheckpointError(
                f"{path}: {twice!r} stands twice in the header; the file is damaged"
            )
        return made

    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=distinct)
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path}: the header is not UTF-8 (byte {error.start}); it is damaged or no such file"
        ) from error
    except (ValueError, RecursionError) as error:
        # No JSON, an integer of thousands of digits, or objects nested too deep.
        raise CheckpointError(
            f"{path}: the header is not JSON ({error}); the file is damaged"
        ) from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path}: the header is no JSON object; the file is damaged")
    half = next((name for name in parsed if not _is_unicode(name)), None)
    if half is not None:
        raise CheckpointError(
            f"{path}: the name {half!r} has half a surrogate pair, which is no character; the file "
            "is damaged"
        )
    return parsed


def _is_unicode(text):
    """Whether a text has UTF-8: a JSON escape can write half a surrogate pair, which has none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _entry(described, data, start):
    """The Entry of one tensor.

    described  its object in the header
    data       (n,) uint8, the mapped file
    start      where the tensors begin
    raises     ValueError naming the field that is wrong
    """
    fields = {"dtype", "shape", "data_offsets"}
    if not isinstance(described, dict) or set(described) != fields:
        also = ""
        if isinstance(described, dict):
            more = sorted(set(described) - fields)
            also = f", and has {more[0]!r} besides" if more else ""
        raise ValueError(f"it is not described by dtype, shape and data_offsets alone{also}")
    # Each field by itself, then the three together: bytes = numbers * bytes a number.
    kind, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(kind, str):
        raise ValueError(f"dtype {kind!r} is not a name")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(f"{what} {str(numbers)[:60]} is not a list of integers from 0 on")
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= data.size - start:
        raise ValueError(
            f"data_offsets {offsets} are not within the {data.size - start} bytes of tensors"
        )
    nbytes = offsets[1] - offsets[0]
    known = kind in DTYPES
    needed = nbytes  # of a kind that is not listed the size cannot be checked
    if known or kind in UNREAD:
        needed = size_of(kind, shape)
    if nbytes != needed:
        raise ValueError(
            f"shape {shape} of {kind} needs {needed} bytes, and data_offsets give {nbytes}"
        )
    return Entry(kind, tuple(shape), data, start + offsets[0], nbytes, known)


def _read_sharded(path):
    """The WeightFile of the shards that the index at `path` names."""
    data = map_bytes(path)
    if data.size > _LARGEST_INDEX:
        raise CheckpointError(
            f"{path} has {data.size} bytes, and an index at most {_LARGEST_INDEX}"
        )
    index = _parse(path, data.tobytes())
    place, metadata = index.get("weight_map"), index.get("metadata", {})
    named = isinstance(place, dict) and all(isinstance(file, str) for file in place.values())
    if not named or not place:
        raise CheckpointError(
            f"{path}: weight_map does not map tensors to files; the index is damaged"
        )
    # Index and shards must agree both ways: every tensor of the index is in its shard, and every
    # tensor of a shard is in the index.
    shards = {file: _shard(path, file) for file in dict.fromkeys(place.values())}
    entries = {name: shards[file].entry(name) for name, file in place.items()}  # raises if missing
    for file, shard in shards.items():
        _check_named(path, file, shard, place)
    if not isinstance(metadata, dict):
        metadata = {}
    return WeightFile(path, metadata, entries)


def _shard(path, file):
    """The WeightFile of a shard that the index at `path` names."""
    # "../../secret" or an absolute path would let the index choose any file of this machine.
    if Path(file).name != file or "\0" in file:
        raise CheckpointError(
            f"{path}: shard {file!r} is not a plain name of a file beside the index"
        )
    if not file.endswith(".safetensors"):
        raise CheckpointError(
            f"{path}: shard {file!r} is not read here, but shards that end in .safetensors"
        )
    if not (path.parent / file).is_file():
        raise CheckpointError(
            f"{path} names the shard {file!r}, which is not there; copy all shards beside the index"
        )
    return _read_single(path.parent / file)


def _check_named(path, file, shard, place):
    """Refuse a tensor that the index does not name, or places in another file.

    It would be skipped without an error.
    """
    for name in shard:
        if place.get(name) == file:
            continue
        there = "does not name it"
        if name in place:
            there = f"places it in {place[name]!r}"
        raise CheckpointError(
            f"{shard.path} holds the tensor {name!r}, and {path.name} {there}; the index belongs "
            "to other shards"
        )


def write_safetensors(
    path: str | Path,
    tensors: dict[str, np.ndarray],
    metadata: dict[str, str] | None = None,
    kind: str | None = None,
) -> None:
    """Write one file that safetensors' own library, and so Hugging Face, reads; all or nothing.

    path      of the file; a reader never sees it half written
    tensors   {name: array}, arrays of any device, written one after another
    metadata  {str: str} beside {"format": "pt"}, which names the library the file is for
    kind      None: each array as it is. "F64", "F32", "F16" or "BF16": floating-point arrays
              converted to this
    raises    DtypeError for an array that the format has no name for, CheckpointError if the disk
              is full or may not be written
    """
    path = Path(path)
    # All checks come before the first byte is written.
    kinds = {name: _kind_of(name, array, kind) for name, array in tensors.items()}
    # The reference's order: widest numbers first, so that all lie aligned, then by name.
    rank = {known: i for i, known in enumerate(DTYPES)}
    order = sorted(tensors, key=lambda name: (rank[kinds[name]], name))
    # Offsets count from the end of the header, whose length depends on them: header first.
    header, at = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    for name in order:
        shape = list(np.shape(tensors[name]))
        stop = at + size_of(kinds[name], shape)
        header[name] = {"dtype": kinds[name], "shape": shape, "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # so that the tensors begin at a multiple of 8 bytes
    try:
        with WholeFile(path) as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                out.write(_numbers(tensors[name], kinds[name]).data)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the weights {path}: {error.strerror or error}; free space or permit "
            "writing, then save again"
        ) from error


def write_sharded(
    folder: Path,
    tensors: dict[str, np.ndarray],
    metadata: dict[str, str] | None = None,
    kind: str | None = None,
    shard_bytes: int = _SHARD,
) -> None:
    """Write model.safetensors into `folder`, or shards and their index if it would be too large.

    folder       made if it is not there
    shard_bytes  no shard is larger, but for a single tensor that is
    raises       as `write_safetensors`
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # In order, a new shard where the next tensor does not fit into the last one.
    shards, sizes = [[]], [0]
    for name, array in tensors.items():
        nbytes = size_of(_kind_of(name, array, kind), np.shape(array))
        if shards[-1] and sizes[-1] + nbytes > shard_bytes:
            shards.append([])
            sizes.append(0)
        shards[-1].append(name)
        sizes[-1] += nbytes
    if len(shards) == 1:
        write_safetensors(folder / SINGLE, tensors, metadata, kind)
        (folder / INDEX).unlink(missing_ok=True)  # of an earlier, larger model
        return
    place = {}
    for i, names in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, {name: tensors[name] for name in names}, metadata, kind)
        place.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": place}
    write_text(folder / INDEX, json.dumps(index, indent=2))  # last, when all shards exist
    (folder / SINGLE).unlink(missing_ok=True)


def _kind_of(name, array, kind):
    """The format's name for the numbers of `array`; `kind`, if given, for floating-point ones."""
    dtype = np.dtype(array.dtype)
    if dtype.kind == "f" and kind is not None:
        if kind not in ("F64", "F32", "F16", "BF16"):
            raise DtypeError(
                f"write safetensors: {kind!r} is no kind of floating-point number; there are F64, "
                "F32, F16, BF16"
            )
        return kind
    # BF16 is excluded: NumPy's uint16 is U16.
    for known, code in DTYPES.items():
        if np.dtype(code) == dtype.newbyteorder("<") and known != "BF16":
            return known
    raise DtypeError(
        f"write safetensors: tensor {name!r} has dtype {dtype}, which the format has no name for; "
        "convert it to float32"
    )


def _numbers(array, kind):
    """The array as it is written: (...) -> (n,) in row order, little-endian, of the kind."""
    array = to_cpu(array).reshape(-1)
    if kind == "BF16":
        return narrow(array)
    return np.ascontiguousarray(array, DTYPES[kind])
