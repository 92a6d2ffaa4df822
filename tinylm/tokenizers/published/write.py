"""A tokenizer of this package as a tokenizer.json, for Hugging Face's library to read.

    described = tokenizer_json(tokenizer)          a dict; PipelineTokenizer reads it, too

Written is only what gives the same ids for every text, and the same text for what they encode.
What has no words in the format is refused with the reason. Where the unknown is an error here,
it is one there. Read first: pipeline.py.
"""

import functools
import sys
import unicodedata

from tinylm.errors import ConfigError
from tinylm.tokenizers.base import utf8
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


def tokenizer_json(tokenizer, more=()):
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
        return (tokenizer.with_special(names) if names else tokenizer).described, names
    parts = write(tokenizer)
    vocab = parts["model"]["vocab"]
    taken = {one[0] for one in vocab} if isinstance(vocab, list) else set(vocab)
    names = _unused(more, taken)
    described = dict.fromkeys(FIELDS) | {"version": "1.0"} | parts
    first = tokenizer.vocab_size
    special = tokenizer.special | {name: first + i for i, name in enumerate(names)}
    by_id = sorted(special.items(), key=lambda pair: pair[1])
    described["added_tokens"] = [_added(name, i) for name, i in by_id]
    return described, names


def _unused(names, taken):
    """Names, those that are taken in brackets."""
    found = []
    for name in names:
        while name in taken or name in found:
            name = f"<{name}>"
        found.append(name)
    return found


def _added(name, i):
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
        if token in ids:
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
    unknown = tokenizer.unk
    while unknown is None or unknown not in tokenizer.special and unknown in tokenizer.characters:
        unknown = "<unk>"
    if tokenizer.unk is None:  # a token that is not there makes the unknown an error
        while unknown in tokenizer.special:
            unknown = f"<{unknown}>"
    vocab = _vocabulary(tokenizer, tokenizer.characters.__getitem__)
    return {
        "pre_tokenizer": _split(r"[\s\S]"),
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": unknown},
    }


def _bytes(tokenizer):
    vocab = _vocabulary(tokenizer, lambda i: to_printable(bytes([i])))
    return _merging(tokenizer, vocab, [], [_byte_level(False)])


def _bpe(tokenizer):
    vocab = _vocabulary(tokenizer, lambda i: to_printable(tokenizer.token_bytes(i)))
    written = list(vocab)
    merges = [f"{written[left]} {written[right]}" for left, right in tokenizer.merges]
    return _merging(tokenizer, vocab, merges, _pieces(tokenizer.pattern.name))


def _pieces(name):
    """The steps that cut a text as a pattern does and write its bytes."""
    if name == "gpt2":
        return [_byte_level(True)]
    if name == "gpt2-digits":
        return [{"type": "Digits", "individual_digits": True}, _byte_level(True)]
    whole = name == "whole"
    return [*[_split(PATTERNS[name].split.pattern)] * (not whole), _byte_level(False)]


def _merging(tokenizer, vocab, merges, steps):
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
    return {
        "pre_tokenizer": steps[0] if len(steps) == 1 else _sequence("pretokenizers", steps),
        "decoder": _byte_level(True),
        "model": model,
    }


@functools.cache
def _characters_of(*kinds, since=None):
    """A set, for an expression, of the characters beyond ASCII of some categories.

    since   a table of an older Unicode: those alone that it has in other categories
    """
    points = [
        i
        for i in range(0x80, sys.maxunicode + 1)
        if unicodedata.category(chr(i)).startswith(kinds)
        and not (since and since.category(chr(i)).startswith(kinds))
    ]
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
    # The library's tables are older than Python's, and not older than Unicode 3.2.
    old = unicodedata.ucd_3_2_0
    gone = _characters_of("Cc", "Cf", since=old)
    gone += _characters_of("Mn", since=old) if tokenizer.lower else ""
    rest = {"type": "Replace", "pattern": {"Regex": f"[{gone}]"}, "content": ""}
    signs = rf"!-/:-@\[-`{{-~{_characters_of('P')}"
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
    name, has_bytes = tokenizer.pattern.name, any(isinstance(p, int) for p in tokenizer.pieces)
    if has_bytes and name not in _CUT_NAMES:
        raise ConfigError(
            f"tokenizer.json: Unigram with byte tokens and the split pattern {name!r} would find "
            f"the names of bytes, such as '<0x41>', in text; written are {', '.join(_CUT_NAMES)}"
        )
    if tokenizer.prefix and tokenizer.special:
        raise ConfigError(
            "tokenizer.json: Unigram with prefix puts a space before the text alone, and the "
            "format also after every special token; there is "
            f"{next(iter(tokenizer.special))!r}"
        )
    scored = [s for p, s in zip(tokenizer.pieces, tokenizer.scores) if isinstance(p, str)]
    least = min(scored, default=0.0)  # the score of the unknown counts from the least of all
    special = {i: one for one, i in tokenizer.special.items()}
    pieces = []
    for i, (piece, score) in enumerate(zip(tokenizer.pieces, tokenizer.scores)):
        token = BYTE_NAMES[piece] if isinstance(piece, int) else special.get(i, piece)
        pieces.append([token, score if isinstance(piece, str) else least])
    if len({token for token, _ in pieces}) < len(pieces):
        raise ConfigError(
            "tokenizer.json: a piece is written like a special token or a byte; rename it"
        )
    unknown = tokenizer.special[tokenizer.unk] if tokenizer.unk else None
    if has_bytes:  # never given out: every character has its bytes
        unknown = tokenizer.pieces.index(0)
    model = {"type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": has_bytes}
    back = [{"type": "ByteFallback"}] * has_bytes + [{"type": "Fuse"}]
    back += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * tokenizer.prefix
    return {
        "normalizer": {"type": "Prepend", "prepend": " "} if tokenizer.prefix else None,
        "pre_tokenizer": None if name == "whole" else _split(PATTERNS[name].split.pattern),
        "decoder": _sequence("decoders", back),
        "model": model,
    }


KINDS = {
    CharTokenizer: _characters,
    ByteTokenizer: _bytes,
    BPETokenizer: _bpe,
    WordPieceTokenizer: _wordpiece,
    UnigramTokenizer: _unigram,
    PipelineTokenizer: lambda tokenizer: tokenizer.described,
}
