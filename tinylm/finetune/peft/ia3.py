"""IA3: three learnt vectors a layer that scale keys, values and hidden units   (Liu et al. 2022)

    keys * l_k,   values * l_v,   (hidden units of the feed-forward) * l_ff
                                   all l are ones at first: nothing has changed

Far fewer numbers than LoRA: 2 G K + F a layer. A scaled output is a map with scaled columns and a
scaled input one with scaled rows, so all of it can be folded into the weights (merging.py). Read
next: lora.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor, concatenate
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.peft.lora import bias_of, columns_of
from tinylm.finetune.peft.merging import unsavable
from tinylm.finetune.wrap import places, put
from tinylm.nn import CrossAttention, FeedForward, GatedFeedForward, Module, SelfAttention
from tinylm.nn.linear import Linear


def _ones(n, like):
    return Tensor(np.ones_like(like.data, shape=(n,)), requires_grad=True)


class ScaledOutput(Module):
    """(x W + b) * s: a Linear with some of its outputs multiplied by learnt numbers.

    columns  list of (start, stop), in order: which outputs; each range has its own vector
    """

    def __init__(self, base: Linear, columns: Sequence[tuple[int, int]]) -> None:
        self.base, self.columns, self.original = base, columns, None
        self.scales = [_ones(stop - start, base.weight) for start, stop in columns]

    def __call__(self, x: Tensor) -> Tensor:
        y = self.base(x)
        if self.original is not None:
            return y  # merged: the columns of W are scaled already
        return y * self.factors()  # (..., d_out) * (d_out,)

    def settings(self) -> dict[str, np.ndarray]:
        """The scaled columns, which cannot be inferred from the lengths of the vectors."""
        return {"columns": np.array(self.columns, np.int64)}

    def unsavable(self) -> str | None:
        """Why the model cannot be saved, or None; see merging.py."""
        return unsavable(self)

    def factors(self) -> Tensor:
        """One factor for each output, (d_out,): 1 where nothing is learnt."""
        d_out = self.base.weight.shape[1]
        pieces, end = [], 0  # `end`: columns done so far
        for (start, stop), scale in zip(self.columns, self.scales):
            between = np.ones_like(scale.data, shape=(start - end,))
            pieces += [Tensor(between), scale]
            end = stop
        behind = np.ones_like(self.scales[0].data, shape=(d_out - end,))
        return concatenate([*pieces, Tensor(behind)], axis=0)

    def folded(self) -> list[np.ndarray]:
        """[weight, bias] of the folded map: (x W + b) * s = x (W * s) + b * s, s over columns."""
        s, bias = self.factors().data, bias_of(self.base)
        if bias is not None:
            bias = bias * s
        return [self.base.weight.data * s, bias]


class ScaledInput(Module):
    """(x * s) W + b: a Linear with its inputs multiplied by learnt numbers."""

    def __init__(self, base: Linear) -> None:
        self.base, self.original = base, None
        self.scale = _ones(base.weight.shape[0], base.weight)

    def __call__(self, x: Tensor) -> Tensor:
        if self.original is not None:
            return self.base(x)
        return self.base(x * self.scale)

    def unsavable(self) -> str | None:
        """Why the model cannot be saved, or None; see merging.py."""
        return unsavable(self)

    def folded(self) -> list[np.ndarray]:
        """[weight, bias] of the folded map: (x * s) W + b = x (s[:, None] * W) + b, s over rows."""
        return [self.base.weight.data * self.scale.data[:, None], bias_of(self.base)]


def ia3(model: Module) -> Module:
    """Freeze a model and put IA3's vectors into every attention, cross-attention and feed-forward.

    returns  the model, changed in place
    raises   ConfigError if it has none of these
    """
    parts = places(model, (SelfAttention, CrossAttention, FeedForward, GatedFeedForward))
    if not parts:
        raise ConfigError(
            f"ia3: a {type(model).__name__} has no attention or feed-forward to scale, "
            "so nothing would be trained: take lora()"
        )
    freeze(model)
    for _, _, _, part in parts:
        if isinstance(part, SelfAttention):
            if not part.kv_heads:
                continue  # it reads the keys and values of a lower layer, which are scaled there
            put(part, "qkv", ScaledOutput(part.qkv, columns_of(part, "qkv", "kv")))
        elif isinstance(part, CrossAttention):
            put(part, "kv", ScaledOutput(part.kv, columns_of(part, "kv", "kv")))
        else:  # hidden units are what the second map of a feed-forward reads
            put(part, "out", ScaledInput(part.out))
    return model
