"""A small world of paths: a step is a number and a token that shows whether it is right."""

import numpy as np

from tinylm.align.verifiers.paths import JudgedPath
from tinylm.models import GPT, GPTConfig

NUMBERS, ASK, RIGHT, WRONG = 6, 6, 7, 8  # numbers are ids 0 .. 5
STEPS = 3


def decoder(seed=0, dtype=np.float32):
    return GPT(GPTConfig(10, 16, 1, 2, 16, positions="rope"), seed, dtype)


def chain(rng):
    """(ids of the question, list of ids of steps, index of the wrong step or None)."""
    numbers = rng.integers(NUMBERS, size=STEPS)
    steps, wrong = [[n, RIGHT] for n in numbers.tolist()], None
    if rng.random() < 0.5:
        wrong = int(rng.integers(STEPS))
        steps[wrong][1] = WRONG
    return [ASK], [np.array(step) for step in steps], wrong


def judged(question, steps, wrong):
    """The JudgedPath of a chain."""
    return JudgedPath(np.concatenate([question, *steps]), len(question), wrong is None)


PATHS = [
    JudgedPath(np.array([1, 2, 3, 4, 5]), 2, True),
    JudgedPath(np.array([6, 7, 8]), 1, False),
    JudgedPath(np.array([9, 1, 2, 3]), 3, True),
    JudgedPath(np.array([4, 4]), 1, False),
]
