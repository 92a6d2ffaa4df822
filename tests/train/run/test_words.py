"""What a tokenizer tells about words: where they begin, where sentences end, how they are said in
another language.
"""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer
from tinylm.train.run.words import (
    dictionary_table,
    read_dictionary,
    sentence_ends,
    translated,
    word_starts,
)

TEXT = "the cat sleeps. the dog runs! the cat runs. " * 40


@pytest.fixture(scope="module")
def bpe():
    """Whole words of TEXT as tokens, each with the space before it."""
    return BPETokenizer.train([translated(TEXT, {"cat": ["katze"], "dog": ["hund"]}), TEXT], 300)


def test_a_token_with_a_space_or_a_sign_in_front_begins_a_word(bpe):
    starts = word_starts(bpe, bpe.vocab_size + 2)
    assert starts[bpe.encode(" cat.")].tolist() == [True, True]
    assert not starts[bpe.encode("é")].any()  # bytes of one letter: none is a word
    assert starts[-2:].all()  # special ids stand alone


def test_pieces_of_wordpiece_continue_words():
    tokenizer = WordPieceTokenizer(["[UNK]", "play", "##ing", "."])
    ids = tokenizer.encode("playing .")
    assert word_starts(tokenizer, tokenizer.vocab_size)[ids].tolist() == [True, False, True]


def test_sentences_end_in_points_and_marks(bpe):
    assert set(sentence_ends(bpe)) >= set(bpe.encode("!?.").tolist())
    assert sentence_ends(CharTokenizer("ab。")).tolist() == [2]
    assert len(sentence_ends(CharTokenizer("ab"))) == 0


def test_a_dictionary_is_read_and_bad_lines_are_named(tmp_path):
    path = tmp_path / "d.tsv"
    path.write_text("# from\tto\ncat\tkatze\n\ncat\tkater\tnoun\n")
    assert read_dictionary(path) == {"cat": ["katze", "kater"]}
    path.write_text("cat\tkatze\ndog hund\n")
    with pytest.raises(DataError, match="line 2: 'dog hund' is not word<TAB>translation"):
        read_dictionary(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        read_dictionary(path)
    with pytest.raises(DataError, match="cannot be read .No such file"):
        read_dictionary(tmp_path / "none")


def test_words_are_exchanged_whole():
    assert (
        translated("the cat, catty cat", {"cat": ["katze", "kater"]})
        == "the katze kater, catty katze kater"
    )


def test_only_words_of_one_token_in_both_languages_are_switched(bpe):
    table = dictionary_table(
        {"cat": ["katze"], "dog": ["hund"], "the": ["unheardof"]}, bpe, bpe.vocab_size + 9
    )
    cat, katze, the = (int(bpe.encode(" " + word)[0]) for word in ("cat", "katze", "the"))
    assert table.shape[0] == bpe.vocab_size + 9
    assert katze in table[cat] and (table[the] == -1).all() and (table[-9:] == -1).all()
    with pytest.raises(ConfigError, match="none of 1 words is a single token in both languages"):
        dictionary_table({"cat": ["unheardof"]}, bpe, bpe.vocab_size)
    assert np.issubdtype(table.dtype, np.integer)
