"""Names of special ids in a text are read and written; all else is as the tokenizer has it."""

import pytest

from tinylm.pretrain.marked_text import MarkedText
from tinylm.pretrain.special import Special
from tinylm.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer

WORDS = 256  # ids of bytes


@pytest.fixture
def text():
    return MarkedText(ByteTokenizer(), Special.after(WORDS, sentinels=5, others=2))


def test_names_are_special_ids_and_plain_text_is_not(text):
    special = text.marks
    ids = text.encode("a [MASK] b<mask>[SEP][X]<extra_id_1>[X4][#1][CLS]")
    assert ids.tolist() == [
        *b"a ",
        special.mask,
        *b" b",
        special.mask,
        special.sep,
        special.sentinels[0],
        special.sentinels[1],
        special.sentinels[4],
        special.others[1],
        *b"[CLS]",  # a frame puts it there, not the user
    ]


def test_a_name_without_an_id_is_plain_text(text):
    assert text.encode("[X9]<extra_id_7>[#5]").tolist() == list(b"[X9]<extra_id_7>[#5]")
    assert MarkedText(ByteTokenizer(), None).encode("[MASK]").tolist() == list(b"[MASK]")


def test_ids_are_written_with_names_and_parts_of_characters_as_bytes(text):
    ids = [*b"a", text.marks.mask, 0xE2, *b"b"]
    assert text.decode(ids) == "a [MASK] " + r"\xe2" + "b"
    assert text.token_bytes(text.marks.sentinels[3]) == b" [X3] "
    assert text.is_special(text.marks.mask) and not text.is_special(0xE2)


def test_the_space_before_a_mask_belongs_to_the_hidden_token():
    corpus = "the cat sat on the mat. " * 20
    bpe = BPETokenizer.train([corpus], 270)
    text = MarkedText(bpe, Special.after(bpe.vocab_size))
    ids = text.encode("the [MASK] sat")
    assert ids.tolist() == [*bpe.encode("the"), text.marks.mask, *bpe.encode(" sat")]
    # Characters are tokens of their own, spaces too.
    characters = CharTokenizer.from_text(corpus)
    text = MarkedText(characters, Special.after(characters.vocab_size))
    ids = text.encode("the [MASK]")
    assert ids.tolist() == [*characters.encode("the "), text.marks.mask]


def test_a_published_tokenizer_has_its_marks_itself():
    tokenizer = ByteTokenizer(["<mask>"])
    text = MarkedText(tokenizer, None)
    assert text.encode("a[MASK]").tolist() == [*b"a", 256]
    assert text.decode([*b"a", 256]) == "a<mask>" and text.is_special(256)
