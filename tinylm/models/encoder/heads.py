"""What an encoder is trained through, and what is taken off afterwards   (book section 1.2.2, eqs.
1.8, 1.9).

Each head reads the encoder's last hidden states H (B, T, D). The tasks they are trained on are in
`pretrain/`. Read next: encoder.py, which holds a head.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, embedding, gelu, unembedding
from tinylm.backend import DType, Random
from tinylm.nn import ACTIVATIONS, Embedding, LayerNorm, Linear, Module


class TokenHead(Module):
    """Logits of every token: norm(sigma(h W + b)) E^T + b', E the embedding table   (BERT)

    width   of the embeddings, which the inner map leads to; it differs from D in ALBERT and ELECTRA
    plain   h E^T + b' without the inner map   (XLM)
    """

    def __init__(
        self,
        d_model: int,
        width: int,
        vocab_size: int,
        rng: Random | None,
        activation: str = "gelu",
        eps: float = 1e-12,
        plain: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        self.activation = ACTIVATIONS[activation]
        self.dense = self.norm = None
        if not plain:
            self.dense = Linear(d_model, width, rng, dtype=dtype)
            self.norm = LayerNorm(width, eps=eps, dtype=dtype)
        self.bias = Tensor(np.zeros(vocab_size, dtype), requires_grad=True)

    def __call__(self, h: Tensor, table: Tensor) -> Tensor:
        """h (B, T, D), table (V, E) -> (B, T, V)."""
        if self.dense is not None:
            h = self.norm(self.activation(self.dense(h)))  # (B, T, D) -> (B, T, E)
        return unembedding(h, table) + self.bias  # (B, T, E) @ (E, V)


class ReplacedHead(Module):
    """One logit per position: was this token replaced?   (ELECTRA; Clark et al. 2020)"""

    def __init__(
        self, d_model: int, rng: Random | None, activation: str = "gelu", dtype: DType = np.float32
    ) -> None:
        self.activation = ACTIVATIONS[activation]
        self.dense = Linear(d_model, d_model, rng, dtype=dtype)
        self.out = Linear(d_model, 1, rng, dtype=dtype)

    def __call__(self, h: Tensor, table: Tensor | None = None) -> Tensor:
        """h (B, T, D) -> (B, T)."""
        return self.out(self.activation(self.dense(h)))[..., 0]  # (B, T, 1) -> (B, T)


class SpanBoundaryHead(Module):
    """Logits of a token inside a masked span, from the two tokens at the span's borders.

    SpanBERT (Joshi et al. 2020):
    f(h_{s-1}, h_{e+1}, p_{i-s+1}): two hidden layers with GELU and layer norm, then the embedding
    table.

    longest  most tokens in a span: there are this many relative positions p
    """

    def __init__(
        self,
        d_model: int,
        vocab_size: int,
        rng: Random,
        longest: int = 10,
        eps: float = 1e-12,
        dtype: DType = np.float32,
    ) -> None:
        self.places = Embedding(longest, d_model, rng, dtype=dtype)
        self.first = Linear(3 * d_model, d_model, rng, dtype=dtype)
        self.second = Linear(d_model, d_model, rng, dtype=dtype)
        self.norms = [LayerNorm(d_model, eps=eps, dtype=dtype) for _ in range(2)]
        self.bias = Tensor(np.zeros(vocab_size, dtype), requires_grad=True)

    def __call__(
        self, h: Tensor, before: np.ndarray, after: np.ndarray, place: np.ndarray, table: Tensor
    ) -> Tensor:
        """Logits for n tokens a row.

        h              (B, T, D)
        before, after  (B, n) integers: positions of the last token before and the first after the
                       token's span
        place          (B, n) integers: i - s, the token's place in its span
        table          (V, D)
        returns        (B, n, V)
        """
        rows = np.arange(h.shape[0], like=before)[:, None]
        left, right = h[rows, before], h[rows, after]  # (B, n, D) each
        x = concatenate([left, right, embedding(place, self.places.weight)], axis=-1)  # (B, n, 3 D)
        for dense, norm in zip((self.first, self.second), self.norms):
            x = norm(gelu(dense(x)))  # (B, n, D)
        return unembedding(x, table) + self.bias
