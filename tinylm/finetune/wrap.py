"""Finding modules of a model by name, wrapping them, and saving only what was added.

Methods that train few parameters change a model at a few places: a Linear becomes a Linear with
something beside it, an attention one with something behind it. A place is an attribute of some
module (its `holder`), so the change is one assignment, and everything that walks over modules
(saving, moving, counting, optimizers) sees it. Read next: peft/lora.py.
"""

import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.freezing import trainable
from tinylm.models.published.formats.safetensors import read_safetensors, write_safetensors
from tinylm.nn import Module


def places(
    model: Module, kinds: type[Module] | tuple[type[Module], ...], *patterns: str
) -> list[tuple[str, Any, Any, Module]]:
    """Where modules of some kinds are held in a model.

    kinds     class, or tuple of classes
    patterns  shell patterns of the whole dotted name, or of its end: "qkv", "attention.out",
              "blocks.1.*"; none: all
    returns   list of (name, holder, key, module), in the order of attributes: the module is
              holder's attribute or item `key`. Layers that are shared (ALBERT's) are named once
    raises    ConfigError for a pattern that matches nothing
    """
    found = list(_walk(model, "", kinds, set()))
    names = [name for name, *_ in found]
    unmatched = [p for p in patterns if not any(_matches(name, p) for name in names)]
    if unmatched:
        known = ", ".join(names[:6]) or "none of this kind"
        if len(names) > 6:
            known += ", ..."
        raise ConfigError(f"no part is named like {', '.join(unmatched)}; there are {known}")
    if not patterns:
        return found
    return [each for each in found if any(_matches(each[0], p) for p in patterns)]


def _matches(name, pattern):
    return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, f"*.{pattern}")


def _walk(holder, prefix, kinds, seen):
    """The places below a module, list or dict, depth first."""
    if isinstance(holder, Module):
        items = vars(holder).items()
    elif isinstance(holder, dict):
        items = holder.items()
    else:
        items = enumerate(holder)
    # a copy: what is found may be replaced while the generator waits
    for key, value in list(items):
        if not isinstance(value, (Module, list, tuple, dict)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, kinds):  # its own parts follow: a wrapper's base is found too
            yield f"{prefix}{key}", holder, key, value
        yield from _walk(value, f"{prefix}{key}.", kinds, seen)


def put(holder: list[Module] | Module, key: int | str, module: Module) -> Module:
    """Put a module in place of another, in the same mode. Returns it.

    In a list or dict it replaces the old one wherever that is held: ALBERT's layers are one module.
    """
    if isinstance(holder, Module):
        module.train(getattr(holder, key).training)
        setattr(holder, key, module)
        return module
    old = holder[key]
    module.train(old.training)
    if isinstance(holder, dict):
        keys = list(holder)
    else:
        keys = range(len(holder))
    for k in keys:
        if holder[k] is old:
            holder[k] = module
    return module


def unwrap(model: Module, kinds: type[Module]) -> Module:
    """Remove wrappers of these kinds: each is replaced by its `base`. Returns the model."""
    for _, holder, key, wrapper in places(model, kinds):
        put(holder, key, wrapper.base)
    return model


def trained_state(model: Module) -> dict[str, np.ndarray]:
    """The trained arrays, all that a task must keep beside its base: name -> NumPy array, copies.

    Settings such as a scale or a mask are included, those that hold frozen weights are not.

    raises  CheckpointError for a model in a state that cannot be saved
    """
    trained = {name: p.data for name, p in trainable(model).items()}
    trained |= _settings(model)
    return {name: np.array(to_cpu(array)) for name, array in trained.items()}


def _settings(model):
    """The settings that belong to the trained parameters, by name."""
    frozen = set()
    for name, _, _, part in places(model, Module):
        if getattr(part, "frozen_settings", False):  # packed weights of the base: not trained
            frozen |= {f"{name}.{setting}" for setting in part.settings()}
    return {name: array for name, array in model.named_settings().items() if name not in frozen}


def load_trained(model: Module, state: dict[str, np.ndarray]) -> None:
    """Load the arrays of trained_state() into a model that was changed in the same way.

    raises  CheckpointError naming every difference between the model's arrays and these; then
            nothing has been changed
    """
    state = model.renamed(state)
    settings = _settings(model)
    own = {**trainable(model), **settings}
    missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing and set(missing) <= set(settings):  # before settings were saved at all
        raise CheckpointError(
            "load_trained: the arrays are there, but not the settings that belong to them "
            f"({', '.join(missing[:4])}), as in files of older versions: add those of "
            "the model, trained_state(model), if it was changed as it was then, and save again"
        )
    if missing or unknown:
        raise CheckpointError(
            f"load_trained: missing {', '.join(missing[:4]) or 'none'}; unknown "
            f"{', '.join(unknown[:4]) or 'none'}: change the model as it was changed before saving"
        )
    model.load_state_dict(state, strict=False)  # strict would also require the frozen base


def save_trained(model: Module, path: str | Path, note: dict[str, str] | None = None) -> None:
    """Write trained_state() as a safetensors file.

    note  {str: str} stored in the header, such as rank, scale and name of the base
    """
    write_safetensors(path, trained_state(model), note)


def read_trained(model: Module, path: str | Path) -> None:
    """Load a file of save_trained() as load_trained() does."""
    weights = read_safetensors(path)
    load_trained(model, {name: np.array(weights[name]) for name in weights})
