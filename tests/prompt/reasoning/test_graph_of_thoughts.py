"""Thoughts can be merged: as early as in a tree, from as many as in a chain."""

import heapq

import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.prompt.reasoning.graph_of_thoughts import ThoughtGraph, merged_in_pairs


def step(content):
    return content + "."


def test_a_chain_has_the_volume_and_latency_of_its_length():
    graph, numbers = ThoughtGraph("x"), [0]
    for _ in range(5):
        numbers = graph.generate(numbers, lambda content: [step(content)])
    assert graph.contents(numbers) == ["x....."]
    assert graph.volume(numbers[0]) == graph.latency(numbers[0]) == 5
    assert graph.volume(0) == graph.latency(0) == 0


def test_a_tree_has_the_volume_of_one_path():
    graph, numbers = ThoughtGraph(""), [0]
    for _ in range(3):
        numbers = graph.generate(numbers, lambda content: [content + "a", content + "b"])
    assert len(numbers) == 8 and graph.contents(numbers)[:3] == ["aaa", "aab", "aba"]
    # 3 = log_2 8 of the 15 thoughts.
    assert {graph.volume(leaf) for leaf in numbers} == {3} == set(map(graph.latency, numbers))


def test_splitting_and_merging_has_the_volume_of_all_and_the_latency_of_the_tree():
    graph = ThoughtGraph(list(range(8)))
    numbers = [0]
    for _ in range(3):
        numbers = graph.generate(
            numbers, lambda part: [part[: len(part) // 2], part[len(part) // 2 :]]
        )
    end = merged_in_pairs(graph, numbers, lambda parts: parts[0] + parts[1])
    assert graph.thoughts[end].content == list(range(8))
    assert graph.volume(end) == len(graph.thoughts) - 1 == 1 + 2 + 4 + 8 + 4 + 2
    assert graph.latency(end) == 6


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8])
def test_merge_sort_is_a_graph_of_thoughts(parts):
    # The task of the paper: sort parts alone, merge the sorted parts.
    numbers = [int(n) for n in Random(parts, "test").integers(0, 10, (32,))]
    graph = ThoughtGraph(numbers)
    size = -(-len(numbers) // parts)
    split = graph.generate([0], lambda all_: [all_[i : i + size] for i in range(0, 32, size)])
    ordered = graph.refine(split, sorted)
    end = merged_in_pairs(graph, ordered, lambda pair: list(heapq.merge(*pair)))
    assert graph.thoughts[end].content == sorted(numbers)
    # Every merge makes one of two.
    assert len(graph.thoughts) == 1 + 2 * parts + (parts - 1)


def test_refined_and_merged_thoughts_know_what_they_were_made_from():
    graph = ThoughtGraph("root")
    a, b = graph.generate([0], lambda content: ["a", "b"])
    (c,) = graph.refine([a], step)
    (d,) = graph.aggregate([c, b], "".join)
    assert graph.contents([c, d]) == ["a.", "a.b"]
    assert graph.thoughts[c].parents == (a,) and graph.thoughts[d].parents == (c, b)
    assert graph.ancestors(d) == {0, a, b, c} and graph.volume(d) == 4
    assert graph.latency(d) == 3  # root, a, c; the path through b is shorter


def test_the_best_are_kept():
    graph = ThoughtGraph("")
    numbers = graph.generate([0], lambda content: ["bb", "a", "cc", "ddd"])
    assert graph.score(numbers, len) == numbers and graph.scores[numbers[1]] == 1.0
    assert graph.contents(graph.keep_best(numbers)) == ["ddd"]
    assert graph.contents(graph.keep_best(numbers, 3)) == ["ddd", "bb", "cc"]
    assert len(graph.keep_best(numbers, 9)) == 4


def test_a_tree_search_is_a_graph_without_merging():
    # Keep the best 2 of each depth, as a breadth-first search of width 2 does.
    graph, numbers = ThoughtGraph(""), [0]
    for _ in range(3):
        numbers = graph.generate(numbers, lambda word: [word + letter for letter in "abc"])
        numbers = graph.keep_best(graph.score(numbers, lambda word: ord(word[-1])), 2)
    assert graph.contents(numbers) == ["ccc", "bcc"]


def test_what_cannot_be_merged_or_compared_is_refused():
    graph = ThoughtGraph("")
    numbers = graph.generate([0], lambda content: ["a"])
    with pytest.raises(ConfigError, match=r"without a score cannot be compared: \[1\]"):
        graph.keep_best(numbers)
    with pytest.raises(ConfigError, match="n 0 must be 1 or more"):
        graph.keep_best(graph.score(numbers, len), 0)
    with pytest.raises(ConfigError, match="no thought to make one of"):
        graph.aggregate([], "".join)
    with pytest.raises(ConfigError, match="no thought to merge"):
        merged_in_pairs(graph, [], "".join)
