"""Does the state at token t already predict later tokens? Linear probes, and a model that cannot
prepare for them   (book section 2.3.6).

Training sums the losses of all positions, so the state at t is shaped by its own target and,
through keys and values, by every later one. A probe measures what the state contains: a linear map
from h_t to token t + n (Pal et al. 2023, Future Lens). The control is myopic training (Wu et al.
2024): the same forward pass, with no gradient from a loss into earlier positions. The states of a
myopic model predict the future only by features that also serve the present. Read next:
models/decoder/gpt.py.
"""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, rotary, where
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import (
    bool_mask,
    grouped_mask,
    seen_mix,
    seen_scores,
    visible_softmax,
)
from tinylm.backend import to_cpu
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention.multi_head import SelfAttention, merge_heads, projected
from tinylm.nn.module import Module

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


def future_pairs(hidden: np.ndarray, ids: np.ndarray, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    """Every state with the token `ahead` of it.

    hidden   (B, T, D) array, h_t made from ids[:, :t + 1];  ids (B, T) integers
    ahead    n >= 1: 1 is the token that the model itself is trained to predict
    returns  (states (B (T - n), D), tokens (B (T - n),))
    """
    T = ids.shape[1]
    if not 1 <= ahead < T or hidden.shape[:2] != ids.shape:
        raise ShapeError(
            f"future_pairs: hidden {hidden.shape}, ids {ids.shape}, {ahead} ahead: "
            f"needs (B, T, D), (B, T) and 1 to {T - 1}"
        )
    states, tokens = hidden[:, :-ahead], ids[:, ahead:]  # (B, T - n, D), (B, T - n)
    return states.reshape(-1, hidden.shape[2]), tokens.reshape(-1)


class LinearProbe:
    """A linear map from states to scores of tokens, by least squares to one-hot targets.

    states   (n, D) array;  tokens (n,) integers below vocab_size
    ridge    added to the diagonal, as a share of its mean: keeps the solution finite where states
             are few or lie in a subspace

    Least squares has one exact solution, so results do not depend on how the probe was trained.
    """

    def __init__(
        self, states: np.ndarray, tokens: np.ndarray, vocab_size: int, ridge: float = 1e-6
    ) -> None:
        states = to_cpu(states).astype(np.float64)
        self.mean = states.mean(0)
        x = _with_one(states - self.mean)  # (n, D + 1)
        # Normal equations: (x'x + ridge) W = x'Y, Y (n, V) one-hot.
        gram = x.T @ x
        gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
        one_hot = np.eye(vocab_size)[to_cpu(tokens)]
        self.weight = np.linalg.solve(gram, x.T @ one_hot)  # (D + 1, V)

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """The token of the largest score, (n, D) -> (n,)."""
        return (_with_one(to_cpu(states).astype(np.float64) - self.mean) @ self.weight).argmax(-1)

    def accuracy(self, states: np.ndarray, tokens: np.ndarray) -> float:
        """Share of the tokens that are predicted correctly."""
        return float((self(states) == to_cpu(tokens)).mean())


def _with_one(x):
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def unigram_accuracy(seen: np.ndarray | None, tokens: np.ndarray) -> float:
    """Accuracy on `tokens` of always predicting the most frequent token of `seen`, the baseline."""
    return float((tokens == np.bincount(seen).argmax()).mean())


def myopic(model: "GPT") -> "GPT":
    """The same GPT and parameters, with no gradient from a loss to earlier positions   (Wu et al.
    2024)

    Keys and values of other positions are constants, a position's own are not: logits are the
    model's, and the derivative of loss_t by any state of position s < t is exactly zero.

    returns  a GPT that shares the parameters with `model`: training one trains both
    raises   ConfigError where attention is capped, or drops weights while it trains
    """
    near = copy.copy(model)
    near.blocks = [copy.copy(block) for block in model.blocks]
    for block in near.blocks:
        block.attention = MyopicAttention(block.attention)
    return near


class MyopicAttention(Module):
    """Causal self-attention in which keys and values of other positions are constants.

    attention  a SelfAttention, whose projections are shared
    """

    def __init__(self, attention: SelfAttention) -> None:
        if attention.cap is not None or attention.dropout or not attention.causal:
            raise ConfigError(
                "MyopicAttention: attention must be causal, without a cap on scores and without "
                "dropout of weights"
            )
        self.qkv, self.out = attention.qkv, attention.out
        self.qk_norm = attention.qk_norm
        self.q_norm = attention.q_norm
        self.k_norm = attention.k_norm
        self.heads, self.kv_heads, self.scale = attention.heads, attention.kv_heads, attention.scale

    def __call__(
        self,
        x: Tensor,
        rotation: tuple[np.ndarray, np.ndarray] | None = None,
        mask: np.ndarray | None = None,
        bias: Tensor | None = None,
        cache: Any = None,
        layer: int = 0,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D), as in SelfAttention; there is no cache in training."""
        if cache is not None:
            raise ConfigError(
                "MyopicAttention: it is for training; generate with the model it was made from"
            )
        q, k, v = projected(self, x)  # (B, H, T, K), (B, G, T, K) twice
        if rotation is not None:
            q, k = (rotary(part, cos=rotation[0], sin=rotation[1]) for part in (q, k))
        # Heads in groups that share a key and a value: (B, G, H/G, T, K), (B, G, 1, T, K) twice.
        (B, H, T, K), G = q.shape, k.shape[1]
        q, k, v = q.reshape(B, G, H // G, T, K), k.reshape(B, G, 1, T, K), v.reshape(B, G, 1, T, K)
        scale = score_scale(K, self.scale)
        own = np.eye(T, dtype=bool, like=x.data)
        mask = bool_mask(mask, "MyopicAttention", shape=(B, H, T, T))
        seen = np.tri(T, dtype=bool, like=x.data)
        if mask is not None:
            seen = seen & mask
        grouped = grouped_mask(seen, (B, H, T, T), G)
        # A position that the mask hides from itself (padding) may be nan, and 0 * nan is nan.
        itself = np.any(grouped & own, axis=-1)[..., None]
        own_k, own_v = (where(itself, part, 0.0) for part in (k, v))
        all_k, all_v = k.detach(), v.detach()
        # Scores q_t . k_s with constant keys; on the diagonal the key keeps its gradient.
        scores = seen_scores(q, all_k, grouped)  # (B, G, H/G, T, T)
        diagonal_scores = (q * own_k).sum(axis=-1, keepdims=True)  # (B, G, H/G, T, 1)
        scores = where(own, diagonal_scores, scores).reshape(B, H, T, T) * scale
        if bias is not None:
            scores = scores + bias
        weights = visible_softmax(scores, seen)[0].reshape(B, G, H // G, T, T)
        # v - v.detach() is zero and has v's gradient: each position's own value, weighted by the
        # diagonal.
        diagonal = where(own, weights, 0.0).sum(axis=-1, keepdims=True)  # (B, G, H/G, T, 1)
        y = seen_mix(weights, all_v, grouped) + diagonal * (own_v - own_v.detach())
        return self.out(merge_heads(y.reshape(B, H, T, K)))
