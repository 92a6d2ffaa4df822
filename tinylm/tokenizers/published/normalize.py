"""Normalizers of tokenizer.json: how a text is changed before it is split.

Each is a function str -> str, made from its description. Read next: split.py.
"""

import base64
import binascii
import unicodedata
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import regex

from tinylm.errors import DataError
from tinylm.tokenizers.printable import to_printable
from tinylm.tokenizers.published.ages import ACCENT, CONTROL, MARK
from tinylm.tokenizers.published.charsmap import CharacterMap
from tinylm.tokenizers.published.patterns import compiled, matches
from tinylm.tokenizers.published.strict import Described, built

_MARKS = regex.compile(f"{MARK}+", regex.V1)
_ACCENTS = regex.compile(f"{ACCENT}+", regex.V1)
# Unicode's White_Space: str.isspace and str.strip take \x1c to \x1f besides.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LEFT, _RIGHT = regex.compile(rf"\A[{_SPACES}]+"), regex.compile(rf"(?r)[{_SPACES}]+\Z")
# More marks on one letter than text has; up to 30 they are sorted fast enough.
_MANY_MARKS = regex.compile(r"\p{M}{31,}")
_WHITE = regex.compile(rf"[{_SPACES}]")
_CONTROLS = regex.compile(f"{CONTROL}+", regex.V1)

# The blocks of Chinese characters in the library's BERT code.
_CHINESE = regex.compile(
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
)

# SentencePiece's rule "nmt": controls are removed; signs of no width and ends of lines are spaces.
_NMT_GONE = regex.compile("[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")
_NMT_SPACE = regex.compile("[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]")


def normalizer(value: dict[str, Any] | None, name: str = "normalizer") -> Callable | None:
    """The function str -> str of a description; None, the identity, for null."""
    if value is None:
        return None
    return built(value, name, KINDS)


def in_form(form: str, text: str) -> str:
    """unicodedata.normalize, in time n log n for any text.

    It sorts the marks on a letter by their classes, by insertion: n^2 steps for n marks. Long runs
    of marks are sorted here before, and leave it nothing to move.
    """
    return unicodedata.normalize(form, _MANY_MARKS.sub(_in_order, text))


def _in_order(match):
    """The marks of a match in Unicode's canonical order."""
    # Marks of class 0 stay where they are, and none moves across them; `sorted` keeps the order of
    # marks of one class, as the standard demands.
    found = []
    for moves, signs in groupby(match[0], key=lambda sign: unicodedata.combining(sign) > 0):
        if moves:
            signs = sorted(signs, key=unicodedata.combining)
        found += signs
    return "".join(found)


def lowered(text: str) -> str:
    """Lower case of every character by itself: Greek has no other sigma at the end of a word."""
    if "Σ" not in text:
        return text.lower()
    return "".join(map(str.lower, text))


def _sequence(described):
    steps = [built(*part, KINDS) for part in described.parts("normalizers")]

    def apply(text):
        for step in steps:
            text = step(text)
        return text

    return apply


def _strip(described):
    left = described.take("strip_left", bool, True)
    right = described.take("strip_right", bool, True)

    def apply(text):
        if left:
            text = _LEFT.sub("", text)
        if right:
            return _RIGHT.sub("", text)
        return text

    return apply


def _prepend(described):
    prefix = described.take("prepend", str)
    return lambda text: text and prefix + text  # an empty text stays empty


def replacer(described: Described) -> Callable:
    """str -> str that replaces every match of a pattern, for a normalizer or a decoder."""
    pattern, content = pattern_of(described), described.take("content", str)
    if isinstance(pattern, str):
        return lambda text: text.replace(pattern, content)

    def apply(text):
        parts, at = [], 0
        for start, stop in matches(pattern, text):
            parts += [text[at:start], content]
            at = stop
        return "".join([*parts, text[at:]])

    return apply


def pattern_of(described: Described) -> str | regex.Pattern:
    """The field "pattern", {"String": text} or {"Regex": expression}: str or regex.Pattern."""
    given = Described(described.raw("pattern"), f"{described.name}.pattern")
    kind = "String"
    if "Regex" in given:
        kind = "Regex"
    found = given.take(kind, str)
    given.close()
    if kind == "String" and not found:
        raise given.wrong(kind, found, "a text that is not empty")
    if kind == "Regex":
        return compiled(found, f"{given.name}.Regex")
    return found


def _bert(described):
    clean = described.take("clean_text", bool, True)
    chinese = described.take("handle_chinese_chars", bool, True)
    lower = described.take("lowercase", bool, True)
    accents = described.take("strip_accents", bool | None, None)
    if accents is None:  # as BERT: uncased models read without accents
        accents = lower

    def apply(text):
        if clean:
            text = _WHITE.sub(" ", _CONTROLS.sub("", text))
        if chinese:
            text = _CHINESE.sub(r" \1 ", text)
        if accents:  # NFD takes letters and accents apart
            text = _ACCENTS.sub("", in_form("NFD", text))
        if lower:
            return lowered(text)
        return text

    return apply


def _precompiled(described):
    written = described.take("precompiled_charsmap", str | None)
    if not written:
        return lambda text: text
    try:
        return CharacterMap(base64.b64decode(written, validate=True)).by_clusters
    except (binascii.Error, DataError) as error:
        raise DataError(f"{described.name}.precompiled_charsmap is damaged: {error}") from error


def _nmt(described):
    return lambda text: _NMT_SPACE.sub(" ", _NMT_GONE.sub("", text))


def _form(name):
    return lambda described: partial(in_form, name)


# {type: function Described -> (str -> str)}
KINDS = {
    "Sequence": _sequence,
    "Strip": _strip,
    "Prepend": _prepend,
    "Replace": replacer,
    "BertNormalizer": _bert,
    "Precompiled": _precompiled,
    "Nmt": _nmt,
    "Lowercase": lambda described: lowered,
    "StripAccents": lambda described: partial(_MARKS.sub, ""),
    "ByteLevel": lambda described: lambda text: to_printable(text.encode()),
    **{form: _form(form) for form in ("NFC", "NFD", "NFKC", "NFKD")},
}
