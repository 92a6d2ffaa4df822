"""Where does attention go? The weights of every head, and the share that the first tokens get
(book section 2.3.3; Xiao et al. 2024).

    alpha = Softmax(Q K^T / sqrt(K) + Mask)      alpha_{i,j} is what query i pays to key j

A softmax must pay its whole sum to some key, also where none is of use. Trained models pay it to
the first tokens, which every query sees: attention sinks. Read next: cache/window.py, which keeps
them.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import grouped_mask, seen_mix, seen_scores, visible_softmax
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn import evaluating

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


class PaidAttention:
    """In the place of a key-value cache: computes attention itself and keeps its weights.

    weights  {layer: (B, H, T, T) array}, after one reading
    """

    length, padding = 0, None  # of the protocol of caches: nothing was read before

    def __init__(self) -> None:
        self.weights = {}

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: np.ndarray | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Causal attention of T tokens to each other; arguments and result as of
        cache/shared_prefix.py.
        """
        # heads in groups that share a key and a value: (B, G, H/G, T, K), (B, G, 1, T, K) twice
        (B, H, T, K), G = q.shape, k.shape[1]
        q, k, v = q.reshape(B, G, H // G, T, K), k.reshape(B, G, 1, T, K), v.reshape(B, G, 1, T, K)
        seen = np.tri(T, dtype=bool, like=q.data)
        if mask is not None:
            seen = seen & mask
        seen = grouped_mask(seen, (B, H, T, T), G)
        scores = seen_scores(q, k, seen) * score_scale(K, scale)
        paid, _ = visible_softmax(scores, seen)  # (B, G, H/G, T, T)
        self.weights[layer] = paid.data.reshape(B, H, T, T)
        return seen_mix(paid, v, seen).reshape(B, H, T, K)


def attention_weights(
    model: "GPT", ids: np.ndarray, positions: np.ndarray | None = None
) -> np.ndarray:
    """The attention weights of a GPT.

    ids        (B, T) integers;  positions as GPT's
    returns    (L, B, H, T, T) array: [l, b, h, i, j] is what query i pays to key j; a row sums to 1
    raises     ConfigError for a model whose scores have a cap or a bias, or whose layers share keys
    """
    c = model.config
    if c.attention_cap is not None or model.position_bias is not None or c.kv_sharing > 1:
        raise ConfigError(
            "attention_weights: scores of this model have a cap or a bias, or its layers share "
            "keys: read one with plain attention"
        )
    paid = PaidAttention()
    with evaluating(model), no_grad():
        model.hidden(ids, cache=paid, positions=positions)
    return np.stack([paid.weights[layer] for layer in range(c.n_layer)])


def share_of_first(weights: np.ndarray, count: int = 1, start: int | None = None) -> np.ndarray:
    """The share of attention that the first `count` tokens get, of each layer and head.

    weights  (L, B, H, T, T) of attention_weights()
    start    the first query that is counted: early ones see little else. None: the second half
    returns  (L, H) float64, means over rows and queries
    raises   ShapeError unless 0 < count <= start < T
    """
    T = weights.shape[-1]
    if start is None:
        start = T // 2
    if not 0 < count <= start < T:
        raise ShapeError(
            f"share_of_first: {count} first tokens, queries from {start} on, of {T} tokens: "
            "needs 0 < count <= start < T"
        )
    share = weights[..., start:, :count].sum(axis=-1, dtype=np.float64)  # (L, B, H, queries)
    return share.mean(axis=(1, 3))
