"""Decoders of tokenizer.json: how tokens become text again.

Each is a function list of str -> list of str, made from its description; the text is the list
joined. Read next: frame.py.
"""

from tinylm.tokenizers.printable import CHARACTER_TO_BYTE
from tinylm.tokenizers.published.normalize import replacer
from tinylm.tokenizers.published.split import scheme_of
from tinylm.tokenizers.published.strict import built

# What the decoder of WordPiece takes back with "cleanup", in this order.
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


def decoder(value, name="decoder"):
    """The function of a description; for null the tokens with spaces between."""
    if value is None:
        return spaced
    return built(value, name, KINDS)


def spaced(tokens):
    """Tokens with a space between each and the next."""
    return [" ".join(tokens)]


def cleaned(text):
    """English punctuation without the spaces that cutting at signs has left."""
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


def byte_values(token):
    """The bytes of a token in the alphabet of printable.py; one that has other characters stands
    for itself.
    """
    if all(map(CHARACTER_TO_BYTE.__contains__, token)):
        return bytes(map(CHARACTER_TO_BYTE.__getitem__, token))
    return token.encode("utf-8")


def _byte_level(described):
    for field in ("add_prefix_space", "trim_offsets", "use_regex"):  # they concern the way there
        described.take(field, bool, True)
    return lambda tokens: [b"".join(map(byte_values, tokens)).decode("utf-8", "replace")]


def _metaspace(described):
    mark, scheme = described.character("replacement", "▁"), scheme_of(described)
    described.take("split", bool, True)  # likewise

    def apply(tokens):
        first = "" if scheme != "never" else " "
        return [token.replace(mark, " " if i else first) for i, token in enumerate(tokens)]

    return apply


def _wordpiece(described):
    inside, clean = described.take("prefix", str, "##"), described.take("cleanup", bool, True)

    def apply(tokens):
        found = tokens[:1]
        for token in tokens[1:]:
            begins = token.startswith(inside)
            found.append(token[len(inside) :] if begins else " " + token)
        if clean:
            return [cleaned(token) for token in found]
        return found

    return apply


def _bpe(described):
    last = described.take("suffix", str, "</w>")

    def apply(tokens):
        return [token.replace(last, " ") for token in tokens[:-1]] + [
            token.replace(last, "") for token in tokens[-1:]
        ]

    return apply


def byte_of(token):
    """The value of a byte token <0x00> to <0xFF>, else None."""
    if len(token) != 6 or not token.startswith("<0x") or not token.endswith(">"):
        return None
    try:
        return int(token[3:5], 16)
    except ValueError:
        return None


def bytes_back(tokens):
    """Byte tokens side by side become their character, or a U+FFFD each where they are no UTF-8."""
    found, waiting = [], bytearray()
    for token in [*tokens, None]:
        value = None if token is None else byte_of(token)
        if value is not None:
            waiting.append(value)
            continue
        if waiting:
            try:
                found.append(waiting.decode("utf-8"))
            except UnicodeDecodeError:
                found += ["\ufffd"] * len(waiting)
            waiting = bytearray()
        if token is not None:
            found.append(token)
    return found


def _strip(described):
    sign = described.character("content", " ")
    start, stop = described.take("start", int, 0), described.take("stop", int, 0)
    return lambda tokens: [_stripped(token, sign, start, stop) for token in tokens]


def _stripped(text, sign, start, stop):
    """Up to `start` of a sign off the begin of a text, and up to `stop` off its end."""
    first = min(start, len(text) - len(text.lstrip(sign)))
    last = min(stop, len(text) - len(text.rstrip(sign)))
    return text[first : max(first, len(text) - last)]


def _replace(described):
    replace = replacer(described)
    return lambda tokens: list(map(replace, tokens))


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
