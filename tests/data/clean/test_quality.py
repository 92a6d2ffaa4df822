"""Gopher's rules at their borders."""

import pytest

from tinylm.data.clean import quality


@pytest.mark.parametrize(
    "rule, kept, dropped",
    [
        (quality.word_count(2, 3), "a b", "a"),
        (quality.word_count(2, 3), "a b c", "a b c d"),
        (quality.mean_word_length(3, 10), "the word", "a b c d"),
        (quality.mean_word_length(3, 10), "a" * 10, "a" * 11),
        (quality.few_symbols(0.1), "w " * 10 + "#", "w # "),
        (quality.few_symbols(1.0), "#", "##"),  # without a word: as if there were one
        (quality.mean_word_length(3, 10), "aa bbbb", "aa bbb"),  # 3 on average, 2.5
        (quality.few_symbols(0.1), "w " * 9 + "end...", "so... and..."),
        (quality.few_bullets(0.9), "- a\n" * 9 + "b", "- a\n- b"),
        (quality.few_ellipses(0.3), "a...\nb\nc\nd", "a...\nb…\nc\nd"),
        (quality.alphabetic_words(0.8), "a b c d 1", "a b c 1 2"),
        (quality.has_stop_words(2), "The end of it", "the the the"),
    ],
)
def test_a_rule_keeps_up_to_its_border_and_not_beyond(rule, kept, dropped):
    assert rule(kept) and not rule(dropped)


def test_stop_words_are_found_beside_punctuation():
    assert quality.has_stop_words(2)('"The, with!"')


@pytest.mark.parametrize("name", quality.gopher_quality())
def test_every_rule_answers_for_an_empty_text(name):
    # nothing to object to, but no words: the rules that ask for words refuse it
    wants_words = {"word count", "mean word length", "letters", "stop words"}
    assert quality.gopher_quality()[name]("") is (name not in wants_words)
