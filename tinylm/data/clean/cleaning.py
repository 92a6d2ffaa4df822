"""Cleaning of single texts: characters, and C4's rules on lines and pages.

Each rule is one small pure function: a *change* takes a text and returns a text, a *rule* returns
True for a text to keep. The rules of C4 are those of Raffel et al. 2020, section 2.2; such rules
remove most of the web (book section 2.2.1: Penedo et al. 2023 removed nearly 90 %). Read next:
markup.py, the text of web pages; quality.py, repetition.py; pipeline.py, which applies them one
after another and counts.
"""

import ipaddress
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import regex

from tinylm.data.clean.markup import without_markup as without_markup  # one of the changes
from tinylm.data.clean.words import words_of
from tinylm.writing import composed, stream_safe

_BREAKS = regex.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\ufeff\u200b\u00ad--[\t\n]]", regex.V1)
_SPACES = regex.compile(r"[^\S\n\t]+")
_BLANK_LINES = regex.compile(r"\n{3,}")


def normalized(text: str) -> str:
    """A normal form: Unicode NFC, "\\n" for every end of line, " " for every other white space.

    Control and invisible characters, spaces at the ends of lines, and blank lines beyond one are
    removed. Applying it twice changes nothing more.
    """
    text = _INVISIBLE.sub("", _BREAKS.sub("\n", text))
    text = _SPACES.sub(" ", composed(text))
    # Line by line: a pattern for spaces before "\n" tries every space of a run, in quadratic time.
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


_CITATION = regex.compile(r"\[(?:\d{1,3}|edit|citation needed|update)\]")
_POLICY = regex.compile(
    r"(?i)terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies"
)
# The end of a sentence in any script (Unicode's Sentence_Terminal, which lacks the strokes of
# Tibetan), with a quote or bracket after it.
_LINE_END = regex.compile(r"(?:[\p{STerm}\u0f0d-\u0f11\u0f14][\"'”’)」』）】》]?|[\"」』])\Z")
# Thai and Lao end a sentence with a space, or with nothing at the end of a line.
_UNMARKED_END = regex.compile(r"[\p{Thai}\p{Lao}]\Z")


def without_citations(text: str) -> str:
    """Text without marks such as [1], [edit] and [citation needed] (C4)."""
    return _CITATION.sub("", text)


def sentence_lines(text: str, least: int = 5) -> str:
    """The lines that end in a terminal mark and have `least` words or more (C4).

    Lines about JavaScript, cookies and terms of use are removed too. Blank lines between paragraphs
    stay. In scripts without spaces each letter counts as a word; a line in Thai or Lao, which have
    no full stop, needs none.
    """
    kept = []
    for line in text.split("\n"):
        body = line.strip()
        # Only the last two characters: searching the whole line would find the same, more slowly.
        ended = _LINE_END.search(body[-2:]) or _UNMARKED_END.search(body[-1:])
        wordy = len(words_of(body)) >= least
        boilerplate = "javascript" in body.lower() or _POLICY.search(body)
        if not body or ended and wordy and not boilerplate:
            kept.append(line)
    return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n")


def no_placeholder(text: str) -> bool:
    """The rule that a text has no "lorem ipsum", as pages without content do (C4)."""
    return "lorem ipsum" not in text.lower()


def no_code(text: str) -> bool:
    """The rule that a text has no "{": rare in prose, in most programming languages (C4)."""
    return "{" not in text


_SENTENCE_END = regex.compile(
    r"[.!?][\"'”’)]*(?=\s|\Z)|[\p{STerm}\u0f0d-\u0f11\u0f14--[.!?]]"
    r"|[\p{Thai}\p{Lao}](?=\s|\Z)",
    regex.V1,
)


def at_least_sentences(least: int = 3) -> Callable:
    """The rule that a text has `least` sentences (C4: three)."""
    return lambda text: sum(1 for _ in _SENTENCE_END.finditer(text)) >= least


_SCHEME = regex.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")
_NO_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


def url_allowed(url: str, blocked: Sequence[str] = (), words: Sequence[str] = ()) -> bool:
    """Whether a page may be read, judged by its address   (Penedo et al. 2023, section 3.1)

    url      str
    blocked  hosts: "example.com" blocks "www.example.com" too
    words    words that the address must not contain, between characters that are no letter or digit
    returns  bool; False if `url` is no address
    """
    url = stream_safe(url)
    try:
        # urlsplit takes a host for a host only after "//".
        parts = urlsplit(url if _SCHEME.match(url) else "//" + url)
        host = (parts.hostname or "").rstrip(".")
        if "[" in parts.netloc and not host.startswith("v"):  # Python 3.10 takes anything
            ipaddress.IPv6Address(host)
    except ValueError:  # "[1": no address at all
        return False
    if parts.scheme not in ("", "http", "https"):
        return False
    if any(host == name or host.endswith("." + name) for name in blocked):
        return False
    return not set(words) & set(_NO_WORD.split(url.lower()))
