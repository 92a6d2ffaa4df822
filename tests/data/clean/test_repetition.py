"""How much of a text was in it before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean import repetition


def test_repeated_lines_are_counted_after_their_first():
    # 2 of 4 lines, and 6 of 4 * 3 characters
    assert repetition.repeated_parts(["abc", "abc", "xyz", "abc"]) == (0.5, 0.5)
    assert repetition.repeated_parts([]) == (0.0, 0.0)


def test_the_top_ngram_by_hand():
    words = "a cat a cat a dog".split()  # "a cat" twice: 8 of the 12 letters
    assert repetition.top_ngram_share(words, 2) == pytest.approx(2 * 4 / 12)
    assert repetition.top_ngram_share("all words differ here".split(), 2) == 0.0


def test_repeated_ngrams_by_hand():
    words = (
        "one two three four one two three five".split()
    )  # the second "one two three": 11 of 37 letters
    assert repetition.repeated_ngram_share(words, 3) == pytest.approx(11 / sum(map(len, words)))
    assert repetition.repeated_ngram_share(words, 4) == 0.0


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=30), st.integers(1, 5))
def test_shares_are_shares_and_fall_with_n(words, n):
    share = repetition.repeated_ngram_share(words, n)
    assert (
        0 <= share <= 1 and repetition.repeated_ngram_share(words, n + 1) <= share
    )  # a longer repeat holds shorter


def test_overlapping_repetitions_count_fully_and_the_longest_of_equals_decides():
    assert repetition.top_ngram_share(["a"] * 4, 2) == 3 * 2 / 4  # a a, three times in four letters
    # "a b" and "ccc d" are each there twice: 2 * 4 of 18 letters
    words = "a b x ccc d y a b z ccc d w".split()
    assert repetition.top_ngram_share(words, 2) == pytest.approx(2 * 4 / sum(map(len, words)))
    assert repetition.top_ngram_share([], 2) == repetition.repeated_ngram_share([], 2) == 0.0


def test_parts_are_what_stands_between_breaks():
    text = " one \n\n two\nthree \n \n\nfour\n"
    assert repetition.lines_of(text) == ["one", "two", "three", "four"]
    assert repetition.paragraphs_of(text) == ["one", "two\nthree", "four"]


@pytest.mark.parametrize(
    "rule", [repetition.few_repeated_lines, repetition.few_repeated_paragraphs]
)
def test_either_share_decides_and_borders_are_kept(rule):
    # Of four parts one is repeated, 2 of 8 characters: 0.25 of both.
    text = "\n\n".join(["ab", "cd", "ab", "ef"])
    assert rule(0.25, 0.25)(text)
    assert not rule(0.24, 0.25)(text) and not rule(0.25, 0.24)(text)


def test_thresholds_of_ngrams_are_those_of_table_a1():
    assert repetition.TOP_NGRAM == {2: 0.20, 3: 0.18, 4: 0.16}
    assert repetition.REPEATED_NGRAMS == {n: round(0.20 - n / 100, 2) for n in range(5, 11)}
    # One kind alone is enough: "a cat" fills 8 of 10 letters, its second time 4.
    text = "a cat b a cat c"
    rule = repetition.few_repeated_ngrams
    assert rule({2: 8 / 10}, {2: 4 / 10})(text)
    assert not rule({2: 0.79}, {2: 4 / 10})(text) and not rule({2: 8 / 10}, {2: 0.39})(text)


def test_rules_keep_prose_and_drop_refrains():
    prose = "\n\n".join(
        f"Sentence {i} speaks about {word} and nothing else at all."
        for i, word in enumerate("rivers roads bread letters winter ships stone music".split())
    )
    for name, rule in repetition.gopher_repetition().items():
        assert rule("") and (rule(prose) or name == "repeated n-grams")
    assert not repetition.few_repeated_lines()("la la la\n" * 5)
    assert not repetition.few_repeated_paragraphs()("la la\n\n" * 5)
    assert not repetition.few_repeated_ngrams()("again and again " * 20)
    assert repetition.few_repeated_ngrams()(
        "The quick brown fox jumps over a lazy dog while seven wizards box"
    )
