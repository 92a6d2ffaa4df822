"""The stepwise trainer learns the merges that the definition prescribes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.tokenizers import WordPieceTokenizer, train_wordpiece
from tinylm.tokenizers.wordpiece_train import (
    count_words,
    learn_alphabet,
    learn_wordpieces,
    learn_wordpieces_by_definition,
)

TRAINERS = [learn_wordpieces, learn_wordpieces_by_definition]
# Two letters make runs and overlaps; few distinct counts make ties.
COUNTS = st.one_of(
    st.dictionaries(st.text("ab", min_size=1, max_size=10), st.integers(1, 3), max_size=8),
    st.dictionaries(st.text("abcde", min_size=1, max_size=8), st.integers(1, 5), max_size=8),
)


@given(COUNTS, st.integers(0, 30), st.integers(1, 4))
@settings(max_examples=100)  # short examples, and rare ones are what it is about
def test_stepwise_is_by_definition(counts, n_merges, min_count):
    alphabet = learn_alphabet(counts)
    assert learn_wordpieces(
        counts, alphabet, n_merges, min_count
    ) == learn_wordpieces_by_definition(counts, alphabet, n_merges, min_count)


@given(COUNTS)
def test_no_piece_is_made_twice(counts):
    pieces = learn_wordpieces(counts, learn_alphabet(counts), 99, min_count=1)  # to the end
    assert len(set(pieces)) == len(pieces) and set(counts) <= set(pieces)


@pytest.mark.parametrize("train", TRAINERS)
def test_attraction_wins_over_frequency(train):
    # (a, ##b) occurs 5 times, but a 10 and ##b 10 times: 0.05. (q, ##u) occurs 3 times, always
    # together: 3 / 9.
    counts = {"ab": 5, "ac": 5, "cb": 5, "qu": 3}
    alphabet = learn_alphabet(counts)
    assert train(counts, alphabet, 1)[-1] == "qu"


@pytest.mark.parametrize("train", TRAINERS)
def test_rare_pairs_are_left_alone(train):
    counts = {"qu": 1, "ab": 2}
    assert train(counts, learn_alphabet(counts), 5) == ["##b", "##u", "a", "q", "ab"]


@pytest.mark.parametrize("train", TRAINERS)
def test_a_run_is_merged_from_the_left(train):
    # a ##a ##a ##a twice: (a, ##a) scores 2 / (2 * 6) and (##a, ##a) 4 / 36; then "aa" before
    # "##a"; and so on.
    assert train({"aaaa": 2}, ["##a", "a"], 9) == ["##a", "a", "aa", "aaa", "aaaa"]


def test_words_are_counted_across_chunks():
    text = "The cat, the CAT\nthe hat " * 50
    assert count_words([text, text], chunk=16) == Counter(
        {"the": 300, "cat": 200, "hat": 100, ",": 100}
    )
    assert count_words(text, lower=False)["The"] == 50


def test_a_trained_tokenizer_reads_words_it_has_not_seen():
    text = "playing player plays walked walking walker talked talker jumps " * 5
    tokenizer = train_wordpiece(text, 60)
    assert isinstance(tokenizer, WordPieceTokenizer) and tokenizer.vocab_size <= 60
    ids = tokenizer.encode("jumper playing")
    assert (
        tokenizer.special["[UNK]"] not in ids
        and tokenizer.decode(ids).replace(" ", "") == "jumperplaying"
    )
    assert len(tokenizer.encode("playing")) < len("playing")
    assert tokenizer.encode("zebra").tolist() == [tokenizer.special["[UNK]"]]  # z was never seen


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(ConfigError, match="5 special tokens and 2 characters"):
        train_wordpiece("ab ab", 6)


def test_progress_is_told_after_each_merge():
    told = []
    learn_wordpieces(
        {"abcd": 2},
        learn_alphabet({"abcd": 2}),
        3,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
