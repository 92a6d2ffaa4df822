"""Finding parts of a model by name, putting something around them, and saving only what was added.

Methods that train few parameters change a model at a few places: a Linear becomes a Linear with
something beside it, an attention one with something behind it. The place is an attribute of some
module, so the change is one assignment, and everything that walks over modules (saving, moving,
counting, optimizers) sees it. Read next: peft/lora.py.
"""

import fnmatch

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.freezing import trainable
from tinylm.models.published.formats.safetensors import read_safetensors, write_safetensors
from tinylm.nn import Module


def places(model, kinds, *patterns):
    """Where modules of some kinds are held.

    kinds     class, or tuple of classes
    patterns  shell patterns of the whole dotted name, or of its end: "qkv", "attention.out",
              "blocks.1.*"; none: all
    returns   list of (name, holder, key, module), in the order of attributes: the module is
              holder's attribute or item `key`. Layers that are shared (ALBERT's) are named once
    raises    ConfigError for a pattern that matches nothing
    """
    found = list(_walk(model, "", kinds, set()))
    idle = [p for p in patterns if not any(_matches(place[0], p) for place in found)]
    if idle:
        names = ", ".join(name for name, *_ in found[:6])
        raise ConfigError(
            f"no part is named like {', '.join(idle)}; there are {names or 'none of this kind'}"
            + (", ..." if len(found) > 6 else "")
        )
    return [
        place for place in found if not patterns or any(_matches(place[0], p) for p in patterns)
    ]


def _matches(name, pattern):
    return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, f"*.{pattern}")


def _walk(holder, prefix, kinds, seen):
    """The places below a module, list or dict, depth first."""
    if isinstance(holder, Module):
        items = vars(holder).items()
    else:
        if isinstance(holder, dict):
            items = holder.items()
        else:
            items = enumerate(holder)
    for key, value in list(items):
        if isinstance(value, (Module, list, tuple, dict)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, kinds):
                yield f"{prefix}{key}", holder, key, value
            yield from _walk(value, f"{prefix}{key}.", kinds, seen)


def put(holder, key, module):
    """Put a module where another was, in its mode, everywhere in `holder` where that very one was
    (shared layers). Returns it.
    """
    was = getattr(holder, key) if isinstance(holder, Module) else holder[key]
    module.train(was.training)
    if isinstance(holder, Module):
        setattr(holder, key, module)
    else:
        for k in holder if isinstance(holder, dict) else range(len(holder)):
            if holder[k] is was:
                holder[k] = module
    return module


def unwrap(model, kinds):
    """Take wrappers away: each module of these kinds gives its place back to what it stands around,
    its `base`.

    returns  the model
    """
    for _, holder, key, wrapper in places(model, kinds):
        put(holder, key, wrapper.base)
    return model


def trained_state(model):
    """What was trained, and so all that has to be kept for a task: name -> NumPy array, copies.

    Settings such as a scale or a mask go along; not those that stand for frozen weights.
    raises  CheckpointError for a model in a state that cannot be saved
    """
    trained = {name: p.data for name, p in trainable(model).items()} | _settings(model)
    return {name: np.array(to_cpu(array)) for name, array in trained.items()}


def _settings(model):
    """The settings that go along with what was trained."""
    frozen = set()
    for name, _, _, part in places(model, Module):
        if getattr(part, "frozen_settings", False):
            frozen |= {f"{name}.{setting}" for setting in part.settings()}
    return {name: array for name, array in model.named_settings().items() if name not in frozen}


def load_trained(model, state):
    """Put arrays of trained_state() into a model that was changed in the same way.

    raises  CheckpointError naming every difference between what the model trains and what is there;
            nothing is changed then
    """
    state = model.renamed(state)
    settings = _settings(model)
    mine = {**trainable(model), **settings}
    if set(mine) - set(state) and set(mine) - set(state) <= set(settings):
        raise CheckpointError(
            "load_trained: the arrays are there, but not the settings that belong to them "
            f"({', '.join(sorted(set(mine) - set(state))[:4])}), as in files of older versions: add those of "
            "the model, trained_state(model), if it was changed as it was then, and save again"
        )
    if set(mine) != set(state):
        lacking, unknown = sorted(set(mine) - set(state)), sorted(set(state) - set(mine))
        raise CheckpointError(
            f"load_trained: missing {', '.join(lacking[:4]) or 'none'}; unknown "
            f"{', '.join(unknown[:4]) or 'none'}: change the model as it was changed before saving"
        )
    model.load_state_dict(state, strict=False)


def save_trained(model, path, note=None):
    """Write what was trained as a safetensors file; note {str: str} goes along (rank, scale, name
    of the base).
    """
    write_safetensors(path, trained_state(model), note)


def read_trained(model, path):
    """Load a file of save_trained() into a model that was changed in the same way; raises as
    load_trained().
    """
    weights = read_safetensors(path)
    load_trained(model, {name: np.array(weights[name]) for name in weights})
