"""Defaults of the room's functions."""

import importlib
import inspect
import pkgutil

import tinylm.prompt.decompose as room


def functions(room):
    """Every function and class that the modules of a room define."""
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        module = importlib.import_module(module.name)
        for _, found in inspect.getmembers(module, callable):
            if getattr(found, "__module__", None) == module.__name__:
                yield found


def test_every_seed_is_0_unless_it_is_given():
    seeds = [
        inspect.signature(function).parameters["seed"].default
        for function in functions(room)
        if "seed" in inspect.signature(function).parameters
    ]
    assert seeds and all(seed in (0, inspect.Parameter.empty) for seed in seeds)
