"""XLNet: tokens predicted in every order, from both sides at once   (Yang et al. 2019; book section
1.2.2.2).

An encoder that is trained like a language model: Pr(x) is a product over any order of the
positions, so that a token is predicted from tokens on its left and right, and no [MASK] is ever
read. Special here: two streams (nn/attention/two_stream.py), relative positions, and relative
segments. Read next: pretrain/, which draws the orders.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, broadcast_to, dropout, unembedding
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn import ACTIVATIONS, Embedding, FeedForward, LayerNorm, Module, normal_parameter
from tinylm.nn.attention.two_stream import (
    RelativeAttention,
    TwoStreamBlock,
    permutation_mask,
    relative_waves,
)


@dataclass(frozen=True)
class XLNetConfig:
    """What an XLNet is made of; the defaults are XLNet-base."""

    vocab_size: int = 32000  # V
    n_layer: int = 12  # L
    n_head: int = 12  # H
    d_model: int = 768  # D
    d_hidden: int | None = None  # F; 4 D if None
    segments: bool = True  # scores depend on whether query and key are of one segment
    activation: str = "gelu"
    norm_eps: float = 1e-12
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"XLNetConfig: activation = {self.activation!r} is not one of "
                f"{', '.join(ACTIVATIONS)}"
            )
        for field in ("vocab_size", "n_layer", "n_head", "d_model"):
            if getattr(self, field) < 1:
                raise ConfigError(
                    f"XLNetConfig: {field} = {getattr(self, field)} must be at least 1"
                )


class XLNet(Module):
    """Token ids in, a hidden state for every token out; with an order, predictions too.

    A token is predicted from those before it in the order.

    config, seed, dtype  as in Encoder; config is an XLNetConfig
    """

    def __init__(
        self, config: XLNetConfig, seed: int | None = 0, dtype: DType = np.float32
    ) -> None:
        c = self.config = config
        rng = None if seed is None else Random(seed, "init")
        self.rng = Random(seed or 0, "dropout")
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, dtype=dtype)
        # The query stream's input at every position: one vector w, which holds no token.
        self.nobody = normal_parameter((c.d_model,), rng, 0.02, dtype)
        self.blocks = [self._block(rng, dtype) for _ in range(c.n_layer)]
        self.bias = Tensor(np.zeros(c.vocab_size, dtype), requires_grad=True)
        # The parts drew their weights from `rng`; dropout has a stream of its own.
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng

    def _block(self, rng, dtype):
        c = self.config
        attention = RelativeAttention(c.d_model, c.n_head, rng, c.segments, c.dropout, dtype)
        hidden = FeedForward(c.d_model, c.d_hidden or 4 * c.d_model, rng, c.activation, dtype=dtype)
        norms = [LayerNorm(c.d_model, eps=c.norm_eps, dtype=dtype) for _ in range(2)]
        return TwoStreamBlock(attention, hidden, norms, rng, c.dropout)

    def __call__(
        self,
        ids: np.ndarray,
        order: np.ndarray | None = None,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Tensor:
        """Logits of the token at every position, (B, T, V).

        order    (T,) or (B, T): logits of the query stream, which predicts each token from those
                 before it in the order. None: logits of the content stream, which has seen the
                 tokens themselves
        others   as in streams()
        """
        content, query = self.streams(ids, order, segments, mask)
        if query is None:
            return self.logits(content)
        return self.logits(query)

    def hidden(
        self, ids: np.ndarray, segments: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """The content stream with every position visible, (B, T, D): used after pre-training."""
        return self.streams(ids, None, segments, mask)[0]

    def streams(
        self,
        ids: np.ndarray,
        order: np.ndarray | None = None,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Both streams after the last layer.

        ids       (B, T) integers
        order     (T,) or (B, T) integers, order[t] the position predicted at step t; or None
        segments  (B, T) integers; all the same by default
        mask      (B, T) bool, True for tokens; None if all are
        returns   content (B, T, D), query (B, T, D) or None without an order
        """
        c, (B, T) = self.config, ids.shape
        mask = bool_mask(mask, "XLNet", bias=None, shape=ids.shape)
        p = c.dropout if self.training else 0.0
        content = dropout(self.tokens(ids), p, self.rng)  # h^0 = e(x): (B, T) -> (B, T, D)
        query = visible = strictly = None
        if order is not None:
            query = dropout(broadcast_to(self.nobody, (B, T, c.d_model)), p, self.rng)  # g^0 = w
            # A content vector sees itself and what is before it in the order; a query vector must
            # not see its own token. (T, T) -> (1, T, T), or (B, T, T) -> (B, 1, T, T).
            visible = permutation_mask(order, False)[..., None, :, :]
            strictly = permutation_mask(order, True)[..., None, :, :]
        if mask is not None:
            visible, strictly = without_padding(visible, strictly, np.broadcast_to(mask, (B, T)))
        other = None
        if c.segments:
            if segments is None:
                segments = np.zeros_like(ids)
            other = (segments[:, :, None] != segments[:, None, :])[:, None]  # (B, 1, T, T)
        waves = Tensor(relative_waves(T, c.d_model, ids, content.dtype))  # R_{i-j} of all offsets
        with self.rng.rows(0, len(waves)):  # shared by all sequences: the same on every worker
            waves = dropout(waves, p, self.rng)
        for block in self.blocks:
            content, query = block(content, query, waves, visible, strictly, other)
        content = dropout(content, p, self.rng)
        if query is not None:
            query = dropout(query, p, self.rng)
        return content, query

    def logits(self, h: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V), by the embedding table."""
        return unembedding(h, self.tokens.weight) + self.bias

    def to(self, device: str) -> Module:
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.rng.device = device
        return super().to(device)


def without_padding(
    visible: np.ndarray | None, strictly: np.ndarray | None, mask: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The masks of both streams with padding hidden.

    visible   bool (1, T, T) or (B, 1, T, T) of the content stream, None if all see all
    strictly  the same of the query stream, None without one
    mask      (B, T) bool, True for tokens
    returns   visible, strictly
    """
    tokens = mask[:, None, None, :]  # (B, 1, 1, T)
    columns = np.arange(mask.shape[1], like=mask)
    # In the content stream padding sees itself: a query without any key has no softmax.
    allowed = tokens | (columns[:, None] == columns)  # (B, 1, T, T)
    visible = allowed if visible is None else visible & allowed
    if strictly is not None:
        strictly = strictly & tokens
    return visible, strictly
