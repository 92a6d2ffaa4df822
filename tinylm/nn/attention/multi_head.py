"""Multi-head self-attention with grouped key-value heads, with and without a cache; and
cross-attention (book eqs. 2.6-2.11).

Read next: block.py, which puts it around a residual stream.
"""

import numpy as np

from tinylm.autograd import Tensor, attention, rotary, self_attention, tanh
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
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module
from tinylm.nn.norm import RMSNorm


class SelfAttention(Module):
    """Every position attends to the others; to itself and what came before, if causal.

    d_model     D;  heads H;  kv_heads G, which divides H: G = H multi-head, G = 1 multi-query, between them
                grouped-query attention   (book Table 2.2)
    width       K of each head; D / H unless given
    bias        of the query, key and value projections;  out_bias of the output projection, the same unless given
    scale       of the scores; 1/sqrt(K) unless given
    cap         c: scaled scores become c tanh(score / c); None leaves them
    out_std     of the initial output projection
    dropout     probability of dropping an attention weight while training, drawn from rng
    qk_norm     RMS norm of queries and keys before they turn, see projected(): "head", over each
                head (Qwen3; Henry et al. 2020); "width", over all heads at once (OLMo 2); None: as
                they are projected
    qk_eps      of that norm
    """

    def __init__(
        self,
        d_model,
        heads,
        rng,
        kv_heads=None,
        width=None,
        bias=True,
        out_bias=None,
        scale=None,
        causal=True,
        out_std=INIT_STD,
        dropout=0.0,
        dtype=np.float32,
        cap=None,
        qk_norm=None,
        qk_eps=1e-6,
    ):
        if kv_heads is None:
            kv_heads = heads
        even_heads("SelfAttention", d_model, heads, kv_heads, width)
        self.heads, self.kv_heads, self.width = heads, kv_heads, width or d_model // heads
        self.qkv = Linear(d_model, (heads + 2 * kv_heads) * self.width, rng, bias, dtype=dtype)
        self.out = Linear(
            heads * self.width,
            d_model,
            rng,
            bias if out_bias is None else out_bias,
            std=out_std,
            dtype=dtype,
        )
        self.causal, self.scale, self.cap, self.dropout, self.rng = causal, scale, cap, dropout, rng
        self.qk_norm, self.q_norm, self.k_norm = qk_norm, None, None
        if qk_norm is not None:
            queries, keys = (1, 1) if qk_norm == "head" else (heads, kv_heads)
            self.q_norm = RMSNorm(queries * self.width, eps=qk_eps, dtype=dtype)
            self.k_norm = RMSNorm(keys * self.width, eps=qk_eps, dtype=dtype)

    def __call__(self, x, rotation=None, mask=None, bias=None, cache=None, layer=0):
        """Attend.

        x         (B, T, D)
        rotation  (cos, sin) of rotary_angles for these T positions, or None
        mask      bool, broadcasts to (B, H, T, S), True = visible; on top of the causal mask
        bias      Tensor added to the scores, broadcasts to (B, H, T, S); see position/bias.py
        cache     holds keys and values of earlier tokens; these T are appended under `layer`. One
                  that has `joined` is learnt (finetune/peft/prefix.py): it takes and returns
                  Tensors, and keeps nothing
        returns   (B, T, D)
        """
        dropout = self.dropout if self.training else 0.0
        if cache is None and bias is None and self.cap is None and self.qk_norm is None:
            y = self_attention(
                self.qkv(x),
                self.heads,
                self.kv_heads,
                rotation=rotation,
                mask=mask,
                causal=self.causal,
                scale=self.scale,
                dropout=dropout,
                rng=self.rng,
            )
            return self.out(y)
        q, k, v = projected(self, x)  # (B, H, T, K), (B, G, T, K) twice
        if rotation is not None:
            q, k = (rotary(part, cos=rotation[0], sin=rotation[1]) for part in (q, k))
        if hasattr(cache, "joined"):
            k, v = cache.joined(layer, k, v)  # (B, G, S, K), S with the prefix
        elif cache is not None:
            k, v = map(Tensor, cache.update(layer, k.data, v.data))  # (B, G, S, K), S with the past
        if self.cap is not None:
            return self.out(
                merge_heads(
                    capped_attention(
                        q, k, v, self.cap, bias, mask, self.causal, self.scale, dropout, self.rng
                    )
                )
            )
        y = attention(
            q,
            k,
            v,
            bias=bias,
            mask=mask,
            causal=self.causal,
            scale=self.scale,
            dropout=dropout,
            rng=self.rng,
        )
        return self.out(merge_heads(y))  # (B, H, T, K) -> (B, T, D)


class CrossAttention(Module):
    """Queries of one sequence attend to keys and values of another: a decoder reading an encoder's
    output.

    Arguments as in SelfAttention. Separate projections: the two inputs are different sequences.
    """

    def __init__(
        self,
        d_model,
        heads,
        rng,
        width=None,
        bias=True,
        scale=None,
        out_std=INIT_STD,
        dropout=0.0,
        dtype=np.float32,
    ):
        even_heads("CrossAttention", d_model, heads, width=width)
        self.heads, self.width = heads, width or d_model // heads
        self.q = Linear(d_model, heads * self.width, rng, bias, dtype=dtype)
        self.kv = Linear(d_model, 2 * heads * self.width, rng, bias, dtype=dtype)
        self.out = Linear(heads * self.width, d_model, rng, bias, std=out_std, dtype=dtype)
        self.scale, self.dropout, self.rng = scale, dropout, rng

    def keys_values(self, memory):
        """What the queries will meet, (B, S, D) -> k, v (B, H, S, K) each: the same for every step
        of a decoding.
        """
        B, S, _ = memory.shape
        kv = self.kv(memory).reshape(B, S, 2 * self.heads, self.width).transpose(0, 2, 1, 3)
        return kv[:, : self.heads], kv[:, self.heads :]

    def __call__(self, x, memory, mask=None, bias=None):
        """x (B, T, D), memory (B, S, D) or its keys_values, mask bool that broadcasts to (B, H, T,
        S) -> (B, T, D).
        """
        B, T, _ = x.shape
        q = self.q(x).reshape(B, T, self.heads, self.width).transpose(0, 2, 1, 3)  # (B, H, T, K)
        k, v = (
            memory if isinstance(memory, tuple) else self.keys_values(memory)
        )  # (B, H, S, K) each
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
        return self.out(merge_heads(y))


def capped_attention(
    q, k, v, cap, bias=None, mask=None, causal=False, scale=None, dropout=0.0, rng=None
):
    """attention() with soft-capped scores: c tanh(q k^T * scale / c) cannot leave (-c, c)   (Gemma
    2; Team Gemma 2024)

    cap      c > 0
    others   as in autograd.attention, which has no place for it: here in plain recorded operations
    returns  (B, H, T, J); zeros for a query that sees nothing, and what is hidden left out, as in
             attention()
    """
    check_heads("capped_attention", q, k, v)
    check_bias(bias, "capped_attention")
    B, H, T, K = q.shape
    G, S, J = k.shape[1], k.shape[2], v.shape[3]
    scale = score_scale(K, scale)
    mask = bool_mask(mask, "capped_attention", shape=(B, H, T, S))
    if causal and T > 1:
        seen = np.arange(S, like=q.data)[None, :] <= np.arange(T, like=q.data)[:, None] + (
            S - T
        )  # (T, S)
        mask = seen if mask is None else mask & seen
    seen = grouped_mask(mask, (B, H, T, S), G)
    scores = seen_scores(q.reshape(B, G, H // G, T, K), k.reshape(B, G, 1, S, K), seen)
    scores = tanh(scores.reshape(B, H, T, S) * scale / cap) * cap
    if bias is not None:
        scores = scores + bias
    weights, _ = visible_softmax(scores, mask)
    weights = drop(weights, dropout, rng).reshape(B, G, H // G, T, S)
    return seen_mix(weights, v.reshape(B, G, 1, S, J), seen).reshape(B, H, T, J)


def split_heads(qkv, heads, kv_heads):
    """Packed projections into queries, keys and values: (B, T, (H+2G) K) -> (B, H, T, K), (B, G, T,
    K), (B, G, T, K).
    """
    B, T, width = qkv.shape
    x = qkv.reshape(B, T, heads + 2 * kv_heads, width // (heads + 2 * kv_heads)).transpose(
        0, 2, 1, 3
    )
    return x[:, :heads], x[:, heads : heads + kv_heads], x[:, heads + kv_heads :]


def projected(attention, x):
    """Queries, keys and values of a SelfAttention, normed if it says so, before they turn.

    x        (B, T, D)
    returns  (B, H, T, K), (B, G, T, K), (B, G, T, K)

    With qk_norm a score is at most |gain_q| |gain_k| sqrt(K), whatever the weights before it: it
    cannot grow until softmax saturates (Henry et al. 2020, query-key normalization; Dehghani et al.
    2023).

    Check: tinylm gradcheck nn.projected
    """
    q, k, v = split_heads(attention.qkv(x), attention.heads, attention.kv_heads)
    if attention.qk_norm == "head":
        return attention.q_norm(q), attention.k_norm(k), v
    if attention.qk_norm == "width":
        return _normed_over_heads(attention.q_norm, q), _normed_over_heads(attention.k_norm, k), v
    return q, k, v


def _normed_over_heads(norm, y):
    """A norm of the vectors of all heads side by side: (B, H, T, K) -> (B, H, T, K)."""
    B, H, T, K = y.shape
    return norm(merge_heads(y)).reshape(B, T, H, K).transpose(0, 2, 1, 3)


def merge_heads(y):
    """(B, H, T, K) -> (B, T, H K)   (Merge in book eq. 2.7)."""
    B, H, T, K = y.shape
    return y.transpose(0, 2, 1, 3).reshape(B, T, H * K)
