"""Texts of others move no cursor and change no colors, and no encoding lacks a character."""

import io
import os
import re
import sys
from pathlib import Path

import pytest

import tinylm.explore
from tinylm.cli import main
from tinylm.cli.terminal import bare, colored, guarded, one_line, visible
from tinylm.errors import DataError

EVIL = "a\x1b[2J\x07\x9b31m\u202eb\r"  # clears, rings, colors (by C1), turns, goes back
SHOWN = r"a\x1b[2J\x07\x9b31m\u202eb\r"


def test_controls_are_escapes_and_all_else_is_as_it_was():
    assert visible("a\tb\nc\r\nd é 日本") == "a\tb\nc\r\nd é 日本"
    assert visible("bad\udcff\ud800\udfff.txt\ue000") == r"bad\udcff\ud800\udfff.txt" + "\ue000"
    assert visible("\x1b[2J\x07\x7f\x9b\r.\u202e") == r"\x1b[2J\x07\x7f\x9b\r.\u202e"


def test_marks_of_direction_are_those_that_pages_show_by_number():
    tools = Path(tinylm.explore.__file__).parent / "web" / "tools.js"
    (unseen,) = re.findall(r"const UNSEEN = /(.*)/u;", tools.read_text(encoding="utf-8"))
    for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)):
        assert visible(chr(code)) == f"\\u{code:04x}"
        assert re.fullmatch(unseen, chr(code)), hex(code)


def test_an_error_is_one_line_without_controls():
    assert one_line(DataError("a\n  b\r\nc \x1b[31m\x1cd")) == r"a b c \x1b[31m\x1cd"
    assert one_line(MemoryError()) == "MemoryError"


@pytest.fixture
def terminal():
    """(a stream to a pseudo-terminal, a function that reads what arrived there)."""
    pty = pytest.importorskip("pty")
    reading, writing = pty.openpty()
    with open(writing, "w", encoding="utf-8") as stream:

        def arrived():
            stream.flush()
            return os.read(reading, 1 << 16).decode()

        yield stream, arrived
    os.close(reading)


def test_on_a_terminal_controls_are_shown_and_afterwards_all_is_as_it_was(terminal, monkeypatch):
    stream, arrived = terminal
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded():
        print(EVIL, end="")
        assert arrived() == SHOWN
        sys.stdout.writelines(["\x07", "x\n"])
        assert arrived() == "\\x07x\r\n"  # the terminal ends a line so
        # What a program draws itself passes.
        print("\x1b[31mred\x1b[0m", end="", file=bare(sys.stdout))
        assert arrived() == "\x1b[31mred\x1b[0m"
    assert sys.stdout is stream and bare(stream) is stream and stream.errors == "strict"


def test_a_file_or_pipe_receives_the_text_as_it_is(capsys):
    with guarded():
        print(EVIL, end="")
    assert capsys.readouterr().out == EVIL


def test_standard_error_shows_controls_wherever_it_goes(capsys):
    with guarded():
        print(EVIL, end="", file=sys.stderr)
    assert capsys.readouterr().err == SHOWN


@pytest.mark.parametrize(
    "encoding, written",
    [
        ("ascii", r"caf\xe9 \u65e5 -## 'a' .:# -> \udcff"),
        ("latin-1", r"café \u65e5 -## 'a' .:# -> \udcff"),
        # cp1252 has the quotation marks
        ("cp1252", r"café \u65e5 -## ‘a’ .:# -> \udcff"),
        ("utf-8", "café 日 ─■█ ‘a’ ⠁⠇⣿ → " + r"\udcff"),
    ],
)
def test_a_character_that_the_encoding_lacks_is_written_as_one_like_it(
    encoding, written, monkeypatch
):
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding))
    with guarded():
        # braille of 1, 3 and 8 dots: the more, the darker
        print("café 日 ─■█ ‘a’ ⠁⠇⣿ → \udcff", end="", flush=True)
    assert data.getvalue() == written.encode(encoding)


def test_a_verb_with_an_output_of_ascii_raises_nothing(monkeypatch):
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, "ascii"))
    assert main(["corrupt", "--objective", "masked", "Säugetiere schlafen 日本 ."]) == 0
    assert rb"S\xe4ugetiere" in data.getvalue() and b"#" in data.getvalue()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_start_is_no_error(stream, monkeypatch):
    monkeypatch.setattr(sys, stream, None)  # as Python has it after `tinylm >&-`
    assert main(["-V"]) == 0
    assert main(["nowhere"]) == 2


def test_colors_are_for_terminals_that_know_them_unless_the_user_wants_none(terminal, monkeypatch):
    stream, _ = terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colored(stream) and not colored(io.StringIO()) and not colored(None)
    monkeypatch.setenv("NO_COLOR", "")  # empty: no wish
    assert colored(stream)
    monkeypatch.setenv("TERM", "dumb")
    assert not colored(stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored(stream)
