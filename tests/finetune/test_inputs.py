import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.tasks.heads_small import INPUTS, SPECIAL
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.inputs import EncoderInput, frame, special_of
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.special import Special
from tinylm.tokenizers import WordPieceTokenizer, WordTokenizer

CLS, SEP, PAD = SPECIAL.cls, SPECIAL.sep, SPECIAL.pad
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "early",
    "bird",
    "##s",
    "catch",
    "##es",
]
WORDS = st.lists(st.integers(0, 19), max_size=9)


def test_one_text_stands_between_its_marks():
    ids, segments = INPUTS.row([4, 7])
    assert ids.tolist() == [CLS, 4, 7, SEP] and segments.tolist() == [0, 0, 0, 0]


@given(x=WORDS, y=WORDS)
def test_a_pair_has_n_plus_m_plus_3_tokens_and_two_segments(x, y):
    ids, segments = INPUTS.row((x, y))
    assert len(ids) == len(x) + len(y) + 3  # n + m + 2 is the last index
    assert ids.tolist() == [CLS, *x, SEP, *y, SEP]
    assert segments.tolist() == [0] * (len(x) + 2) + [1] * (len(y) + 1)
    for mine, theirs in zip((ids, segments), pack(SPECIAL, x, y)):
        np.testing.assert_array_equal(mine, theirs)


@given(x=WORDS, y=WORDS, limit=st.integers(3, 12))
def test_the_longer_text_is_cut_first(x, y, limit):
    ids, segments = EncoderInput(SPECIAL, limit=limit).row((x, y))
    first, second = int(np.sum(segments == 0)) - 2, int(np.sum(segments == 1)) - 1
    assert len(ids) == min(limit, len(x) + len(y) + 3)
    if first < len(x):
        assert first >= second - 1  # what was cut is not shorter than what stayed
    if second < len(y):
        assert second >= first - 1


@pytest.mark.parametrize("limit", [3, 5, None])
def test_bert_rows_are_those_of_the_wordpiece_tokenizer(limit):
    tokenizer = WordPieceTokenizer(PIECES)
    read = EncoderInput.of(tokenizer, limit)
    for text in ("the early birds", ("the early", "bird catches")):
        ids, segments = read.row(text)
        expected = tokenizer.framed(*(text if isinstance(text, tuple) else (text,)), limit=limit)
        if limit is None or not isinstance(
            text, tuple
        ):  # of two equally long ones, either may be cut first
            np.testing.assert_array_equal(ids, expected[0])
            np.testing.assert_array_equal(segments, expected[1])


def test_rows_are_padded_at_their_ends_and_the_mask_says_where():
    ids, fields = INPUTS.rows([[1], ([2, 3], [4])])
    assert ids.tolist() == [[CLS, 1, SEP, PAD, PAD, PAD], [CLS, 2, 3, SEP, 4, SEP]]
    assert fields["mask"].tolist() == [[True] * 3 + [False] * 3, [True] * 6]
    assert fields["segments"].tolist() == [[0] * 6, [0, 0, 0, 0, 1, 1]]
    assert INPUTS.rows([[1], [2]])[1]["mask"] is None  # attention has nothing to hide


def test_a_vocabulary_without_marks_does_without_them():
    assert frame(Special(9), [3, 4])[0].tolist() == [3, 4]
    assert frame(Special(9, sep=8), [3], [4])[0].tolist() == [3, 8, 4, 8]


def test_a_label_belongs_to_the_first_piece_of_its_word():
    read = EncoderInput.of(WordPieceTokenizer(PIECES))
    ids, segments, first = read.word_row(["birds", "catches", "the"])
    assert [PIECES[i] for i in ids] == ["[CLS]", "bird", "##s", "catch", "##es", "the", "[SEP]"]
    assert first.tolist() == [1, 3, 5]


def test_words_after_a_question_begin_after_its_mark():
    ids, segments, first = INPUTS.word_row([5, 6, 7], before=[1, 2])
    assert ids.tolist() == [CLS, 1, 2, SEP, 5, 6, 7, SEP] and first.tolist() == [4, 5, 6]
    assert segments[first].tolist() == [1, 1, 1]


def test_words_whose_first_piece_does_not_fit_are_left_out():
    words = ["birds", "the", "catches"]  # 2 + 1 + 2 pieces
    for limit, pieces, first in ((7, 5, [1, 3, 4]), (6, 4, [1, 3, 4]), (5, 3, [1, 3]), (3, 1, [1])):
        ids, _, found = EncoderInput.of(WordPieceTokenizer(PIECES), limit).word_row(words)
        assert len(ids) == pieces + 2 and found.tolist() == first
    with pytest.raises(ConfigError, match="no room for a word"):
        EncoderInput.of(WordPieceTokenizer(PIECES), limit=2).word_row(words)


def test_a_word_without_pieces_is_unknown():
    read = EncoderInput.of(WordPieceTokenizer(PIECES))
    assert [PIECES[i] for i in read.word_row(["the", "\u200b", "bird"])[0]] == [
        "[CLS]",
        "the",
        "[UNK]",
        "bird",
        "[SEP]",
    ]


def test_special_ids_are_found_by_their_usual_names():
    found = special_of(WordTokenizer(["a", "b"], ("<pad>", "<s>", "</s>", "<cls>")))
    assert (found.pad, found.start, found.end, found.cls, found.sep, found.others) == (
        2,
        3,
        4,
        5,
        None,
        (6,),
    )


def test_a_limit_counts_the_marks_that_there_are():
    # the marks alone fill a row of two, or of three for a pair
    assert EncoderInput(SPECIAL, limit=2).row([1, 2])[0].tolist() == [CLS, SEP]
    assert EncoderInput(SPECIAL, limit=3).row(([1], [2]))[0].tolist() == [CLS, SEP, SEP]
    assert EncoderInput(Special(9, sep=8), limit=3).row([1, 2, 3])[0].tolist() == [1, 2, 8]
    assert EncoderInput(Special(9, sep=8), limit=4).row(([1, 2], [3]))[0].tolist() == [1, 8, 3, 8]
    assert EncoderInput(Special(9), limit=2).row([1, 2, 3])[0].tolist() == [1, 2]


def test_a_sentence_without_words_is_a_row_of_marks():
    for limit in (None, 2):
        ids, segments, first = EncoderInput(SPECIAL, limit=limit).word_row([])
        assert ids.tolist() == [CLS, SEP] and segments.tolist() == [0, 0] and len(first) == 0
    ids, segments, first = INPUTS.word_row([], before=[1])
    assert ids.tolist() == [CLS, 1, SEP, SEP] and segments.tolist() == [0, 0, 0, 1]


def test_words_of_a_vocabulary_without_marks_begin_where_they_stand():
    ids, segments, first = EncoderInput(Special(9)).word_row([5, 6], before=[1, 2])
    assert ids.tolist() == [1, 2, 5, 6] and first.tolist() == [2, 3]
    assert segments.tolist() == [0, 0, 1, 1]
    question = EncoderInput(SPECIAL, limit=6).word_row([5, 6, 7], before=[1, 2])
    assert question[0].tolist() == [CLS, 1, 2, SEP, 5, SEP] and question[2].tolist() == [4]
    with pytest.raises(ConfigError, match="no room for a word"):
        EncoderInput(SPECIAL, limit=5).word_row([5], before=[1, 2])


def test_of_two_unknown_tokens_the_more_usual_one_stands_for_a_word():
    class Silent:
        special = {"<unk>": 3, "[UNK]": 4}

        def encode(self, text):
            return np.array([], np.int64)

    assert EncoderInput(Special(9), Silent()).pieces(["x"])[0] == [4]
    Silent.special = {}
    with pytest.raises(DataError, match="no unknown token"):
        EncoderInput(Special(9), Silent()).pieces(["x"])


def test_mistakes_are_explained():
    with pytest.raises(DataError, match="needs a tokenizer"):
        INPUTS.row("words")
    with pytest.raises(ConfigError, match="no room for the marks"):
        EncoderInput(SPECIAL, limit=2).row(([1], [2]))
    with pytest.raises(ConfigError, match="pad"):
        EncoderInput(Special(9)).rows([[1], [2, 3]])
