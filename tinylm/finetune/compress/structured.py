"""Structured pruning: whole heads and layers are removed, for a smaller and faster model   (book
section 1.3.3; Michel et al. 2019, Fan et al. 2019)

    MHA(x) = sum over heads h of xi_h head_h(x) W_O^h        gate xi_h = 1; 0 removes the head

The importance of a head is the gradient of the loss with respect to its gate, or the rise of the
loss without it. Removing it deletes its columns of the query, key and value maps and its rows of
the output map: the same function as with a closed gate, with less work. LayerDrop skips layers at
random in training, so that the model works without some of them later. Read next: early_exit.py,
which skips layers depending on the input.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinylm.autograd import Array, Tensor, broadcast_to, grad, no_grad
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError
from tinylm.nn import Linear, Module, SelfAttention
from tinylm.nn.block import Block
from tinylm.pretrain.batch import Batch


def attentions(model: Module) -> list[SelfAttention]:
    """The self-attentions of all layers in order, a shared one once.

    "layer" below is an index into this list.
    """
    return list({id(block.attention): block.attention for block in model.blocks}.values())


@contextlib.contextmanager
def gated(model: Module, gates: Sequence[Array]) -> Iterator[Module]:
    """A context in which the output of each head is multiplied by its gate xi_h.

    model    Module with blocks
    gates    one for every attention, each (H,) or, with a row for every sequence, (B, H); arrays or
             Tensors
    """
    found = attentions(model)
    outs = [attention.out for attention in found]

    def through(out, gate, width):
        def call(y):  # y (B, T, H K): the heads' outputs, side by side
            heads = gate.shape[-1]
            # (H,) -> (H, K) -> (1, 1, H K), or (B, H) -> (B, H, K) -> (B, 1, H K)
            wide = broadcast_to(gate.reshape(*gate.shape, 1), (*gate.shape, width))
            return out(y * wide.reshape(-1, 1, heads * width))

        return call

    for attention, out, gate in zip(found, outs, gates, strict=True):
        if not isinstance(gate, Tensor):
            gate = Tensor(gate)
        attention.out = through(out, gate, attention.width)
    try:
        yield model
    finally:
        for attention, out in zip(found, outs):
            attention.out = out


def head_importance(model: Module, loss: Callable, batches: Sequence[Batch]) -> Any:
    """I_h = mean over inputs of |dL/dxi_h| at xi = 1   (Michel et al. 2019, eq. 2)

    loss     (model, batch) -> Tensor (), a mean over the rows of the batch, which must not
             influence each other
    batches  Batches
    returns  (layers, H) array; all layers must have the same number of heads
    """
    found, total, rows = attentions(model), 0.0, 0
    heads = [attention.heads for attention in found]
    if len(set(heads)) > 1:
        raise ConfigError(
            f"head_importance: layers have {heads} heads, and a table needs as many in each"
        )
    like = model.parameters()[0].data
    for batch in batches:
        B = len(batch)
        # a gate for each row of the batch, so that one backward pass gives dL/dxi of each input
        gates = [Tensor(np.ones_like(like, shape=(B, H)), requires_grad=True) for H in heads]
        with gated(model, gates):
            gradients = grad(loss(model, batch), gates)  # a list of (B, H)
        # The loss is a mean over B rows: times B it is the sum of the losses of single rows.
        sizes = [abs(g.numpy()).sum(axis=0) for g in gradients]  # a list of (H,)
        total = total + B * np.stack(sizes)
        rows += B
    return total / rows


def head_ablation(model: Module, loss: Callable, batches: Sequence[Batch]) -> np.ndarray:
    """The rise of the loss when one head is removed: exact and slow, a pass for every head.

    arguments as in head_importance()
    returns   (layers, H) array of differences
    """
    found, weights = attentions(model), [len(batch) for batch in batches]
    rise = np.zeros((len(found), max(a.heads for a in found)))

    def mean_loss(gates):
        gates = [to_device(g, model.parameters()[0].device) for g in gates]
        with no_grad(), gated(model, gates):
            return np.average([loss(model, batch).item() for batch in batches], weights=weights)

    everything = [np.ones(a.heads, a.qkv.weight.dtype) for a in found]
    loss_of_all = mean_loss(everything)
    for layer, attention in enumerate(found):
        for head in range(attention.heads):
            gates = [g.copy() for g in everything]  # all open but this one
            gates[layer][head] = 0
            rise[layer, head] = mean_loss(gates) - loss_of_all
    return rise


def least_important(importance: np.ndarray, count: int, at_least: int = 1) -> dict[int, list[int]]:
    """The least important heads, as remove_heads() takes them.

    importance  (layers, H)
    count       number of heads to remove
    at_least    heads that every layer keeps
    returns     dict layer -> sorted list of heads
    raises      ConfigError if so many cannot be removed
    """
    layers, heads = importance.shape
    removed, left = {}, count
    for index in np.argsort(importance, axis=None, kind="stable").tolist():
        layer, head = divmod(index, heads)
        if left and len(removed.get(layer, ())) < heads - at_least:
            removed.setdefault(layer, []).append(head)
            left -= 1
    if left > 0:
        raise ConfigError(
            f"least_important: {count} heads cannot be removed: "
            f"{layers} layers of {heads} keep {at_least} each"
        )
    return {layer: sorted(found) for layer, found in sorted(removed.items())}


def sliced(
    inner: Linear, rows: np.ndarray | slice = slice(None), columns: np.ndarray | slice = slice(None)
) -> Linear:
    """A new Linear of some inputs (rows) and outputs (columns) of another, its weights copied."""
    made = Linear.__new__(Linear)
    made.weight = Tensor(inner.weight.data[rows][:, columns].copy(), requires_grad=True)
    made.bias = None
    if inner.bias is not None:
        made.bias = Tensor(inner.bias.data[columns].copy(), requires_grad=True)
    return made


def smaller_attention(attention: SelfAttention, keep: set[int]) -> SelfAttention:
    """An attention with only the heads in `keep`, the weights copied.

    raises  ConfigError if no head is left, if key-value groups would have different numbers of
            heads, or if queries and keys are normalized over all heads
    """
    if attention.qk_norm == "width":
        raise ConfigError(
            "remove_heads: queries and keys of this model are normed over all heads "
            "(qk_norm 'width'): without some of them the others would change"
        )
    H, G, K = attention.heads, attention.kv_heads, attention.width
    if not G:
        raise ConfigError(
            "remove_heads: this layer reads the keys and values of another, whose heads must stay"
        )
    # Query head h belongs to the key-value head h // (H / G); one without query heads goes too.
    groups = [[h for h in sorted(keep) if h // (H // G) == g] for g in range(G)]
    left = [g for g in range(G) if groups[g]]
    if len({len(groups[g]) for g in left}) != 1:
        raise ConfigError(
            f"remove_heads: {[len(g) for g in groups]} heads would be left on the {G} key-value "
            "heads: leave some, and equally many on each that stays"
        )
    queries = [h for g in left for h in groups[g]]
    # The packed map has H + 2 G slices of K columns: queries, then keys, then values.
    packed = queries + [H + g for g in left] + [H + G + g for g in left]
    made = SelfAttention.__new__(SelfAttention)
    vars(made).update(vars(attention), heads=len(queries), kv_heads=len(left))
    device = attention.qkv.weight.device
    made.qkv = sliced(attention.qkv, columns=to_device(_slices(packed, K), device))
    made.out = sliced(attention.out, rows=to_device(_slices(queries, K), device))
    return made


def _slices(numbers, K):
    """The indices of slices of K: slice c holds c K .. (c + 1) K - 1."""
    return np.concatenate([np.arange(c * K, (c + 1) * K) for c in numbers])


def remove_heads(model: Module, heads: dict[int, list[int]]) -> Module:
    """Remove heads in place: fewer parameters, and the same function as with closed gates.

    heads    dict layer (an index of attentions(model)) -> heads to remove
    returns  the model. If all layers keep the same number of heads, a GPT's configuration is
             updated; if not, it stays, and the model decodes without a key-value cache, which holds
             the same number of heads for every layer
    raises   ConfigError as smaller_attention(); or if positions have a bias for each head
    """
    if getattr(model, "position_bias", None) is not None:
        raise ConfigError(
            "remove_heads: this model's positions are a bias for each head; it would no longer fit"
        )
    if getattr(model.config, "kv_sharing", 1) > 1:
        raise ConfigError(
            "remove_heads: layers of this model share keys and values; without some heads of one "
            "the others would not fit"
        )
    found = attentions(model)
    for layer, removed in heads.items():
        attention = found[layer]
        small = smaller_attention(attention, set(range(attention.heads)) - set(removed))
        for block in model.blocks:
            if block.attention is attention:  # in every layer that shares it
                block.attention = small
    sizes = {(a.heads, a.kv_heads, a.width) for a in attentions(model)}
    if len(sizes) == 1 and hasattr(model.config, "head_width"):
        H, G, K = sizes.pop()
        model.config = replace(model.config, n_head=H, n_kv_head=G, head_width=K)
    return model


def keep_layers(model: Module, keep: Sequence[int]) -> Any:
    """A copy of a model with some of its layers.

    model    GPT or Encoder
    keep     numbers of the layers, in order
    returns  model of the same class, L = len(keep)
    raises   ConfigError if there is no such layer
    """
    if not keep or not all(0 <= layer < len(model.blocks) for layer in keep):
        raise ConfigError(f"keep_layers: layers {list(keep)} of a model with {len(model.blocks)}")
    # Fields of the configuration with an entry a layer keep those of the chosen layers.
    config, changes = model.config, {"n_layer": len(keep)}
    if getattr(config, "kv_sharing", 1) > 1:
        raise ConfigError(
            "keep_layers: layers of this model share keys and values and cannot be taken apart"
        )
    for field in ("attention", "feed_forward"):  # a GPT's may differ from layer to layer
        if field in vars(config):
            changes[field] = tuple(config.layer(field, layer) for layer in keep)
    if hasattr(config, "layer_groups"):
        changes["layer_groups"] = None
    # shallow first, so that the deep copy does not include the other layers
    kept = copy.copy(model)
    kept.blocks = [model.blocks[layer] for layer in keep]
    kept.config = replace(config, **changes)
    kept = copy.deepcopy(kept)
    for p in kept.parameters():  # the slots belong to the old model's optimizer
        p.slot = p.grad = None
    return kept


def evenly(layers: int, keep: int) -> list[int]:
    """`keep` of the layers 0 .. layers - 1, evenly spread from the first on   (Fan et al. 2019)"""
    return [i * layers // keep for i in range(keep)]


class LayerDrop(Module):
    """A block that is skipped with probability p in training: x in place of block(x)   (Fan et al.
    2019)

    It is skipped for the whole batch on every worker, which saves its time: on average L (1 - p)
    layers are computed.
    """

    def __init__(self, block: Block, p: float, rng: Random) -> None:
        self.block, self.p, self.rng = block, p, rng

    @property
    def attention(self) -> Any:
        """The block's attention."""
        return self.block.attention

    def __call__(self, x: Tensor, *args: Any, **options: Any) -> Tensor:
        if self.training and self.p > 0:
            with self.rng.rows(0, 1):  # one draw, whatever rows this worker has
                if bool(self.rng.bernoulli(self.p, (1,))[0]):
                    return x
        return self.block(x, *args, **options)


def with_layer_drop(model: Module, p: float, seed: int = 0) -> Module:
    """Skip layers with probability p in training, in place; without_layer_drop() undoes it.

    returns  the model
    """
    if not 0 <= p < 1:
        raise ConfigError(f"with_layer_drop: p = {p} is a probability below 1")
    rng = getattr(model, "rng", None) or Random(seed, "layer drop")
    model.blocks = [LayerDrop(block, p, rng) for block in without_layer_drop(model).blocks]
    return model


def without_layer_drop(model: Module) -> Module:
    """Remove LayerDrop around blocks; their weights stay. Returns the model."""
    for i, block in enumerate(model.blocks):
        if isinstance(block, LayerDrop):
            model.blocks[i] = block.block
    return model
