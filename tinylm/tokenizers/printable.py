"""Bytes as printable characters: the alphabet in which byte-level vocabularies are written to
files.

A token of byte-level BPE is any run of bytes, and a text file cannot hold those as they are: some
are no UTF-8, some are spaces that would split a line. GPT-2 (Radford et al. 2019) therefore writes
each of the 256 bytes as one visible character. The 188 bytes that are visible in Latin-1 stand for
themselves; the other 68 (controls, space, 0x7f-0xa0, soft hyphen) take the next free characters
from U+0100 on, in order. So space is 'Ġ' (U+0120), line feed is 'Ċ', and the word " the" is
written 'Ġthe'. Read next: `gpt2.py`, which reads and writes files in this alphabet.
"""

from tinylm.errors import DataError

# In this order the bytes are also GPT-2's first 256 token ids: "!" is 0, "a" is 64, space is 220.
_VISIBLE = [
    *range(ord("!"), ord("~") + 1),
    *range(ord("¡"), ord("¬") + 1),
    *range(ord("®"), ord("ÿ") + 1),
]
# Controls, space, 0x7f-0xa0 and the soft hyphen: 68 bytes.
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]

BYTE_TO_CHARACTER = {byte: chr(byte) for byte in _VISIBLE} | {
    byte: chr(256 + i) for i, byte in enumerate(_HIDDEN)
}
CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}


def to_printable(data: bytes) -> str:
    """The bytes `data` as a string of visible characters, one for each byte."""
    return "".join(map(BYTE_TO_CHARACTER.__getitem__, data))


def from_printable(text: str) -> bytes:
    """The bytes that `to_printable` wrote as `text`.

    raises  DataError for a character outside the alphabet
    """
    try:
        return bytes(map(CHARACTER_TO_BYTE.__getitem__, text))
    except KeyError as error:
        raise DataError(
            f"token {text!r}: the character {error.args[0]!r} stands for no byte in GPT-2's byte "
            "alphabet; the vocabulary is damaged, or is not byte-level"
        ) from None
