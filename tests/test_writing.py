"""Words in every script: what a word is, where spaces stand between words and where not."""

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.growth import RUNS, superlinear
from tinylm.data.clean.language_id import character_ngrams
from tinylm.data.measure.answers import answer_words
from tinylm.data.measure.bias import Swap
from tinylm.data.read.text import without_repeats
from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.models.published.chat_template import template_of
from tinylm.pretrain.words import Words, split
from tinylm.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    UnigramTokenizer,
    words_and_punctuation,
)
from tinylm.tokenizers.wordpiece import plain_words
from tinylm.train.run.words import read_dictionary, sentence_ends, translated, word_starts
from tinylm.writing import composed, is_unspaced, replaced

HINDI = "नमस्ते दुनिया"  # vowels and the virama are marks
THAI = "ภาษาไทย"
NFD = unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    "text, words",
    [
        ("我们学习。", ["我", "们", "学", "习", "。"]),
        ("ひらがな", list("ひらがな")),
        (HINDI, HINDI.split()),
        ("ลังก็", ["ลั", "ง", "ก็"]),
        ("naïve " + NFD, ["naïve", "café"]),
        ("it's 中a", ["it", "'s", "中", "a"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("[CLS] a_b", ["[CLS]", "a_b"]),
        ("한국어 말", ["한국어", "말"]),
    ],
)
def test_words_of_examples_in_every_script(text, words):
    assert split(text) == words


def test_words_that_someone_has_cut_stay_whole():
    assert split("鲸鱼 是 哺乳 动物 。") == ["鲸鱼", "是", "哺乳", "动物", "。"]
    words = Words("鲸鱼 是 哺乳 动物 。")
    assert words.show(words.ids("动物")) == ["动物"]  # as in the text, also alone
    assert len(split("这是一个很长的句子 那也是一个很长的句子")) == 19


def test_one_letter_is_one_word_however_it_is_written():
    words = Words("café")
    assert words.ids(NFD).tolist() == [0]


@pytest.mark.parametrize(
    "text, words",
    [
        ("我们学习。", ["我", "们", "学", "习", "。"]),
        (HINDI, HINDI.split()),
        ("中文abc", ["中", "文", "abc"]),
        ("ab-cd " + NFD, ["ab-cd", NFD]),
        ("๑๒๓ 1,000", ["๑๒๓", "1,000"]),
    ],
)
def test_the_books_words_in_every_script(text, words):
    assert words_and_punctuation(text) == words


@pytest.mark.parametrize(
    "texts, whole",
    [
        (["学习", "中文"], False),
        (["ไทย"], False),
        (["。", "！", "“"], False),
        (["é", "ж", "ह", "\u0301"], True),
    ],
)
def test_a_letter_without_spaces_begins_a_word_of_its_own(texts, whole):
    tokenizer = CharTokenizer("".join(sorted(set("".join(texts)))))
    goes_on = ~word_starts(tokenizer, tokenizer.vocab_size)
    marks = [unicodedata.category(c)[0] == "M" for c in sorted(set("".join(texts)))]
    assert goes_on.tolist() == [whole or mark for mark in marks]


def test_bytes_of_chinese_letters_begin_words_and_go_on_inside():
    tokenizer = BPETokenizer.train(["a b"], 257)  # single bytes
    starts = word_starts(tokenizer, 257)
    assert starts[tokenizer.encode("中")].tolist() == [True, False, False]
    assert not starts[tokenizer.encode("é")].any() and not starts[tokenizer.encode("ह")].any()


def test_sentences_end_in_the_marks_of_every_script():
    ends = CharTokenizer("".join(sorted(".!?。！？।؟…,a")))
    assert {ends.decode([i]) for i in sentence_ends(ends)} == set(".!?。！？।؟")


@pytest.mark.parametrize(
    "text, said",
    [
        ("我学习中文", "我learn中文"),
        ("学习", "learn"),
        ("学", "study"),
        ("the 学习 x", "the learn x"),
        (NFD + "s", NFD + "s"),
        (NFD, "coffee"),
        ("नमस्ते", "hello"),
        ("नमस्तेनम", "नमस्तेनम"),
    ],
)
def test_a_dictionary_finds_words_where_no_spaces_are(tmp_path, text, said):
    path = tmp_path / "d.tsv"
    path.write_text("学习\tlearn\n学\tstudy\ncafé\tcoffee\nनमस्ते\thello\n", encoding="utf-8")
    assert translated(text, read_dictionary(path)) == said


def test_words_are_swapped_in_every_script():
    swap = Swap((("他", "她"), ("爸爸", "妈妈"), ("père", "mère")))
    assert swap("他和爸爸") == "她和妈妈" and swap(swap("他和爸爸")) == "他和爸爸"
    assert swap(unicodedata.normalize("NFD", "Père")) == "Mère" and swap("pères") == "pères"


@given(st.text())
def test_nothing_changes_without_known_words(text):
    assert replaced(text, (), lambda word: None) == text
    assert composed(composed(text)) == composed(text)


def test_scripts_are_told_by_their_letters():
    assert all(map(is_unspaced, ["中", "あ", "ア", "ー", "ก", "ខ", "မ", "བ", "ລ"]))
    assert not any(map(is_unspaced, ["a", "é", "ж", "ह", "한", "1", "。", " ", ""]))


# of two classes: normalizing sorts them
MARKS = "\u0301\u0323"


@pytest.mark.parametrize(
    "use",
    [
        split,
        words_and_punctuation,
        plain_words,
        composed,
        character_ngrams,
        lambda text: translated(text, {"a": ["b"], "中": ["c"]}),
        Swap(),
    ],
)
def test_time_grows_with_the_length_of_a_text(use):
    assert superlinear(use, ("a", "中", MARKS, "'", "[A", "-a", "a ", "1.", "中 ")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        split,
        words_and_punctuation,
        plain_words,
        composed,
        character_ngrams,
        lambda text: translated(text, {"a": ["b"], "中": ["c"]}),
        Swap(),
    ],
)
def test_time_grows_with_the_length_of_any_text(use):
    assert superlinear(use, (*RUNS, MARKS, "[A", "-a", "1.", "中 ", "n't"), befores=("", "x")) == []


def test_thai_words_are_letters_with_their_marks():
    assert split(THAI) == list(THAI) and "".join(split(THAI)) == THAI


def test_a_vocabulary_of_pieces_is_learnt_where_no_spaces_are():
    text = "学习语言模型" * 80  # 480 letters: one "word" between spaces, longer than words may be
    tokenizer = UnigramTokenizer.train([text], 290, pattern="spaces")
    assert len(tokenizer.encode("学习语言模型")) <= 2


def search(text):
    index = InvertedIndex([text, "the cat"])
    return index.search(text, 1)


def template(text):
    # Of no form that is known; without Jinja the refusal is one step more.
    with contextlib.suppress(ConfigError, CheckpointError, MissingExtra):
        template_of("{% for message in messages %}<|im_start|>system\n" + text)


@pytest.mark.parametrize("use", [search, template, answer_words, without_repeats])
def test_time_of_search_answers_and_templates_grows_with_the_length_of_a_text(use):
    runs = ("a ", "中", MARKS, "!", "<|im_start|>system\n", "{%", "{{", "\n\n", "a\n\n")
    assert superlinear(use, runs) == []
