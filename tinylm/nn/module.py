"""Module: an object whose parameters are found by walking its attributes.

There is no registration and no metaclass: a Tensor that requires a gradient, in an attribute, a
list, a dict or a sub-module, is a parameter. Read next: linear.py for the smallest module.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor
from tinylm.autograd.engine import habits
from tinylm.errors import CheckpointError, ConfigError

# A walk goes through a cycle of modules, and through a parameter that two modules share (tied
# embeddings), only once: it remembers the id() of what it has visited.


def _children(value):
    """(name, value) pairs one level down, for whatever can hold parameters."""
    if isinstance(value, Module):
        return vars(value).items()
    if isinstance(value, (list, tuple)):
        return ((str(i), v) for i, v in enumerate(value))
    if isinstance(value, dict):
        return ((str(k), v) for k, v in value.items())
    return ()


def is_parameter(tensor: Tensor) -> bool:
    """Whether a Tensor is a parameter of a module: a trained one, or a frozen one."""
    return tensor.requires_grad or getattr(tensor, "frozen", False)


def _walk(value, prefix, seen):
    """(dotted name, parameter) of everything below `value`, in attribute order, each once."""
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
def evaluating(module: "Module") -> "Iterator[Module]":
    """A context in which dropout is off, in a module and all below it.

    Afterwards each module is in the mode it was in before.
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
            line = f"{indent}{name}  {child.shape}"
            if getattr(child, "frozen", False):
                line += "  frozen"
            yield line
        elif isinstance(child, Module):
            yield f"{indent}{name}: {type(child).__name__}"
            yield from _outline(child, indent + "  ")
        elif isinstance(child, (list, tuple, dict)):
            below = list(_outline(child, indent + "  "))
            if below:  # a list of plain numbers is no part of the outline
                yield f"{indent}{name}"
            yield from below


class NamedParameters(dict[str, Tensor]):
    """Parameters by name, in attribute order: a dict whose iteration gives pairs, as in torch.

        for name, p in named: ...        list(named)[0] is (name, parameter)
        named[name]                      and the rest as in a dict: keys(), values(), items(), `in`

    Where names alone are meant, write named.keys().
    """

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:  # type: ignore[override]
        return iter(self.items())

    def __reversed__(self) -> Iterator[tuple[str, Tensor]]:  # type: ignore[override]
        return reversed(self.items())


Self = TypeVar("Self", bound="Module")


class Module:
    """Base class of everything that has parameters.

    Parameters are the Tensors that require a gradient, in attributes, lists, dicts or sub-modules.
    A frozen one (finetune/freezing.py) requires no gradient and still is a parameter: it is saved,
    moved and counted. A subclass sets attributes in __init__ and computes in __call__, or in
    `forward`. Dropout acts only while `training` is True.
    """

    training = True

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What the module computes: `forward` of a subclass that has no __call__ of its own."""
        forward = getattr(type(self), "forward", None)
        if forward is None:
            raise ConfigError(
                f"{type(self).__name__} computes nothing: define __call__(self, x), or forward"
            )
        return forward(self, *args, **options)

    def __getattr__(self, name: str) -> Any:
        # Called for names that are missing: says what they are called here.
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(habits.missing(message, habits.MODULE.get(name)), name=name, obj=self)

    @classmethod
    def from_pretrained(cls, name: str, *args: Any, **options: Any) -> NoReturn:
        """Not here: raises ConfigError that names the functions which read published weights."""
        raise ConfigError(
            f"{cls.__name__}.from_pretrained({name!r}): tl.load({name!r}) opens a model with its "
            "tokenizer, tinylm.models.published.load.load_pretrained the weights of any kind; both "
            "read files on this machine, and none from a hub"
        )

    def named_parameters(self) -> NamedParameters:
        """Name -> parameter, a dict in attribute order whose iteration gives (name, parameter).

        A parameter that two names reach (tied weights) is listed once, under the first.
        """
        return NamedParameters(_walk(self, "", set()))

    def parameters(self) -> list[Tensor]:
        """The parameters, in the order of named_parameters()."""
        return [p for _, p in _walk(self, "", set())]

    def modules(self) -> "list[Module]":
        """This module and all below it, each once."""
        found = {}
        waiting: list = [self]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Module):
                found.setdefault(id(value), value)
            for _, child in _children(value):
                if isinstance(child, (Module, list, tuple, dict)) and id(child) not in found:
                    waiting.append(child)
        return list(found.values())

    def count_parameters(self) -> int:
        """The total number of elements of all parameters, the frozen ones included."""
        return sum(p.size for p in self.parameters())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients. There is no other way to clear them: set_to_none is torch's word."""
        for p in self.parameters():
            p.grad = None

    def train(self: Self, mode: bool = True) -> Self:
        """Switch training behavior (dropout) on or off, here and below. Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch training behavior off. Returns the module."""
        return self.train(False)

    def to(self: Self, device: str) -> Self:
        """Move every parameter and every random stream of dropout to a device, in place.

        Returns the module.
        """
        for p in self.parameters():
            if p.device != device:
                p.data = backend.to_device(p.data, device)
                # Both belong to the old device: the gradient, and the optimizer's buffer for it.
                p.grad = None
                p.slot = None
        for module in self.modules():
            if isinstance(getattr(module, "rng", None), backend.Random):
                module.rng.device = device
        return self

    def __repr__(self) -> str:
        head = f"{type(self).__name__}: {self.count_parameters():,} parameters"
        return head + "\n" + "\n".join(_outline(self, "  "))

    def settings(self) -> dict[str, np.ndarray]:
        """Arrays beside the parameters on which the output of this module depends, by name.

        For example a mask, packed weights, or a scale; they are saved and loaded with the
        parameters. By default there are none.
        """
        return {}

    def check_settings(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Check settings before they are loaded. By default they must equal those of the module.

        arrays   some of settings(), of the same shapes
        returns  None if they can be loaded, else the reason why not
        """
        own = self.settings()
        differing = []
        for name, array in arrays.items():
            if not np.array_equal(array, backend.to_cpu(own[name])):
                differing.append(name)
        if differing:
            names = ", ".join(differing)
            return f"{names} is another: change the model as it was changed before saving"

    def current_names(self, state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
        """A state with this module's arrays, all named `prefix` + something, under today's names.

        Overridden where an older version used other names; by default the state as it is.
        """
        return state

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load settings that passed check_settings(); by default there is nothing to do."""

    def unsavable(self) -> str | None:
        """The reason why the module cannot be saved or loaded in its present state, or None."""

    def named_settings(self) -> dict[str, np.ndarray]:
        """Name -> array of all settings, here and below: the arrays in use, not copies.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        found = {}
        for prefix, module in _modules_by_name(self, "", set()):
            if reason := module.unsavable():
                where = prefix.rstrip(".") or type(self).__name__
                raise CheckpointError(f"{where}: {reason}")
            for name, array in module.settings().items():
                found[f"{prefix}{name}"] = array
        return found

    def named_arrays(self) -> dict[str, np.ndarray]:
        """Name -> array of all parameters and settings: the content of a checkpoint. Not copies.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        found = {name: p.data for name, p in _walk(self, "", set())}
        return found | self.named_settings()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> NumPy array of every parameter and setting: copies, safe to keep.

        raises  CheckpointError for a module in a state that cannot be saved
        """
        return {
            name: np.array(backend.to_cpu(array)) for name, array in self.named_arrays().items()
        }

    def renamed(self, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A state of this or an older version under today's names; see current_names()."""
        for prefix, module in _modules_by_name(self, "", set()):
            state = module.current_names(state, prefix)
        return state

    def load_state_dict(self, state: dict[str, np.ndarray], strict: bool = True) -> None:
        """Overwrite the parameters and settings with arrays by name.

        strict   also refuse missing and unknown names
        raises   CheckpointError naming every difference; then nothing has been changed
        """
        state = self.renamed(state)
        own = self.named_arrays()
        problems = []
        if strict:
            problems += _different_names(own, state)
        wrong = _different_shapes(own, state)
        settings = []
        if wrong:
            problems.append(f"of another shape {', '.join(wrong)}")
        else:  # values can be compared only where all shapes fit
            settings += self._settings_in(state)
        for prefix, module, arrays in settings:
            if problem := module.check_settings(arrays):
                problems.append(f"{prefix}{problem}")
        if problems:
            raise CheckpointError(f"load_state_dict: {'; '.join(problems)}")

        for _, module, arrays in settings:
            module.take_settings(arrays)
        for name, p in self.named_parameters().items():
            if name in state:
                array = np.asarray(state[name]).astype(p.dtype, copy=False)
                # In place, so that views of the optimizer's flat buffer stay views; the version
                # marks the change for graphs that were recorded before.
                p.data[...] = backend.to_device(array, p.device)
                p._version[0] += 1

    def _settings_in(self, state):
        """(dotted name, module, its settings in `state`) of every module that has some there."""
        for prefix, module in _modules_by_name(self, "", set()):
            arrays = {}
            for name, array in module.settings().items():
                if prefix + name in state:
                    new = np.asarray(state[prefix + name])
                    arrays[name] = new.astype(array.dtype, copy=False)
            if arrays:
                yield prefix, module, arrays


def _different_names(own, state):
    """Names that only one of two dicts has, as phrases of an error message."""
    problems = []
    missing = sorted(set(own) - set(state))
    unknown = sorted(set(state) - set(own))
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    if unknown:
        problems.append(f"unknown {', '.join(unknown)}")
    return problems


def _different_shapes(own, state):
    """Arrays that have another shape in `state` than in `own`, as phrases of an error message."""
    wrong = []
    for name, array in own.items():
        if name in state and np.shape(state[name]) != array.shape:
            wrong.append(f"{name}: {np.shape(state[name])}, needs {array.shape}")
    return wrong
