"""How much each token of a text says: its self-information   (book section 3.3.3).

    I(x_t) = -log p(x_t | x_<t)         sum over t of I(x_t) = -log p(text)

A token that the model expects says little, and can go. Information adds up, so that of a phrase or
a sentence is the sum over its tokens. In nats. Read next: selective_context.py, llmlingua.py.
"""

import itertools
import re
from collections.abc import Sequence

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.optimize.edits import phrase_parts
from tinylm.prompt.protocol.text_lm import TextLM

UNITS = "token", "word", "phrase", "sentence"


def token_information(lm: TextLM, text: str, before: str = "") -> tuple[list[str], np.ndarray]:
    """The self-information of every token of a text.

    lm       TextLM with the probabilities of a text's tokens; of a chat model the one without its
             template is used, as a text to compress is no reply
    text     str. One that is longer than the model's context is read in windows, so that a token
             sees about half a context before it
    before   text that comes before it
    returns  (pieces, information): list of T str that join to the text, (T,) float64
    raises   DataError for an empty text, or one whose tokens are others after `before`
    """
    if getattr(lm, "chat", False):
        lm = lm.raw()
    pieces = lm.token_texts(text)
    if not pieces:
        raise DataError("token_information: the text is empty")
    windows = [(0, len(pieces), 0)]
    if lm.context is not None and lm.count(before) + len(pieces) >= lm.context:
        half = max(1, lm.context // 2 - 1)  # two halves, and a token that begins texts
        windows = _windows(pieces, half)
        before = "".join(lm.token_texts(before)[-half:])
    terms = []
    for start, stop, past in windows:
        seen = "".join(pieces[past:start])
        if start == 0:
            seen = before.rstrip()  # white space there would belong to the text
        part = "".join(pieces[start:stop])
        found = lm.score(seen, [part]).terms[0]
        if len(found) != stop - start:
            raise DataError(
                f"the text {part!r:.60} has {stop - start} tokens, and {len(found)} after "
                f"{seen[-40:]!r}: let it begin with a space"
            )
        terms.append(-found)
    return pieces, np.concatenate(terms)


def _windows(pieces, half):
    """(start, stop, past): tokens start .. stop - 1 are scored after those from `past` on."""
    n = len(pieces)
    # A text is cut before white space, where the tokens on both sides stay what they are; one
    # without white space is cut anywhere.
    cuts = [t for t in range(1, n) if pieces[t][:1].isspace() and pieces[t - 1].strip()]
    windows, start = [], 0
    while start < n:
        ends = [cut for cut in [*cuts, n] if start < cut <= start + half]
        stop = max(ends, default=min(start + half, n))
        begins = [cut for cut in [0, *cuts] if start - half <= cut < start]
        past = min(begins, default=max(0, start - half))
        windows.append((start, stop, past))
        start = stop
    return windows


def split_units(pieces: Sequence[str], unit: str) -> list[str]:
    """The text of tokens, cut into units whose concatenation is the text: list of str.

    unit    "token", "word", "phrase" or "sentence"; tokens that share a character are one unit
    raises  ConfigError for another
    """
    text = "".join(pieces)
    if unit == "token":
        return [piece for piece in pieces if piece]
    if unit == "word":
        return re.findall(r"\s*\S+|\s+$", text)
    if unit == "phrase":
        return phrase_parts(text)
    if unit == "sentence":
        return [part for part in re.split(r"(?<=[.!?])(?=\s)|(?<=\S)(?=\n)", text) if part]
    raise ConfigError(f"no unit {unit!r}; there are {', '.join(UNITS)}")


def unit_information(
    pieces: Sequence[str], information: np.ndarray, units: Sequence[str]
) -> np.ndarray:
    """The information of units: of the tokens that begin in each, added up.

    A token belongs to the unit of its first character that is no space; one without a character of
    its own, to that of the next.

    pieces       list of T str;  information  (T,)
    units        list of U str with the same concatenation
    returns      (U,) float64, whose sum is that of the tokens
    """
    starts = itertools.accumulate(map(len, pieces), initial=0)
    places = []
    for start, piece in zip(starts, pieces):
        if piece.strip():
            start += len(piece) - len(piece.lstrip())
        places.append(start)
    ends = np.cumsum([len(unit) for unit in units])
    owner = np.searchsorted(ends, places, side="right")  # the first unit that ends after the place
    # Tokens at the end without any character belong to the last unit.
    owner = np.minimum(owner, len(units) - 1)
    return np.bincount(owner, weights=information, minlength=len(units))
