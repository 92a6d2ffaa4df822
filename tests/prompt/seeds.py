"""What the functions of a room take as their seed where none is given."""

import importlib
import inspect
import pkgutil


def default_seeds(room):
    """The default of `seed` in every function and class of a room that has this argument.

    room     package
    returns  list; of an argument without a default, inspect.Parameter.empty
    """
    found = []
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        module = importlib.import_module(module.name)
        for _, member in inspect.getmembers(module, callable):
            # What a module imports is listed where it is defined.
            if getattr(member, "__module__", None) != module.__name__:
                continue
            if seed := inspect.signature(member).parameters.get("seed"):
                found.append(seed.default)
    return found
