"""Where a text may be cut before all of it is read, for the published tokenizers that allow it.

A tokenizer.json can do anything with a text; a cut is certain only if the pre-tokenizer splits like
one of the patterns of pretokenize.py. With any other, a text is held whole. Read next: pipeline.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import regex

from tinylm.tokenizers.pretokenize import GPT2, GPT2_DIGITS, LLAMA3, QWEN2

if TYPE_CHECKING:
    from tinylm.tokenizers.published.added import AddedToken


_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES_ONLY = _BYTES | {"use_regex": False}
_DIGITS = {"type": "Digits", "individual_digits": True}


def _split(pattern):
    return {
        "type": "Split",
        "pattern": {"Regex": pattern.split.pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


# Pre-tokenizers as `_plain` writes them, and the pattern that splits text as each does.
_KNOWN = [
    (_BYTES, GPT2),
    (_sequence(_DIGITS, _BYTES), GPT2_DIGITS),
    (_sequence(_split(LLAMA3), _BYTES_ONLY), LLAMA3),
    (_sequence(_split(QWEN2), _BYTES_ONLY), QWEN2),
]


def cut_of(described: dict[str, Any], added: "Sequence[AddedToken]") -> Callable | None:
    """The function (text, start, stop) -> last certain cut, or `start`; None: no cut is certain.

    described  the tokenizer.json
    added      list of AddedToken: one that looks at its neighbors forbids cuts
    """
    if any(token.lstrip or token.rstrip or token.single_word for token in added):
        return None
    split = _plain(described.get("pre_tokenizer"))
    pattern = next((pattern for known, pattern in _KNOWN if known == split), None)
    normalizer = described.get("normalizer")
    if pattern is None or normalizer not in (None, {"type": "NFC"}):
        return None
    if normalizer is None:
        return pattern.last_cut
    # NFC joins a letter and the accent after it: cut only before a character of ASCII, which is
    # never joined to what stands before it.
    cut = pattern.cut.pattern.removeprefix("(?r)")
    search = regex.compile(f"(?r)(?:{cut})(?=[\\0-\\x7f])").search

    def last_cut(text, start, stop):
        match = search(text, start, stop)
        if match:
            return match.start()
        return start

    return last_cut


def _plain(value):
    """A pre-tokenizer without the fields that do not matter for cutting, and with its defaults."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Sequence" and isinstance(value.get("pretokenizers"), list):
        return _sequence(*map(_plain, value["pretokenizers"]))
    if value.get("type") == "ByteLevel":
        return _BYTES | {
            name: value[name] for name in ("add_prefix_space", "use_regex") if name in value
        }
    return value
