"""Weight files made by hand, field by field, so that tests can make them wrong in one place."""

import json
import struct

import numpy as np
import pytest

from tinylm.errors import MissingExtra
from tinylm.models.published.formats.found import find_weights

TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
    "I32": 26,
    "BF16": 30,
}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def setting(value):
    """Type and value of a setting, as GGUF writes them."""
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, (str, bytes)):
        return struct.pack("<I", 8) + string(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(string, value))
    if value and isinstance(value[0], float):
        return struct.pack("<IIQ", 9, 6, len(value)) + np.array(value, "<f4").tobytes()
    return struct.pack("<IIQ", 9, 5, len(value)) + np.array(value, "<i4").tobytes()


def gguf(
    settings=None,
    tensors=None,
    version=3,
    alignment=32,
    n_settings=None,
    n_tensors=None,
    described=None,
):
    """The bytes of a GGUF file.

    tensors    {name: (kind, shape in NumPy's order, bytes)}
    described  {name: dict(kind=, shape=, offset=)}: what the header says instead of the truth
    """
    settings, tensors, described = settings or {}, tensors or {}, described or {}
    head = struct.pack(
        "<4sIQQ",
        b"GGUF",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(settings) if n_settings is None else n_settings,
    )
    for name, value in settings.items():
        head += string(name) + setting(value)
    body = b""
    for name, (kind, shape, data) in tensors.items():
        told = {
            "kind": TYPES.get(kind, kind),
            "shape": shape,
            "offset": len(body),
            **described.get(name, {}),
        }
        head += string(name) + struct.pack("<I", len(told["shape"]))
        head += b"".join(struct.pack("<Q", n) for n in told["shape"][::-1]) + struct.pack(
            "<IQ", told["kind"], told["offset"]
        )
        body += data + bytes(-len(data) % alignment)
    return head + bytes(-len(head) % alignment) + body


def safetensors(header, body=b"", length=None):
    """The bytes of a safetensors file; `header` is a dict, or the bytes to stand for it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def described(kind, shape, start, stop):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


def installed(name):
    """The path of published weights; the test is skipped where their package is not installed."""
    try:
        return find_weights(name)
    except MissingExtra as error:
        pytest.skip(str(error))
