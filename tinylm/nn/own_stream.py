"""Random streams of modules that are made without one: nn.Linear(3, 4).

Randomness here is a generator that the caller passes, so that a program says which numbers it
draws. Without one, each module has a stream of its own: the n-th of a process has number n, so two
layers differ, and a program that makes the same layers again draws the same weights. Read next:
linear.py.
"""

import itertools

from tinylm.backend import Random

# The default of `rng` where a module draws numbers. None is taken: a placeholder without values.
OWN = Random(0, "nn")
_made = itertools.count()


def own_stream(rng: Random | None) -> Random | None:
    """`rng` itself, or the next stream of its own for a module that was given none.

    rng      tinylm.Random, None, or OWN
    returns  tinylm.Random(0, "nn", n) for the n-th OWN of this process, counted from 0
    """
    if rng is OWN:
        return OWN.child(next(_made))
    return rng
