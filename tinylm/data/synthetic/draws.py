"""Single draws from short lists, for generators of texts.

`Random` draws whole arrays, the same on every device; a sentence needs a dozen single draws, for
which NumPy's own generator is 20 times faster. Read next: prompted/last_letters.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError


def generator(seed: int, *names: str) -> np.random.Generator:
    """A NumPy generator that the seed and the names determine, as those of Random."""
    return np.random.Generator(np.random.Philox(key=Random(seed, *names).key))


def pick(choices: str | Sequence[Any], rng: np.random.Generator | Random) -> Any:
    """One of the choices, drawn uniformly."""
    return choices[int(rng.integers(0, len(choices), ()))]


def distinct(choices: str | Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` different ones of the choices, in random order. ConfigError if there are fewer."""
    if count > len(choices):
        raise ConfigError(f"{count} different ones of {len(choices)} choices: ask for fewer")
    return [choices[int(i)] for i in rng.permutation(len(choices))[:count]]


def at_least(name: str, value: int, least: int) -> None:
    """Raise ConfigError if a setting is below the least that makes sense."""
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be {least} or more")
