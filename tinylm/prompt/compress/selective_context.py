"""Selective Context: what says least is dropped (Li et al. 2023; book section 3.3.3).

    I(u) = sum over tokens of unit u of -log p(x_t | x_<t)         u stays if I(u) >= the percentile

A unit is a token, a word, a phrase or a sentence; phrases leave a text that can still be read. The
text is scored once, as it is: information is not computed anew after a unit has gone, as LLMLingua
does. As in the paper the share is a percentile, so it counts units, and the tokens that stay are
another share: information is a sum, long units have more of it, and so more than a share r of the
tokens stays. (The authors' program takes the mean over a unit's tokens instead, which does not
favor long units.) What is reported is the ratio of tokens. Where a number of tokens is given, units
are taken in the order of their information until no more fit. Read first: information.py. Read
next: llmlingua.py.
"""

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.information import split_units, token_information, unit_information
from tinylm.prompt.protocol.text_lm import TextLM


def selective_context(
    lm: TextLM, text: str, keep_ratio: float = 0.5, unit: str = "phrase", before: str = ""
) -> Compressed:
    """The text without its least informative units.

    lm          TextLM that scores the text
    text        str
    keep_ratio  share of the units that stays, 0 < r <= 1: those at or above the percentile
                100 (1 - r) of the information. Equal units stay or go together. The share of
                tokens is the result's `ratio`; within_tokens() has a limit of tokens
    unit        "token", "word", "phrase" or "sentence"
    before      text in front of it, which is not compressed
    returns     Compressed; details: "units", "information" (U,), "kept" (U,) bool, "threshold"
    raises      ConfigError for another share or unit
    """
    if not 0 < keep_ratio <= 1:
        raise ConfigError(f"selective_context: the share {keep_ratio} must be above 0, at most 1")
    pieces, each = token_information(lm, text, before)
    units = split_units(pieces, unit)
    information = unit_information(pieces, each, units)
    # >=, as in the paper: with equal information everywhere nothing is dropped.
    threshold = float(np.percentile(information, 100 * (1 - keep_ratio)))
    kept = information >= threshold
    short = "".join(piece for piece, stays in zip(units, kept) if stays)
    details = {"units": units, "information": information, "kept": kept, "threshold": threshold}
    return Compressed.of(lm, text, short, **details)


def within_tokens(
    lm: TextLM, text: str, max_tokens: int, unit: str = "phrase", before: str = ""
) -> Compressed:
    """The most informative units of a text that fit into a number of tokens together.

    max_tokens  the limit, 0 or more
    returns     Compressed; details: "units", "information" (U,), "kept" (U,) bool. Units are taken
                from the most informative on, of equal ones the first, up to the first that does not
                fit; the result may be empty
    raises      ConfigError for a limit below 0

    The other arguments are those of selective_context.
    """
    if max_tokens < 0:
        raise ConfigError(f"within_tokens: the limit {max_tokens} must be 0 tokens or more")
    pieces, each = token_information(lm, text, before)
    units = split_units(pieces, unit)
    information = unit_information(pieces, each, units)
    kept, short = np.zeros(len(units), bool), ""
    for i in np.argsort(-information, kind="stable"):
        more = kept.copy()
        more[i] = True
        longer = "".join(piece for piece, stays in zip(units, more) if stays)
        # Counted as a text: tokens may join where a unit between them has gone.
        if lm.count(longer) > max_tokens:
            break
        kept, short = more, longer
    details = {"units": units, "information": information, "kept": kept}
    return Compressed.of(lm, text, short, **details)
