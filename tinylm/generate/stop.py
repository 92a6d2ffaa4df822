"""Where a generated text ends: stop strings found across token borders, and the end token.

A stop string may begin in one token and end in another, so the end of the text is held back for as
long as a stop string could still begin there; what has been handed out never needs to be taken
back. Works on bytes, because a token may end in the middle of a character. Read next: loop.py.
"""

import numpy as np

from tinylm.errors import ConfigError


class StopStrings:
    """Finds the first of several strings in a text that arrives in pieces.

    strings  str or several; empty ones are refused
    """

    def __init__(self, strings):
        strings = [strings] if isinstance(strings, str) else list(strings)
        if not all(isinstance(string, str) and string for string in strings):
            raise ConfigError(f"stop must be strings of at least one character, not {strings!r}")
        self.strings = [string.encode("utf-8") for string in strings]
        self.held = b""  # what may be the beginning of a stop string

    def feed(self, piece):
        """Take in the next bytes.

        returns  (bytes that are certainly not part of a stop string, True if one was found: they
                 end before it)
        """
        text = self.held + piece
        places = [place for place in map(text.find, self.strings) if place >= 0]
        if places:
            self.held = b""
            return text[: min(places)], True
        beginnings = (
            n for string in self.strings for n in range(1, len(string)) if text.endswith(string[:n])
        )
        cut = len(text) - max(beginnings, default=0)
        self.held = text[cut:]
        return text[:cut], False


class Output:
    """One row's way out: releases tokens, and their bytes, once no stop string can reach back to
    them.

    stop       stop strings; they need a tokenizer
    tokenizer  gives token_bytes(id); None: tokens have no text
    eos        id of the token that ends the row, several of them, or None. It is released as a
               token and has no text
    """

    def __init__(self, stop=(), tokenizer=None, eos=None):
        self.done, self.tokenizer = False, tokenizer
        self.ends = frozenset([eos] if eos is None or isinstance(eos, (int, np.integer)) else eos)
        self.stops = StopStrings(stop) if stop else None
        if self.stops and tokenizer is None:
            raise ConfigError(
                "stop strings are looked for in the text, so they need the tokenizer: pass tokenizer="
            )
        self._waiting = []
        self._received = 0
        self._released = 0  # [(token, end of its bytes)], bytes in, bytes out

    def add(self, token):
        """Take in a token; returns (tokens, bytes) released by it, and sets `done` if the row has
        ended.
        """
        if token in self.ends:
            tokens, text = self.close()
            return [*tokens, token], text
        if self.tokenizer is None:
            return [token], b""
        piece = self.tokenizer.token_bytes(token)
        if self.stops is None:
            return [token], piece
        text, self.done = self.stops.feed(piece)
        self._received += len(piece)
        self._waiting.append((token, self._received))
        return self._release(text), text

    def close(self):
        """The row ends here: what was held back belongs to it after all. Returns (tokens, bytes)."""
        self.done = True
        text = self.stops.held if self.stops else b""
        return self._release(text), text

    def _release(self, text):
        self._released += len(text)
        ready = [token for token, end in self._waiting if end <= self._released]
        self._waiting = self._waiting[len(ready) :]  # ends only grow, so what is ready comes first
        return ready
