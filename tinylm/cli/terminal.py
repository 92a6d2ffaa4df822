"""What may be printed on a terminal: texts of others, without what would control it.

Replies, documents, names of files, and error messages that quote them may hold characters that move
the cursor, change colors, or turn the direction of a line. These are printed as escapes. Read next:
use/prompt_output.py.
"""

import re

# Controls of ASCII and Latin-1 but tab and line break, Unicode's marks of direction, and halves of
# characters, which no output can encode: bytes of a file's name that are not UTF-8 are such.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def visible(text):
    """A text whose controls are escapes, as in Python: "\\x1b"."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(error):
    """The message of an error on one line, its controls visible; its type if it has no message."""
    # Only spaces and line ends are joined: what else Python counts as white space is a control.
    message = " ".join(visible(str(error)).split())
    return message or type(error).__name__
