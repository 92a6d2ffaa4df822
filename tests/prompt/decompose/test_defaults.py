"""Defaults of the room's functions."""

import inspect

import tinylm.prompt.decompose as room
from tests.prompt.seeds import default_seeds


def test_every_seed_is_0_unless_it_is_given():
    seeds = default_seeds(room)
    assert seeds and all(seed in (0, inspect.Parameter.empty) for seed in seeds)
