"""What may be printed: texts of others, without what would control a terminal, in any encoding.

Replies, documents, names of files, and error messages that quote them may hold characters that move
the cursor, change colors, or turn the direction of a line. Around every verb `guarded` puts a
Screen before a terminal, which writes them as escapes; what is piped or redirected is written as it
is, since a file shall hold the model's own text. Standard error has a Screen wherever it goes. A
character that the output's encoding lacks is written as a look-alike or an escape and never raises.
Read next: use/prompt_output.py.
"""

import codecs
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Unicode's marks of direction, which turn the order of what follows them.
DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Controls of ASCII and Latin-1 but tab and line break, marks of direction, and halves of
# characters, which no output can encode: bytes of a file's name that are not UTF-8 are such.
_CONTROLS = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{DIRECTIONS}\ud800-\udfff]|\r(?!\n)")

# What this program itself draws, and marks of printed text, in ASCII.
_ALIKE = {
    **dict.fromkeys("■█", "#"),
    **dict.fromkeys("─–—−", "-"),
    **dict.fromkeys("┤└┬", "+"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    "│": "|",
    "·": ".",
    "…": "...",
    "→": "->",
    "×": "x",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "\u00a0": " ",
}
_BRAILLE = range(0x2800, 0x2900)  # drawings of charplot.py: a dot for each bit
LOOKALIKE = "tinylm.lookalike"  # the name of the error handler


def visible(text: str) -> str:
    """A text whose controls are escapes, as in Python: "\\x1b"."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(error: BaseException) -> str:
    """The message of an error on one line, its controls visible; its type if it has no message."""
    # Only spaces and line ends are joined: what else Python counts as white space is a control.
    message = " ".join(visible(str(error)).split())
    return message or type(error).__name__


def colored(stream: Any) -> bool:
    """True if colors may be written to a stream: a terminal that knows them, and no wish for none.

    The environment variable NO_COLOR, if it is not empty, is that wish (https://no-color.org).
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream is not None and stream.isatty()


class Screen:
    """A text stream that writes controls as escapes.

    bare     the stream below, for a program's own colors and lines that are drawn again
    """

    def __init__(self, bare: Any) -> None:
        self.bare = bare

    def write(self, text: str) -> int:
        """Write a text with its controls visible; returns the number of its characters."""
        self.bare.write(visible(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Callable:
        return getattr(self.bare, name)


def bare(stream: Any) -> Any:
    """The stream below a Screen; any other stream as it is."""
    return getattr(stream, "bare", stream)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Inside, no text that is printed controls the terminal, and no character raises.

    Standard output is changed only if it is a terminal, standard error always. After it both
    streams are as they were.
    """
    before = sys.stdout, sys.stderr
    handlers = [(stream, _set_errors(stream)) for stream in before]
    if _is_terminal(sys.stdout):
        sys.stdout = Screen(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = Screen(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream, errors in handlers:
            if errors is not None:
                with contextlib.suppress(OSError, ValueError):  # it may be closed by now
                    stream.reconfigure(errors=errors)


def _is_terminal(stream):
    """Whether a stream is a terminal; none where the standard output was closed (`>&-`)."""
    return stream is not None and stream.isatty()


def _set_errors(stream):
    """Have a stream write look-alikes for what it cannot encode.

    returns  its former handler of errors; None for a stream that encodes nothing
    """
    errors = getattr(stream, "errors", None)
    if errors is None or not hasattr(stream, "reconfigure"):
        return None
    stream.reconfigure(errors=LOOKALIKE)
    return errors


def _look_alike(error):
    """An error handler of codecs: what cannot be encoded becomes ASCII that looks like it, or its
    escape as in Python: "\\u65e5".
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_in_ascii, missing)), error.end


def _in_ascii(character):
    point = ord(character)
    if point in _BRAILLE:  # darker, the more of the eight dots there are
        return " ..::oo##"[(point & 0xFF).bit_count()]
    if character in _ALIKE:
        return _ALIKE[character]
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(LOOKALIKE, _look_alike)
