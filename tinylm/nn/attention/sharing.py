"""Layers that share keys and values, or attention weights   (book section 2.3.4, Fig. 2.8 e).

Two different things are called sharing across layers. In cross-layer attention a layer has its own
queries and reads the keys and values of a lower layer, so only that layer needs a cache (Brandon et
al. 2024). CrossLayerAttention is the plain form; a GPT with `kv_sharing` computes the same with
SelfAttention and SharedPairs, which work with rotations, masks and caches. With shared attention
weights a layer computes neither queries nor keys, only values, which it mixes by the weights of a
lower layer (Xiao et al. 2019). Sharing parameters is a third thing: using one module twice. Read
next: multi_head.py, of which these are variants.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, attention
from tinylm.autograd.kernels.heads import even_heads, score_scale
from tinylm.autograd.kernels.masks import seen_mix, seen_scores, visible_softmax
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn.attention.multi_head import merge_heads, with_past
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module


def _split(x, heads):
    """One head after another: (B, T, n K) -> (B, n, T, K)."""
    B, T, width = x.shape
    return x.reshape(B, T, heads, width // heads).transpose(0, 2, 1, 3)


class CrossLayerAttention(Module):
    """Causal self-attention that may read the keys and values of a layer below   (Brandon et al.
    2024).

    d_model   D, the width of the model
    heads     H
    kv_heads  G; H unless given
    owner     True: computes keys and values for itself and the layers above; False: has no
              projection for them
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random,
        kv_heads: int | None = None,
        owner: bool = True,
        dtype: DType = np.float32,
    ) -> None:
        if kv_heads is None:
            kv_heads = heads
        even_heads("CrossLayerAttention", d_model, heads, kv_heads)
        self.heads, self.kv_heads = heads, kv_heads
        self.q = Linear(d_model, d_model, rng, dtype=dtype)
        self.kv = None
        if owner:
            self.kv = Linear(d_model, 2 * kv_heads * (d_model // heads), rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(
        self, x: Tensor, shared: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attention of own queries to own keys and values, or to those of a layer below.

        x        (B, T, D)
        shared   (k, v) of the owner below; an owner ignores it and computes new ones
        returns  (y (B, T, D), (k, v) each (B, G, T, K) for the layers above)
        raises   ConfigError if shared is missing in a layer that is no owner
        """
        if self.kv is not None:
            both = _split(self.kv(x), 2 * self.kv_heads)  # (B, T, 2 G K) -> (B, 2G, T, K)
            shared = both[:, : self.kv_heads], both[:, self.kv_heads :]
        if shared is None:
            raise ConfigError(
                "CrossLayerAttention: this layer makes no keys and values: "
                "pass those of a layer below as shared="
            )
        k, v = shared  # (B, G, T, K) each
        q = _split(self.q(x), self.heads)  # (B, T, D) -> (B, H, T, K)
        y = attention(q, k, v, causal=True)
        return self.out(merge_heads(y)), shared  # (B, H, T, K) -> (B, T, D)


class SharedPairs:
    """Keys and values on one pass through a stack whose layers share them in groups.

    It stands in for a cache in SelfAttention. The first layer of a group stores its pair here; the
    others, made with owner=False, attend to it: the layers of a group compute

        y_l = Softmax(q_l K^T / sqrt(head width)) V,    K and V of the first layer

    share   layers in a group
    cache   of earlier tokens, with one slot for each group; or None
    """

    def __init__(self, share: int, cache: Any = None) -> None:
        self.share, self.cache = share, cache
        self._group, self._pair = None, None  # the group being passed, and its (k, v)

    def joined(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values that a layer attends to, those of earlier tokens before the new ones.

        k, v     (B, G, T, K) Tensors of the first layer of a group; not used for the others
        returns  (B, G, S, K) Tensors, the same for all layers of a group: their gradients add up
        raises   ConfigError if the first layer of the group did not run before
        """
        group, place = divmod(layer, self.share)
        if place == 0:
            self._group, self._pair = group, with_past(self.cache, group, k, v)
        if self._group != group:
            raise ConfigError(
                f"SharedPairs: layer {layer} reads the keys and values of layer "
                f"{layer - place}, which did not run before it: keep the layers of a group together"
            )
        return self._pair


class SharedWeightAttention(Module):
    """Causal self-attention that may use the weights of a layer below   (Xiao et al. 2019).

    owner    True: computes queries and keys, and weights from them; False: only values, which are
             mixed by the weights of the owner below
    """

    def __init__(
        self, d_model: int, heads: int, rng: Random, owner: bool = True, dtype: DType = np.float32
    ) -> None:
        even_heads("SharedWeightAttention", d_model, heads, heads)
        self.heads = heads
        self.qk = None
        if owner:
            self.qk = Linear(d_model, 2 * d_model, rng, dtype=dtype)
        self.v = Linear(d_model, d_model, rng, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, dtype=dtype)

    def __call__(self, x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Own values mixed by own attention weights, or by those of a layer below.

        x        (B, T, D)
        weights  (B, H, T, T) of the owner below; an owner ignores it and computes new ones
        returns  (y (B, T, D), weights for the layers above)
        raises   ConfigError if weights are missing in a layer that is no owner
        """
        past = np.tri(x.shape[1], dtype=bool, like=x.data)  # (T, T), True on and below the diagonal
        if self.qk is not None:
            both = _split(self.qk(x), 2 * self.heads)  # (B, 2H, T, K)
            q, k = both[:, : self.heads], both[:, self.heads :]
            scores = seen_scores(q, k, past) * score_scale(q.shape[-1])  # q k^T / sqrt(K)
            weights, _ = visible_softmax(scores, past)
        if weights is None:
            raise ConfigError(
                "SharedWeightAttention: this layer makes no weights: pass those of a layer below"
            )
        v = _split(self.v(x), self.heads)  # (B, H, T, K)
        y = seen_mix(weights, v, past)  # weights v
        return self.out(merge_heads(y)), weights


def shared_layers(
    kind: Callable[..., Module], layers: int, share: int, *arguments: Any, **options: Any
) -> list[Module]:
    """A stack of modules in groups of `share`, the first of each group the owner.

    kind      CrossLayerAttention or SharedWeightAttention, called with arguments and options
    layers    how many modules
    share     layers in a group; 1 shares nothing
    """
    modules = []
    for i in range(layers):
        modules.append(kind(*arguments, owner=i % share == 0, **options))
    return modules


def through(modules: Sequence[Module], x: Tensor) -> Tensor:
    """x + layer(x) for each layer, passing on what they share: (B, T, D) -> (B, T, D)."""
    shared = None
    for module in modules:
        y, shared = module(x, shared)
        x = x + y
    return x
