"""Finds a user's own function or module to check, and inputs to call it with.

Read next: gradcheck.py, `check_code`.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinylm.autograd.engine.tensor import Tensor
from tinylm.errors import ConfigError

# shapes tried for every argument where no inputs are given
GUESSES = ((3, 4), (4,), (2, 3, 4), (4, 4), ())

HOW = """give inputs in one of two ways, beside the callable:
    def inputs(rng): return (rng.normal(size=(3, 4)),)               # rng is a numpy Generator
    my_function.example = lambda rng: (rng.normal(size=(3, 4)),)     # for this callable alone"""


def find_callable(where: str, verb: str = "gradcheck") -> tuple[Any, ModuleType]:
    """The callable that "package.file:name" or "path/to/file.py:name" means, and its module.

    verb     begins the messages of errors
    raises   ConfigError if it is not there; what the user's code raises passes through
    """
    place, colon, name = where.rpartition(":")
    if not colon:
        raise ConfigError(
            f"{verb}: {where!r}: write package.file:callable or path/to/file.py:callable"
        )
    try:
        if place.endswith(".py"):
            beside = str(Path(place).resolve().parent)
            if beside not in sys.path:
                sys.path.append(beside)  # what the file imports from its own folder
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")  # the user's package in the folder the command runs in
            module = importlib.import_module(place)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigError(f"{verb}: cannot open {place!r}: {error}") from None
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            has = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            has = ", ".join(has) or "no callables"
            raise ConfigError(f"{verb}: {place} has no {name!r}; it has {has}")
        found = getattr(found, part)
    return found, module


def arguments(
    function: Callable, module: ModuleType, rng: "np.random.Generator"
) -> tuple[Any, tuple]:
    """(callable, its inputs); a class is made into an object first, without arguments.

    The inputs are those of function.example(rng), else of module.inputs(rng), else random arrays of
    the first shape in GUESSES that the function accepts. Raises ConfigError if it accepts none.
    """
    example = getattr(function, "example", None)
    if isinstance(function, type):
        try:
            function = function()
        except TypeError as error:
            raise ConfigError(
                f"gradcheck: {function.__name__} cannot be made without arguments ({error}): "
                "name a function, or an object that is ready to call"
            ) from None
        example = getattr(function, "example", None)
    if not callable(function):
        raise ConfigError(f"gradcheck: {function!r} is not callable")
    draw = example or getattr(module, "inputs", None)
    if draw is not None:
        args = draw(rng)
        if not isinstance(args, tuple):
            args = (args,)
        return function, args
    return function, _guessed(function, rng)


def _guessed(function, rng):
    """Random arrays of the first shape in GUESSES for which the function runs."""
    needed = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    errors = []
    for shape in GUESSES:
        args = tuple(np.asarray(rng.normal(size=shape)) for _ in needed)
        try:
            function(*[Tensor(a, requires_grad=True) for a in args])
            return args
        except Exception as error:  # user code may raise anything; the first error is shown
            errors.append(f"{type(error).__name__}: {error}")
    name = getattr(function, "__name__", type(function).__name__)
    raise ConfigError(
        f"gradcheck: {name} does not take {len(needed)} arrays of shape {GUESSES[0]} "
        f"({errors[0]}); {HOW}"
    )
