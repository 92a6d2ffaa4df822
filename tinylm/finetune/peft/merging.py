"""Folding what was learnt into the weights, so that using it costs nothing   (Hu et al. 2022,
section 4.1)

Where a method changes a linear map into another linear map, the product can be written into the
weights: W + s A B, or W with scaled columns. Floating-point addition cannot be undone (W + d - d is
not W), so the weights as they were are kept beside until they are put back: merged, a wrapper holds
two copies of its matrix. `bake` forgets the second. Read next: lora.py, ia3.py.
"""

from tinylm.errors import ConfigError
from tinylm.finetune.wrap import places, put
from tinylm.nn import Linear, Module


def is_mergeable(module):
    """Whether a module stands around a linear map (`base`) and knows which map both are together
    (`folded`).
    """
    return isinstance(module, Module) and hasattr(module, "folded")


def unsavable(wrapper):
    """Why a wrapper is not saved or loaded now: merged, its base already holds the change that
    stands beside.
    """
    if wrapper.original is not None:
        return "merged, its weights hold the change that is kept beside them too: unmerge() before it is saved or loaded, or bake()"


def _wrappers(model, wanted):
    found = [m for m in model.modules() if is_mergeable(m)]
    if not found:
        raise ConfigError(
            "merge: the model has nothing to merge; LoRA and IA3 can be merged, prompts and adapters cannot"
        )
    return [m for m in found if (m.original is not None) == wanted]


def merge(model):
    """Write what wrappers do into the weights they stand around; they then cost nothing. Merged
    ones are left alone.

    model    Module, or one wrapper;  returned
    raises   ConfigError if there is nothing to merge, or weights are quantized
    """
    waiting = _wrappers(model, False)
    for wrapper in waiting:
        if type(wrapper.base) is not Linear:
            raise ConfigError(
                f"merge: a {type(wrapper.base).__name__} cannot take a change of its weights; put back Linears first"
            )
    for wrapper in waiting:
        base = wrapper.base
        wrapper.original = [(p, p.data.copy()) for p in (base.weight, base.bias) if p is not None]
        for (p, _), new in zip(wrapper.original, wrapper.folded()):
            p.assign_(new)
    return model


def unmerge(model):
    """Put back, to the bit, the weights that merge() changed. Returns the model."""
    for wrapper in _wrappers(model, True):
        for p, old in wrapper.original:
            p.assign_(old)
        wrapper.original = None
    return model


def bake(model):
    """Merge, and take the wrappers away: an ordinary model again, of the base's names and speed.
    Returns it.
    """
    merge(model)
    for _, holder, key, wrapper in places(model, Module):
        if is_mergeable(wrapper):
            put(holder, key, wrapper.base)
    return model
