"""Fair comparisons of training runs: several seeds, and the same tokens read by all   (book section 2.3.6).

`report` and `EqualReading` refuse the mistakes that code can see. Read next: generate/measure/long_context.py.
"""
import hashlib

import numpy as np

from tinylm.errors import ConfigError, DataError, ShapeError


def report(scores, single=False):
    """Mean, least and most of a score over seeds, and over prompts if the task has them.

    scores   (seeds,), or (seeds, prompts)
    single   allow one seed or one prompt
    raises   ConfigError for one of either: results depend on both, and a single number hides it   (book section 2.3.6)
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ShapeError(f"report: scores have shape {scores.shape}; give (seeds,) or (seeds, prompts)")
    for count, what in zip(scores.shape, ("seed", "prompt")):
        if count < 2 and not single:
            raise ConfigError(f"report: one {what} says nothing of the spread: measure several, or say single=True")
    return float(scores.mean()), float(scores.min()), float(scores.max())


class EqualReading:
    """Have all that are compared been trained on the same tokens, in the same order?"""

    def __init__(self):
        self._digests = {}

    def read(self, name, seed, ids):
        """Note a batch that `name` was trained on in the run of that seed."""
        digest, tokens = self._digests.get((name, seed), (hashlib.sha256(), 0))
        digest.update(np.ascontiguousarray(ids, np.int64).tobytes())
        self._digests[name, seed] = digest, tokens + ids.size

    def check(self):
        """Return the tokens that each read, of all seeds together. raises DataError naming two that did not read the same."""
        first = {}
        for (name, seed), (digest, tokens) in self._digests.items():
            found = first.setdefault(seed, (name, tokens, digest.hexdigest()))
            if found[1:] != (tokens, digest.hexdigest()):
                raise DataError(f"compare: {name} read {tokens} tokens in the run of seed {seed}, not the {found[1]} of "
                                f"{found[0]}: train both on the same batches")
        for name in {name for name, _ in self._digests}:
            if missing := [seed for seed in first if (name, seed) not in self._digests]:
                raise DataError(f"compare: {name} has no run of seed {missing[0]}: train it from every seed")
        return sum(tokens for _, tokens, _ in first.values())
