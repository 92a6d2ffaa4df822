"""No tokenizer takes the square of a text's length, in cutting, learning, encoding or decoding."""

import pytest

from tests.growth import MARKUP, PHRASES, RUNS, superlinear
from tests.tokenizers.published.files import ALL_BYTES as BYTES
from tests.tokenizers.published.files import BASIC, NORMAL, character_map
from tests.tokenizers.published.test_pipeline import added, byte_level, split_by, unigram
from tinylm.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    PieceTokenizer,
    PipelineTokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
    train_wordpiece,
)
from tinylm.tokenizers.pretokenize import LLAMA3, PATTERNS, count_pieces

TEXT = "the quick brown fox. " * 20
ODD = "\u0301\u0323"  # marks of two classes: normalizing sorts them
ALL_BYTES = [list(piece) for piece in BYTES]
LETTERS = [[c, -10.0 - i, NORMAL] for i, c in enumerate("▁abc中<")]
PIECES = [*map(list, BASIC), *LETTERS, ["aa", -1.0, NORMAL], ["▁a", -2.0, NORMAL]]
TOKENIZERS = {
    "bytes": ByteTokenizer(("<|end|>",)),
    "characters": CharTokenizer("".join(map(chr, range(32, 127)))),
    "bpe": BPETokenizer.train([TEXT], 300),
    "unigram": UnigramTokenizer.train([TEXT], 300),
    "wordpiece": WordPieceTokenizer(["[UNK]", "a", "##a", "<", "1", "##1"]),
    "words": WordTokenizer.from_text(TEXT),
    "whole": BPETokenizer.train([TEXT], 280, pattern="whole"),
    "published bytes": PipelineTokenizer(
        byte_level(
            split_by(LLAMA3.split.pattern),
            tokens=[added("<|end|>", 258, lstrip=True, rstrip=True)],
            normalizer={"type": "NFC"},
        )
    ),
    "published unigram": PipelineTokenizer(unigram() | {"normalizer": {"type": "NFKD"}}),
    "published pieces": PieceTokenizer(PieceTokenizer.described("bpe", PIECES + ALL_BYTES)),
    "published likely pieces": PieceTokenizer(
        PieceTokenizer.described("unigram", PIECES, character_map({"a": "b", "aaaa": "c"}))
    ),
}
USES = {f"split {name}": pattern.pieces for name, pattern in PATTERNS.items()}
USES |= {
    f"cut {name}": lambda text, p=pattern: p.last_cut(text, 0, len(text))
    for name, pattern in PATTERNS.items()
}
USES |= {
    f"stream {name}": lambda text, p=pattern: count_pieces(text, p, ("<|end|>",), 256)
    for name, pattern in PATTERNS.items()
}


def whole(text):
    """A text without halves of characters, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def encode(tokenizer):
    """Encoding of a text, known characters or not, and decoding."""

    def use(text):
        if isinstance(tokenizer, CharTokenizer):
            text = "".join(c for c in text if " " <= c <= "~")
        return tokenizer.decode(tokenizer.encode(whole(text)))

    return use


USES |= {f"encode {name}": encode(tokenizer) for name, tokenizer in TOKENIZERS.items()}
USES |= {
    f"encode stream {name}": lambda text, t=tokenizer: [
        *t.encode_stream([whole(text)], chunk_bytes=256)
    ]
    for name, tokenizer in TOKENIZERS.items()
    if name != "characters"
}
USES["learn bpe"] = lambda text: BPETokenizer.train([whole(text)], 262)
USES["learn wordpiece"] = lambda text: train_wordpiece([whole(text)], 262)
FEW = ("a", " ", "'", "中", ODD, "<|end|>")


@pytest.mark.parametrize("name", USES)
def test_time_grows_with_the_length_of_a_text(name):
    assert superlinear(USES[name], FEW, size=1500) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_time_grows_with_the_length_of_any_text(name):
    runs = (*RUNS, *MARKUP, *PHRASES, ODD, "<|end|>", "<|end|", "'ll", " 's", "\r\n", "\r")
    assert superlinear(USES[name], runs, befores=("", "x")) == []
