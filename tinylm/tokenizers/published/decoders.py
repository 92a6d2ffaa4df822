"""Decoders of tokenizer.json: how tokens become text again.

Each is a function list of str -> list of str, made from its description; the text is the list
joined. Read next: frame.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tinylm.tokenizers.printable import CHARACTER_TO_BYTE
from tinylm.tokenizers.published.normalize import replacer
from tinylm.tokenizers.published.split import scheme_of
from tinylm.tokenizers.published.strict import built

# The replacements of "cleanup" in WordPiece's decoder, in this order.
_CLEANED = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def decoder(value: dict[str, Any] | None, name: str = "decoder") -> Callable:
    """The function of a description; for null the tokens with spaces between."""
    if value is None:
        return spaced
    return built(value, name, KINDS)


def spaced(tokens: Sequence[str]) -> list[str]:
    """Tokens with a space between each and the next."""
    return [" ".join(tokens)]


def cleaned(text: str) -> str:
    """English punctuation without the spaces that splitting at signs has left."""
    for old, new in _CLEANED:
        text = text.replace(old, new)
    return text


def _sequence(described):
    steps = [built(*part, KINDS) for part in described.parts("decoders")]

    def apply(tokens):
        for step in steps:
            tokens = step(tokens)
        return tokens

    return apply


def byte_values(token: str) -> bytes:
    """The bytes of a token in the alphabet of printable.py, or, with other characters, as it is."""
    if all(map(CHARACTER_TO_BYTE.__contains__, token)):
        return bytes(map(CHARACTER_TO_BYTE.__getitem__, token))
    return token.encode("utf-8")


def _byte_level(described):
    for field in ("add_prefix_space", "trim_offsets", "use_regex"):  # they concern encoding only
        described.take(field, bool, True)
    # The bytes of all tokens are decoded together: a character may span several tokens.
    return lambda tokens: [b"".join(map(byte_values, tokens)).decode("utf-8", "replace")]


def _metaspace(described):
    mark, scheme = described.character("replacement", "▁"), scheme_of(described)
    described.take("split", bool, True)  # of encoding only
    # The mark before the text stands for no space, unless none was put there.
    first = ""
    if scheme == "never":
        first = " "

    def apply(tokens):
        found = [token.replace(mark, first) for token in tokens[:1]]
        return found + [token.replace(mark, " ") for token in tokens[1:]]

    return apply


def _wordpiece(described):
    inside, clean = described.take("prefix", str, "##"), described.take("cleanup", bool, True)

    def apply(tokens):
        found = tokens[:1]
        for token in tokens[1:]:
            if token.startswith(inside):
                found.append(token[len(inside) :])
            else:
                found.append(" " + token)
        if clean:
            return [cleaned(token) for token in found]
        return found

    return apply


def _bpe(described):
    last = described.take("suffix", str, "</w>")

    def apply(tokens):
        # The end of a word is a space, but for the last word.
        found = [token.replace(last, " ") for token in tokens[:-1]]
        return found + [token.replace(last, "") for token in tokens[-1:]]

    return apply


def byte_of(token: str) -> int | None:
    """The value of a byte token <0x00> to <0xFF>, else None."""
    if len(token) != 6 or not token.startswith("<0x") or not token.endswith(">"):
        return None
    try:
        return int(token[3:5], 16)
    except ValueError:
        return None


def bytes_back(tokens: Sequence[str]) -> list[str]:
    """Tokens, with each run of byte tokens as its text, or a U+FFFD a byte if that is no UTF-8."""
    found, waiting = [], bytearray()
    for token in tokens:
        value = byte_of(token)
        if value is not None:
            waiting.append(value)
            continue
        found += _text_of(waiting)
        found.append(token)
        waiting = bytearray()
    return found + _text_of(waiting)


def _text_of(data):
    """A run of bytes as a list of texts, none for an empty run."""
    if not data:
        return []
    try:
        return [data.decode("utf-8")]
    except UnicodeDecodeError:
        return ["\ufffd"] * len(data)


def _strip(described):
    sign = described.character("content", " ")
    start, stop = described.take("start", int, 0), described.take("stop", int, 0)
    return lambda tokens: [_stripped(token, sign, start, stop) for token in tokens]


def _stripped(text, sign, start, stop):
    """A text without up to `start` signs at its begin, and up to `stop` at its end."""
    # len(text) - len(text.lstrip(sign)): how many there are.
    first = min(start, len(text) - len(text.lstrip(sign)))
    last = min(stop, len(text) - len(text.rstrip(sign)))
    return text[first : max(first, len(text) - last)]


def _replace(described):
    replace = replacer(described)
    return lambda tokens: list(map(replace, tokens))


# {type: function Described -> (list of str -> list of str)}
KINDS = {
    "Sequence": _sequence,
    "ByteLevel": _byte_level,
    "Metaspace": _metaspace,
    "WordPiece": _wordpiece,
    "BPEDecoder": _bpe,
    "ByteFallback": lambda described: bytes_back,
    "Replace": _replace,
    "Fuse": lambda described: lambda tokens: ["".join(tokens)],
    "Strip": _strip,
}
