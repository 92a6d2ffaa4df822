"""Causal multi-head self-attention with grouped key-value heads, with and without a cache   (book eqs. 2.7-2.11).

Read next: models/gpt.py, which stacks it.
"""
import numpy as np

from tinylm.autograd import Tensor, attention, rotary, self_attention
from tinylm.errors import ConfigError
from tinylm.nn.linear import INIT_STD, Linear
from tinylm.nn.module import Module


class CausalSelfAttention(Module):
    """Every position attends to itself and what came before.

    d_model     D;  heads H, which divides D;  kv_heads G, which divides H: G = H multi-head, G = 1 multi-query,
                between them grouped-query attention   (book Table 2.2)
    out_std     of the initial output projection
    dropout     probability of dropping an attention weight while training, drawn from rng
    """

    def __init__(self, d_model, heads, rng, kv_heads=None, bias=True, out_std=INIT_STD, dropout=0.0, dtype=np.float32):
        kv_heads = kv_heads or heads
        if d_model % heads or heads % kv_heads:
            raise ConfigError(f"attention: width {d_model}, {heads} heads and {kv_heads} key-value heads do not divide evenly")
        self.heads, self.kv_heads, self.width = heads, kv_heads, d_model // heads
        self.qkv = Linear(d_model, (heads + 2 * kv_heads) * self.width, rng, bias, dtype=dtype)
        self.out = Linear(d_model, d_model, rng, bias, std=out_std, dtype=dtype)
        self.dropout, self.rng = dropout, rng

    def __call__(self, x, rotation=None, mask=None, cache=None, layer=0):
        """Attend.

        x         (B, T, D)
        rotation  (cos, sin) of rotary_angles for these T positions, or None
        mask      bool, broadcasts to (B, H, T, S), True = visible; on top of the causal mask
        cache     holds keys and values of earlier tokens; these T are appended under `layer`
        returns   (B, T, D)
        """
        qkv, dropout = self.qkv(x), self.dropout if self.training else 0.0              # (B, T, (H+2G) K)
        if cache is None:
            y = self_attention(qkv, self.heads, self.kv_heads, rotation=rotation, mask=mask, dropout=dropout, rng=self.rng)
            return self.out(y)
        B, T, _ = qkv.shape
        heads = qkv.reshape(B, T, -1, self.width).transpose(0, 2, 1, 3)                 # (B, H+2G, T, K)
        q, k, v = heads[:, :self.heads], heads[:, self.heads:-self.kv_heads], heads[:, -self.kv_heads:]
        if rotation is not None:
            q, k = (rotary(part, cos=rotation[0], sin=rotation[1]) for part in (q, k))
        k, v = cache.update(layer, k.data, v.data)                                      # (B, G, S, K), S with the past
        y = attention(q, Tensor(k), Tensor(v), mask=mask, causal=True)                  # (B, H, T, K)
        return self.out(y.transpose(0, 2, 1, 3).reshape(B, T, -1))
