"""IA3: three vectors a layer that make keys, values and hidden units larger or smaller (Liu et al.
2022)

    keys * l_k,   values * l_v,   (hidden units of the feed-forward) * l_ff        all ones at first: nothing has changed

Far fewer numbers than LoRA: 2 G K + F a layer. A scaled output is a map with scaled columns and a
scaled input one with scaled rows, so all of it can be folded into the weights (merging.py). Read
next: lora.py.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.peft.lora import columns_of
from tinylm.finetune.peft.merging import unsavable
from tinylm.finetune.wrap import places, put
from tinylm.nn import CrossAttention, FeedForward, GatedFeedForward, Module, SelfAttention


def _ones(n, like):
    return Tensor(np.ones_like(like.data, shape=(n,)), requires_grad=True)


class ScaledOutput(Module):
    """A Linear some of whose outputs are multiplied by learnt numbers.

    columns  list of (start, stop), in order: which outputs; each range has its own vector
    """

    def __init__(self, base, columns):
        self.base, self.columns, self.original = base, columns, None
        self.scales = [_ones(stop - start, base.weight) for start, stop in columns]

    def __call__(self, x):
        y = self.base(x)
        if self.original is not None:
            return y
        return y * self.factors()

    def settings(self):
        """Which outputs are scaled, which the lengths of the vectors do not tell."""
        return {"columns": np.array(self.columns, np.int64)}

    def unsavable(self):
        """See merging.py."""
        return unsavable(self)

    def factors(self):
        """One factor for each output, (d_out,): 1 where nothing is learnt."""
        d_out, pieces, at = self.base.weight.shape[1], [], 0
        for (start, stop), scale in zip(self.columns, self.scales):
            pieces += [Tensor(np.ones_like(scale.data, shape=(start - at,))), scale]
            at = stop
        return concatenate(
            [*pieces, Tensor(np.ones_like(self.scales[0].data, shape=(d_out - at,)))], axis=0
        )

    def folded(self):
        """[weight, bias] of the one map that this is."""
        s, bias = self.factors().data, self.base.bias
        return [self.base.weight.data * s, None if bias is None else bias.data * s]


class ScaledInput(Module):
    """A Linear whose inputs are multiplied by learnt numbers, one each."""

    def __init__(self, base):
        self.base, self.original = base, None
        self.scale = _ones(base.weight.shape[0], base.weight)

    def __call__(self, x):
        if self.original is not None:
            return self.base(x)
        return self.base(x * self.scale)

    def unsavable(self):
        """See merging.py."""
        return unsavable(self)

    def folded(self):
        """[weight, bias] of the one map that this is."""
        bias = self.base.bias
        return [
            self.base.weight.data * self.scale.data[:, None],
            None if bias is None else bias.data,
        ]


def ia3(model):
    """Freeze a model and put IA3's vectors into every layer, in place: attention, cross-attention
    and feed-forward. Returns it.
    """
    parts = places(model, (SelfAttention, CrossAttention, FeedForward, GatedFeedForward))
    if not parts:
        raise ConfigError(
            f"ia3: a {type(model).__name__} has no attention or feed-forward to scale, so nothing would be "
            "trained: take lora()"
        )
    freeze(model)
    for _, _, _, part in parts:
        if isinstance(part, (FeedForward, GatedFeedForward)):
            put(part, "out", ScaledInput(part.out))
        else:
            key = "qkv" if isinstance(part, SelfAttention) else "kv"
            put(part, key, ScaledOutput(getattr(part, key), columns_of(part, key, "kv")))
    return model
