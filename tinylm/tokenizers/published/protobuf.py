"""Messages of Protocol Buffers, as far as SentencePiece's files use them.

A message is a row of fields: a number (field * 8 + wire type), then the value. Wire types: 0 a
whole number in groups of seven bits, lowest first; 1 eight bytes; 2 a length and so many bytes
(texts, messages); 5 four bytes. A field may occur several times: all occurrences of a list count,
of any other field the last one. Read next: sentencepiece.py.
"""

import struct
from collections.abc import Collection, Iterator
from typing import Any

from tinylm.errors import DataError


def fields_of(data: bytes, where: str) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message.

    data    bytes
    yields  (field number, wire type, value): int for the wire types 0, 1 and 5 (their bits), else
            bytes
    raises  DataError with the offset of the byte at fault
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = _number(data, at, where)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _number(data, at, where)
        elif kind in (1, 5):
            size = {1: 8, 5: 4}[kind]
            value = int.from_bytes(_take(data, at, size, where), "little")
            at += size
        elif kind == 2:
            size, at = _number(data, at, where)
            value = _take(data, at, size, where)
            at += size
        else:
            raise DataError(
                f"{where}: byte {at} begins a field of wire type {kind}, which does not exist"
            )
        if field == 0:
            raise DataError(
                f"{where}: byte {at} ends a field with the number 0, which does not exist"
            )
        yield field, kind, value


def _number(data, at, where):
    """(the number written in groups of seven bits at a place, the place after it)."""
    value = 0
    for i in range(10):  # 10 groups hold 64 bits
        if at + i >= len(data):
            break
        value |= (data[at + i] & 0x7F) << 7 * i
        # The high bit is set on every byte but the last.
        if data[at + i] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    raise DataError(
        f"{where}: the number at byte {at} does not end; the file is cut short or damaged"
    )


def _take(data, at, size, where):
    """`size` bytes from a place on."""
    if size > len(data) - at:
        raise DataError(
            f"{where}: {size} bytes should follow byte {at}, and {len(data) - at} do; it is cut "
            f"short or damaged"
        )
    return data[at : at + size]


def message(
    data: bytes, names: dict[int, tuple[str, str]], where: str, ignored: Collection[int] = ()
) -> dict[str, Any]:
    """A message as {name: value}.

    names    {field number: (name, kind)}: kind is "int", "bool", "float", "text", "bytes", or
             "list" for bytes that may occur several times
    ignored  numbers of fields that are known and do not matter here
    raises   DataError for a field that is not known, or of another wire type
    """
    found = {name: [] for name, kind in names.values() if kind == "list"}
    for field, wire, value in fields_of(data, where):
        if field in ignored:
            continue
        if field not in names:
            raise DataError(f"{where} has a field {field}, which is not read here")
        name, kind = names[field]
        # "text", "bytes" and "list" are of wire type 2.
        if wire != {"int": 0, "bool": 0, "float": 5}.get(kind, 2):
            raise DataError(f"{where}.{name} is of wire type {wire}; it is damaged")
        if kind == "list":
            found[name].append(value)
        else:
            found[name] = _value(value, kind, f"{where}.{name}")
    return found


def _value(value, kind, where):
    """The value of a field of some kind."""
    if kind == "int":
        # Negative numbers are written in 64 bits, as two's complement.
        if value >> 63:
            return value - (1 << 64)
        return value
    if kind == "bool":
        return value != 0
    if kind == "float":
        return struct.unpack("<f", value.to_bytes(4, "little"))[0]
    if kind == "bytes":
        return bytes(value)
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 ({error.reason}); it is damaged") from None
