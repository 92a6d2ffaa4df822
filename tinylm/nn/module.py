"""Module: an object whose parameters are found by looking at its attributes. No registration, no metaclass.

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


@contextlib.contextmanager
def evaluating(module):
    """While this is entered, dropout is off in a module and all below it; afterwards each is in the mode it was in."""
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
            yield f"{indent}{name}  {child.shape}" + ("  frozen" if getattr(child, "frozen", False) else "")
        elif isinstance(child, (Module, list, tuple, dict)):
            below = list(_outline(child, indent + "  "))
            if below or isinstance(child, Module):
                yield f"{indent}{name}" + (f": {type(child).__name__}" if isinstance(child, Module) else "")
            yield from below


class Module:
    """Base of everything with parameters: Tensors that require a gradient, in attributes, lists, dicts or sub-modules.

    A frozen parameter (finetune/freezing.py) requires none and is still one: saved, moved and counted.
    A subclass sets attributes in __init__ and computes in __call__. `training` tells dropout whether to act.
    """

    training = True

    def named_parameters(self):
        """Name -> parameter, in attribute order; a parameter reachable by two names counts once, under the first."""
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
            waiting += [child for _, child in _children(value)
                        if isinstance(child, (Module, list, tuple, dict)) and id(child) not in found]
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
        """Move every parameter, and every stream that dropout draws from, to a device, in place. Returns the module."""
        for p in self.parameters():
            if p.device != device:
                p.data, p.grad, p.slot = backend.to_device(p.data, device), None, None
        for module in self.modules():
            if isinstance(getattr(module, "rng", None), backend.Random):
                module.rng.device = device
        return self

    def __repr__(self):
        return f"{type(self).__name__}: {self.count_parameters():,} parameters\n" + "\n".join(_outline(self, "  "))

    def state_dict(self):
        """Name -> NumPy array of every parameter: copies, safe to keep."""
        return {name: np.array(p.numpy()) for name, p in self.named_parameters().items()}

    def load_state_dict(self, state, strict=True):
        """Overwrite the parameters with arrays by name.

        strict   also refuse missing and unknown names
        raises   CheckpointError naming every difference; then nothing has been changed
        """
        mine = self.named_parameters()
        missing, unknown = sorted(set(mine) - set(state)), sorted(set(state) - set(mine))
        wrong = [f"{n}: {np.shape(state[n])}, needs {p.shape}" for n, p in mine.items()
                 if n in state and np.shape(state[n]) != p.shape]
        problems = [f"{what} {', '.join(names)}" for what, names in
                    (("missing", missing * strict), ("unknown", unknown * strict), ("of another shape", wrong)) if names]
        if problems:
            raise CheckpointError(f"load_state_dict: {'; '.join(problems)}")
        for name, p in mine.items():
            if name in state:
                array = np.asarray(state[name]).astype(p.dtype, copy=False)
                p.data[...] = backend.to_device(array, p.device)
                p._version[0] += 1
