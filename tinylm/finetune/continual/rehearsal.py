"""Rehearsal: learn the new with some of the old mixed in   (book section 1.4)

The simplest remedy for forgetting, and hard to beat. If the old data are available, a share of them
is mixed into the new; if they came as a stream, a reservoir keeps a uniform sample of all of it in
bounded memory (experience replay, Rolnick et al. 2019). The old model's logits can be kept and
imitated too (behavior cloning there; dark experience replay, Buzzega et al. 2020): see
many_tasks.py. Read next: anchors.py, which keeps no examples at all.
"""

import math
from collections.abc import Sequence

from tinylm.backend import Random
from tinylm.errors import ConfigError


def draw_examples(examples: Sequence, n: int, seed: int = 0) -> list:
    """n examples drawn without repeats; if there are fewer, in rounds over all of them.

    returns  list of n; empty for n = 0
    raises   ConfigError if there are none to draw from
    """
    if n and not len(examples):
        raise ConfigError(f"rehearsal: {n} old examples are wanted and there are none")
    chosen = []
    rounds = math.ceil(n / max(len(examples), 1))
    for round_ in range(rounds):
        # each round takes every example once, in an order of its own
        order = Random(seed, "rehearsal", round_).permutation(len(examples))
        chosen += [examples[i] for i in order[: n - len(chosen)]]
    return chosen


def with_rehearsal(new: Sequence, old: Sequence, ratio: float, seed: int = 0) -> list:
    """The new examples and, for every one of them, `ratio` old ones.

    new, old  lists of examples of one task, or of several that are learnt together (many_tasks.py)
    ratio     old ones per new one, 0 or more; 0 gives the new examples alone
    returns   list; fit() shuffles it
    """
    if ratio < 0:
        raise ConfigError(f"with_rehearsal: ratio {ratio} must be 0 or more")
    return list(new) + draw_examples(old, round(ratio * len(new)), seed)


class Reservoir:
    """A uniform sample of a stream of unknown length: every item so far has the same probability.

    Algorithm R (Vitter 1985): the t-th item draws a slot among t; if the reservoir has that slot,
    the item replaces the one in it. P(item is kept) = capacity / t for all items, by induction: a
    new one enters with capacity / t, and an old one, which is in with capacity / (t - 1), stays
    with 1 - (capacity / t)(1 / capacity) = (t - 1) / t.

    capacity  items at most
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        if capacity < 1:
            raise ConfigError(f"Reservoir: capacity {capacity} must be at least 1")
        self.capacity, self.items = capacity, []
        self.seen = 0  # t, items of the stream so far
        self.rng = Random(seed, "reservoir")

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: int | str) -> None:
        """Pass one more item of the stream."""
        self.seen += 1
        if len(self.items) < self.capacity:
            self.items.append(item)
            return
        slot = int(self.rng.integers(0, self.seen, (1,))[0])
        if slot < self.capacity:
            self.items[slot] = item

    def extend(self, items: str) -> "Reservoir":
        """Pass several items in order. Returns the reservoir."""
        for item in items:
            self.add(item)
        return self
