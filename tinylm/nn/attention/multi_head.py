"""Multi-head attention of a sequence with itself, and with another (book eqs. 2.6-2.11).

Per head, Att(Q, K, V) = Softmax(Q K^T / sqrt(K) + Mask) V, where K^T are the keys and the K under
the root is the width of a head; the heads are computed side by side, merged and projected. Shapes:
B batch, T queries, S keys, D model width, H heads, G heads of keys and values, K head width. Read
next: block.py, which puts attention around a residual stream.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Array, Tensor, attention, rotary, self_attention, tanh
from tinylm.autograd import dropout as drop
from tinylm.autograd.kernels.heads import check_heads, even_heads, score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    check_bias,
    grouped_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module
from tinylm.nn.norm import RMSNorm
from tinylm.nn.own_stream import OWN, own_stream

if TYPE_CHECKING:
    from tinylm.nn.memory.segments import SegmentStates


class SelfAttention(Module):
    """Softmax(Q K^T / sqrt(K)) V for every head, of a sequence with itself   (book eqs. 2.6-2.11).

    d_model     D, the width of the model
    heads       H
    rng         tinylm.Random of the initial weights, and of dropout while training; unless given, a
                stream of its own (../own_stream.py)
    kv_heads    G, the heads of keys and values; G divides H. G = H is multi-head attention, G = 1
                multi-query, and between them lies grouped-query attention   (book Table 2.2)
    width       K, the width of a head; D / H unless given
    bias        of the query, key and value projections
    out_bias    of the output projection; the same unless given
    scale       of the scores; 1/sqrt(K) unless given
    causal      each position sees itself and what came before; False: all positions
    cap         c: scaled scores become c tanh(score / c); None leaves them
    out_std     of the initial output projection
    dropout     probability of dropping an attention weight while training, drawn from rng
    qk_norm     RMS norm of queries and keys before they are rotated, see projected(): "head", over
                each head (Qwen3; Henry et al. 2020); "width", over all heads at once (OLMo 2); None
                for no norm
    qk_eps      of that norm
    owner       False: queries only, which read the keys and values of a lower layer, see
                sharing.py; its attribute kv_heads is 0
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random | None = OWN,
        kv_heads: int | None = None,
        width: int | None = None,
        bias: bool = True,
        out_bias: bool | None = None,
        scale: float | None = None,
        causal: bool = True,
        out_std: float = INIT_STD,
        dropout: float = 0.0,
        dtype: DType = np.float32,
        cap: float | None = None,
        qk_norm: str | None = None,
        qk_eps: float = 1e-6,
        owner: bool = True,
    ) -> None:
        if kv_heads is None:
            kv_heads = heads
        if out_bias is None:
            out_bias = bias
        even_heads("SelfAttention", d_model, heads, kv_heads, width)
        rng = own_stream(rng)
        if not owner:
            kv_heads = 0
        self.heads = heads
        self.kv_heads = kv_heads
        self.width = width or d_model // heads
        # W_q, W_k and W_v side by side in one matrix, so that a layer makes one large product
        # instead of three: D -> (H + 2G) K.
        self.qkv = Linear(d_model, (heads + 2 * kv_heads) * self.width, rng, bias, dtype=dtype)
        self.out = Linear(heads * self.width, d_model, rng, out_bias, std=out_std, dtype=dtype)
        self.causal = causal
        self.scale = scale
        self.cap = cap
        self.dropout = dropout
        self.rng = rng
        self.qk_norm = qk_norm
        self.q_norm = None
        self.k_norm = None
        if qk_norm is not None:
            queries, keys = 1, 1  # heads that share one mean square
            if qk_norm == "width":
                queries, keys = heads, kv_heads
            self.q_norm = RMSNorm(queries * self.width, eps=qk_eps, dtype=dtype)
            if kv_heads:
                self.k_norm = RMSNorm(keys * self.width, eps=qk_eps, dtype=dtype)

    def __call__(
        self,
        x: Tensor,
        rotation: Sequence[np.ndarray] | None = None,
        mask: np.ndarray | None = None,
        bias: Tensor | None = None,
        cache: Any = None,
        layer: int = 0,
        segments: "SegmentStates | None" = None,
    ) -> Tensor:
        """Every position attends to those that it sees: (B, T, D) -> (B, T, D).

        x         (B, T, D)
        rotation  (cos, sin) of rotary_angles for these T positions, or None
        mask      bool, broadcasts to (B, H, T, S), True = visible; on top of the causal mask
        bias      Tensor added to the scores, broadcasts to (B, H, T, S); see position/bias.py
        cache     holds keys and values of earlier tokens; these T are appended under `layer`. One
                  that has `joined` takes and returns Tensors, so that gradients flow through it:
                  learned keys and values (finetune/peft/prefix.py), or those of a lower layer
                  (sharing.py). One that has `attend` computes attention itself, without bias, cap
                  and dropout (generate/cache/shared_prefix.py)
        segments  SegmentStates of nn/memory/segments.py: M inputs of this layer in the segments
                  before, which come first; S = M + T, and `rotation` is for all S positions
        returns   (B, T, D)
        raises    ConfigError if the layer is no owner and the cache has no `joined`
        """
        if not self.kv_heads and not hasattr(cache, "joined"):
            raise ConfigError(
                "SelfAttention: this layer has queries only, and reads keys and values of a lower "
                "layer: pass them as cache=, a SharedPairs"
            )
        plain = cache is None and segments is None and bias is None
        if plain and self.cap is None and self.qk_norm is None:
            return self._fused(x, rotation, mask)

        T = x.shape[1]
        if segments is not None:
            x = segments.extended(layer, x)  # (B, T, D) -> (B, S, D)
        q, k, v = projected(self, x)  # (B, H, T, K), (B, G, T, K) twice; with segments S, not T
        if rotation is not None:
            cos, sin = rotation
            q = rotary(q, cos=cos, sin=sin)
            if self.kv_heads:
                k = rotary(k, cos=cos, sin=sin)
        if segments is not None:
            q = q[:, :, x.shape[1] - T :]  # (B, H, S, K) -> (B, H, T, K), of the new positions
        if hasattr(cache, "attend"):
            y = cache.attend(layer, q, k, v, mask, self.scale)
            return self.out(merge_heads(y))
        k, v = with_past(cache, layer, k, v)  # (B, G, T, K) -> (B, G, S, K), S with the past

        options: dict[str, Any] = {"bias": bias, "mask": mask, "causal": self.causal}
        options |= {"scale": self.scale, "rng": self.rng}
        options["dropout"] = self.dropout if self.training else 0.0
        if self.cap is not None:
            y = capped_attention(q, k, v, self.cap, **options)
        else:
            y = attention(q, k, v, **options)
        return self.out(merge_heads(y))  # (B, H, T, K) -> (B, T, H K) -> (B, T, D)

    def _fused(self, x, rotation, mask):
        """The usual case in one operation: what __call__ computes without cache, bias, cap or norm.

        The operation takes the packed projections, so heads are never split in memory.
        """
        y = self_attention(
            self.qkv(x),  # (B, T, D) -> (B, T, (H + 2G) K)
            self.heads,
            self.kv_heads,
            rotation=rotation,
            mask=mask,
            causal=self.causal,
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            rng=self.rng,
        )
        return self.out(y)  # (B, T, H K) -> (B, T, D)


class CrossAttention(Module):
    """Queries of one sequence attend to keys and values of another, as a decoder reads its encoder.

    Arguments as in SelfAttention. Queries have a projection of their own, because the two inputs
    are different sequences.
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random | None = OWN,
        width: int | None = None,
        bias: bool = True,
        scale: float | None = None,
        out_std: float = INIT_STD,
        dropout: float = 0.0,
        dtype: DType = np.float32,
    ) -> None:
        even_heads("CrossAttention", d_model, heads, width=width)
        rng = own_stream(rng)
        self.heads = heads
        self.width = width or d_model // heads
        self.q = Linear(d_model, heads * self.width, rng, bias, dtype=dtype)
        self.kv = Linear(d_model, 2 * heads * self.width, rng, bias, dtype=dtype)
        self.out = Linear(heads * self.width, d_model, rng, bias, std=out_std, dtype=dtype)
        self.scale = scale
        self.dropout = dropout
        self.rng = rng

    def keys_values(self, memory: Array) -> tuple[Tensor, Tensor]:
        """Keys and values of the other sequence: (B, S, D) -> k, v (B, H, S, K) each.

        They are the same at every step of decoding, so a decoder computes them once.
        """
        B, S, _ = memory.shape
        kv = self.kv(memory)  # (B, S, D) -> (B, S, 2 H K)
        kv = kv.reshape(B, S, 2 * self.heads, self.width).transpose(0, 2, 1, 3)  # (B, 2H, S, K)
        return kv[:, : self.heads], kv[:, self.heads :]

    def __call__(
        self,
        x: Tensor,
        memory: Array | tuple[Tensor, Tensor],
        mask: Array | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Every position of x attends to another sequence.

        x        (B, T, D)
        memory   (B, S, D), or what keys_values() returned for it
        mask     bool, broadcasts to (B, H, T, S), True = visible
        returns  (B, T, D)
        """
        B, T, _ = x.shape
        q = self.q(x).reshape(B, T, self.heads, self.width).transpose(0, 2, 1, 3)  # (B, H, T, K)
        if not isinstance(memory, tuple):
            memory = self.keys_values(memory)
        k, v = memory  # (B, H, S, K) each
        y = attention(
            q,
            k,
            v,
            bias=bias,
            mask=mask,
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            rng=self.rng,
        )
        return self.out(merge_heads(y))  # (B, H, T, K) -> (B, T, D)


def capped_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cap: float,
    bias: Array | None = None,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    rng: Random | None = None,
) -> Tensor:
    """attention() with soft-capped scores c tanh(q k^T scale / c)   (Gemma 2; Team Gemma 2024)

    A score cannot leave (-c, c). The fused attention has no cap, so these are plain recorded
    operations.

    cap      c > 0
    others   as in autograd.attention
    returns  (B, H, T, J); zeros for a query that sees nothing, and hidden keys left out, as in
             attention()
    """
    check_heads("capped_attention", q, k, v)
    check_bias(bias, "capped_attention")
    B, H, T, K = q.shape
    G, S, J = k.shape[1], k.shape[2], v.shape[3]
    scale = score_scale(K, scale)
    mask = bool_mask(mask, "capped_attention", shape=(B, H, T, S))
    if causal and T > 1:
        # Query i is token i + S - T of the S keys: with a cache, the last query is the last key.
        i = np.arange(T, like=q.data)[:, None] + (S - T)
        j = np.arange(S, like=q.data)[None, :]
        past = j <= i  # (T, S)
        mask = past if mask is None else mask & past
    seen = grouped_mask(mask, (B, H, T, S), G)

    # All query heads of a group read the same keys: (B, G, H/G, T, .) against (B, G, 1, S, .)
    q = q.reshape(B, G, H // G, T, K)
    k = k.reshape(B, G, 1, S, K)
    v = v.reshape(B, G, 1, S, J)
    scores = seen_scores(q, k, seen).reshape(B, H, T, S)  # q k^T
    scores = tanh(scores * scale / cap) * cap
    if bias is not None:
        scores = scores + bias
    weights, _ = visible_softmax(scores, mask)
    weights = drop(weights, dropout, rng).reshape(B, G, H // G, T, S)
    return seen_mix(weights, v, seen).reshape(B, H, T, J)


def split_heads(qkv: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values out of packed projections, head by head.

    qkv      (B, T, (H + 2G) K)
    returns  q (B, H, T, K), k (B, G, T, K), v (B, G, T, K)
    """
    B, T, width = qkv.shape
    parts = heads + 2 * kv_heads
    x = qkv.reshape(B, T, parts, width // parts).transpose(0, 2, 1, 3)  # (B, H + 2G, T, K)
    q = x[:, :heads]
    k = x[:, heads : heads + kv_heads]
    v = x[:, heads + kv_heads :]
    return q, k, v


def projected(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a SelfAttention, with its qk_norm, before rotation.

    x        (B, T, D)
    returns  (B, H, T, K), (B, G, T, K), (B, G, T, K); the last two are empty if G is 0

    With the norm of each head, and g_q and g_k the largest gains, a score is at most
    g_q g_k sqrt(K), whatever the projections are: |q| <= g_q sqrt(K), |k| <= g_k sqrt(K). So
    training cannot make it grow until softmax saturates (Henry et al. 2020, query-key
    normalization; Dehghani et al. 2023). With the norm over all heads the bound is sqrt(H G) times
    as large, because one head may hold all of the length.

    Check: tinylm gradcheck nn.projected
    """
    q, k, v = split_heads(attention.qkv(x), attention.heads, attention.kv_heads)
    if attention.qk_norm == "head":
        q = attention.q_norm(q)
        if attention.kv_heads:
            k = attention.k_norm(k)
    elif attention.qk_norm == "width":
        q = _normed_over_heads(attention.q_norm, q)
        if attention.kv_heads:
            k = _normed_over_heads(attention.k_norm, k)
    return q, k, v


def with_past(cache: Any, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of T new tokens behind those that the cache holds for a layer.

    k, v     (B, G, T, K) Tensors
    returns  (B, G, S, K) Tensors, S = length + T; k and v themselves without a cache
    """
    if cache is None:
        return k, v
    if hasattr(cache, "joined"):
        return cache.joined(layer, k, v)
    k, v = cache.update(layer, k.data, v.data)  # arrays: no gradient enters the past
    return Tensor(k), Tensor(v)


def _normed_over_heads(norm, y):
    """A norm over the vectors of all heads side by side: (B, H, T, K) -> (B, H, T, K)."""
    B, H, T, K = y.shape
    y = norm(merge_heads(y))  # (B, T, H K), one mean square per token
    return y.reshape(B, T, H, K).transpose(0, 2, 1, 3)  # back to (B, H, T, K)


def merge_heads(y: Tensor) -> Tensor:
    """(B, H, T, K) -> (B, T, H K)   (Merge in book eq. 2.7)."""
    B, H, T, K = y.shape
    return y.transpose(0, 2, 1, 3).reshape(B, T, H * K)
