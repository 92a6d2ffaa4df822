"""Rehearsal: learn the new with some of the old mixed in   (book section 1.4)

The plainest remedy for forgetting, and hard to beat. If the old data are at hand, a share of them
is mixed into the new; if they passed by in a stream, a reservoir keeps a fair sample of all of it
in bounded memory (experience replay, Rolnick et al. 2019). Also what the old model said can be kept
and imitated (behavior cloning there; dark experience replay, Buzzega et al. 2020): see
many_tasks.py. Read next: anchors.py, which keeps no examples at all.
"""

from tinylm.backend import Random
from tinylm.errors import ConfigError


def draw(examples, n, seed=0):
    """n of the examples, drawn without repeats as long as there are enough; then everything once
    more.

    returns  list of n; empty for n = 0
    """
    if n and not len(examples):
        raise ConfigError(f"rehearsal: {n} old examples are wanted and there are none")
    chosen = []
    for round_ in range(-(-n // max(len(examples), 1))):
        order = Random(seed, "rehearsal", round_).permutation(len(examples))
        chosen += [examples[i] for i in order[: n - len(chosen)]]
    return chosen


def with_rehearsal(new, old, ratio, seed=0):
    """The new examples and, for every one of them, `ratio` old ones.

    new, old  lists of examples of one task, or of several that are learnt together (many_tasks.py)
    ratio     old ones per new one, 0 or more; 0 gives the new examples alone
    returns   list; fit() shuffles it
    """
    if ratio < 0:
        raise ConfigError(f"with_rehearsal: ratio {ratio} must be 0 or more")
    return list(new) + draw(old, round(ratio * len(new)), seed)


class Reservoir:
    """A uniform sample of a stream of unknown length: whatever has passed is in it with the same
    probability.

    Algorithm R (Vitter 1985): the t-th item takes a random place among t; if that place is in the
    reservoir, it replaces what
    is there.   P(item is kept) = capacity / t for all items, by induction: a new one enters with
                capacity / t, and an old one,
    there with capacity / (t - 1), stays with 1 - (capacity / t)(1 / capacity) = (t - 1) / t.

    capacity  items at most
    """

    def __init__(self, capacity, seed=0):
        if capacity < 1:
            raise ConfigError(f"Reservoir: capacity {capacity} must be at least 1")
        self.capacity, self.items, self.seen, self.rng = capacity, [], 0, Random(seed, "reservoir")

    def __len__(self):
        return len(self.items)

    def add(self, item):
        """Show it one more item of the stream."""
        self.seen += 1
        if len(self.items) < self.capacity:
            self.items.append(item)
            return
        place = int(self.rng.integers(0, self.seen, (1,))[0])
        if place < self.capacity:
            self.items[place] = item

    def extend(self, items):
        """Show it several, in order. Returns the reservoir."""
        for item in items:
            self.add(item)
        return self
