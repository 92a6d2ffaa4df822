"""What is written as tokenizer.json gives the library, and this package's reader, the ids and texts
of the tokenizer it was written from.
"""

import json
import random
import re

import pytest

from tinylm.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    PipelineTokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
)
from tinylm.tokenizers.pretokenize import PATTERNS
from tinylm.tokenizers.published.write import tokenizer_json

library = pytest.importorskip("tokenizers")

CORPUS = (
    "A quick brown fox jumps over the lazy dog; the dog doesn't mind. It's 12 or 345 of 6789!\n"
    "Über naïve résumés; def f(x):\n\treturn x**2  # no word\r\n\r\n  中文字符 日本 한국 🙂🙂\n"
) * 8
TEXTS = [
    "",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\n\n  \n",
    "a",
    " a",
    "a ",
    "  a  b  ",
    "don't I'LL we'Ve 's",
    "é e\u0301 ﬁ Ａ ½ ² Ⅷ ß ẞ İ ı Σας ΣΑΣ",
    "12 3456 7890123",
    "中文 文字b",
    "🙂👨‍👩‍👧🏽",
    "\0\x01\x7f\x85\xa0\u2028\u200b\ufeff",
    "\x1c\x1d\x1e\x1f \x0b\x0c",
    "<|endoftext|>",
    "a<|endoftext|>b <|endoftext|><|end|> [CLS] [MASK] <unk>",
    "<0x41><0x4",
    "▁a▁ b",
    "Ġthe Ċ",
    "##a ## #",
    "\U0002b820\U0002b900x\U0002b920",
    "x" * 101 + " " + "y" * 100,
    "a\u0300\u0301b\u0327",
    "עברית مرحبا हिन्दी ไทย",
    "\ufffd\ufffe",
    "...!?;:--__",
    "a\u00adb\u2060c",
    "snake_case CamelCase",
    "\u0345\u3099か\u3099",
    "１２３",
    "٣٤",
    "\u1e9e\u01c5",
    "e\u0301\u0301\u0301" * 12,
]
REFUSALS = re.compile("(?i)unk|is no|is not")
SPECIAL = ("<|endoftext|>", "<|end|>")


def _unigram(pattern="gpt2", **options):
    made = UnigramTokenizer.train(CORPUS, 400, SPECIAL, pattern)
    if not options:
        return made
    return _no_bytes(made, **options)


def _no_bytes(made, **options):
    kept = [i for i, piece in enumerate(made.pieces) if isinstance(piece, str)]
    pieces, scores = [made.pieces[i] for i in kept], [made.scores[i] for i in kept]
    special = {"<unk>": len(pieces)} if options.get("unk") else {}
    return UnigramTokenizer(
        [*pieces, *[None] * len(special)], [*scores, *[0.0] * len(special)], special, **options
    )


def _wordpiece(lower):
    words = [
        "the",
        "quick",
        "##ick",
        "do",
        "##g",
        "ab",
        "##b",
        "un",
        "##known",
        "e",
        "##e",
        "x",
        "中",
        "σας",
        "Σ",
    ]
    signs = list("abcdefghijklmnopqrstuvwxyz.,'!?-_[]#<>|") + [f"##{c}" for c in "abcdefghijkyz"]
    pieces = ["[PAD]", *words, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, "\U0002b820", "ß"]
    return WordPieceTokenizer(list(dict.fromkeys(pieces)), lower)


MADE = {
    "chars": lambda: CharTokenizer("".join(sorted(set(CORPUS + "".join(TEXTS)))), SPECIAL),
    "chars, unknown": lambda: CharTokenizer("abc \n<", SPECIAL, unk="<unk>"),
    "chars, unknown is an error": lambda: CharTokenizer("abcdefgh \n", ("<unk>", "x")),
    "bytes": lambda: ByteTokenizer(SPECIAL),
    **{
        f"bpe {name}": lambda name=name: BPETokenizer.train(CORPUS, 400, SPECIAL, name)
        for name in PATTERNS
    },
    **{
        f"unigram {name}": lambda name=name: _unigram(name)
        for name in ("gpt2", "gpt2-digits", "llama3", "qwen2")
    },
    "unigram, unknown": lambda: _unigram(pattern="spaces", unk="<unk>"),
    "unigram, whole": lambda: _unigram(pattern="whole", unk="<unk>"),
    "unigram, unknown is an error": lambda: _unigram(pattern="gpt2", unk=None),
    "unigram, prefix": lambda: _unigram(pattern="spaces", prefix=True),
    "wordpiece": lambda: _wordpiece(True),
    "wordpiece, cased": lambda: _wordpiece(False),
}


@pytest.fixture(scope="module", params=MADE)
def both(request):
    """A tokenizer, the library's and this package's reader of what was written."""
    ours = MADE[request.param]()
    described, _ = tokenizer_json(ours)
    theirs = library.Tokenizer.from_str(json.dumps(described))
    return ours, theirs, PipelineTokenizer(json.loads(json.dumps(described)))


def ids(encode):
    """The ids, or None where the text is refused."""
    try:
        return list(encode())
    except Exception as error:  # the library raises plain Exceptions
        assert REFUSALS.search(str(error))
        return None


def same(both, text):
    ours, theirs, reader = both
    wanted = ids(lambda: ours.encode(text, allow_special=True))
    assert ids(lambda: theirs.encode(text, add_special_tokens=False).ids) == wanted
    assert ids(lambda: reader.encode(text, allow_special=True)) == wanted
    if wanted is not None and not set(wanted) & set(ours.special.values()):
        assert theirs.decode(wanted, skip_special_tokens=False) == ours.decode(wanted)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_texts_are_those_of_the_tokenizer(both, text):
    same(both, text)


def test_random_texts_are_cut_alike(both):
    rng = random.Random(1)
    for _ in range(150):
        same(both, "".join(rng.choice(TEXTS + list(CORPUS)) for _ in range(rng.randint(1, 12))))


@pytest.mark.parametrize("name", ["wordpiece", "wordpiece, cased", "bpe gpt2"])
def test_every_character_is_cut_alike(name):
    """A table of Unicode that is older on one side shows here."""
    ours = MADE[name]()
    theirs = library.Tokenizer.from_str(json.dumps(tokenizer_json(ours)[0]))
    points = [chr(i) for i in range(1, 0x30000) if not 0xD800 <= i < 0xE000]
    for i in range(0, len(points), 256):
        text = "x".join(points[i : i + 256]) + "ab"
        assert theirs.encode(text).ids == ours.encode(text, allow_special=True).tolist()


def test_every_id_has_its_name_and_number(both):
    ours, theirs, reader = both
    assert theirs.get_vocab_size() == reader.vocab_size == ours.vocab_size
    for name, i in ours.special.items():
        assert (
            theirs.token_to_id(name) == i and theirs.decode([i], skip_special_tokens=False) == name
        )


def test_special_tokens_are_put_behind_the_last_id():
    ours = ByteTokenizer(["[CLS]"])
    described, names = tokenizer_json(ours, ["[CLS]", "[SEP]"])
    theirs = library.Tokenizer.from_str(json.dumps(described))
    assert names == ["<[CLS]>", "[SEP]"]
    assert theirs.encode("a[SEP]<[CLS]>[CLS]").ids == [97, 258, 257, 256]
