"""Blocks that are computed twice: their intermediate results are not kept   (Chen et al. 2016).

A block of width D keeps about thirty arrays (B, T, D) for its backward pass. Recomputed, it keeps
its input alone, and runs once more when the backward pass comes to it: memory of L blocks becomes
that of one block and L inputs, for a third more operations. Losses and gradients are the same bits,
since every operation is done again on the same numbers, dropout included.

`tinylm train --checkpointing` is this. Read first: autograd/engine/recompute.py. Read next:
block.py.
"""

from collections.abc import Callable

from tinylm.autograd import Tensor, checkpoint, first_order_only, is_recording
from tinylm.autograd.engine.tensor import is_first_order
from tinylm.errors import ConfigError
from tinylm.nn.module import Module


def recompute_blocks(model: Module) -> Module:
    """Make every block of a model compute its intermediate results again in the backward pass.

    model    with blocks of block.py: GPT, Encoder, Electra, Seq2Seq, and what holds them
    returns  the model; blocks compute twice in training alone
    raises   ConfigError for a model without such blocks (XLNet, whose blocks carry two streams), or
             whose layers share keys and values, which one block alone does not have
    """
    found = [module for module in model.modules() if hasattr(module, "recompute")]
    if not found:
        raise ConfigError(
            f"checkpointing: {type(model).__name__} has no blocks of one stream that can be "
            "computed again: leave it out, or use a smaller micro-batch"
        )
    configs = [getattr(module, "config", None) for module in model.modules()]
    if any(getattr(config, "kv_sharing", 1) > 1 for config in configs):
        raise ConfigError(
            "checkpointing: layers of this model share keys and values (kv_sharing), which a block "
            "alone cannot compute again: leave it out, or use a smaller micro-batch"
        )
    for module in found:
        module.recompute = True
    return model


def recomputes(block: Module, options: dict) -> bool:
    """Whether a block is to be computed again in the backward pass of this call.

    options  of its attention: what fills a cache or a memory of segments may run only once
    """
    if not (block.recompute and block.training and is_recording()):
        return False
    return options.get("cache") is None and options.get("segments") is None


def recomputed(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x), computed again in the backward pass instead of keeping what lies between.

    function  of one Tensor, returns one; others that it reads get their gradients too
    """
    first_order = is_first_order()

    def once(x):
        # The second run is outside of the context of the first, and shall keep no more than it.
        if not first_order:
            return function(x)
        with first_order_only():
            return function(x)

    return checkpoint(once, x)
