"""Rules for programs in place of those for prose   (Codex, Chen et al. 2021, section 3.1).

Code has no sentences, repeats its lines, and its spaces have meaning, so the rules of C4 and Gopher
would drop all of it. The rules here drop files that were written by programs: generated tables,
minified scripts, data. Read next: pipeline.py.
"""

from collections.abc import Callable

import regex

_BREAKS = regex.compile(r"\r\n?")
# Tabs and form feeds stay: both occur in source code.
_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cs}\ufeff\u200b--[\t\n\f]]", regex.V1)


def tidied(text: str) -> str:
    """One end of line, no control characters, no spaces at ends of lines; indentation stays."""
    text = _INVISIBLE.sub("", _BREAKS.sub("\n", text))
    lines = (line.rstrip(" \t") for line in text.split("\n"))
    return "\n".join(lines).strip("\n")


def short_lines(mean: int = 100, longest: int = 1000) -> Callable:
    """The rule that lines have `mean` characters at most on average, and none over `longest`."""

    def rule(text):
        sizes = [len(line) for line in text.split("\n")]
        return max(sizes) <= longest and sum(sizes) <= mean * len(sizes)

    return rule


def enough_letters(least: float = 0.25) -> Callable:
    """The rule that letters and digits are at least a share `least` of all but white space."""

    def rule(text):
        shown = [c for c in text if not c.isspace()]
        return sum(map(str.isalnum, shown)) >= least * len(shown)

    return rule
