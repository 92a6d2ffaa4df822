"""A list is sorted by parts: each output is judged when it is made, by what can be counted."""

import heapq

import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.prompt.reasoning.sorting import exact_value, sort_by_merging, sorting_errors


def exact_sort(part):
    return [sorted(part)]


def exact_merge(pair):
    return [list(heapq.merge(*pair))]


def test_errors_are_counted_without_the_sorted_list():
    assert sorting_errors([1, 2, 2, 3], [3, 2, 1, 2]) == 0
    assert sorting_errors([2, 1, 2, 3], [3, 2, 1, 2]) == 1  # one pair out of order
    assert sorting_errors([1, 2, 3], [3, 2, 1, 2]) == 1  # one 2 lost
    assert sorting_errors([1, 2, 2, 2], [3, 2, 1, 2]) == 2  # a 3 lost, and a 2 too much
    assert sorting_errors([], [3, 1]) == 2 and sorting_errors([7], []) == 1
    assert sorting_errors([5, 3, 1], [1, 3, 5]) == 2 and exact_value([5, 3, 1], [1, 3, 5]) == -2


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 11])
def test_with_exact_parts_it_is_merge_sort(parts):
    numbers = [int(n) for n in Random(parts, "test").integers(0, 9, (11,))]
    graph, last = sort_by_merging(numbers, exact_sort, exact_merge, parts=parts)
    assert graph.thoughts[last].content == sorted(numbers)
    # The root, the parts, the sorted parts and one merge less than parts.
    assert len(graph.thoughts) == 1 + 2 * parts + parts - 1
    assert graph.volume(last) == len(graph.thoughts) - 1
    lengths = [len(one.content) for one in graph.thoughts[1 : parts + 1]]
    assert max(lengths) - min(lengths) <= 1 and sum(lengths) == 11


def test_the_best_output_of_each_step_goes_on():
    def sort(part):
        return [part, sorted(part), part[1:]]

    def merge(pair):
        return [pair[0] + pair[1], sorted(pair[0] + pair[1])]

    graph, last = sort_by_merging([4, 3, 2, 1], sort, merge)
    assert graph.thoughts[last].content == [1, 2, 3, 4]
    # 1 root, 2 parts, 3 outputs each, 2 merges; the last merge has the two best as its parents.
    assert len(graph.thoughts) == 11
    assert graph.contents(graph.thoughts[last].parents) == [[3, 4], [1, 2]]


def test_another_value_may_choose_worse():
    def sort(part):
        return [sorted(part), part]

    worst = sort_by_merging(
        [3, 2, 1],
        sort,
        exact_merge,
        parts=1,
        value=lambda output, given: -exact_value(output, given),
    )
    assert worst[0].thoughts[worst[1]].content == [3, 2, 1]


def test_a_value_sees_the_output_and_what_it_was_made_from():
    seen = []

    def value(output, given):
        seen.append((output, given))
        return 0

    sort_by_merging([2, 1, 3], exact_sort, exact_merge, value=value)
    # [2] and [1, 3] are the parts of three numbers.
    assert seen == [([2], [2]), ([1, 3], [1, 3]), ([1, 2, 3], [2, 1, 3])]


@pytest.mark.parametrize("parts", [0, 4])
def test_impossible_parts_are_refused(parts):
    with pytest.raises(ConfigError, match=f"{parts} parts of 3 numbers"):
        sort_by_merging([1, 2, 3], exact_sort, exact_merge, parts=parts)
