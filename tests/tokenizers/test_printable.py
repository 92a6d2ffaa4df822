"""GPT-2's printable alphabet is a bijection between the 256 bytes and visible characters."""

import pytest

from tinylm.errors import DataError
from tinylm.tokenizers.printable import BYTE_TO_CHARACTER, from_printable, to_printable


def test_every_byte_has_its_own_visible_character():
    characters = to_printable(bytes(range(256)))
    assert len(set(characters)) == 256
    # A vocabulary file separates tokens by spaces and lines; no token may contain either.
    assert all(c.isprintable() and not c.isspace() for c in characters)
    assert from_printable(characters) == bytes(range(256))


def test_known_characters_of_the_published_table():
    assert to_printable(b" the\n!") == "ĠtheĊ!"
    # Soft hyphen 0xad is the last hidden byte: 33 controls and space, 0x7f-0xa0 (34), then it is
    # number 67.
    assert BYTE_TO_CHARACTER[0xAD] == chr(256 + 67)


def test_a_character_outside_the_alphabet_is_named():
    with pytest.raises(DataError, match="'中'"):
        from_printable("a中")
