"""Sorting by a graph of thoughts: parts are sorted alone, and merged   (book section 3.2.1; Besta
et al. 2024, section 5.1).

    split     the list -> parts
    sort      a part -> several sorted lists, of which the best is kept
    merge     two sorted lists -> several merged ones, of which the best is kept, and so on

How wrong an output is can be counted without the sorted list: pairs that are out of order, and
numbers that got lost or came in. So each thought is judged when it is made, an error in one part is
found before it reaches the others, and every prompt is short. Read next: ../decompose/plan.py.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.errors import ConfigError
from tinylm.prompt.reasoning.graph_of_thoughts import ThoughtGraph, in_pairs


def sorting_errors(output: Sequence[int], given: Any) -> int:
    """How wrong a sorted list is: 0 if it is right   (Besta et al. 2024, section 5.1)

        X = number of i with y_i > y_{i+1}      Y = sum over values v of |count of v in y, in x|

    output, given  sequences y and x
    returns        X + Y, an integer
    """
    disorder = sum(a > b for a, b in zip(output, output[1:]))
    have, wanted = Counter(output), Counter(given)
    return disorder + sum(abs(have[v] - wanted[v]) for v in have | wanted)


def exact_value(output: Sequence[int], given: Any) -> int:
    """The value of a thought, higher is better: less errors."""
    return -sorting_errors(output, given)


def sort_by_merging(
    numbers: Sequence[int],
    sort: Callable,
    merge: Callable,
    *,
    parts: int = 2,
    value: Callable = exact_value,
) -> tuple[ThoughtGraph, int]:
    """Split a list, sort its parts and merge them: (ThoughtGraph, number of the last thought).

    numbers  sequence
    sort     function: list -> several lists, at least one, as a model samples them
    merge    function: list of two lists -> several lists
    parts    1: the list is sorted whole
    value    function(output, given) -> number, higher is better. It chooses among the outputs of
             each sort and each merge; `given` is the part, or both lists of a merge together
    raises   ConfigError for less than one part, or more than there are numbers
    """
    numbers = list(numbers)
    if not 1 <= parts <= len(numbers):
        raise ConfigError(f"sort_by_merging: {parts} parts of {len(numbers)} numbers")
    graph = ThoughtGraph(numbers)

    def split(whole):
        # Parts whose lengths differ by one at most.
        bounds = [len(whole) * i // parts for i in range(parts + 1)]
        return [whole[a:b] for a, b in zip(bounds, bounds[1:])]

    def best(candidates, given):
        graph.score(candidates, lambda output: value(output, given))
        return graph.keep_best(candidates)

    pieces = []
    for part in graph.generate([0], split):
        pieces += best(graph.generate([part], sort), graph.thoughts[part].content)

    def join(pair):
        found = []
        for output in merge(graph.contents(pair)):
            # A thought of its own for each output, with both lists as its parents.
            found += graph.aggregate(pair, lambda contents, output=output: output)
        return best(found, sum(graph.contents(pair), []))

    return graph, in_pairs(pieces, join)
