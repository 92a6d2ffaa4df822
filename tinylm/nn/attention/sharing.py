"""Layers that share attention: keys and values of a lower layer, or its weights   (book section
2.3.4, Fig. 2.8 e)

Two different things are called sharing across layers. Cross-layer attention makes queries of its
own and reads a lower layer's keys and values, so that only that layer needs a cache (Brandon et al.
2024). Shared attention weights are read as they are, so that the layer makes neither queries nor
keys, only values (Xiao et al. 2019). Sharing parameters is a third, and only a matter of using one
module twice. Read next: multi_head.py, which these vary.
"""

import numpy as np

from tinylm.autograd import attention
from tinylm.autograd.kernels.heads import even_heads, score_scale
from tinylm.autograd.kernels.masks import seen_mix, seen_scores, visible_softmax
from tinylm.errors import ConfigError
from tinylm.nn.attention.multi_head import merge_heads
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module


def _split(x, heads):
    """(B, T, n K) -> (B, n, T, K)."""
    B, T, width = x.shape
    return x.reshape(B, T, heads, width // heads).transpose(0, 2, 1, 3)


class CrossLayerAttention(Module):
    """Causal self-attention that may read the keys and values of a layer below   (Brandon et al.
    2024).

    d_model  D;  heads H;  kv_heads G
    owner    True: makes keys and values, for itself and the layers above; False: has no map for
             them
    """

    def __init__(self, d_model, heads, rng, kv_heads=None, owner=True, dtype=np.float32):
        if kv_heads is None:
            kv_heads = heads
        even_heads("CrossLayerAttention", d_model, heads, kv_heads)
        self.heads, self.kv_heads = heads, kv_heads
        self.q = Linear(d_model, d_model, rng, dtype=dtype)
        self.kv = (
            Linear(d_model, 2 * kv_heads * (d_model // heads), rng, dtype=dtype) if owner else None
        )
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x, shared=None):
        """Attend.

        x        (B, T, D)
        shared   (k, v) from the layer that owns them; an owner makes new ones and ignores it
        returns  (y (B, T, D), (k, v) each (B, G, T, K) for the layers above)
        raises   ConfigError if a layer that owns none is given none
        """
        if self.kv is not None:
            both = _split(self.kv(x), 2 * self.kv_heads)  # (B, 2G, T, K)
            shared = both[:, : self.kv_heads], both[:, self.kv_heads :]
        if shared is None:
            raise ConfigError(
                "CrossLayerAttention: this layer makes no keys and values: pass those of a layer below as shared="
            )
        y = attention(_split(self.q(x), self.heads), *shared, causal=True)
        return self.out(merge_heads(y)), shared


class SharedWeightAttention(Module):
    """Causal self-attention that may use the attention weights of a layer below   (Xiao et al.
    2019).

    owner    True: makes queries, keys and from them weights; False: only values, mixed by weights
             it is given
    """

    def __init__(self, d_model, heads, rng, owner=True, dtype=np.float32):
        even_heads("SharedWeightAttention", d_model, heads, heads)
        self.heads = heads
        self.qk = Linear(d_model, 2 * d_model, rng, dtype=dtype) if owner else None
        self.v = Linear(d_model, d_model, rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x, weights=None):
        """x (B, T, D), weights (B, H, T, T) of the owner -> (y (B, T, D), weights, the same Tensor
        for the layers above).
        """
        past = np.tri(x.shape[1], dtype=bool, like=x.data)
        if self.qk is not None:
            both = _split(self.qk(x), 2 * self.heads)  # (B, 2H, T, K)
            q, k = both[:, : self.heads], both[:, self.heads :]
            scores = seen_scores(q, k, past) * score_scale(q.shape[-1])  # (B, H, T, T)
            weights, _ = visible_softmax(scores, past)
        if weights is None:
            raise ConfigError(
                "SharedWeightAttention: this layer makes no weights: pass those of a layer below"
            )
        y = seen_mix(weights, _split(self.v(x), self.heads), past)
        return self.out(merge_heads(y)), weights


def shared_layers(kind, layers, share, *arguments, **options):
    """`layers` modules of a kind, of which every share-th owns what the next share - 1 use; share =
    1 shares nothing.
    """
    return [kind(*arguments, owner=i % share == 0, **options) for i in range(layers)]


def through(modules, x):
    """A residual stream through layers that hand on what they share: x + layer(x). (B, T, D) -> (B,
    T, D).
    """
    shared = None
    for module in modules:
        y, shared = module(x, shared)
        x = x + y
    return x
