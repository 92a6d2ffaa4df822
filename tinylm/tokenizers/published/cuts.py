"""Where a text may be cut before it has been read whole, for the published tokenizers of which
that is known.

A tokenizer.json can do anything with a text; a cut is certain only for pre-tokenizers that split
as one of the patterns of pretokenize.py does. Any other text is held whole. Read next: pipeline.py.
"""

import regex

from tinylm.tokenizers.pretokenize import GPT2, GPT2_DIGITS, LLAMA3, QWEN2

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


_KNOWN = [
    (_BYTES, GPT2),
    (_sequence(_DIGITS, _BYTES), GPT2_DIGITS),
    (_sequence(_split(LLAMA3), _BYTES_ONLY), LLAMA3),
    (_sequence(_split(QWEN2), _BYTES_ONLY), QWEN2),
]


def cut_of(described, added):
    """The function (text, start, stop) -> last certain cut or start; None where no cut is known.

    described  the tokenizer.json
    added      list of AddedToken: one that looks at its neighbors forbids cuts
    """
    if any(token.lstrip or token.rstrip or token.single_word for token in added):
        return None
    normalizer = described.get("normalizer")
    composed = normalizer == {"type": "NFC"}
    if normalizer is not None and not composed:
        return None
    split = _plain(described.get("pre_tokenizer"))
    pattern = next((pattern for known, pattern in _KNOWN if known == split), None)
    if pattern is None or not composed:
        if pattern:
            return pattern.last_cut
        return None
    # A character of ASCII is never composed with what stands before it.
    search = regex.compile(
        f"(?r)(?:{pattern.cut.pattern.removeprefix('(?r)')})(?=[\\0-\\x7f])"
    ).search

    def last_cut(text, start, stop):
        match = search(text, start, stop)
        if match:
            return match.start()
        return start

    return last_cut


def _plain(value):
    """A pre-tokenizer with the fields that have no part in cutting left out, and defaults written
    out.
    """
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Sequence" and isinstance(value.get("pretokenizers"), list):
        return _sequence(*map(_plain, value["pretokenizers"]))
    if value.get("type") == "ByteLevel":
        return _BYTES | {
            name: value[name] for name in ("add_prefix_space", "use_regex") if name in value
        }
    return value
