"""TensorBoard's event files: numbers by step, as `tensorboard --logdir DIR` reads them.

A file is a sequence of records, each framed by its length and two checksums (TFRecord); a record is
an Event of Protocol Buffers. Both formats are small enough to write here, so that no library of
theirs is needed:

    record   length (8 bytes), masked crc of these, data, masked crc of the data; little-endian
    Event    1: wall_time (double)   2: step (int64)   3: file_version (string)   5: Summary
    Summary  1: Value, repeated
    Value    1: tag (string)   2: simple_value (float)

Sources: TensorFlow's tfrecord format, event.proto and summary.proto; CRC-32C is RFC 3720, appendix
B.4. Read next: export_log.py.
"""

import struct
from collections.abc import Iterable

VERSION = "brain.Event:2"  # the first event names the format
_DOUBLE, _BYTES, _FLOAT, _VARINT = 1, 2, 5, 0  # wire types


def event_file(wall_time: float, points: Iterable[tuple[float, int, dict[str, float]]]) -> bytes:
    """The content of an event file.

    wall_time  seconds since 1970 at which the run began
    points     (wall time, step, {tag: value}) in the order of steps; a tag is such as
               "training/loss", where the part before the slash groups what is shown
    returns    bytes
    """
    first = _field(1, _DOUBLE, wall_time) + _field(3, _BYTES, VERSION.encode())
    return b"".join([record(first), *(record(event(*point)) for point in points)])


def event(wall_time: float, step: int, values: dict[str, float]) -> bytes:
    """An Event that holds the values of a step."""
    summary = b""
    for tag, value in values.items():
        one = _field(1, _BYTES, tag.encode()) + _field(2, _FLOAT, value)
        summary += _field(1, _BYTES, one)
    return _field(1, _DOUBLE, wall_time) + _field(2, _VARINT, step) + _field(5, _BYTES, summary)


def record(data: bytes) -> bytes:
    """Data as a TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _masked(crc32c(length)) + data + _masked(crc32c(data))


def _masked(crc):
    """A checksum, turned and shifted: a crc of data that itself holds crcs would be weak."""
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table():
    """The crc of each byte, by the reflected polynomial of Castagnoli."""
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        rows.append(byte)
    return rows


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes, a number of 32 bits. Check: of b"123456789" it is 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _field(number, kind, value):
    """A field: its key, number * 8 + wire type, and its value."""
    key = _varint(number << 3 | kind)
    if kind == _VARINT:
        return key + _varint(value)
    if kind == _BYTES:
        return key + _varint(len(value)) + value
    return key + struct.pack("<d" if kind == _DOUBLE else "<f", value)


def _varint(value):
    """A number in groups of 7 bits, the lowest first; the top bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
