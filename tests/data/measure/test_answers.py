"""Scores of answers against references: worked examples, and what holds for all sequences."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure import answers as m
from tinylm.data.synthetic.long_kinds import expand, summarize, translate

tokens = st.lists(st.integers(0, 3), max_size=7)  # few symbols, so that much is in common


def test_words_of_an_answer_lose_case_punctuation_and_articles():
    assert m.answer_words("The Eiffel Tower, in  a city: Paris!") == [
        "eiffel",
        "tower",
        "in",
        "city",
        "paris",
    ]
    assert m.exact_match(m.answer_words("The Paris."), m.answer_words("paris")) == 1
    assert m.exact_match("ab", "abc") == 0


def test_scores_by_hand():
    reference, candidate = "police killed the gunman".split(), "police kill the gunman".split()
    assert m.rouge_l(candidate, reference) == pytest.approx(
        3 / 4
    )  # Lin 2004, section 3: police the gunman
    swapped = "the gunman kill police".split()
    assert m.rouge_l(swapped, reference) == pytest.approx(2 / 4)  # there too: the gunman
    assert m.token_f1(swapped, reference) == pytest.approx(
        3 / 4
    )  # police, the, gunman, in any order
    assert m.token_f1("aab", "abbc") == pytest.approx(2 * 2 / (3 + 4))  # one a, one b: 2/3 and 2/4
    assert m.longest_common_subsequence("ABCBDAB", "BDCABA") == 4  # Cormen et al.: BCBA


def test_empty_answers_match_only_each_other():
    for metric in (m.exact_match, m.token_f1, m.rouge_l):
        assert metric([], []) == 1 and metric([], [1]) == metric([1], []) == 0


def test_the_best_reference_counts():
    assert m.best_over_references(m.rouge_l, "ab", ["cd", "ab", "abcd"]) == 1


@given(tokens, tokens)
def test_order_costs_and_a_match_is_all(a, b):
    assert 0 <= m.exact_match(a, b) <= m.rouge_l(a, b) <= m.token_f1(a, b) <= 1
    assert (m.rouge_l(a, b) == 1) == (a == b)  # 2 c = |a| + |b| only where the common part is both
    assert (m.token_f1(a, b) == 1) == (sorted(a) == sorted(b))
    assert m.rouge_l(a, b) == m.rouge_l(b, a) and m.token_f1(a, b) == m.token_f1(b, a)


@given(tokens, tokens)
def test_the_longest_common_subsequence_is_the_longest_of_all_that_are_common(a, b):
    of_b = {part for n in range(len(b) + 1) for part in itertools.combinations(b, n)}
    longest = max(
        n for n in range(len(a) + 1) if any(part in of_b for part in itertools.combinations(a, n))
    )
    assert m.longest_common_subsequence(a, b) == longest


@pytest.mark.parametrize("ids, answers", [summarize(4, 30, 5), expand(4, 3, 6), translate(4, 20)])
def test_small_long_tasks_are_scored_by_them(ids, answers):
    for row in ids:
        gold = list(row[-answers:])
        assert m.exact_match(gold, gold) == m.rouge_l(gold, gold) == 1
        assert m.rouge_l(gold[:-1], gold) == pytest.approx(
            2 * (answers - 1) / (2 * answers - 1)
        )  # one word short


def test_edit_distance_by_hand():
    assert m.edit_distance("kitten", "sitting") == 3  # k -> s, e -> i, + g
    assert m.edit_distance("", "abc") == m.edit_distance("abc", "") == 3
    assert m.edit_distance("abc", "abc") == m.edit_distance([], []) == 0
    assert m.edit_distance("abc", "bc") == m.edit_distance("bc", "abc") == 1
    assert m.edit_distance("police killed the gunman".split(), "police kill a man".split()) == 3


@given(tokens, tokens, tokens)
def test_edit_distance_is_a_metric(a, b, c):
    d = m.edit_distance(a, b)
    assert d == m.edit_distance(b, a) and (d == 0) == (a == b)
    assert d <= m.edit_distance(a, c) + m.edit_distance(c, b)
    # With insertions and deletions alone it takes len(a) + len(b) - 2 common ones.
    assert abs(len(a) - len(b)) <= d <= max(len(a), len(b))
    assert d <= len(a) + len(b) - 2 * m.longest_common_subsequence(a, b)
