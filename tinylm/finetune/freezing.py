"""Which parameters are trained: all, some by name, or more and more of them   (book sections 1.1.2,
1.4, 3.3.2.2).

A frozen parameter requires no gradient, so backward passes stop early and optimizers leave it
alone; it is saved and moved like any other. Partial fine-tuning is a pattern: `only(model,
"*.bias")` is BitFit (Ben Zaken et al. 2022). Read next: fitting.py.
"""

import contextlib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.nn.module import Module

if TYPE_CHECKING:
    from tinylm.nn.linear import Linear


def _tensors(what):
    """The parameters of a Module, a dict, a list of any of these, or a Tensor."""
    if isinstance(what, Tensor):
        return [what]
    if hasattr(what, "parameters"):
        return what.parameters()
    values = what.values() if isinstance(what, dict) else what
    if isinstance(what, str) or not isinstance(values, Iterable):
        raise ConfigError(
            f"freeze and unfreeze take a Module, a Tensor, a list or dict of these, not {what!r}; "
            "matching(model, pattern) finds parameters by name"
        )
    return [p for value in values for p in _tensors(value)]


def freeze(what: Module) -> Module:
    """Take parameters out of training.

    what     Module, Tensor, or a list or dict of these
    returns  what
    raises   ConfigError for anything else, such as a name
    """
    for p in _tensors(what):
        p.requires_grad, p.frozen = False, True
        p.grad, p.slot = None, None  # no gradient, and no place in an optimizer's buffer
    return what


def unfreeze(what: "Sequence[Tensor] | dict[str, Tensor] | Linear") -> Any:
    """Train parameters again that were frozen; arguments as freeze()."""
    for p in _tensors(what):
        p.requires_grad, p.frozen = True, False
    return what


def matching(model: Module, *patterns: str) -> dict[str, Tensor]:
    """The parameters whose name matches a pattern: dict name -> Tensor.

    patterns  shell patterns: "*.bias", "blocks.1[01].*", "norm.*"
    raises    ConfigError for a pattern that matches none, which would silently train nothing
    """
    named = model.named_parameters()
    found = {pattern: fnmatch.filter(named.keys(), pattern) for pattern in patterns}
    unmatched = [pattern for pattern, names in found.items() if not names]
    if unmatched:
        some = ", ".join(list(named.keys())[:4])
        raise ConfigError(
            f"no parameter is named like {', '.join(unmatched)}; names look like {some}: "
            "print(model) shows them all"
        )
    chosen = {name for names in found.values() for name in names}
    return {name: p for name, p in named.items() if name in chosen}


def only(model: Module, *patterns: str) -> Module:
    """Train the parameters that match and freeze all others; arguments as matching().

    returns  the model
    """
    chosen = matching(model, *patterns)  # raises before anything is frozen
    freeze(model)
    unfreeze(chosen)
    return model


def trainable(model: Module) -> dict[str, Tensor]:
    """The parameters that are not frozen: dict name -> Tensor."""
    return {name: p for name, p in model.named_parameters().items() if p.requires_grad}


def count_trainable(model: Module) -> int:
    """How many numbers are trained."""
    return sum(p.size for p in trainable(model).values())


@contextlib.contextmanager
def frozen(model: Module) -> Iterator[Module]:
    """A context in which the whole model is frozen; afterwards the same parameters learn again."""
    before = list(trainable(model).values())  # what was frozen already stays frozen afterwards
    freeze(model)
    try:
        yield model
    finally:
        unfreeze(before)


def stages(model: Module, groups: Sequence[list[str]]) -> Iterator[int]:
    """Gradual unfreezing: the last group alone, then one more from the end at a time   (Howard &
    Ruder 2018).

    groups   lists of name patterns from the input upwards, such as [["tokens.*"], ["blocks.0.*"],
             ["head.*"]]
    yields   len(groups) times the number of the stage, the model frozen but for the groups that
             have thawed; train in between
    raises   as matching(), before anything is frozen
    """
    # all patterns are checked before the first parameter is frozen
    thawing = [matching(model, *patterns) for patterns in groups]
    freeze(model)
    for stage, group in enumerate(reversed(thawing)):
        unfreeze(group)
        yield stage
