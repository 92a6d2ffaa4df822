"""LoRA: the change of a frozen matrix as a product of two thin ones   (Hu et al. 2022)

    y = x W + b + (alpha / r) x A B        A (d_in, r) drawn, B (r, d_out) zero: before training
                                           nothing has changed

Fine-tuning moves weights along few directions, so a change of rank r is enough: r (d_in + d_out)
numbers in place of d_in d_out. alpha/r keeps the size of the change when r is varied. Training
done, A B can be added to W (merging.py), or many tasks can share one base and keep a small file
each (wrap.py). Over a quantized base it is QLoRA. Read next: merging.py; quantized_base.py; ia3.py,
which only scales.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, dropout, linear
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.peft.merging import unsavable
from tinylm.finetune.peft.quantized_base import QuantizedLinear, sizes
from tinylm.finetune.wrap import places, put
from tinylm.nn import CrossAttention, Linear, Module, SelfAttention, normal_parameter


class LoRA(Module):
    """A linear map with a low-rank change beside it.

    base     Linear or QuantizedLinear; what calls this freezes it
    r        rank;  alpha  the change is scaled by alpha / r;  rng of A
    columns  list of (start, stop): the columns of the output that change, each range with its own A
             and B; all by default
    dropout  probability of dropping an input of A while training, drawn from `stream`
    """

    def __init__(self, base, r, alpha, rng, columns=None, dropout=0.0, stream=None):
        (d_in, d_out), dtype, device = sizes(base)
        self.base, self.scale, self.columns = base, alpha / r, columns or [(0, d_out)]
        if r < 1 or r > d_in:
            raise ConfigError(
                f"LoRA: rank {r} of a map of {d_in} to {d_out}: it must be from 1 to {d_in}"
            )
        self.a = [normal_parameter((d_in, r), rng, d_in**-0.5, dtype) for _ in self.columns]
        self.b = [
            Tensor(np.zeros((r, stop - start), dtype), requires_grad=True)
            for start, stop in self.columns
        ]
        self.dropout, self.rng, self.original = dropout, stream, None
        self.to(device)

    def __call__(self, x):
        y = self.base(x)
        if self.original is not None:
            return y
        return y + self.change(x)

    def change(self, x):
        """(alpha / r) x A B in the columns that change, 0 in the others: (..., d_in) -> (...,
        d_out).
        """
        x = dropout(x, self.dropout if self.training else 0.0, self.rng)
        pieces, at, (_, d_out) = [], 0, sizes(self.base)[0]
        for (start, stop), a, b in zip(self.columns, self.a, self.b):
            pieces += [self._nothing(x, start - at)] * (start > at)
            pieces.append(linear(linear(x, a), b))  # (..., d_in) -> (..., r) -> (..., n)
            at = stop
        pieces += [self._nothing(x, d_out - at)] * (at < d_out)
        return (pieces[0] if len(pieces) == 1 else concatenate(pieces, axis=-1)) * self.scale

    @staticmethod
    def _nothing(x, width):
        return Tensor(np.zeros_like(x.data, shape=(*x.shape[:-1], width)))

    def settings(self):
        """The scale of the change and the columns that it is made in, which the shapes of A and B
        do not tell.
        """
        return {
            "scale": np.array(self.scale, np.float64),
            "columns": np.array(self.columns, np.int64),
        }

    def check_settings(self, arrays):
        """Any scale is taken; columns must be these."""
        return super().check_settings({name: a for name, a in arrays.items() if name != "scale"})

    def take_settings(self, arrays):
        """Take over the scale."""
        self.scale = float(arrays.get("scale", self.scale))

    def unsavable(self):
        """See merging.py."""
        return unsavable(self)

    def folded(self):
        """The one map that base and change are together: [weight, bias] arrays."""
        weight = self.base.weight.data.copy()
        for (start, stop), a, b in zip(self.columns, self.a, self.b):
            weight[:, start:stop] += self.scale * (a.data @ b.data)
        return [weight, None if self.base.bias is None else self.base.bias.data]


def columns_of(holder, key, parts):
    """Which columns of a packed projection make queries, keys or values.

    holder, key  SelfAttention and "qkv", or CrossAttention and "kv"
    parts        letters among "q", "k", "v"
    returns      list of (start, stop), in the order of columns
    """
    kind = {
        (SelfAttention, "qkv"): "qkv",
        (CrossAttention, "kv"): "kv",
        (CrossAttention, "q"): "q",
    }.get((type(holder), key))
    if kind is None or not set(parts) <= set(kind):
        raise ConfigError(
            f"{key} of a {type(holder).__name__} has no parts {', '.join(parts)}: parts are those of "
            "attention's qkv, or kv in cross-attention"
        )
    groups = getattr(holder, "kv_heads", holder.heads)
    widths = {
        "q": holder.heads * holder.width,
        "k": groups * holder.width,
        "v": groups * holder.width,
    }
    edges = np.cumsum([0, *(widths[letter] for letter in kind)]).tolist()
    return [(edges[i], edges[i + 1]) for i, letter in enumerate(kind) if letter in parts]


def lora(model, *patterns, r=8, alpha=16, dropout=0.0, parts=None, seed=0):
    """Freeze a model and put LoRA around some of its linear maps, in place.

    patterns  names of Linears, as in parts.places: "qkv", "attention.out", "hidden", "gate"; none:
              every Linear
    parts     of packed projections: "qv" changes queries and values only, each with its own A and B
              (the paper's choice)
    returns   the model. Heads that are to be trained too: unfreeze() them
    raises    ConfigError for a pattern that matches nothing, or parts that are not there
    """
    found = [
        place
        for place in places(model, (Linear, QuantizedLinear), *patterns)
        if not isinstance(place[1], LoRA)
    ]
    if not found:
        raise ConfigError(
            "lora: the model has no Linear to put a change beside, so nothing would be trained; what is pruned "
            "or rounded while it is trained becomes Linear again with compress.reweight.bake()"
        )
    columns = [columns_of(holder, key, parts) if parts else None for _, holder, key, _ in found]
    freeze(model)
    device = model.parameters()[0].device  # quantized weights stay on the CPU and do not tell
    stream = getattr(model, "rng", None)
    if stream is None and dropout > 0:  # a module that drops nothing out itself
        stream = Random(seed, "lora", "dropout")
    for (name, holder, key, base), ranges in zip(found, columns):
        made = LoRA(base, r, alpha, Random(seed, "lora", name), ranges, dropout, stream)
        put(holder, key, made.to(device))
    return model
