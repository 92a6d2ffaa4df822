"""Model files of SentencePiece, written field by field."""

import struct

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
BASIC = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
ALL_BYTES = [(f"<0x{value:02X}>", 0.0, BYTE) for value in range(256)]


def number(value):
    """Seven bits a byte, lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def field(place, value):
    """A field of a message: int, float, str or bytes."""
    if isinstance(value, int):
        return number(place << 3) + number(value)
    if isinstance(value, float):
        return number(place << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return number(place << 3 | 2) + number(len(data)) + data


def model(pieces, kind=2, trainer=(), normalizer=((3, 1), (4, 1))):
    """A model file.

    pieces      list of (text, score, type)
    kind        1 unigram, 2 BPE
    trainer     other fields of its trainer
    normalizer  fields of its normalizer: 2 the character map, 3 a mark first, 4 spaces squeezed
    """
    found = b"".join(
        field(1, field(1, text) + field(2, score) + field(3, kind)) for text, score, kind in pieces
    )
    for place, fields in ((2, [(3, kind), *trainer]), (3, normalizer)):
        found += field(place, b"".join(field(i, value) for i, value in fields))
    return found


def character_map(replaced):
    """A character map: a double array of {text: replacement}, each node's children in a block of
    their own.
    """
    keys = {key.encode(): value for key, value in replaced.items()}
    prefixes = {key[:length] for key in keys for length in range(len(key) + 1)}
    blocks = {prefix: 256 * (i + 1) for i, prefix in enumerate(sorted(prefixes))}
    units, texts = [0] * (256 * (len(blocks) + 2)), bytearray(b"\0")
    places = {b"": 0} | {prefix: blocks[prefix[:-1]] ^ prefix[-1] for prefix in prefixes if prefix}
    for prefix, place in places.items():
        offset = (place ^ blocks[prefix]) << 10  # to the block of its children, below 2**21
        assert (place ^ blocks[prefix]) < 1 << 21
        units[place] = offset | (prefix[-1] if prefix else 0)
        if prefix in keys:
            units[place] |= 1 << 8
            units[blocks[prefix]] = 1 << 31 | len(texts)
            texts += keys[prefix].encode() + b"\0"
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + bytes(texts)
