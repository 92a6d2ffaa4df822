"""A prefix that all rows of a batch share, kept once and attended to by all of them together.

The keys and values of a prompt's beginning are the same for every row (16 demonstrations before 64
reviews). Copied for each row they cost memory, and each row's few queries are multiplied by its own
copy. Here the queries of all rows are one tall matrix, multiplied by the one prefix (Juravsky et
al. 2024, Hydragen). Softmax over [prefix; text] needs both parts only as sums:

    y = (sum_prefix e^s v + sum_text e^s v) / (sum_prefix e^s + sum_text e^s)

Read next: key_value.py, and finetune/peft/prompt_cache.py, which decides where it is used.
"""

import math

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.kernels.attention import SAFE_SCORE
from tinylm.autograd.kernels.masks import all_finite, seen_matmul, visible_keys
from tinylm.generate.cache.key_value import KeyValueCache


class SharedPrefixCache(KeyValueCache):
    """A KeyValueCache of the text after a prefix; its columns and `length` are those of the text.

    prefix     (L, 2, G, n, K) array of keys and values, on the device of the cache
    batch, capacity, padding  as of KeyValueCache; padding stands between prefix and text

    An attention layer calls `attend` in the place of update().
    """

    def __init__(
        self,
        prefix: np.ndarray,
        batch: int,
        capacity: int = 0,
        padding: np.ndarray | None = None,
        device: str = "cpu",
    ) -> None:
        L, _, G, _, K = prefix.shape
        super().__init__(L, batch, G, K, prefix.dtype, device, capacity, padding)
        self.prefix = prefix

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: np.ndarray | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Attention of T new tokens to the prefix, to what is stored, and to each other, causal.

        q        (B, H, T, K) Tensor;  k, v (B, G, T, K) Tensors, stored here
        mask     bool, broadcasts to (B, H, T, S), S the columns of the text; or None
        scale    of the scores; 1/sqrt(K) if None
        returns  (B, H, T, K) Tensor, without gradients
        """
        keys, values = self.update(layer, k.data, v.data)  # (B, G, S, K) each
        if scale is None:
            scale = 1 / math.sqrt(self.head_width)
        old_keys, old_values = self.prefix[layer]
        return Tensor(attend(q.data, old_keys, old_values, keys, values, mask, scale))


def attend(
    q: np.ndarray,
    prefix_k: np.ndarray,
    prefix_v: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None,
    scale: float | None,
) -> np.ndarray:
    """Causal attention to [prefix; text]: (B, H, T, K) -> (B, H, T, J).

    prefix_k, prefix_v  (G, n, K), (G, n, J), which every query sees
    k, v                (B, G, S, K), (B, G, S, J) of the text; the last key is the last query's
    mask                bool over the text, broadcasts to (B, H, T, S); or None
    """
    (B, H, T, K), G = q.shape, len(prefix_k)
    R = H // G  # query heads that share keys and values
    q = (q * scale).reshape(B, G, R, T, K)
    k, v = k[:, :, None], v[:, :, None]  # (B, G, 1, S, .)
    visible = visible_keys(q, k, mask, causal=True)
    together = q.swapaxes(0, 1).reshape(G, B * R * T, K)  # the queries of all rows

    def scores():
        """Those of the prefix (G, B R T, n), and of the text (B, G, R, T, S), -inf where hidden."""
        text = q @ k.swapaxes(-1, -2)
        if visible is not None:
            text = np.where(visible, text, -np.inf)
        return together @ prefix_k.swapaxes(-1, -2), text

    def sums(before, text):
        """The sums of e^s v (B, G, R, T, J) and of e^s (B, G, R, T) over both."""
        before, text = np.exp(before, out=before), np.exp(text, out=text)
        of_text = text @ v
        if visible is not None and not all_finite(of_text):
            of_text = seen_matmul(text, v, visible)  # 0 x nan is nan: what is hidden is left out
        weighted = apart(before @ prefix_v) + of_text
        total = apart(_sum(before)[..., None])[..., 0] + _sum(text)
        return weighted, total

    def apart(x):
        """(G, B R T, J) -> (B, G, R, T, J)."""
        return x.reshape(G, B, R, T, -1).swapaxes(0, 1)

    before, text = scores()
    # As in autograd/kernels/attention.py: without a shift while no e^s overflows and no sum
    # vanishes.
    if max(np.max(before), np.max(text)) < SAFE_SCORE:
        weighted, total = sums(before, text)
        if np.min(total) > math.exp(-SAFE_SCORE):
            return (weighted / total[..., None]).reshape(B, H, T, -1)
        before, text = scores()
    top = apart(np.max(before, axis=-1, keepdims=True))
    top = np.maximum(top, np.max(text, axis=-1, keepdims=True))  # (B, G, R, T, 1)
    before -= top.swapaxes(0, 1).reshape(G, B * R * T, 1)
    text -= top
    weighted, total = sums(before, text)
    return (weighted / total[..., None]).reshape(B, H, T, -1)


def _sum(weights):
    """Sums over the last axis: a product with ones is BLAS, faster than a sum."""
    return weights @ np.ones_like(weights, shape=weights.shape[-1:])
