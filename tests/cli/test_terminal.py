"""Texts of others move no cursor and change no colors."""

from tinylm.cli.terminal import one_line, visible
from tinylm.errors import DataError


def test_controls_are_escapes_and_all_else_is_as_it_was():
    assert visible("a\tb\nc\r\nd é 日本") == "a\tb\nc\r\nd é 日本"
    assert visible("bad\udcff\ud800\udfff.txt\ue000") == r"bad\udcff\ud800\udfff.txt" + "\ue000"
    assert visible("\x1b[2J\x07\x7f\x9b\r.\u202e") == r"\x1b[2J\x07\x7f\x9b\r.\u202e"


def test_an_error_is_one_line_without_controls():
    assert one_line(DataError("a\n  b\r\nc \x1b[31m\x1cd")) == r"a b c \x1b[31m\x1cd"
    assert one_line(MemoryError()) == "MemoryError"
