"""A search in a tree of thoughts lies between a greedy chain and all paths."""

from itertools import product

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt.reasoning.game_of_24 import Hand, combinations, solvable, solved
from tinylm.prompt.reasoning.tree_of_thoughts import breadth_first, depth_first

# Words over a, b, c; a thought adds a letter.


def propose(word):
    return [word + letter for letter in "abc"]


VALUES = {"a": 1, "b": 2, "c": 3}


def greedy(words):
    """The value of the last letter alone."""
    return [VALUES[word[-1]] for word in words]


def exact(words):
    """Only "abca" is right, and the value knows how much of it is there."""
    return [len(word) if "abca".startswith(word) else -len(word) for word in words]


def at_end(words):
    """As exact, but prefixes look worse the better they are: only whole words are valued right."""
    return [100 if word == "abca" else -1.0 * "abca".startswith(word) for word in words]


def test_without_a_limit_all_paths_are_tried():
    search = breadth_first("", propose, at_end, depth=4)
    assert search.state == "abca" and search.value == 100
    assert search.levels[4] == sorted(search.levels[4], key=lambda w: -at_end([w])[0])
    assert set(search.levels[4]) == set(map("".join, product("abc", repeat=4)))
    # 3 + 9 + 27 + 81 states are proposed, from 1 + 3 + 9 + 27.
    assert (search.generated, search.expanded, search.pruned) == (120, 40, 0)
    same = breadth_first("", propose, at_end, depth=4, width=81)
    assert same.levels == search.levels


def test_a_width_of_1_is_the_greedy_chain():
    search = breadth_first("", propose, greedy, depth=4, width=1)
    assert search.state == "cccc" and search.levels == [[""], ["c"], ["cc"], ["ccc"], ["cccc"]]
    assert (search.generated, search.expanded, search.pruned) == (12, 4, 8)
    assert breadth_first("", propose, at_end, depth=4, width=1).state != "abca"  # misled


def test_an_exact_value_needs_no_width():
    search = breadth_first("", propose, exact, depth=4, width=1)
    assert search.state == "abca" and search.value == 4


def test_a_width_between_keeps_so_many_states_of_each_depth():
    search = breadth_first("", propose, greedy, depth=3, width=2)
    assert [len(level) for level in search.levels] == [1, 2, 2, 2]
    assert search.levels[2] == ["cc", "bc"]  # of equal values the first proposed
    assert search.generated == 3 + 6 + 6 and search.pruned == 1 + 4 + 4


def test_finished_states_are_kept_and_not_expanded():
    asked = []

    def recorded(word):
        asked.append(word)
        return propose(word)

    def value(words):
        return [10 if word == "b" else len(word) for word in words]

    search = breadth_first("", recorded, value, depth=3, finished=lambda word: word == "b")
    assert search.state == "b" and search.value == 10
    assert "b" not in asked and "a" in asked
    only = breadth_first("", recorded, value, depth=3, width=1, finished=lambda word: word == "b")
    assert only.levels == [[""], ["b"]] and only.expanded == 1  # nothing is left to expand


def test_a_path_that_goes_nowhere_is_no_solution():
    for search in (breadth_first, depth_first):
        found = search("", lambda word: [], greedy, depth=2)
        assert found.state is None and found.expanded == 1
        ends = search("", lambda word: propose(word)[: 1 - len(word)], greedy, depth=2)
        assert ends.state is None  # one thought is possible, two were wanted


def test_depth_first_follows_the_best_and_comes_back():
    search = depth_first("", propose, greedy, depth=2)
    assert search.levels == ["cc", "cb", "ca", "bc", "bb", "ba", "ac", "ab", "aa"]
    assert search.state == "cc" and search.value == 3  # the first of the best
    assert (search.generated, search.expanded, search.pruned) == (12, 4, 0)


def test_depth_first_ends_with_the_first_accepted():
    search = depth_first("", propose, greedy, depth=2, accept=lambda word: word == "bb")
    assert search.state == "bb" and search.value == 2  # although "cc" had 3
    assert search.levels[-1] == "bb" and len(search.levels) == 5 and search.expanded == 3


def test_states_at_the_threshold_are_passed_over_with_all_that_follows():
    search = depth_first("", propose, greedy, depth=2, threshold=1)
    assert search.levels == ["cc", "cb", "bc", "bb"]
    assert search.pruned == 3 and search.expanded == 3  # "a", "ca", "ba"
    assert depth_first("", propose, greedy, depth=2, threshold=3).state is None


def test_depth_first_may_end_early_or_with_finished_states():
    search = depth_first("", propose, greedy, depth=3, most=3)
    assert search.expanded == 3 and search.levels == ["ccc", "ccb", "cca"]
    search = depth_first("", propose, greedy, depth=9, finished=lambda word: len(word) == 2)
    assert len(search.levels) == 9 and search.state == "cc"
    # Once no state may be expanded, ends that were proposed before are not looked at either.
    search = depth_first("", propose, greedy, depth=3, most=2, finished=lambda word: word == "a")
    assert search.levels == [] and search.state is None


def test_the_best_end_may_come_last():
    def reverse(words):  # "c" is followed first, and all that follows "a" is better
        return [VALUES[word[-1]] if len(word) == 1 else -ord(word[0]) for word in words]

    search = depth_first("", propose, reverse, depth=2)
    assert search.levels[0] == "ca" and search.state == "aa"
    assert breadth_first("", propose, greedy, depth=1).state == "c"  # one thought is enough


def test_impossible_searches_are_refused():
    for search, most in ((breadth_first, "width"), (depth_first, "most")):
        with pytest.raises(ConfigError, match="not 0 and None"):
            search("", propose, greedy, depth=0)
        with pytest.raises(ConfigError, match="not 2 and 0"):
            search("", propose, greedy, depth=2, **{most: 0})
        with pytest.raises(ConfigError, match="1 values for 3 states"):
            search("", propose, lambda words: [1.0], depth=2)


# The game of 24: the truth is known.

HANDS = [[4, 9, 10, 13], [3, 3, 8, 8], [1, 1, 1, 1], [2, 3, 5, 12], [1, 2, 7, 7]]


@pytest.mark.parametrize("numbers", HANDS)
def test_of_a_game_every_search_with_exact_values_finds_what_there_is(numbers):
    root = Hand.of(numbers)

    def value(hands):
        return [float(solvable(hand)) for hand in hands]

    for search in (
        breadth_first(root, combinations, value, depth=3, width=1),
        depth_first(root, combinations, value, depth=3, threshold=0, accept=solved),
    ):
        found = search.state is not None and solved(search.state)
        assert found == solvable(root)
        if found:  # no step in vain
            assert search.expanded == 3


def test_of_a_game_all_paths_are_brute_force_and_a_chain_is_not():
    def blind(hands):
        return [float(solved(hand)) for hand in hands]

    for numbers in HANDS[:3]:
        root = Hand.of(numbers)
        whole = breadth_first(root, combinations, blind, depth=3)
        assert solved(whole.state) == solvable(root)
        first = depth_first(root, combinations, blind, depth=3, accept=solved)
        assert solved(first.state) == solvable(root)
    chain = breadth_first(Hand.of(HANDS[0]), combinations, blind, depth=3, width=1)
    assert not solved(chain.state)
