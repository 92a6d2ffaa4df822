"""Structured pruning: take away whole heads and whole layers, so that what is left is a smaller,
faster model (book section 1.3.3; Michel et al. 2019, Fan et al. 2019)

A head's importance is how much the loss feels a gate on its output, or how much is lost without it.
Removing it deletes its columns of the query, key and value maps and its rows of the output map:
exactly what closing the gate computes, with less work. LayerDrop skips layers at random in
training, so that the model bears losing some afterwards. Read next: early_exit.py, which skips
layers only where an input allows it.
"""

import contextlib
import copy
from dataclasses import replace

import numpy as np

from tinylm.autograd import Tensor, broadcast_to, grad, no_grad
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError
from tinylm.nn import Linear, Module, SelfAttention


def attentions(model):
    """The self-attention of every layer, each once if layers share it: a list in order, by whose
    places heads are named.
    """
    return list({id(block.attention): block.attention for block in model.blocks}.values())


@contextlib.contextmanager
def gated(model, gates):
    """While this is entered, the output of head h is xi_h times what it was: MHA = sum over h of
    xi_h head_h.

    model    with blocks
    gates    one for every attention, each (H,) or, with a row for every sequence, (B, H); arrays or
             Tensors
    """
    found = attentions(model)
    outs = [attention.out for attention in found]

    def through(out, gate, width):
        def call(y):  # y (B, T, H K)
            heads = gate.shape[-1]
            wide = broadcast_to(gate.reshape(*gate.shape, 1), (*gate.shape, width)).reshape(
                -1, 1, heads * width
            )
            return out(y * wide)

        return call

    for attention, out, gate in zip(found, outs, gates, strict=True):
        attention.out = through(
            out, gate if isinstance(gate, Tensor) else Tensor(gate), attention.width
        )
    try:
        yield model
    finally:
        for attention, out in zip(found, outs):
            attention.out = out


def head_importance(model, loss, batches):
    """I_h = mean over inputs of |dL/dxi_h| at xi = 1   (Michel et al. 2019, eq. 2)

    loss     (model, batch) -> Tensor (), a mean over the rows of the batch, which do not see each
             other
    batches  Batches
    returns  (layers, H) array; layers by attentions(model), which must have equally many heads
    """
    found, total, rows = attentions(model), 0.0, 0
    if len({attention.heads for attention in found}) > 1:
        raise ConfigError(
            f"head_importance: layers have {[a.heads for a in found]} heads, and a table needs as many in each"
        )
    for batch in batches:
        gates = [
            Tensor(
                np.ones_like(model.parameters()[0].data, shape=(len(batch), a.heads)),
                requires_grad=True,
            )
            for a in found
        ]
        with gated(model, gates):
            felt = grad(loss(model, batch), gates)
        total = total + len(batch) * np.stack([abs(g.numpy()).sum(axis=0) for g in felt])
        rows += len(batch)
    return total / rows


def head_ablation(model, loss, batches):
    """How much the loss rises when one head is silent: the honest and slow measure, one pass for
    every head.

    arguments as in head_importance();  returns (layers, H) array of differences
    """
    found, weights = attentions(model), [len(batch) for batch in batches]
    rise = np.zeros((len(found), max(a.heads for a in found)))

    def mean_loss(gates):
        gates = [to_device(g, model.parameters()[0].device) for g in gates]
        with no_grad(), gated(model, gates):
            return np.average([loss(model, batch).item() for batch in batches], weights=weights)

    everything = [np.ones(a.heads, a.qkv.weight.dtype) for a in found]
    whole = mean_loss(everything)
    for layer, attention in enumerate(found):
        for head in range(attention.heads):
            gates = [g.copy() for g in everything]
            gates[layer][head] = 0
            rise[layer, head] = mean_loss(gates) - whole
    return rise


def least_important(importance, count, at_least=1):
    """The heads to remove first, as remove_heads() takes them.

    importance  (layers, H)
    count       how many
    at_least    heads that every layer keeps
    returns     dict layer -> sorted list of heads
    raises      ConfigError if so many cannot go
    """
    layers, heads = importance.shape
    gone = {}
    for place in np.argsort(importance, axis=None, kind="stable"):
        layer, head = divmod(int(place), heads)
        if sum(map(len, gone.values())) < count and len(gone.get(layer, ())) < heads - at_least:
            gone.setdefault(layer, []).append(head)
    if sum(map(len, gone.values())) < count:
        raise ConfigError(
            f"least_important: {count} heads cannot go: {layers} layers of {heads} keep {at_least} each"
        )
    return {layer: sorted(found) for layer, found in sorted(gone.items())}


def sliced(inner, rows=slice(None), columns=slice(None)):
    """A new Linear of some inputs (rows) and outputs (columns) of another, its weights copied."""
    made = Linear.__new__(Linear)
    made.weight = Tensor(inner.weight.data[rows][:, columns].copy(), requires_grad=True)
    made.bias = (
        None if inner.bias is None else Tensor(inner.bias.data[columns].copy(), requires_grad=True)
    )
    return made


def smaller_attention(attention, keep):
    """An attention with only the heads in `keep`, the weights copied.

    raises  ConfigError if no head is left, if key-value groups would have unequal numbers of heads,
            or if queries and keys are normed over all heads
    """
    if attention.qk_norm == "width":
        raise ConfigError(
            "remove_heads: queries and keys of this model are normed over all heads (qk_norm 'width'): "
            "without some of them the others would change"
        )
    H, G, K = attention.heads, attention.kv_heads, attention.width
    groups = [[h for h in sorted(keep) if h // (H // G) == g] for g in range(G)]
    left = [g for g in range(G) if groups[g]]
    if len({len(groups[g]) for g in left}) != 1:
        raise ConfigError(
            f"remove_heads: {[len(g) for g in groups]} heads would be left on the {G} key-value heads: leave some, "
            "and equally many on each that stays"
        )
    columns = (
        [h for g in left for h in groups[g]] + [H + g for g in left] + [H + G + g for g in left]
    )
    places = np.concatenate([np.arange(c * K, (c + 1) * K) for c in columns])
    made = SelfAttention.__new__(SelfAttention)
    vars(made).update(vars(attention), heads=sum(map(len, groups)), kv_heads=len(left))
    made.qkv = sliced(attention.qkv, columns=to_device(places, attention.qkv.weight.device))
    rows = np.concatenate([np.arange(h * K, (h + 1) * K) for g in left for h in groups[g]])
    made.out = sliced(attention.out, rows=to_device(rows, attention.out.weight.device))
    return made


def remove_heads(model, heads):
    """Really remove heads, in place: afterwards the model has fewer parameters and computes what
    closed gates computed.

    heads    dict layer (by attentions(model)) -> heads to remove
    returns  the model. The configuration of a GPT whose layers all keep as many heads says so; else
             it stays, and as key-value caches hold equally many heads for every layer, such a model
             decodes without one
    raises   ConfigError as smaller_attention(); or if positions have a bias for each head
    """
    if getattr(model, "position_bias", None) is not None:
        raise ConfigError(
            "remove_heads: this model's positions are a bias for each head; it would no longer fit"
        )
    found = attentions(model)
    for layer, gone in heads.items():
        small = smaller_attention(found[layer], set(range(found[layer].heads)) - set(gone))
        for block in model.blocks:
            if block.attention is found[layer]:
                block.attention = small
    left = {(a.heads, a.kv_heads, a.width) for a in attentions(model)}
    if len(left) == 1 and hasattr(model.config, "head_width"):
        model.config = replace(
            model.config, **dict(zip(("n_head", "n_kv_head", "head_width"), *left))
        )
    return model


def keep_layers(model, keep):
    """A model of some of the layers, with its own copies of the weights.

    model    GPT or Encoder
    keep     the numbers of the layers, in order
    returns  model of the same class, L = len(keep)
    raises   ConfigError if there is no such layer
    """
    if not keep or not all(0 <= layer < len(model.blocks) for layer in keep):
        raise ConfigError(f"keep_layers: layers {list(keep)} of a model with {len(model.blocks)}")
    config, changes = model.config, {"n_layer": len(keep)}
    for field in {"attention", "feed_forward"} & set(
        vars(config)
    ):  # what GPT varies from layer to layer
        changes[field] = tuple(config.layer(field, layer) for layer in keep)
    if hasattr(config, "layer_groups"):
        changes["layer_groups"] = None
    bare = copy.copy(model)
    bare.blocks, bare.config = [model.blocks[layer] for layer in keep], replace(config, **changes)
    bare = copy.deepcopy(bare)
    for p in bare.parameters():  # places in the old model's optimizer are not the copy's
        p.slot = p.grad = None
    return bare


def evenly(layers, keep):
    """`keep` of the layers 0 .. layers - 1, evenly spread, the first among them: every other if
    half stay   (Fan et al. 2019)
    """
    return [i * layers // keep for i in range(keep)]


class LayerDrop(Module):
    """A block that is skipped with probability p while training: x instead of block(x) (Fan et al.
    2019)

    A layer is skipped for the whole batch, on every worker alike, so it saves its time: L (1 - p)
    run on average.
    """

    def __init__(self, block, p, rng):
        self.block, self.p, self.rng = block, p, rng

    @property
    def attention(self):
        """The block's attention."""
        return self.block.attention

    def __call__(self, x, *args, **options):
        if self.training and self.p > 0:
            with self.rng.rows(0, 1):  # one draw, whatever rows this worker has
                if bool(self.rng.bernoulli(self.p, (1,))[0]):
                    return x
        return self.block(x, *args, **options)


def with_layer_drop(model, p, seed=0):
    """Skip layers with probability p in training, in place; without_layer_drop() undoes it. Returns
    the model.
    """
    if not 0 <= p < 1:
        raise ConfigError(f"with_layer_drop: p = {p} is a probability below 1")
    rng = getattr(model, "rng", None) or Random(seed, "layer drop")
    model.blocks = [LayerDrop(block, p, rng) for block in without_layer_drop(model).blocks]
    return model


def without_layer_drop(model):
    """Plain blocks again, as they were trained. Returns the model."""
    model.blocks = [
        block.block if isinstance(block, LayerDrop) else block for block in model.blocks
    ]
    return model
