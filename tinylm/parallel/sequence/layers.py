"""A decoder whose ranks have parts of every sequence: attention goes round, the rest is local.

Read first: ring.py. Read next: ../stage.py.
"""

import numpy as np

from tinylm.autograd import rotary
from tinylm.autograd.kernels.activations import kept_scaled
from tinylm.errors import ConfigError
from tinylm.nn.attention.multi_head import merge_heads, projected
from tinylm.nn.module import Module
from tinylm.parallel.sequence.ring import own_positions, ring_attention


class Tokens:
    """Which positions of a sequence a rank of a context group has.

    comm   Communicator of the group
    total  tokens of the whole sequence, set before each forward pass
    """

    def __init__(self, comm):
        self.comm, self.total = comm, None

    def own(self, total=None):
        """The positions of this rank: integers."""
        if total is None:
            total = self.total
        return own_positions(total, self.comm.rank, self.comm.size)


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


def check_contexts(config, size):
    """Raise ConfigError if a decoder cannot have its sequences cut in `size` parts."""
    c = config
    problems = {
        "windows of attention": "window" in c.attention,
        "experts": "experts" in c.feed_forward,
        "capped scores": c.attention_cap is not None,
        "keys and values that layers share": c.kv_sharing > 1,
        f"positions {c.positions!r}, which bias scores": c.positions
        not in ("learned", "sinusoidal", "rope", "none"),
    }
    for what, present in problems.items():
        if present and size > 1:
            raise ConfigError(f"layout: {what} cannot be cut in cp={size} parts; cp=1 can")


def cut_sequences(model, tokens):
    """Replace the attention of every block of a GPT by one that goes round, in place."""
    check_contexts(model.config, tokens.comm.size)
    if tokens.comm.size > 1:
        for block in model.blocks:
            block.attention = RingSelfAttention(block.attention, tokens)
