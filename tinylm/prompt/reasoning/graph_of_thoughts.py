"""Reasoning as a graph of thoughts   (book section 3.2.1; Besta et al. 2024).

A tree branches and never joins. In a graph a thought may have several parents, so partial solutions
can be merged, and a thought may be refined into a better one:

    generate   one thought -> several          aggregate   several -> one
    refine     one -> one                      keep_best   the n with the highest score

The volume of a thought is the number of thoughts that it was made from, its latency the longest
path to it. A chain of N thoughts has volume and latency N - 1 at its end, a k-ary tree log_k N for
both; splitting and merging again keeps the latency of the tree and has the volume of the chain.
Read next: graph_answer.py, sorting.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Thought:
    """A vertex.

    content  anything: a text, a list of numbers, ..
    parents  tuple of the numbers of the thoughts that it was made from
    """

    content: object
    parents: tuple = ()


class ThoughtGraph:
    """Thoughts and the operations on them. Operations take and give lists of numbers of thoughts.

    root      content of thought 0
    thoughts  list of Thought; parents come before their children
    scores    {number: score} of what was scored
    """

    def __init__(self, root: str | Sequence[int]) -> None:
        self.thoughts, self.scores = [Thought(root)], {}

    def contents(self, numbers: Sequence[int]) -> list:
        """What the thoughts are: list."""
        return [self.thoughts[number].content for number in numbers]

    def _add(self, content, parents):
        # A parent has a smaller number than its children, so there is no cycle.
        self.thoughts.append(Thought(content, tuple(parents)))
        return len(self.thoughts) - 1

    def generate(self, numbers: Sequence[int], function: Callable) -> list[int]:
        """Several new thoughts of each: function(content) -> list of contents."""
        made = []
        for number in numbers:
            contents = function(self.thoughts[number].content)
            made += [self._add(content, (number,)) for content in contents]
        return made

    def aggregate(self, numbers: Sequence[int], function: Callable) -> list[int]:
        """One new thought of all: function(list of contents) -> content."""
        if not numbers:
            raise ConfigError("aggregate: there is no thought to make one of")
        return [self._add(function(self.contents(numbers)), numbers)]

    def refine(self, numbers: Sequence[int], function: Callable) -> list[int]:
        """A new version of each: function(content) -> content."""
        return [self._add(function(self.thoughts[number].content), (number,)) for number in numbers]

    def score(self, numbers: Sequence[int], function: Callable) -> list[int]:
        """Score each, function(content) -> float, and give the same thoughts back."""
        for number in numbers:
            self.scores[number] = float(function(self.thoughts[number].content))
        return list(numbers)

    def keep_best(self, numbers: Sequence[int], n: int = 1) -> list[int]:
        """The n thoughts with the highest scores, best first; of equal ones the earlier.

        raises   ConfigError for a thought without a score, or n below 1
        """
        missing = [number for number in numbers if number not in self.scores]
        if missing or n < 1:
            raise ConfigError(
                f"keep_best: n {n} must be 1 or more, and thoughts without a score cannot be "
                f"compared: {missing}"
            )
        return sorted(numbers, key=lambda number: -self.scores[number])[:n]

    def ancestors(self, number: int) -> set[int]:
        """The thoughts that one was made from, directly or not: set of numbers."""
        found, left = set(), list(self.thoughts[number].parents)
        # Along all edges backwards; a thought that is reached on two paths counts once.
        while left:
            parent = left.pop()
            if parent not in found:
                found.add(parent)
                left += self.thoughts[parent].parents
        return found

    def volume(self, number: int) -> int:
        """How many thoughts a thought was made from."""
        return len(self.ancestors(number))

    def latency(self, number: int) -> int:
        """The number of steps on the longest path from the root to a thought."""
        # longest(v) = 1 + max of longest(u) over its parents u, from the root on
        longest = [0]
        for thought in self.thoughts[1 : number + 1]:
            longest.append(1 + max(longest[parent] for parent in thought.parents))
        return longest[number]


def merged_in_pairs(graph: ThoughtGraph, numbers: Sequence[int], merge: Callable) -> int:
    """Aggregate neighbors two by two until one thought is left; an odd one waits for its turn.

    merge    function(list of two contents) -> content
    returns  the number of the last thought
    """
    return in_pairs(numbers, lambda pair: graph.aggregate(pair, merge))


def in_pairs(numbers: Sequence[int], join: Callable) -> int:
    """The last of some thoughts that are joined two by two, as merged_in_pairs.

    join     function: list of two numbers of thoughts -> list of one, made of both
    """
    numbers = list(numbers)
    if not numbers:
        raise ConfigError("merged_in_pairs: there is no thought to merge")
    while len(numbers) > 1:
        # n -> ceil(n / 2): about log2 N rounds, and N - 1 merges together
        pairs = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
        numbers = []
        for pair in pairs:
            if len(pair) == 2:
                pair = join(pair)
            numbers += pair
    return numbers[0]
