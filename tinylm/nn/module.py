"""Module: an object whose parameters are found by looking at its attributes. No registration, no
metaclass.

Read next: linear.py for the smallest one.
"""

import contextlib

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor
from tinylm.errors import CheckpointError


def _children(value):
    """(name, value) pairs one level down, for whatever can hold parameters."""
    if isinstance(value, Module):
        return vars(value).items()
    if isinstance(value, (list, tuple)):
        return ((str(i), v) for i, v in enumerate(value))
    if isinstance(value, dict):
        return ((str(k), v) for k, v in value.items())
    return ()


def is_parameter(tensor):
    """Whether a Tensor is a module's parameter: one that is trained, or one that has been frozen."""
    return tensor.requires_grad or getattr(tensor, "frozen", False)


def _walk(value, prefix, seen):
    for name, child in _children(value):
        path = f"{prefix}{name}"
        if isinstance(child, Tensor):
            if is_parameter(child) and id(child) not in seen:
                seen.add(id(child))
                yield path, child
        elif isinstance(child, (Module, list, tuple, dict)) and id(child) not in seen:
            seen.add(id(child))
            yield from _walk(child, path + ".", seen)


def _modules_by_name(value, prefix, seen):
    """(dotted name with a dot at its end, module) of a module and all below it, each once."""
    seen.add(id(value))
    if isinstance(value, Module):
        yield prefix, value
    for name, child in _children(value):
        if isinstance(child, (Module, list, tuple, dict)) and id(child) not in seen:
            yield from _modules_by_name(child, f"{prefix}{name}.", seen)


@contextlib.contextmanager
def evaluating(module):
    """While this is entered, dropout is off in a module and all below it; afterwards each is in the
    mode it was in.
    """
    active = [each for each in module.modules() if each.training]
    for each in active:
        each.training = False
    try:
        yield module
    finally:
        for each in active:
            each.training = True


def _outline(value, indent):
    """One line for every parameter and every module below, as print() shows them."""
    for name, child in _children(value):
        if isinstance(child, Tensor):
            yield f"{indent}{name}  {child.shape}" + (
                "  frozen" if getattr(child, "frozen", False) else ""
            )
        elif isinstance(child, (Module, list, tuple, dict)):
            below = list(_outline(child, indent + "  "))
            if below or isinstance(child, Module):
                yield f"{indent}{name}" + (
                    f": {type(child).__name__}" if isinstance(child, Module) else ""
                )
            yield from below


class Module:
    """Base of everything with parameters: Tensors that require a gradient, in attributes, lists,
    dicts or sub-modules.

    A frozen parameter (finetune/freezing.py) requires none and is still one: saved, moved and
    counted. A subclass sets attributes in __init__ and computes in __call__. `training` tells
    dropout whether to act.
    """

    training = True

    def named_parameters(self):
        """Name -> parameter, in attribute order; a parameter reachable by two names counts once,
        under the first.
        """
        return dict(_walk(self, "", set()))

    def parameters(self):
        """The parameters, in the order of named_parameters()."""
        return list(self.named_parameters().values())

    def modules(self):
        """This module and all below it, each once."""
        found, waiting = {}, [self]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Module):
                found.setdefault(id(value), value)
            waiting += [
                child
                for _, child in _children(value)
                if isinstance(child, (Module, list, tuple, dict)) and id(child) not in found
            ]
        return list(found.values())

    def count_parameters(self):
        """How many numbers the parameters are, frozen ones among them."""
        return sum(p.size for p in self.parameters())

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode=True):
        """Switch training behavior (dropout) on or off, here and below. Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Switch training behavior off. Returns the module."""
        return self.train(False)

    def to(self, device):
        """Move every parameter, and every stream that dropout draws from, to a device, in place.
        Returns the module.
        """
        for p in self.parameters():
            if p.device != device:
                p.data, p.grad, p.slot = backend.to_device(p.data, device), None, None
        for module in self.modules():
            if isinstance(getattr(module, "rng", None), backend.Random):
                module.rng.device = device
        return self

    def __repr__(self):
        return f"{type(self).__name__}: {self.count_parameters():,} parameters\n" + "\n".join(
            _outline(self, "  ")
        )

    def settings(self):
        """Arrays beside the parameters that decide what this module computes, by name: saved and
        loaded with them.

        Such as a mask, packed weights, or a scale. By default there are none
        """
        return {}

    def check_settings(self, arrays):
        """Whether settings that are about to be loaded can be taken: by default if they are those
        that are there.

        arrays   some of settings(), of the same shapes
        returns  None, or what is the matter with them
        """
        mine = self.settings()
        differing = [
            name for name in arrays if not np.array_equal(arrays[name], backend.to_cpu(mine[name]))
        ]
        if differing:
            return f"{', '.join(differing)} is another: change the model as it was changed before saving"

    def take_settings(self, arrays):
        """Take over settings that check_settings() let pass; by default there is nothing to do."""

    def unsavable(self):
        """Why the module cannot be saved or loaded in its present state; None if it can."""

    def named_settings(self):
        """Name -> array of all settings, here and below, as they are used: not copies.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        found = {}
        for prefix, module in _modules_by_name(self, "", set()):
            if reason := module.unsavable():
                raise CheckpointError(f"{prefix.rstrip('.') or type(self).__name__}: {reason}")
            found |= {f"{prefix}{name}": array for name, array in module.settings().items()}
        return found

    def named_arrays(self):
        """Name -> array of all parameters and settings: what has to be kept of a model. Not copies.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        return {name: p.data for name, p in self.named_parameters().items()} | self.named_settings()

    def state_dict(self):
        """Name -> NumPy array of every parameter and setting: copies, safe to keep.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        return {
            name: np.array(backend.to_cpu(array)) for name, array in self.named_arrays().items()
        }

    def load_state_dict(self, state, strict=True):
        """Overwrite the parameters and settings with arrays by name.

        strict   also refuse missing and unknown names
        raises   CheckpointError naming every difference; then nothing has been changed
        """
        parameters, mine = self.named_parameters(), self.named_arrays()
        missing, unknown = sorted(set(mine) - set(state)), sorted(set(state) - set(mine))
        wrong = [
            f"{n}: {np.shape(state[n])}, needs {p.shape}"
            for n, p in mine.items()
            if n in state and np.shape(state[n]) != p.shape
        ]
        problems = [
            f"{what} {', '.join(names)}"
            for what, names in (
                ("missing", missing * strict),
                ("unknown", unknown * strict),
                ("of another shape", wrong),
            )
            if names
        ]
        settings = [] if wrong else list(self._settings_in(state))
        problems += [
            f"{prefix}{problem}"
            for prefix, module, arrays in settings
            if (problem := module.check_settings(arrays))
        ]
        if problems:
            raise CheckpointError(f"load_state_dict: {'; '.join(problems)}")
        for _, module, arrays in settings:
            module.take_settings(arrays)
        for name, p in parameters.items():
            if name in state:
                array = np.asarray(state[name]).astype(p.dtype, copy=False)
                p.data[...] = backend.to_device(array, p.device)
                p._version[0] += 1

    def _settings_in(self, state):
        """(dotted name, module, its settings in `state`) of every module that has some there."""
        for prefix, module in _modules_by_name(self, "", set()):
            arrays = {
                name: np.asarray(state[prefix + name]).astype(array.dtype, copy=False)
                for name, array in module.settings().items()
                if prefix + name in state
            }
            if arrays:
                yield prefix, module, arrays
