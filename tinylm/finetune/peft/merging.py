"""Folding a learnt change into the weights, so that using it costs nothing   (Hu et al. 2022,
section 4.1)

Where a method changes a linear map into another linear map, the product can be written into the
weights: W + s A B, or W with scaled columns. Floating-point addition cannot be undone (W + d - d is
not W), so a merged wrapper keeps a copy of the original weights for unmerge(). `bake` drops it.
Read next: lora.py, ia3.py.
"""

from typing import TYPE_CHECKING

from tinylm.errors import ConfigError
from tinylm.finetune.wrap import places, put
from tinylm.nn import Linear, Module

if TYPE_CHECKING:
    from tinylm.finetune.peft.lora import LoRA


def is_mergeable(module: Module) -> bool:
    """Whether a module wraps a linear map (`base`) and can be folded into one (`folded`)."""
    return isinstance(module, Module) and hasattr(module, "folded")


def unsavable(wrapper: "LoRA") -> str | None:
    """Why a wrapper cannot be saved or loaded now, or None.

    A merged base already holds the change: saved with A and B beside it, the change would be
    applied twice.
    """
    if wrapper.original is None:
        return None
    return (
        "merged, its weights hold the change that is kept beside them too: "
        "unmerge() before it is saved or loaded, or bake()"
    )


def _wrappers(model, merged):
    """The mergeable wrappers of a model that are merged now, or those that are not."""
    found = [m for m in model.modules() if is_mergeable(m)]
    if not found:
        raise ConfigError(
            "merge: the model has nothing to merge; "
            "LoRA and IA3 can be merged, prompts and adapters cannot"
        )
    return [m for m in found if (m.original is not None) == merged]


def merge(model: Module) -> Module:
    """Write the change of each wrapper into the weights of its base, so that it costs nothing.

    model    Module, or one wrapper; returned. Wrappers that are merged already are left alone
    raises   ConfigError if there is nothing to merge, or weights are quantized
    """
    waiting = _wrappers(model, merged=False)
    for wrapper in waiting:  # all are checked before any is changed
        if type(wrapper.base) is not Linear:
            raise ConfigError(
                f"merge: a {type(wrapper.base).__name__} cannot take a change of its weights; "
                "put back Linears first"
            )
    for wrapper in waiting:
        base = wrapper.base
        parameters = [p for p in (base.weight, base.bias) if p is not None]
        wrapper.original = [(p, p.data.copy()) for p in parameters]
        # [weight, bias] of y = x (W + s A B) + b; zip ends before a bias of None
        for (p, _), new in zip(wrapper.original, wrapper.folded()):
            p.assign_(new)
    return model


def unmerge(model: Module) -> Module:
    """Put back, to the bit, the weights that merge() changed. Returns the model."""
    for wrapper in _wrappers(model, merged=True):
        for p, old in wrapper.original:
            p.assign_(old)
        wrapper.original = None
    return model


def bake(model: Module) -> Module:
    """Merge and remove the wrappers. Returns the model, with the base's names and speed."""
    merge(model)
    # every module is a candidate: wrappers are known by folded(), not by their class
    for _, holder, key, wrapper in places(model, Module):
        if is_mergeable(wrapper):
            put(holder, key, wrapper.base)
    return model
