"""Two-stream attention with relative positions   (Yang et al. 2019; book section 1.2.2.2).

Predicting tokens in any order needs two states per position. The content stream knows the token at
its position and is what others read. The query stream knows the position alone, and predicts: it
reads the contents of tokens that come earlier in the order, never its own. With one stream, a
position that may see itself copies its answer, and one that may not has nothing to tell the others.
Both streams use the same weights. Read next: models/encoder/xlnet.py.

Scores of query i and key j, relative as in Transformer-XL (Dai et al. 2019):
    [(q_i + u) k_j + (q_i + v) W_r r_{i-j} + (q_i + s) e_{same segment?}] / sqrt(K)
"""

import numpy as np

from tinylm.autograd import attention, dropout, matmul, swapaxes, where
from tinylm.autograd.kernels.heads import check_heads, even_heads, score_scale
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.linear import INIT_STD, Linear, normal_parameter, undecayed
from tinylm.nn.module import Module
from tinylm.nn.position.relative import relative_shift
from tinylm.nn.position.rotary import rotary_frequencies, turns


def permutation_mask(order, strict=True):
    """Which position may see which when tokens are predicted in an order   (book eqs. 1.13, 1.14)

    order    (T,) or (B, T) integers: order[t] is the position predicted at step t
    strict   True, for query streams: positions earlier in the order. False, for contents: also its
             own
    returns  bool (T, T) or (B, T, T): [i, j] True where i may see j
    """
    rank = np.argsort(order, axis=-1)  # rank[i]: when position i is predicted
    first, second = rank[..., None, :], rank[..., :, None]
    if strict:
        return first < second
    return first <= second


def relative_waves(T, d_model, like, dtype=np.float32):
    """r_{i-j} for i - j = T-1 .. -(T-1): sines, then cosines of the distance.

    returns  (2T - 1, D) array on the device of `like`
    """
    if d_model % 2:
        raise ConfigError(
            f"relative_waves: sines and cosines come in pairs, so d_model = {d_model} must be even"
        )
    distances = np.arange(T - 1, -T, -1, like=like)
    cos, sin = turns(distances, rotary_frequencies(d_model, like=like), dtype)
    return np.concatenate([sin, cos], axis=-1)


class RelativeAttention(Module):
    """Attention of a stream on contents, by content, relative position and segment.

    d_model D;  heads H;  segments: whether same and other segments are told apart
    """

    def __init__(self, d_model, heads, rng, segments=True, dropout=0.0, dtype=np.float32):
        even_heads("RelativeAttention", d_model, heads)
        self.heads, self.width = heads, d_model // heads
        self.qkv = Linear(d_model, 3 * d_model, rng, bias=False, dtype=dtype)
        self.relative, self.out = (
            Linear(d_model, d_model, rng, bias=False, dtype=dtype) for _ in range(2)
        )
        vectors = {"shape": (heads, self.width), "rng": rng, "std": INIT_STD, "dtype": dtype}
        self.content_bias, self.position_bias = (
            undecayed(normal_parameter(**vectors)) for _ in range(2)
        )  # u, v
        self.segment_bias = undecayed(normal_parameter(**vectors)) if segments else None  # s
        self.segment_table = (
            normal_parameter((2, heads, self.width), rng, INIT_STD, dtype) if segments else None
        )
        self.dropout, self.rng = dropout, rng

    def project(self, x):
        """(B, T, D) -> queries, keys, values, (B, H, T, K) each."""
        return split_heads(self.qkv(x), self.heads, self.heads)

    def __call__(self, q, k, v, waves, visible=None, other=None):
        """Attend.

        q        (B, H, T, K) queries of either stream;  k, v of the content stream
        waves    relative_waves(T, D)
        visible  bool, broadcasts to (B, H, T, T); None: everything
        other    (B, 1, T, T) bool: True where query and key lie in different segments; None without
                 segments
        returns  (B, T, D)
        """
        check_heads("RelativeAttention", q, k, v)
        T, scale = q.shape[2], score_scale(self.width)
        if k.shape[2] != T or T < 1:
            raise ShapeError(
                f"RelativeAttention: {T} queries and {k.shape[2]} keys: a stream reads the contents of its own "
                "tokens, at least one"
            )
        r = (
            self.relative(waves).reshape(2 * T - 1, self.heads, self.width).transpose(1, 2, 0)
        )  # (H, K, 2T-1)
        extra = relative_shift(
            matmul(q + self._rows(self.position_bias), r)
        )  # (B, H, T, 2T-1) -> (B, H, T, T)
        if other is not None:
            both = matmul(
                q + self._rows(self.segment_bias),
                swapaxes(self.segment_table, 0, 1).swapaxes(-1, -2),
            )  # (B, H, T, 2)
            extra = extra + where(other, both[..., 1:], both[..., :1])
        y = attention(
            q + self._rows(self.content_bias),
            k,
            v,
            bias=extra * scale,
            mask=visible,
            scale=scale,
            dropout=self.dropout if self.training else 0.0,
            rng=self.rng,
        )
        return self.out(merge_heads(y))

    def _rows(self, vector):
        return vector.reshape(self.heads, 1, self.width)  # (H, K) -> (H, 1, K)


class TwoStreamBlock(Module):
    """Attention and feed-forward around both streams, post-norm, with one set of weights.

    norms  two, after attention and after the feed-forward
    """

    def __init__(self, attention, feed_forward, norms, rng, dropout=0.0):
        self.attention, self.feed_forward, self.norms = attention, feed_forward, list(norms)
        self.dropout, self.rng = dropout, rng

    def __call__(self, content, query, waves, visible=None, strictly=None, other=None):
        """One layer.

        content   (B, T, D);  query (B, T, D), or None where nothing is predicted
        visible   what contents see, strictly: what queries see; as in RelativeAttention
        returns   (content, query)
        """
        q, k, v = self.attention.project(content)
        after = self._finish(content, self.attention(q, k, v, waves, visible, other))
        if query is not None:
            q, _, _ = self.attention.project(query)
            query = self._finish(query, self.attention(q, k, v, waves, strictly, other))
        return after, query

    def _finish(self, x, attended):
        p = self.dropout if self.training else 0.0
        x = self.norms[0](x + dropout(attended, p, self.rng))
        return self.norms[1](x + dropout(self.feed_forward(x), p, self.rng))
