"""Two-stream attention with relative positions   (Yang et al. 2019; book section 1.2.2.2).

Predicting tokens in any order needs two states per position. The content stream contains the token
at its position, and other positions read it. The query stream contains the position alone, and
predicts: it reads the contents of tokens that come earlier in the order, never its own. With one
stream, a position that sees itself would copy its answer, and one that does not would have no
content for the others to read. Both streams use the same weights. Read next:
models/encoder/xlnet.py.

Scores of query i and key j, relative as in Transformer-XL (Dai et al. 2019):
    [(q_i + u) k_j + (q_i + v) W_r r_{i-j} + (q_i + s) e_{same segment?}] / sqrt(K)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Array, Tensor, attention, dropout, matmul, swapaxes, where
from tinylm.autograd.kernels.heads import check_heads, even_heads, score_scale
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.multi_head import merge_heads, split_heads
from tinylm.nn.feedforward import FeedForward
from tinylm.nn.linear import INIT_STD, Linear, normal_parameter, undecayed
from tinylm.nn.module import Module
from tinylm.nn.norm import LayerNorm
from tinylm.nn.position.relative import relative_shift
from tinylm.nn.position.rotary import rotary_frequencies, turns


def permutation_mask(order: np.ndarray, strict: bool = True) -> np.ndarray:
    """Which positions see which when tokens are predicted in a given order (book eqs. 1.13, 1.14).

    order    (T,) or (B, T) integers: order[t] is the position predicted at step t
    strict   True, for query streams: a position sees those earlier in the order. False, for
             contents: it also sees itself
    returns  bool (T, T) or (B, T, T): [i, j] True where i sees j
    """
    step = np.argsort(order, axis=-1)  # the inverse permutation: step[i] at which i is predicted
    of_query = step[..., :, None]  # (..., T, 1)
    of_key = step[..., None, :]  # (..., 1, T)
    if strict:
        return of_key < of_query
    return of_key <= of_query


def relative_waves(T: int, d_model: int, like: np.ndarray, dtype: DType = np.float32) -> np.ndarray:
    """r_{i-j} for all distances i - j = T-1 .. -(T-1): sines, then cosines.

    returns  (2T - 1, D) array on the device of `like`
    """
    if d_model % 2:
        raise ConfigError(
            f"relative_waves: sines and cosines come in pairs, so d_model = {d_model} must be even"
        )
    distances = np.arange(T - 1, -T, -1, like=like)  # (2T - 1,)
    cos, sin = turns(distances, rotary_frequencies(d_model, like=like), dtype)  # (2T - 1, D/2) each
    return np.concatenate([sin, cos], axis=-1)


class RelativeAttention(Module):
    """Attention of a stream to contents, by content, relative position and segment.

    d_model   D, the width of the model
    heads     H
    segments  whether scores depend on query and key lying in the same segment
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        rng: Random | None,
        segments: bool = True,
        dropout: float = 0.0,
        dtype: DType = np.float32,
    ) -> None:
        even_heads("RelativeAttention", d_model, heads)
        self.heads, self.width = heads, d_model // heads
        self.qkv = Linear(d_model, 3 * d_model, rng, bias=False, dtype=dtype)
        self.relative = Linear(d_model, d_model, rng, bias=False, dtype=dtype)  # W_r
        self.out = Linear(d_model, d_model, rng, bias=False, dtype=dtype)
        vectors: dict[str, Any] = {
            "shape": (heads, self.width),
            "rng": rng,
            "std": INIT_STD,
            "dtype": dtype,
        }
        self.content_bias = undecayed(normal_parameter(**vectors))  # u
        self.position_bias = undecayed(normal_parameter(**vectors))  # v
        self.segment_bias = None
        self.segment_table = None
        if segments:
            self.segment_bias = undecayed(normal_parameter(**vectors))  # s
            # e, row 0 for the same segment and row 1 for another
            self.segment_table = normal_parameter((2, heads, self.width), rng, INIT_STD, dtype)
        self.dropout, self.rng = dropout, rng

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, D) -> queries, keys, values, (B, H, T, K) each."""
        return split_heads(self.qkv(x), self.heads, self.heads)

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        waves: Array,
        visible: Array | None = None,
        other: np.ndarray | None = None,
    ) -> Tensor:
        """Attention of the queries of one stream to the contents.

        q        (B, H, T, K) queries of either stream;  k, v of the content stream
        waves    relative_waves(T, D)
        visible  bool, broadcasts to (B, H, T, T); None: everything
        other    (B, 1, T, T) bool: True where query and key lie in different segments; None without
                 segments
        returns  (B, T, D)
        """
        check_heads("RelativeAttention", q, k, v)
        T = q.shape[2]
        scale = score_scale(self.width)  # 1/sqrt(K)
        if k.shape[2] != T or T < 1:
            raise ShapeError(
                f"RelativeAttention: {T} queries and {k.shape[2]} keys: "
                "a stream reads the contents of its own tokens, at least one"
            )
        # (q_i + v) W_r r_{i-j} for every distance, then each row shifted to its keys j.
        r = self.relative(waves)  # (2T-1, D)
        r = r.reshape(2 * T - 1, self.heads, self.width).transpose(1, 2, 0)  # (H, K, 2T-1)
        by_distance = matmul(q + self._rows(self.position_bias), r)  # (B, H, T, 2T-1)
        extra = relative_shift(by_distance)  # (B, H, T, T)
        if other is not None:
            # (q_i + s) e for both rows of e, then the one that applies to query i and key j.
            e = swapaxes(self.segment_table, 0, 1).swapaxes(-1, -2)  # (2, H, K) -> (H, K, 2)
            both = matmul(q + self._rows(self.segment_bias), e)  # (B, H, T, 2)
            extra = extra + where(other, both[..., 1:], both[..., :1])
        y = attention(
            q + self._rows(self.content_bias),  # (q_i + u) k_j
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

    def __init__(
        self,
        attention: RelativeAttention,
        feed_forward: FeedForward,
        norms: Sequence[LayerNorm],
        rng: Random | None,
        dropout: float = 0.0,
    ) -> None:
        self.attention, self.feed_forward, self.norms = attention, feed_forward, list(norms)
        self.dropout, self.rng = dropout, rng

    def __call__(
        self,
        content: Tensor,
        query: Tensor | None,
        waves: Array,
        visible: np.ndarray | None = None,
        strictly: np.ndarray = None,
        other: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Both streams after one layer.

        content   (B, T, D);  query (B, T, D), or None where nothing is predicted
        visible   what contents see, as in RelativeAttention
        strictly  what queries see, never the content of their own position
        returns   (content, query)
        """
        q, k, v = self.attention.project(content)
        attended = self.attention(q, k, v, waves, visible, other)
        after = self._finish(content, attended)
        if query is not None:
            q, _, _ = self.attention.project(query)  # keys and values are those of the contents
            attended = self.attention(q, k, v, waves, strictly, other)
            query = self._finish(query, attended)
        return after, query

    def _finish(self, x, attended):
        """Residual connections and post-norms of one stream: (B, T, D) -> (B, T, D)."""
        p = self.dropout if self.training else 0.0
        x = self.norms[0](x + dropout(attended, p, self.rng))
        return self.norms[1](x + dropout(self.feed_forward(x), p, self.rng))
