import json
import unicodedata

import numpy as np
import pytest

from tinylm import tokenizers
from tinylm.errors import CheckpointError, DataError
from tinylm.tokenizers import WordPieceTokenizer
from tinylm.tokenizers.wordpiece import plain_words

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "un",
    "##aff",
    "##able",
    "##a",
    "want",
    "##ed",
    "##s",
    ",",
    "!",
    "你",
    "a",
    "ea",
]


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer(PIECES)


def cut(tokenizer, text):
    return [tokenizer.pieces[i] for i in tokenizer.encode(text)]


def words(text, lower=True):
    return [word for word in plain_words(text, lower) if word]


def test_words_are_cut_into_the_longest_pieces_from_the_left(tokenizer):
    assert cut(tokenizer, "unaffable wanted") == ["un", "##aff", "##able", "want", "##ed"]
    assert cut(tokenizer, "unaable") == ["un", "##a", "##able"]


def test_a_word_that_cannot_be_cut_is_unknown_as_a_whole(tokenizer):
    assert cut(tokenizer, "unaffx want") == ["[UNK]", "want"]  # "un", "##aff" would fit
    assert cut(tokenizer, "a" * 101) == ["[UNK]"]  # 100 characters are the longest word
    assert cut(WordPieceTokenizer([*PIECES, "##aa"]), "a" * 99)[0] == "a"


def test_greedy_does_not_look_back(tokenizer):
    # "ea" + "ts" has no pieces, though "e" + "ats" might: the longest first piece is never given
    # up.
    assert cut(WordPieceTokenizer(["[UNK]", "e", "ea", "##ats"]), "eats") == ["[UNK]"]


def test_text_is_made_plain_first():
    assert words("UnAffable, Wörld!") == ["unaffable", ",", "world", "!"]
    assert words("UnAffable, Wörld!", lower=False) == ["UnAffable", ",", "Wörld", "!"]
    assert words("ab\u00ad\u0000\ufffd\u200bcd\te\u3000f\n") == [
        "abcd",
        "e",
        "f",
    ]  # controls go, white space parts
    assert words("我爱NLP") == ["我", "爱", "nlp"]
    assert words("$1.50^2`~") == [
        "$",
        "1",
        ".",
        "50",
        "^",
        "2",
        "`",
        "~",
    ]  # all ASCII signs, not only punctuation
    assert words("İstanbul ΟΔΟΣ") == ["istanbul", "οδοσ"]  # character by character: no final sigma


def test_decoding_gives_the_words(tokenizer):
    assert tokenizer.decode(tokenizer.encode("Unaffable,  WANTED!")) == "unaffable , wanted !"
    assert tokenizer.decode_bytes([5, 6]) == b" unaff" and tokenizer.decode([]) == ""


def test_texts_are_framed_as_bert_reads_them(tokenizer):
    ids, segments = tokenizer.framed("want", "a wants")
    assert [PIECES[i] for i in ids] == ["[CLS]", "want", "[SEP]", "a", "want", "##s", "[SEP]"]
    assert segments.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert tokenizer.framed("")[0].tolist() == [2, 3]


def test_a_limit_takes_from_the_longer_text(tokenizer):
    ids, segments = tokenizer.framed("a a a a a", "want a", limit=7)
    assert [PIECES[i] for i in ids] == [
        "[CLS]",
        "a",
        "a",
        "[SEP]",
        "want",
        "a",
        "[SEP]",
    ] and segments.sum() == 3
    assert len(tokenizer.framed("a " * 50, limit=8)[0]) == 8


def test_names_of_special_tokens_are_text_unless_asked(tokenizer):
    assert tokenizer.special["[MASK]"] not in tokenizer.encode("a [MASK] a")
    assert tokenizer.encode("a [MASK] a", allow_special=True).tolist() == [15, 4, 15]


def test_a_stream_gives_the_ids_of_the_whole(tokenizer, rng):
    text = "".join(rng.choice(list("an wuted,!\n é你"), size=3000))
    for chunk in (1, 7, 100):
        parts = list(tokenizer.encode_stream(text, chunk))
        np.testing.assert_array_equal(np.concatenate(parts), tokenizer.encode(text))


def test_it_is_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    again = tokenizers.load(tmp_path / "t.json")
    assert again.to_dict() == tokenizer.to_dict() == json.loads(json.dumps(tokenizer.to_dict()))
    np.testing.assert_array_equal(
        again.encode("unaffable, wanted"), tokenizer.encode("unaffable, wanted")
    )


def test_vocabularies_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="'a' is in the vocabulary twice"):
        WordPieceTokenizer(["[UNK]", "a", "a"])
    with pytest.raises(DataError, match=r"no \[UNK\]"):
        WordPieceTokenizer(["a"])
    with pytest.raises(CheckpointError, match="cannot read the vocabulary"):
        WordPieceTokenizer.from_vocabulary(tmp_path / "missing.txt")


def reference(data_dir, lower):
    """Hugging Face's tokenizer on BERT's vocabulary, and ours."""
    transformers = pytest.importorskip("transformers")
    path = data_dir / "tokenizer" / "bert_uncased_vocab.txt"
    if not path.is_file():
        pytest.skip("the folder of texts has no bert_uncased_vocab.txt")
    mine = WordPieceTokenizer.from_vocabulary(path, lower)
    other = transformers.BertTokenizer(
        vocab={p: i for i, p in enumerate(mine.pieces)}, do_lower_case=lower
    )
    return mine, lambda text: other(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("lower", [True, False])
def test_ids_are_those_of_bert_on_text_of_many_languages(data_dir, lower):
    mine, other = reference(data_dir, lower)
    for name in ("bitext/udhr_multi.tsv", "corpus/tinyshakespeare.txt"):
        if (data_dir / name).is_file():
            text = (data_dir / name).read_text(encoding="utf-8")[:100_000]
            assert mine.encode(text).tolist() == other(text)
    first, second = "The kitten is chasing.", "It's 4 o'clock"
    assert mine.framed(first, second)[0].tolist() == [101, *other(first), 102, *other(second), 102]


@pytest.mark.parametrize("lower", [True, False])
def test_every_settled_character_is_treated_as_bert_does(data_dir, lower):
    mine, other = reference(data_dir, lower)
    # Characters whose kind has been the same since Unicode 3.2: the two libraries know Unicode of
    # different years.
    old = unicodedata.ucd_3_2_0
    points = [
        c
        for c in map(chr, range(0x20000))
        if old.category(c) == unicodedata.category(c) not in ("Cn", "Cs")
    ]
    assert len(points) > 50_000
    for start in range(0, len(points), 1000):
        text = " ".join(f"a{c}b" for c in points[start : start + 1000])
        assert mine.encode(text).tolist() == other(text)
