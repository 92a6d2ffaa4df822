import sys
from pathlib import Path

from tinylm.cli.look import book_output


class Terminal:
    """A standard output that is a terminal, guarded by another stream."""

    def __init__(self, encoding="utf-8"):
        self.encoding, self.text, self.bare = encoding, "", None

    def isatty(self):
        return True

    def write(self, text):
        self.text += text


def test_a_file_is_a_link_on_a_terminal_alone(monkeypatch):
    path = Path(__file__)
    assert book_output.link(path, 3, "here") == "here"  # pytest's output is none
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    link = book_output.link(path, 3, "here")
    assert link.startswith("\033]8;;file://") and link.endswith("#L3\033\\here\033]8;;\033\\")
    monkeypatch.setenv("TERM", "dumb")
    assert book_output.link(path, 3, "here") == "here"


def test_one_thing_is_no_plural():
    assert [book_output.counted(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_a_path_with_controls_is_escaped_in_a_link(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    link = book_output.link(Path("/a\033]0;b"), 0, "a\033]0;b")
    assert link.count("\033") == 4  # those of the link itself


def test_a_text_with_links_goes_past_a_guard(monkeypatch):
    guard, bare = Terminal(), Terminal()
    guard.bare = bare
    monkeypatch.setattr(sys, "stdout", guard)
    book_output.write("plain")
    book_output.write("\033]8;;x\033\\y")
    assert (guard.text, bare.text) == ("plain\n", "\033]8;;x\033\\y\n")


def test_formulas_are_ascii_where_the_output_has_no_greek(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal("cp1252"))
    monkeypatch.setattr("tinylm.book.latex.formulas", lambda: {"C2b-55": (r"\theta \le \sqrt{x}",)})
    from tinylm import book

    row = next(row for row in book.rows() if row.id == "C2b-55")
    assert "theta <= sqrt(x)" in book_output.describe(row, book.rows())
