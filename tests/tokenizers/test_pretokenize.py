"""The splitting pattern splits as published, and its certain cuts are certain."""

from unicodedata import ucd_3_2_0

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.tokenizers.pretokenize import (
    GPT2,
    GPT2_DIGITS,
    LLAMA3,
    PATTERNS,
    QWEN2,
    WHOLE,
    count_pieces,
    pattern_named,
)

# Letters of contractions, each class of character, kinds of white space (U+0085, U+001C and U+2028
# are cases where libraries disagree), a combining accent, a digit that is not 0-9: the borders
# between them are where splits go wrong.
AWKWARD = st.text(st.sampled_from(" \n\t'sldevrtmALL1²٣é中́\x85\x1c\u2028\xa0-.🙂"), max_size=30)


def test_gpt2_pattern_splits_words_with_their_space():
    assert GPT2.pieces("I've 22 dogs!  They'll\n\n bark.") == [
        "I",
        "'ve",
        " 22",
        " dogs",
        "!",
        " ",
        " They",
        "'ll",
        "\n\n",
        " bark",
        ".",
    ]


def test_gpt2_contractions_are_lower_case_only():
    assert GPT2.pieces("IT'S it's") == ["IT", "'", "S", " it", "'s"]


@given(st.one_of(st.text(), AWKWARD))
def test_pieces_are_the_text(text):
    for pattern in PATTERNS.values():
        assert "".join(pattern.pieces(text)) == text


@pytest.mark.parametrize(
    "pattern", [GPT2, GPT2_DIGITS, LLAMA3, QWEN2], ids=lambda pattern: pattern.name
)
@given(text=st.one_of(st.text(), AWKWARD))
@settings(max_examples=200)  # short examples, and rare ones are what it is about
def test_no_certain_cut_changes_the_pieces(pattern, text):
    forward = regex.compile(pattern.cut.pattern.removeprefix("(?r)"))
    for cut in forward.finditer(text):
        left, right = text[: cut.start()], text[cut.start() :]
        assert pattern.pieces(left) + pattern.pieces(right) == pattern.pieces(text)


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        (
            GPT2_DIGITS,
            ["in", " ", "2", "0", "2", "4", "!", "\n", "it", "'s", "  ", "7", " IT", "'", "S"],
        ),
        (LLAMA3, ["in", " ", "202", "4", "!\n", "it", "'s", " ", " ", "7", " IT", "'S"]),
        (QWEN2, ["in", " ", "2", "0", "2", "4", "!\n", "it", "'s", " ", " ", "7", " IT", "'S"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_patterns_differ_in_digits_lines_and_contractions(pattern, pieces):
    assert pattern.pieces("in 2024!\nit's  7 IT'S") == pieces


@given(st.one_of(st.text(), AWKWARD))
@settings(max_examples=200)
def test_pieces_are_those_of_the_published_tokenizers(text):
    library = pytest.importorskip("tokenizers")
    published, regex_of = library.pre_tokenizers, library.Regex
    # The libraries know different versions of Unicode, and all know that of 2002; U+0085 and U+001C
    # to U+001F are white space to some only.
    text = "".join(
        c
        for c in text
        if ucd_3_2_0.category(c) not in ("Cn", "Cs") and c not in "\x85\x1c\x1d\x1e\x1f"
    )
    gpt2, llama3, qwen2 = (
        published.Split(regex_of(pattern.split.pattern), "isolated")
        for pattern in (GPT2, LLAMA3, QWEN2)
    )
    two_passes = published.Sequence([published.Digits(individual_digits=True), gpt2])
    for pattern, oracle in ((GPT2_DIGITS, two_passes), (LLAMA3, llama3), (QWEN2, qwen2)):
        assert pattern.pieces(text) == [piece for piece, _ in oracle.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("one two", 3),  # before the space that belongs to "two"
        ("one  ", 3),
        ("one", 0),  # the word may go on
        ("one '", 3),  # "'" may begin a contraction or join other signs
        ("ab'", 2),
        ("...a", 0),  # "'a" could be the start of a contraction were the sign an apostrophe
        ("中文中文1", 4),  # text without spaces is cut where letters end
    ],
)
def test_the_last_certain_cut(text, cut):
    assert GPT2.last_cut(text, 0, len(text)) == cut


def test_the_whole_pattern_is_never_cut():
    assert WHOLE.last_cut("one two", 0, 7) == 0
    assert WHOLE.pieces("one two\n") == ["one two\n"]


@given(st.lists(AWKWARD, max_size=4), st.integers(1, 5))
def test_counting_in_chunks_counts_the_pieces(texts, chunk):
    counts = count_pieces(texts, chunk=chunk)
    expected = [piece for text in texts for piece in GPT2.pieces(text)]
    assert sorted(counts.elements()) == sorted(expected)


def test_special_tokens_are_not_counted_and_part_the_text():
    # Without the parting, "a<" or "|>b" would be pieces.
    assert count_pieces("a<|end|>b", special=["<|end|>"]) == {"a": 1, "b": 1}


def test_an_unknown_pattern_names_those_there_are():
    with pytest.raises(ConfigError, match="'gpt9' does not exist; there are gpt2, .*whole"):
        pattern_named("gpt9")
