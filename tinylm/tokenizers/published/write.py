"""A tokenizer of this package as a tokenizer.json, for Hugging Face's library to read.

    described = tokenizer_json(tokenizer)          a dict; PipelineTokenizer reads it, too

A tokenizer is written only if the file gives the same ids for every text, and the same text for
these ids. One that the format cannot express raises ConfigError with the reason. Where an unknown
character is an error here, it is one there. Read first: pipeline.py.
"""

import functools
import sys
import unicodedata
from collections.abc import Sequence

from tinylm.errors import ConfigError
from tinylm.tokenizers.base import Tokenizer, utf8
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.tokenizers.byte import ByteTokenizer
from tinylm.tokenizers.characters import CharTokenizer
from tinylm.tokenizers.pretokenize import PATTERNS
from tinylm.tokenizers.printable import to_printable
from tinylm.tokenizers.published.decoders import byte_values
from tinylm.tokenizers.published.models import BYTE_NAMES
from tinylm.tokenizers.published.pipeline import PipelineTokenizer
from tinylm.tokenizers.unigram import UnigramTokenizer
from tinylm.tokenizers.wordpiece import LONGEST_WORD, WordPieceTokenizer

# In the library's order.
FIELDS = (
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
)
# Why a kind has no function below.
REASONS = {
    "word": "its words are found by newer tables of letters and signs than the library's",
    "piece": "the scores by which SentencePiece merges have no place in it",
}
# A block of Chinese characters that the library's BertNormalizer leaves out and BERT's code has.
_LEFT_OUT = "\U0002b820-\U0002b91f"
# Patterns in which the name of a byte token, "<0x41>", is never one piece.
_CUT_NAMES = "gpt2", "gpt2-digits", "llama3", "qwen2"


def tokenizer_json(tokenizer: Tokenizer, more: Sequence[str] = ()) -> tuple[dict, list[str]]:
    """The tokenizer.json of a tokenizer.

    tokenizer  of the kinds in KINDS
    more       names of special tokens to put behind its last id; one that is taken gets brackets
    returns    (dict, names of `more` as they are in it)
    raises     ConfigError for a tokenizer that the format cannot express, with the reason
    """
    write = KINDS.get(type(tokenizer))
    if write is None:
        reason = REASONS.get(tokenizer.kind, "the format has no words for it")
        raise ConfigError(
            f"tokenizer.json: a tokenizer of kind {tokenizer.kind!r} is not written ({reason}), "
            f"but {', '.join(kind.kind for kind in KINDS)}"
        )
    if isinstance(tokenizer, PipelineTokenizer):
        names = _unused(more, set(tokenizer.tokens) | set(tokenizer.special))
        if names:
            tokenizer = tokenizer.with_special(names)
        return tokenizer.described, names
    parts = write(tokenizer)
    vocab = parts["model"]["vocab"]
    if isinstance(vocab, list):  # Unigram's [[token, log-probability], ...]
        taken = {one[0] for one in vocab}
    else:
        taken = set(vocab)
    names = _unused(more, taken)
    # Every field in the library's order, null where the kind has no such part.
    described = dict.fromkeys(FIELDS) | {"version": "1.0"} | parts
    first = tokenizer.vocab_size
    special = tokenizer.special | {name: first + i for i, name in enumerate(names)}
    by_id = sorted(special.items(), key=lambda pair: pair[1])
    described["added_tokens"] = [_added(name, i) for name, i in by_id]
    return described, names


def _unused(names, taken):
    """Names; one that is taken gets brackets: "<s>" becomes "<<s>>"."""
    found = []
    for name in names:
        while name in taken or name in found:
            name = f"<{name}>"
        found.append(name)
    return found


def _added(name, i):
    """The object of a special token."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": i, "content": name, **flags, "special": True}


def _vocabulary(tokenizer, written):
    """{token: id} of all ids.

    written  function id -> how an ordinary token is written
    raises   ConfigError where a special token is written like an ordinary one
    """
    special = {i: name for name, i in tokenizer.special.items()}
    ids = {}
    for i in range(tokenizer.vocab_size):
        token = special.get(i)
        if token is None:
            token = written(i)
        if token in ids:  # one of the two is special; which came first does not matter
            name = next(name for name in (special.get(i), special.get(ids[token])) if name)
            raise ConfigError(
                f"tokenizer.json: the special token {name!r} is written like an ordinary token; "
                "rename it"
            )
        ids[token] = i
    return ids


def _split(pattern):
    """Every match of a pattern is a piece of its own."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _sequence(kind, steps):
    return {"type": "Sequence", kind: steps}


def _byte_level(use_regex):
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _characters(tokenizer):
    # The format must name an unknown token. Where a character without a token is an error here, it
    # names one that is not in the vocabulary, which makes it an error there.
    unknown = tokenizer.unk
    while unknown is None or unknown not in tokenizer.special and unknown in tokenizer.characters:
        unknown = "<unk>"
    if tokenizer.unk is None:
        while unknown in tokenizer.special:
            unknown = f"<{unknown}>"
    vocab = _vocabulary(tokenizer, tokenizer.characters.__getitem__)
    return {
        "pre_tokenizer": _split(r"[\s\S]"),  # every character is a piece
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": unknown},
    }


def _bytes(tokenizer):
    vocab = _vocabulary(tokenizer, lambda i: to_printable(bytes([i])))
    # BPE without merges: every byte is a token.
    return _merging(tokenizer, vocab, [], [_byte_level(False)])


def _bpe(tokenizer):
    vocab = _vocabulary(tokenizer, lambda i: to_printable(tokenizer.token_bytes(i)))
    written = list(vocab)  # in the order of ids
    merges = [f"{written[left]} {written[right]}" for left, right in tokenizer.merges]
    return _merging(tokenizer, vocab, merges, _pieces(tokenizer.pattern.name))


def _pieces(name):
    """The steps that cut a text as a pattern does and write its bytes."""
    if name == "gpt2":
        return [_byte_level(True)]
    if name == "gpt2-digits":
        return [{"type": "Digits", "individual_digits": True}, _byte_level(True)]
    if name == "whole":
        return [_byte_level(False)]
    return [_split(PATTERNS[name].split.pattern), _byte_level(False)]


def _merging(tokenizer, vocab, merges, steps):
    """The parts of a BPE over bytes.

    merges  list of "left right"
    steps   pre-tokenizers, the last of which writes bytes
    """
    # Decoding reads every token in the alphabet of bytes, special ones too.
    for name in tokenizer.special:
        if byte_values(name) != utf8(name):
            raise ConfigError(
                f"tokenizer.json: the name of the special token {name!r} would be read as bytes; "
                "rename it"
            )
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    split = steps[0]
    if len(steps) > 1:
        split = _sequence("pretokenizers", steps)
    return {
        "pre_tokenizer": split,
        "decoder": _byte_level(True),
        "model": model,
    }


@functools.cache
def _characters_of(*kinds, since=None):
    """The inside of a set, for a regular expression, of characters beyond ASCII.

    kinds   categories of Unicode, or their first letters
    since   a table of an older Unicode: only characters that are in none of the categories there
    """
    points = [
        i
        for i in range(0x80, sys.maxunicode + 1)
        if unicodedata.category(chr(i)).startswith(kinds)
        and not (since and since.category(chr(i)).startswith(kinds))
    ]
    # Ranges: a point without its predecessor starts one, a point without its successor ends one.
    starts = [i for i, before in zip(points, [-2, *points]) if i - 1 != before]
    stops = [i for i, after in zip(points, [*points[1:], -2]) if i + 1 != after]
    return "".join(f"{chr(start)}-{chr(stop)}" for start, stop in zip(starts, stops))


def _wordpiece(tokenizer):
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": tokenizer.lower,
    }
    # What BERT's normalizer removes follows tables of Unicode: the library's are older than
    # Python's, and not older than 3.2. So all that is younger than 3.2 is removed by name.
    old = unicodedata.ucd_3_2_0
    gone = _characters_of("Cc", "Cf", since=old)
    if tokenizer.lower:
        gone += _characters_of("Mn", since=old)
    rest = {"type": "Replace", "pattern": {"Regex": f"[{gone}]"}, "content": ""}
    signs = rf"!-/:-@\[-`{{-~{_characters_of('P')}"
    # Signs stand alone: ASCII signs, category P, and the Chinese characters left out above.
    words = [{"type": "WhitespaceSplit"}, _split(f"[{signs}{_LEFT_OUT}]")]
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": LONGEST_WORD,
        "vocab": {piece: i for i, piece in enumerate(tokenizer.pieces)},
    }
    return {
        "normalizer": _sequence("normalizers", [normalizer, rest]),
        "pre_tokenizer": _sequence("pretokenizers", words),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": model,
    }


def _unigram(tokenizer):
    name = tokenizer.pattern.name
    has_bytes = any(isinstance(p, int) for p in tokenizer.pieces)
    if has_bytes and name not in _CUT_NAMES:
        raise ConfigError(
            f"tokenizer.json: Unigram with byte tokens and the split pattern {name!r} would find "
            f"the names of bytes, such as '<0x41>', in text; written are {', '.join(_CUT_NAMES)}"
        )
    if tokenizer.prefix and tokenizer.special:
        raise ConfigError(
            "tokenizer.json: Unigram with prefix puts a space before the text alone, and the "
            f"format also after every special token; there is {next(iter(tokenizer.special))!r}"
        )
    scored = [s for p, s in zip(tokenizer.pieces, tokenizer.scores) if isinstance(p, str)]
    # The format has a score for bytes and special tokens too. None may be lower than that of the
    # least probable piece, from which the library counts the score of the unknown.
    least = min(scored, default=0.0)
    special = {i: one for one, i in tokenizer.special.items()}
    pieces = []
    for i, (piece, score) in enumerate(zip(tokenizer.pieces, tokenizer.scores)):
        if isinstance(piece, str):
            pieces.append([piece, score])
        elif isinstance(piece, int):
            pieces.append([BYTE_NAMES[piece], least])
        else:
            pieces.append([special[i], least])
    if len({token for token, _ in pieces}) < len(pieces):
        raise ConfigError(
            "tokenizer.json: a piece is written like a special token or a byte; rename it"
        )
    unknown = None
    if tokenizer.unk:
        unknown = tokenizer.special[tokenizer.unk]
    if has_bytes:  # the format needs one; it never occurs, because every character has its bytes
        unknown = tokenizer.pieces.index(0)
    model = {"type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": has_bytes}
    normalizer = split = None
    back = [{"type": "Fuse"}]
    if has_bytes:
        back.insert(0, {"type": "ByteFallback"})
    if tokenizer.prefix:  # a space goes before the text, and is taken off again
        normalizer = {"type": "Prepend", "prepend": " "}
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    if name != "whole":
        split = _split(PATTERNS[name].split.pattern)
    return {
        "normalizer": normalizer,
        "pre_tokenizer": split,
        "decoder": _sequence("decoders", back),
        "model": model,
    }


# {class: function tokenizer -> the parts of its tokenizer.json}
KINDS = {
    CharTokenizer: _characters,
    ByteTokenizer: _bytes,
    BPETokenizer: _bpe,
    WordPieceTokenizer: _wordpiece,
    UnigramTokenizer: _unigram,
    PipelineTokenizer: lambda tokenizer: tokenizer.described,
}
