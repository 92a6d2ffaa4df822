"""Where a generated text ends: stop strings found across token borders, and the end token.

A stop string may begin in one token and end in another, so the end of the text is held back for as
long as a stop string could still begin there: text that was released is never withdrawn. All of
this works on bytes, because a token may end in the middle of a character. Read next: loop.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import ConfigError

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


class StopStrings:
    """Finds the first of several strings in a text that arrives in pieces.

    strings  str or several; empty ones are refused
    lead     str; in a text that begins with it, they are looked for after it

    `found` is the one that ended the text, "" so far without one.
    """

    def __init__(self, strings: str | Sequence[str], lead: str = "") -> None:
        if isinstance(strings, str):
            strings = [strings]
        strings = list(strings)
        if not all(isinstance(string, str) and string for string in strings):
            raise ConfigError(f"stop must be strings of at least one character, not {strings!r}")
        self.strings = [string.encode("utf-8") for string in strings]
        self.lead = lead.encode("utf-8")
        self.found = ""
        self.held = b""  # the longest end of the text so far that begins a stop string

    def feed(self, piece: bytes) -> tuple[bytes, bool]:
        """Add the next bytes of the text.

        returns  (bytes that cannot be part of a stop string, True if one was found: the bytes end
                 before it)
        """
        text = self.held + piece
        if len(text) < len(self.lead) and self.lead.startswith(text):
            self.held = text  # it may still become the lead
            return b"", False
        before = b""
        if text.startswith(self.lead):
            before, text = self.lead, text[len(self.lead) :]
        self.lead = b""
        found = [string for string in self.strings if string in text]
        if found:  # of several, the one that starts first ends the text
            first = min(found, key=text.find)
            self.found, self.held = first.decode("utf-8"), b""
            return before + text[: text.find(first)], True
        # With the stop string "</s>", the text "a </" releases "a " and holds "</": lengths of all
        # proper prefixes of stop strings with which the text ends.
        lengths = (
            n for string in self.strings for n in range(1, len(string)) if text.endswith(string[:n])
        )
        cut = len(text) - max(lengths, default=0)
        self.held = text[cut:]
        return before + text[:cut], False


class Output:
    """The output of one row: tokens, and their bytes, are released once no stop string can reach
    back to them.

    stop       stop strings; they need a tokenizer
    tokenizer  gives token_bytes(id); None: tokens have no text
    eos        id of the token that ends the row, several of them, or None. It is released as a
               token and has no text
    lead       str; in a text that begins with it, stop strings are looked for after it

    `finish` is None until the row ends, then "end" (an end token), "stop" (a stop string) or
    "length" (closed from outside, out of tokens).
    """

    def __init__(
        self,
        stop: str | Sequence[str] = (),
        tokenizer: "Tokenizer | None" = None,
        eos: int | Sequence[int] | None = None,
        lead: str = "",
    ) -> None:
        self.finish, self.tokenizer = None, tokenizer
        if eos is None or isinstance(eos, (int, np.integer)):
            eos = [eos]
        self.ends = frozenset(eos)
        self.stops = StopStrings(stop, lead) if stop else None
        if self.stops and tokenizer is None:
            raise ConfigError(
                "stop strings are looked for in the text, so they need the tokenizer: "
                "pass tokenizer="
            )
        self._waiting = []  # [(token, where its bytes end in the text)]
        self._received = 0  # bytes in
        self._released = 0  # bytes out

    @property
    def done(self) -> bool:
        """True once the row has ended."""
        return self.finish is not None

    @property
    def stopped_by(self) -> str:
        """The stop string that ended the row, else ""."""
        if self.stops is None:
            return ""
        return self.stops.found

    def add(self, token: int) -> tuple[list[int], bytes]:
        """Add a token and set `finish` if the row ends with it; returns (tokens, bytes) it
        releases.
        """
        if token in self.ends:
            tokens, text = self.close("end")
            return [*tokens, token], text
        if self.tokenizer is None:
            return [token], b""
        piece = self.tokenizer.token_bytes(token)
        if self.stops is None:
            return [token], piece
        text, found = self.stops.feed(piece)
        if found:
            self.finish = "stop"
        self._received += len(piece)
        self._waiting.append((token, self._received))
        return self._release(text), text

    def close(self, finish: str = "length") -> tuple[list[int], bytes]:
        """End the row and release what was held back; returns (tokens, bytes)."""
        self.finish = finish
        text = b""
        if self.stops:
            text = self.stops.held
        return self._release(text), text

    def _release(self, text):
        """The tokens whose bytes are all out once `text` is; not one cut by a stop string."""
        self._released += len(text)
        ready = [token for token, end in self._waiting if end <= self._released]
        self._waiting = self._waiting[len(ready) :]  # ends only grow: the ready tokens come first
        return ready
