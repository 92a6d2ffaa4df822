"""The plain twins: every fused operation once more, in a few lines of primitives.

Each is the explanation of a kernel, its oracle in tests (equal to 1e-12 in float64, forward and
backward), and what the engine differentiates when derivatives of derivatives are needed. Arguments
are described with the kernels. Read next: rows.py, then linear.py.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd.engine.tensor import Tensor, array_of
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import bool_mask, seen_mix, seen_scores
from tinylm.autograd.primitives.elementwise import clip, erf, exp, sigmoid, sqrt, tanh, where
from tinylm.autograd.primitives.indexing import getitem, take_along_axis
from tinylm.autograd.primitives.products import matmul
from tinylm.autograd.primitives.reductions import largest, logsumexp, mean, sum
from tinylm.autograd.primitives.shaping import (
    broadcast_to,
    concatenate,
    expand_dims,
    reshape,
    swapaxes,
    transpose,
)
from tinylm.autograd.primitives.statistics import centered, scale_of_squares

if TYPE_CHECKING:
    from tinylm.autograd.kernels.tree_attention import Paths


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W + b"""
    y = matmul(x, weight)
    if bias is None:
        return y
    return y + bias


def unembedding(x: Tensor, weight: Tensor) -> Tensor:
    """x E^T, E the embedding table"""
    return matmul(x, swapaxes(weight, -1, -2))


def embedding(ids: np.ndarray, weight: Tensor) -> Tensor:
    """Row ids[...] of the table, for every position   (the lookup is one_hot(ids) @ weight)"""
    return getitem(weight, array_of(ids))


def add_embedding(x: Tensor, ids: np.ndarray, weight: Tensor) -> Tensor:
    """x + E[ids]"""
    return x + embedding(ids, weight)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """gain * (x - mean) / sqrt(var + eps) + bias over the last axis   (book eq. 2.23)"""
    distances = centered(x, -1)
    # s is 1, except where squares would overflow. d / sqrt(mean(d^2) + eps) does not change if d is
    # divided by s and eps by s^2.
    s = scale_of_squares(distances, -1, small=False)
    distances = distances / s
    variance = mean(distances * distances, axis=-1, keepdims=True)
    y = gain * distances / sqrt(variance + eps / s / s)
    if bias is None:
        return y
    return y + bias


def rms_norm(x: Tensor, gain: Tensor, eps: float = 1e-6) -> Tensor:
    """gain * x / sqrt(mean(x**2) + eps) over the last axis   (book eq. 2.24)"""
    s = scale_of_squares(x, -1, small=False)  # 1 unless squares would overflow, see layer_norm
    x = x / s
    mean_square = mean(x * x, axis=-1, keepdims=True)
    return gain * x / sqrt(mean_square + eps / s / s)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x))"""
    top = largest(array_of(x), axis)  # e^{x-top} / sum e^{x-top}: a constant that cancels
    e = exp(x - top)
    return e / sum(e, axis=axis, keepdims=True)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x)))"""
    x = x - largest(array_of(x), axis)  # a constant that cancels
    return x - logsumexp(x, axis=axis, keepdims=True)


def cross_entropy(
    logits: Tensor,
    targets: np.ndarray,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(logits)[target], averaged over the targets that count   (book eqs. 1.5, 2.13)"""
    targets = array_of(targets)
    counts = targets != ignore_index
    safe = np.where(counts, targets, 0)
    logits = where(counts[..., None], logits, 0.0)  # ignored rows may hold inf or nan
    logp = log_softmax(logits)
    picked = take_along_axis(logp, safe[..., None], -1)[..., 0]  # (..., V) -> (...)
    losses = -(1 - label_smoothing) * picked
    if label_smoothing:  # not added as 0 * mean(logp): with a logit of -inf that is nan
        losses = losses - label_smoothing * mean(logp, axis=-1)
    if z_loss:
        losses = losses + z_loss * logsumexp(logits, axis=-1) ** 2
    losses = where(counts, losses, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    n = np.maximum(np.sum(counts), 1).astype(logits.dtype)
    return sum(losses) / n


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), Phi the normal distribution function   (book eq. 2.27)"""
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU that GPT-2 uses"""
    # tanh is flat beyond 100, and the cube of larger values may overflow
    u = clip(x, min=-100.0, max=100.0)
    cubic = u + 0.044715 * u * u * u
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * cubic))


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), Swish with c = 1"""
    return x * sigmoid(x)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up   (book eq. 2.30)"""
    return silu(gate) * up


def geglu(gate: Tensor, up: Tensor) -> Tensor:
    """gelu(gate) * up   (book eq. 2.29)"""
    return gelu(gate) * up


def rotary(x: Tensor, cos: np.ndarray, sin: np.ndarray) -> Tensor:
    """Turn each pair (x_i, x_{i + K/2}) by its angle   (book section 2.3.5)"""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]  # (..., T, K/2) each
    turned_first = first * cos - second * sin
    turned_second = first * sin + second * cos
    return concatenate([turned_first, turned_second], axis=-1)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    mask: np.ndarray | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropped: np.ndarray | None = None,
) -> Tensor:
    """softmax(q k^T * scale + bias, where visible) v   (book eq. 2.6)"""
    B, H, T, K = q.shape
    G, S = k.shape[1], k.shape[2]
    if G != H:
        k, v = _repeat_heads(k, H // G), _repeat_heads(v, H // G)  # (B, G, S, .) -> (B, H, S, .)
    mask = bool_mask(mask, "attention", shape=(B, H, T, S))
    visible = mask
    if causal:
        queries = np.arange(T, like=q.data)
        keys = np.arange(S, like=q.data)
        past = keys[None, :] <= queries[:, None] + (S - T)  # (T, S); the last query sees all keys
        visible = past if mask is None else past & mask
    scores = seen_scores(q, k, visible) * score_scale(K, scale)  # (B, H, T, S)
    if bias is not None:
        scores = scores + bias
    if visible is not None:
        scores = where(visible, scores, -np.inf)
    # softmax as exp(s - log sum exp s); a query that sees nothing has a norm of -inf and weights 0
    norm = logsumexp(scores, axis=-1, keepdims=True)  # (B, H, T, 1)
    weights = exp(scores - where(norm.data == -np.inf, 0.0, norm))
    if dropped is not None:
        weights = weights * dropped
    return seen_mix(weights, v, visible)  # (B, H, T, S) @ (B, H, S, J) -> (B, H, T, J)


def _repeat_heads(x, times):
    """(B, G, S, K) -> (B, G * times, S, K): each head stands for the query heads that share it."""
    B, G, S, K = x.shape
    x = broadcast_to(expand_dims(x, 2), shape=(B, G, times, S, K))
    return reshape(x, shape=(B, G * times, S, K))


def self_attention(
    qkv: Tensor,
    heads: int,
    kv_heads: int | None = None,
    rotation: tuple[np.ndarray, np.ndarray] | None = None,
    mask: np.ndarray | None = None,
    causal: bool = True,
    scale: float | None = None,
    dropped: np.ndarray | None = None,
) -> Tensor:
    """Multi-head attention of a sequence on itself, from packed projections (book eqs. 2.7-2.11)"""
    G = kv_heads or heads
    B, T, width = qkv.shape
    K = width // (heads + 2 * G)
    x = reshape(qkv, shape=(B, T, heads + 2 * G, K))
    x = transpose(x, axes=(0, 2, 1, 3))  # (B, H+2G, T, K)
    q = x[:, :heads]  # (B, H, T, K)
    k = x[:, heads : heads + G]  # (B, G, T, K)
    v = x[:, heads + G :]
    if rotation is not None:
        q, k = rotary(q, *rotation), rotary(k, *rotation)
    y = attention(q, k, v, mask=mask, causal=causal, scale=scale, dropped=dropped)  # (B, H, T, K)
    y = transpose(y, axes=(0, 2, 1, 3))  # (B, T, H, K)
    return reshape(y, shape=(B, T, heads * K))


def tree_attention(
    qkv: Tensor,
    paths: "Sequence[Paths]",
    heads: int,
    kv_heads: int,
    rotation: tuple[np.ndarray, np.ndarray] | None = None,
    scale: float | None = None,
) -> Tensor:
    """Causal self-attention of rows of nodes, and the outputs at some places of the rows."""
    found, order = [], []
    for one in paths:
        rows = getitem(qkv, one.nodes)  # (n, F) -> (b, T, F): a node may stand in several rows
        turns = None
        if rotation is not None:
            turns = [angles[one.nodes][:, None] for angles in rotation]  # (b, 1, T, K/2) twice
        y = self_attention(rows, heads, kv_heads, rotation=turns, scale=scale)  # (b, T, H K)
        found.append(getitem(reshape(y, shape=(-1, y.shape[2])), one.places))
        order.append(one.outputs)
    return getitem(concatenate(found, axis=0), np.argsort(np.concatenate(order)))
