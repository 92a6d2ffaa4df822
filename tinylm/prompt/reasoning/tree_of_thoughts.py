"""Reasoning as a search in a tree of thoughts   (book section 3.2.1; Yao et al. 2023).

A state is a partial solution. `propose` gives the states that one more thought leads to, and
`evaluate` estimates how far each of several states will get. A chain of thought is one path from
the root. Breadth-first search keeps the best `width` states of every depth:

    S_t = the width best of { s' : s' in propose(s), s in S_{t-1} },  S_0 = {root}

A width of 1 is a greedy chain; without a limit every path is tried. Depth-first search follows the
best state to the end, comes back, and passes over states with a low value. Read next: thoughts.py,
in which a model proposes and evaluates; graph_of_thoughts.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinylm.errors import ConfigError


@dataclass
class Search:
    """What was found.

    state      the best state at the end of a path, or None: no path has an end
    value      its value
    generated  states that were proposed
    expanded   states for which others were proposed
    pruned     states passed over: not among the best, or below the threshold
    levels     breadth-first: the states kept at each depth; depth-first: the ends in order
    """

    state: Any = None
    value: float = -float("inf")
    generated: int = 0
    expanded: int = 0
    pruned: int = 0
    levels: list = field(default_factory=list)

    def offer(self, state: tuple[str, ...], value: float) -> None:
        """Keep the state if it is better than the best so far; of equals the first stays."""
        if self.state is None or value > self.value:
            self.state, self.value = state, value


def _never(state):
    return False


def breadth_first(
    root: str | tuple,
    propose: Callable,
    evaluate: Callable,
    *,
    depth: int,
    width: int | None = None,
    finished: Callable = _never,
) -> Search:
    """Keep the best states of every depth   (Yao et al. 2023, algorithm 1)

    propose   state -> list of states, one thought further
    evaluate  list of states -> their values, higher is better
    depth     most thoughts of a path
    width     b, states kept at each depth; None: all
    finished  state -> True if it is a solution, which is kept and needs no more thoughts
    returns   Search: the best state of those that are finished or have `depth` thoughts; if there
              is none, because no path gets so far, the state is None
    """
    _check(depth, width)
    search, kept, ends = Search(), [(root, 0.0)], []
    search.levels.append([root])
    for _ in range(depth):
        children = []
        # { s' : s' in propose(s), s in S_{t-1} }
        for state, _ in kept:
            search.expanded += 1
            children += propose(state)
        search.generated += len(children)
        # All of a depth in one call, so that `evaluate` may compare them, as a vote does.
        scored = _scored(children, evaluate)
        search.pruned += len(scored) - len(scored[:width])
        scored = scored[:width]
        search.levels.append([state for state, _ in scored])
        # A solution needs no more thoughts, but may lose to one of a later depth.
        ends += [pair for pair in scored if finished(pair[0])]
        kept = [pair for pair in scored if not finished(pair[0])]
        if not kept:
            break
    for state, value in [*ends, *kept]:
        search.offer(state, value)
    return search


def depth_first(
    root: str,
    propose: Callable,
    evaluate: Callable,
    *,
    depth: int,
    threshold: float = -float("inf"),
    finished: Callable = _never,
    accept: Callable = _never,
    most: int | None = None,
) -> Search:
    """Follow the best state first, and come back   (Yao et al. 2023, algorithm 2)

    threshold  states with a lower value, or the same, are passed over with all that follows
    accept     state -> True if the search can end with it
    most       states that may be expanded; None: all
    returns    Search: the first accepted end of a path, else the best one; the others as in
               breadth_first
    """
    _check(depth, most)
    search = Search()

    def visit(state, thoughts):
        """True if the search is over."""
        if search.expanded == most:
            return True
        search.expanded += 1
        children = propose(state)
        search.generated += len(children)
        # From the best on: the first path that is followed is the most promising.
        for child, value in _scored(children, evaluate):
            if value <= threshold:
                search.pruned += 1
            elif finished(child) or thoughts + 1 == depth:
                search.levels.append(child)
                if accept(child):
                    search.state, search.value = child, value
                    return True
                # Not accepted: it is remembered, and the search comes back from here.
                search.offer(child, value)
            elif visit(child, thoughts + 1):
                return True
        return False

    visit(root, 0)
    return search


def _check(depth, most):
    if depth < 1 or (most is not None and most < 1):
        raise ConfigError(
            f"a search needs a depth of 1 thought or more and 1 state or more, not {depth} and "
            f"{most}"
        )


def _scored(states, evaluate):
    """(state, value) with the highest value first; of equal values the first proposed."""
    if not states:
        return []
    values = [float(value) for value in evaluate(states)]
    if len(values) != len(states):
        raise ConfigError(f"evaluate gave {len(values)} values for {len(states)} states")
    return sorted(zip(states, values), key=lambda pair: -pair[1])
