"""Messages of Protocol Buffers, as far as SentencePiece writes them.

A message is a row of fields: a number (field * 8 + wire type), then the value. Wire types: 0 a
whole number in groups of seven bits, lowest first; 1 eight bytes; 2 a length and so many bytes
(texts, messages); 5 four bytes. A field may stand several times: of lists all count, of others the
last. Read next: sentencepiece.py.
"""

import struct

from tinylm.errors import DataError


def fields_of(data, where):
    """The fields of a message.

    data    bytes
    yields  (field number, wire type, value): int for the wire types 0, 1 and 5 (their bits), else
            bytes
    raises  DataError with the place of what is no message
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = _number(data, at, where)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _number(data, at, where)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = int.from_bytes(_take(data, at, size, where), "little"), at + size
        elif kind == 2:
            size, at = _number(data, at, where)
            value, at = _take(data, at, size, where), at + size
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
    """(number of seven-bit groups at a place, place after it)."""
    value = 0
    for i in range(10):  # 64 bits
        if at + i >= len(data):
            break
        value |= (data[at + i] & 0x7F) << 7 * i
        if data[at + i] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    raise DataError(
        f"{where}: the number at byte {at} does not end; the file is cut short or damaged"
    )


def _take(data, at, size, where):
    if size > len(data) - at:
        raise DataError(
            f"{where}: {size} bytes should follow byte {at}, and {len(data) - at} do; it is cut "
            f"short or damaged"
        )
    return data[at : at + size]


def message(data, names, where, ignored=()):
    """A message as {name: value}.

    names    {field number: (name, kind)}: kind is "int", "bool", "float", "text", "bytes", or
             "list" for bytes that may stand several times
    ignored  numbers of fields that are known and have no meaning here
    raises   DataError for a field that is not known, or of another wire type
    """
    found = {name: [] for name, kind in names.values() if kind == "list"}
    for field, wire, value in fields_of(data, where):
        if field in ignored:
            continue
        if field not in names:
            raise DataError(f"{where} has a field {field}, which is not read here")
        name, kind = names[field]
        if wire != {"int": 0, "bool": 0, "float": 5}.get(kind, 2):
            raise DataError(f"{where}.{name} is of wire type {wire}; it is damaged")
        if kind == "list":
            found[name].append(value)
        else:
            found[name] = _value(value, kind, f"{where}.{name}")
    return found


def _value(value, kind, where):
    if kind == "int":
        # negative ones are written in 64 bits
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
