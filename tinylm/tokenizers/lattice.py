"""All the ways to cut one text into pieces, as a lattice, and four things to compute from it.

Nodes are the positions 0 .. n between characters; an edge is a piece of the vocabulary that stands
there. A path from 0 to n is a segmentation, its log-probability the sum of its pieces' (Kudo 2018,
eq. 1). The number of paths grows exponentially, the work here linearly with n: the best path
(Viterbi), the n best, the sum over all (forward), a draw in proportion to probability (forward
filtering, backward sampling). Read next: unigram.py, unigram_train.py.

A lattice is a list: `arriving[e]` holds the edges (start, token, log-probability) that end at
position e. A path is a list of (start, end, token).
"""

import heapq
from collections.abc import Callable, Sequence
from math import exp, inf, log

from tinylm.errors import DataError


def edges(
    text: str,
    pieces: dict[str, tuple[int, float]],
    longest: int,
    unknown: tuple[int, float] | None = None,
) -> list[list[tuple]]:
    """The lattice of a text.

    text      str of n characters
    pieces    {piece: (token, log-probability)}
    longest   characters of the longest piece
    unknown   (token, log-probability) of an edge over every character that is no piece itself;
              None: no such edge
    returns   list of n + 1 lists of (start, token, log-probability), starts ascending
    """
    arriving = [[]]  # nothing ends at position 0
    get = pieces.get
    for end in range(1, len(text) + 1):
        here = [
            (start, *found)
            for start in range(max(0, end - longest), end)
            if (found := get(text[start:end]))
        ]
        # Starts ascend, so the last edge is the shortest: is it the single character?
        if unknown is not None and (not here or here[-1][0] < end - 1):
            here.append((end - 1, *unknown))
        arriving.append(here)
    return arriving


def best(arriving: Sequence[list[tuple]]) -> tuple[float, list[tuple]]:
    """The most probable path (Viterbi 1967). Of equal ones, the one whose last piece is longer.

    returns  (log-probability, path)
    raises   DataError if no path reaches the end
    """
    # scores[e] = max over edges (s, e) of scores[s] + log p(edge); back[e] is the edge that won.
    scores, back = [0.0], [None]
    for here in arriving[1:]:
        top, chosen = -inf, None
        for edge in here:
            if (score := scores[edge[0]] + edge[2]) > top:  # > keeps the first, the longest edge
                top, chosen = score, edge
        scores.append(top)
        back.append(chosen)
    # Backwards along the edges that won.
    path, end = [], len(arriving) - 1
    while end:
        if back[end] is None:
            raise DataError(
                f"segment: no pieces of the vocabulary cover the text up to character {end}: "
                "give the vocabulary every single character, or an unknown token"
            )
        start, token, _ = back[end]
        path.append((start, end, token))
        end = start
    return scores[-1], path[::-1]


def n_best(arriving: Sequence[list[tuple]], n: int) -> list[tuple[float, list[tuple]]]:
    """The n most probable paths, best first; fewer where there are fewer.

    The k-th best path to a node ends with an edge and goes on with one of the k best paths to where
    the edge starts, so n partial paths at every node are enough.

    returns  list of (log-probability, path)
    """
    kept = [[(0.0, None, None)]]  # per node: (score, edge, rank among the paths to its start)
    for end, here in enumerate(arriving[1:], 1):
        ways = (
            (score + edge[2], (edge[0], end, edge[1]), rank)
            for edge in here
            for rank, (score, _, _) in enumerate(kept[edge[0]])
        )
        kept.append(heapq.nlargest(n, ways, key=lambda way: way[0]))
    return [(way[0], _traced(kept, way)) for way in kept[-1]]


def _traced(kept, way):
    """The path of an entry of `kept`, followed back from node to node by rank."""
    path = []
    while way[1] is not None:
        path.append(way[1])
        way = kept[way[1][0]][way[2]]
    return path[::-1]


def forward(arriving: Sequence[list[tuple]], power: float = 1.0) -> list[float]:
    """For every node, the log of the summed probability**power of all ways to reach it.

    returns  list of n + 1 floats; the last is the log-probability of the text itself, for power = 1
    """
    # sums[e] = log of the sum over edges (s, e) of exp(sums[s] + power * log p(edge)).
    sums = [0.0]
    for here in arriving[1:]:
        sums.append(_log_sum([sums[start] + power * score for start, _, score in here]))
    return sums


def backward(arriving: Sequence[list[tuple]], power: float = 1.0) -> list[float]:
    """For every node, the log of the summed probability**power of all ways from it to the end.

    The mirror of `forward`: list of n + 1 floats, the first that of the text itself.
    """
    leaving = [[] for _ in arriving]
    for end, here in enumerate(arriving):
        for start, _, score in here:
            leaving[start].append((end, score))
    # From the end to the start: the node at position p is sums[n - p], until they are reversed.
    n = len(arriving) - 1
    sums = [0.0]
    for ahead in leaving[-2::-1]:
        sums.append(_log_sum([sums[n - end] + power * score for end, score in ahead]))
    return sums[::-1]


def expected_counts(arriving: Sequence[list[tuple]]) -> dict[int, float]:
    """How often each token occurs in a segmentation, on average over all of them weighted by
    probability.

    An edge from s to e lies on paths of total probability forward[s] * p(edge) * backward[e].

    returns  {token: expected occurrences}
    """
    before, after = forward(arriving), backward(arriving)
    counts = {}
    for end, here in enumerate(arriving):
        for start, token, score in here:
            log_share = before[start] + score + after[end] - before[-1]  # of paths with this edge
            counts[token] = counts.get(token, 0.0) + exp(log_share)
    return counts


def sample(
    arriving: Sequence[list[tuple]], uniform: Callable, power: float = 1.0
) -> list[tuple[int, int, int]]:
    """A path drawn with probability proportional to probability**power, exactly, from the last
    piece to the first.

    Given that a path passes node e, its edge into e from s has probability forward[s] *
    p(edge)**power / forward[e].

    uniform  function () -> a number from [0, 1)
    power    0 draws all paths alike, 1 from the model, infinity is `best` (Kudo 2018, section 3.3:
             alpha)
    """
    before = forward(arriving, power)
    path, end = [], len(arriving) - 1
    while end:
        # Take the edge in whose interval `level` falls; the last possible one if rounding leaves
        # the chances a little short of 1.
        level, chosen = uniform(), None
        for start, token, score in arriving[end]:
            chance = exp(before[start] + power * score - before[end])
            if chance > 0:
                chosen = (start, end, token)
                if level < chance:
                    break
                level -= chance
        if chosen is None:
            raise DataError(
                f"sample: no pieces of the vocabulary cover the text up to character {end}"
            )
        path.append(chosen)
        end = chosen[0]
    return path[::-1]


def _log_sum(values):
    """log(sum(exp(values))), without overflow: the largest is taken out first."""
    top = max(values, default=-inf)
    if top == -inf:
        return top
    return top + log(sum(exp(value - top) for value in values))
