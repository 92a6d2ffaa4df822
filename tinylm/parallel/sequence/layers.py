"""A decoder whose ranks have parts of every sequence: attention goes round, or all tokens of some
heads come together; the rest is local.

Read first: ring.py, heads.py. Read next: ../stage.py.
"""

import numpy as np

from tinylm.autograd import rotary
from tinylm.autograd.kernels.activations import kept_scaled
from tinylm.errors import ConfigError
from tinylm.nn.attention.multi_head import merge_heads, projected
from tinylm.nn.module import Module
from tinylm.parallel.sequence.heads import Exchange
from tinylm.parallel.sequence.ring import own_positions, ring_attention
from tinylm.parallel.tensor.cuts import shared_heads
from tinylm.parallel.tensor.draws import PartOfDraws
from tinylm.parallel.tensor.layers import ColumnSplit, RowSplit
from tinylm.parallel.tensor.split import OwnHeads


class Tokens:
    """Which positions of a sequence a rank of a context group has.

    comm   Communicator of the group
    heads  False: attention goes round a ring, and positions are balanced for it. True: ranks share
           the heads while they attend, and positions are in order
    total  tokens of the whole sequence, set before each forward pass
    """

    def __init__(self, comm, heads=False):
        self.comm, self.heads, self.total = comm, heads, None

    def own(self, total=None):
        """The positions of this rank: integers."""
        if total is None:
            total = self.total
        return own_positions(total, self.comm.rank, self.comm.size, balanced=not self.heads)

    def attended(self):
        """The positions whose queries attention has here: integers."""
        if self.heads:
            return np.arange(self.total)
        return self.own()


class RingSelfAttention(Module):
    """A SelfAttention whose keys and values come from all ranks of a context group.

    attention  SelfAttention, of which projections and norms are used
    tokens     Tokens
    """

    def __init__(self, attention, tokens):
        self.attention, self.tokens = attention, tokens

    def __call__(self, x, rotation=None, mask=None, bias=None, cache=None, layer=0):
        """x (B, T, D) of this rank's positions -> (B, T, D); arguments as of SelfAttention."""
        if mask is not None or bias is not None or cache is not None:
            raise ConfigError("RingSelfAttention: masks, biases and caches do not go round a ring")
        inner = self.attention
        q, k, v = projected(inner, x)  # (B, H, T, K), (B, G, T, K) twice
        if rotation is not None:
            q, k = (rotary(y, cos=rotation[0], sin=rotation[1]) for y in (q, k))
        dropped = None
        if inner.dropout and inner.training:
            # What the single process would draw for all queries, of which these are some.
            B, H, T, _ = q.shape
            total = self.tokens.total
            whole = kept_scaled((B, H, total, total), inner.dropout, inner.rng, q.dtype)
            dropped = np.ascontiguousarray(whole[:, :, self.tokens.own()])
        y = ring_attention(
            q, k, v, self.tokens.comm, self.tokens.total, scale=inner.scale, dropped=dropped
        )
        return inner.out(merge_heads(y))


class GatheredTokens(ColumnSplit):
    """The map to queries, keys and values, after which a rank has all tokens of its heads."""

    def __init__(self, split, exchange):
        super().__init__(split.weight, split.bias, split.stream)
        self.exchange = exchange

    def __call__(self, x):
        return self.exchange.before(super().__call__(x))


class GatheredHeads(RowSplit):
    """The map behind attention, before which a rank gets all heads of its tokens back."""

    def __init__(self, split, exchange):
        super().__init__(split.weight, split.bias, split.stream)
        self.exchange = exchange

    def __call__(self, y):
        return super().__call__(self.exchange.after(y))


def check_contexts(config, size, heads=False, tensor=1):
    """Raise ConfigError if a decoder cannot have its sequences cut in `size` parts.

    heads    ranks share heads while they attend; False: keys and values go round
    tensor   ranks that share the heads already
    """
    if size == 1:
        return
    if heads:
        _check_heads(config, size, tensor)
        return
    c = config
    problems = {
        "windows of attention": "window" in c.attention,
        "capped scores": c.attention_cap is not None,
        f"positions {c.positions!r}, which bias scores": c.positions
        not in ("learned", "sinusoidal", "rope", "none"),
    }
    for what, present in problems.items():
        if present:
            raise ConfigError(
                f"layout: {what} cannot go round a ring of cp={size}; cp={size},heads can have "
                "them, or cp=1"
            )
    _check_either(c, size)


def _check_either(c, size):
    """What no rank with a part of the tokens can compute yet."""
    problems = {
        "experts": "experts" in c.feed_forward,
        "keys and values that layers share": c.kv_sharing > 1,
    }
    for what, present in problems.items():
        if present:
            raise ConfigError(f"layout: {what} cannot be cut in cp={size} parts; cp=1 can")


def _check_heads(c, size, tensor):
    """Ranks share the heads that a tensor share has, of the smallest of which each needs one."""
    G = c.n_kv_head or c.n_head
    least = min(shared_heads(G, c.n_head, rank, tensor)[0] for rank in range(tensor))
    if size > least:
        shared = f", of which tp={tensor} leaves a rank {least}" if tensor > 1 else ""
        raise ConfigError(
            f"layout: cp={size},heads cannot share {c.n_head} heads{shared}; cp={least},heads can, "
            f"or the ring, cp={size}"
        )
    problems = {
        "a norm over the queries of all heads (qk_norm 'width')": c.qk_norm == "width",
        "FIRE positions": c.positions == "fire",
    }
    for what, present in problems.items():
        if present:
            raise ConfigError(f"layout: {what} cannot have cp={size},heads; cp=1 can")
    _check_either(c, size)


def cut_sequences(model, tokens, tensor=1):
    """Replace the attention of every block of a GPT by one of ranks with parts of the sequences, in
    place.

    model    GPT, split by tensor/split.py among `tensor` ranks
    raises   ConfigError for a decoder that cannot be cut so
    """
    size = tokens.comm.size
    check_contexts(model.config, size, tokens.heads, tensor)
    if size == 1:
        return
    for block in model.blocks:
        if tokens.heads:
            _share_heads(block.attention, model.config.n_head, tokens)
        else:
            block.attention = RingSelfAttention(block.attention, tokens)
    if tokens.heads and model.position_bias is not None:
        _share_bias(model, tokens)


def _share_heads(attention, total, tokens):
    """Let an attention compute this rank's heads of all tokens. total: heads of the whole model."""
    exchange = Exchange(tokens, attention.heads, attention.kv_heads)
    attention.qkv = GatheredTokens(attention.qkv, exchange)
    attention.out = GatheredHeads(attention.out, exchange)
    attention.heads, attention.kv_heads = exchange.own_heads, exchange.own_kv_heads
    rng, kept = attention.rng, np.arange(total)
    if isinstance(rng, PartOfDraws):  # this tensor share's heads of the draws
        rng, kept = rng.rng, rng.kept
    attention.rng = PartOfDraws(rng, 1, total, kept[exchange.first : exchange.last])


def _share_bias(model, tokens):
    """The same for the bias of the scores, which all layers read."""
    bias, at, heads = model.position_bias, 0, model.config.n_head
    if isinstance(bias, OwnHeads):
        bias, at, heads = bias.bias, bias.first, bias.last - bias.first
    groups = model.config.n_kv_head or model.config.n_head
    kv_heads = heads * groups // model.config.n_head
    exchange = Exchange(tokens, heads, kv_heads)
    model.position_bias = OwnHeads(bias, at + exchange.first, at + exchange.last)
