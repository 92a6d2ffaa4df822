"""LoRA: the change of a frozen matrix as a product of two thin ones   (Hu et al. 2022)

    y = x W + b + (alpha / r) x A B        A (d_in, r) drawn, B (r, d_out) zero: before training
                                           nothing has changed

Fine-tuning moves weights along few directions, so a change of rank r is enough: r (d_in + d_out)
numbers in place of d_in d_out. alpha/r keeps the size of the change when r is varied. After
training, A B can be added to W (merging.py), or many tasks can share one base and keep a small file
each (wrap.py). Over a quantized base it is QLoRA. Read next: merging.py; quantized_base.py; ia3.py,
which only scales.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor, concatenate, dropout, linear
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.peft.merging import unsavable
from tinylm.finetune.peft.quantized_base import QuantizedLinear, sizes
from tinylm.finetune.wrap import places, put
from tinylm.nn import CrossAttention, Linear, Module, SelfAttention, normal_parameter


class LoRA(Module):
    """y = x W + b + (alpha / r) x A B: a linear map with a low-rank change beside it.

    base     Linear or QuantizedLinear of W (d_in, d_out) and b; the caller freezes it
    r        rank, 1 .. d_in
    alpha    the change is scaled by alpha / r
    rng      stream that A is drawn from
    dropout  probability of dropping an input of A while training, drawn from `stream`
    raises   ConfigError for a rank out of range
    """

    def __init__(
        self,
        base: Module,
        r: int,
        alpha: int,
        rng: Random,
        dropout: float = 0.0,
        stream: Random | None = None,
    ) -> None:
        (d_in, d_out), dtype, device = sizes(base)
        check_rank(r, d_in, d_out)
        self.base = base
        self.a, self.b = thin_pair(d_in, r, d_out, rng, dtype)
        self.scale = alpha / r
        self.dropout, self.rng = dropout, stream
        self.original = None  # the base's own weights while merged, see merging.py
        self.to(device)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_in) -> (..., d_out)
        if self.original is not None:
            return y  # merged: W already holds the change
        return y + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """(alpha / r) x A B: (..., d_in) -> (..., d_out)."""
        if self.training:
            x = dropout(x, self.dropout, self.rng)
        # (x A) B and not x (A B): r (d_in + d_out) products a row in place of d_in d_out
        return linear(linear(x, self.a), self.b) * self.scale  # -> (..., r) -> (..., d_out)

    def folded(self) -> list[np.ndarray]:
        """[W + (alpha / r) A B, b] as arrays: base and change in one map."""
        weight = self.base.weight.data + self.scale * (self.a.data @ self.b.data)
        return [weight, bias_of(self.base)]

    def settings(self) -> dict[str, np.ndarray]:
        """The scale, which cannot be inferred from the shapes of A and B."""
        return {"scale": np.array(self.scale, np.float64)}

    def check_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Accept any scale."""

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load the scale."""
        self.scale = float(arrays["scale"])

    def current_names(self, state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
        """Older versions kept one matrix in the layout of PackedLoRA: a.0, b.0, columns."""
        d_out = sizes(self.base)[0][1]
        columns = state.get(f"{prefix}columns")
        if columns is None or not np.array_equal(columns, [[0, d_out]]):
            return state
        names = {f"{prefix}a.0": f"{prefix}a", f"{prefix}b.0": f"{prefix}b"}
        return {names.get(k, k): v for k, v in state.items() if k != f"{prefix}columns"}

    def unsavable(self) -> str | None:
        """Why the model cannot be saved, or None; see merging.py."""
        return unsavable(self)


class PackedLoRA(Module):
    """LoRA of some columns of a packed map, such as the queries and values of qkv.

    Each range of columns has its own A and B; columns in no range do not change:

        y[:, start:stop] += (alpha / r) x A_i B_i        A_i (d_in, r), B_i (r, stop - start)

    columns  list of (start, stop), in order and apart from each other
    others   as in LoRA
    """

    def __init__(
        self,
        base: Linear,
        columns: Sequence[tuple[int, int]],
        r: int,
        alpha: int,
        rng: Random,
        dropout: float = 0.0,
        stream: Random | None = None,
    ) -> None:
        (d_in, d_out), dtype, device = sizes(base)
        check_rank(r, d_in, d_out)
        pairs = [thin_pair(d_in, r, stop - start, rng, dtype) for start, stop in columns]
        self.base, self.columns = base, columns
        self.a, self.b = [a for a, _ in pairs], [b for _, b in pairs]
        self.scale = alpha / r
        self.dropout, self.rng = dropout, stream
        self.original = None
        self.to(device)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.base(x)
        if self.original is not None:
            return y
        return y + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """(alpha / r) x A_i B_i in range i, 0 elsewhere: (..., d_in) -> (..., d_out)."""
        if self.training:
            x = dropout(x, self.dropout, self.rng)
        d_out = sizes(self.base)[0][1]
        pieces, end = [], 0  # `end`: columns done so far
        for (start, stop), a, b in zip(self.columns, self.a, self.b):
            if start > end:
                pieces.append(_zeros(x, start - end))
            pieces.append(linear(linear(x, a), b))  # (..., d_in) -> (..., r) -> (..., stop - start)
            end = stop
        if d_out > end:
            pieces.append(_zeros(x, d_out - end))
        if len(pieces) == 1:
            return pieces[0] * self.scale
        return concatenate(pieces, axis=-1) * self.scale

    def folded(self) -> list[np.ndarray]:
        """[W with the change of each range added, b] as arrays."""
        weight = self.base.weight.data.copy()
        for (start, stop), a, b in zip(self.columns, self.a, self.b):
            weight[:, start:stop] += self.scale * (a.data @ b.data)
        return [weight, bias_of(self.base)]

    def settings(self) -> dict[str, np.ndarray]:
        """Scale and columns, which cannot be inferred from the shapes of A and B."""
        return {
            "scale": np.array(self.scale, np.float64),
            "columns": np.array(self.columns, np.int64),
        }

    def check_settings(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Any scale may be loaded; the columns must be these."""
        return super().check_settings({name: a for name, a in arrays.items() if name != "scale"})

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load the scale."""
        self.scale = float(arrays.get("scale", self.scale))

    def unsavable(self) -> str | None:
        """Why the model cannot be saved, or None; see merging.py."""
        return unsavable(self)


def thin_pair(d_in: int, r: int, d_out: int, rng: Random, dtype: DType) -> tuple[Tensor, Tensor]:
    """(A, B) of a new change: A (d_in, r) drawn, B (r, d_out) zero.

    x A then has the variance of x: its entries are sums of d_in terms with variance 1 / d_in.
    """
    a = normal_parameter((d_in, r), rng, d_in**-0.5, dtype)
    return a, Tensor(np.zeros((r, d_out), dtype), requires_grad=True)


def check_rank(r: int, d_in: int, d_out: int) -> None:
    """Raise ConfigError for a rank that is not from 1 to d_in."""
    if not 1 <= r <= d_in:
        raise ConfigError(
            f"LoRA: rank {r} of a map of {d_in} to {d_out}: it must be from 1 to {d_in}"
        )


def bias_of(base: Linear) -> np.ndarray:
    """The bias of a Linear as an array, or None."""
    if base.bias is None:
        return None
    return base.bias.data


def _zeros(x, width):
    return Tensor(np.zeros_like(x.data, shape=(*x.shape[:-1], width)))


def columns_of(holder: SelfAttention, key: str, parts: str) -> list[tuple[int, int]]:
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
            f"{key} of a {type(holder).__name__} has no parts {', '.join(parts)}: "
            "parts are those of attention's qkv, or kv in cross-attention"
        )
    groups = getattr(holder, "kv_heads", holder.heads)
    widths = {
        "q": holder.heads * holder.width,
        "k": groups * holder.width,
        "v": groups * holder.width,
    }
    # qkv: columns 0 .. Q are queries, the next G K keys, the last G K values (G groups of width K)
    edges = np.cumsum([0, *(widths[letter] for letter in kind)]).tolist()
    spans = [(edges[i], edges[i + 1]) for i, letter in enumerate(kind) if letter in parts]
    # Where layers share keys and values, most have queries only.
    return [(start, stop) for start, stop in spans if stop > start]


def lora(
    model: Module,
    *patterns: str,
    r: int = 8,
    alpha: int = 16,
    dropout: float = 0.0,
    parts: str | None = None,
    seed: int = 0,
) -> Module:
    """Freeze a model and put LoRA around some of its linear maps, in place.

    patterns  names of Linears, as in wrap.places: "qkv", "attention.out", "hidden", "gate"; none:
              every Linear
    parts     of packed projections: "qv" changes queries and values only, each with its own A and B
              (the paper's choice)
    returns   the model. Heads that are to be trained too: unfreeze() them
    raises    ConfigError for a pattern that matches nothing, or parts that are not there
    """
    found = [
        (name, holder, key, base)
        for name, holder, key, base in places(model, (Linear, QuantizedLinear), *patterns)
        if not isinstance(holder, (LoRA, PackedLoRA))  # it has a change beside it already
    ]
    if not found:
        raise ConfigError(
            "lora: the model has no Linear to put a change beside, so nothing would be trained; "
            "pruned and rounded maps become Linears again with compress.reweight.bake()"
        )
    columns = [None] * len(found)
    if parts:  # before anything is changed: a part that is not there raises here
        columns = [columns_of(holder, key, parts) for _, holder, key, _ in found]
    freeze(model)
    device = model.parameters()[0].device  # quantized weights stay on the CPU wherever the model is
    stream = getattr(model, "rng", None)
    if stream is None and dropout > 0:  # a model that has no dropout of its own
        stream = Random(seed, "lora", "dropout")
    for (name, holder, key, base), ranges in zip(found, columns):
        rng = Random(seed, "lora", name)
        if ranges is None:
            changed = LoRA(base, r, alpha, rng, dropout, stream)
        else:
            changed = PackedLoRA(base, ranges, r, alpha, rng, dropout, stream)
        put(holder, key, changed.to(device))
    return model
