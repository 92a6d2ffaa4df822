"""Decoding a batch fast: one token of every row through a GPT, on arrays.

A step that decodes B rows reads every weight once, as for a single row, and multiplies each number
by B others. The model itself does the same work through its modules, one product after another.
Here the steps are written out on arrays, and where few rows gain by it
(autograd/kernels/few_rows.py) the feed-forward layer is cut across its hidden units, as tensor
parallelism cuts it between devices (Shoeybi et al. 2019, Megatron-LM):

    y = sum over the parts p of act(x G_p) * (x U_p)  W_p      G_p, U_p (D, F/n), W_p (F/n, D)

Each thread computes its part of the hidden units, from the first product to the last, and only the
sums (B, D) meet. SmolLM2-135M gets three hand-overs a layer instead of five. Results equal the
model's up to rounding. Weights are read in place, so a new decoder
costs nothing. Read first:
direct.py, the same for one row. Read next: autograd/kernels/few_rows.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd.kernels.few_rows import (
    Pieces,
    TableProduct,
    in_parallel,
    piece_length,
    read_in_pieces,
    shares,
)
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.cache.shared_prefix import SharedPrefixCache, attend
from tinylm.generate.fast.folded import supports
from tinylm.generate.fast.parts import activation_into, normed
from tinylm.generate.fast.prompt import PromptReader
from tinylm.generate.protocol.language_model import ModelLM, check_tokens, padded
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import GATES


class BatchDecoder:
    """A GPT as a language model whose steps of one token a row are written out on arrays.

    model   a GPT that `supports` of folded.py accepts; its weights are read in place
    raises  ConfigError for another model

    Follows the protocol of protocol/language_model.py. Prompts are read by prompt.py; whatever else
    is no such step (caches of other kinds) is left to the model itself, with the same cache.
    """

    rows_alike = True

    def __init__(self, model: GPT) -> None:
        if not supports(model):
            raise ConfigError(
                "BatchDecoder: only a pre-norm GPT of plain parts on the CPU; "
                "use ModelLM for this model"
            )
        self._plain = ModelLM(model)
        self._prompts = PromptReader(self._plain)
        c = self.config = model.config
        self.model, self.vocab_size, self.context = model, c.vocab_size, c.context
        self.scale = c.attention_scale or c.key_width**-0.5
        self._layers = self._head = None  # products for so many rows
        self._rows = 0

    def new_cache(
        self, batch: int, padding: np.ndarray | None = None, capacity: int = 0
    ) -> KeyValueCache:
        """An empty KeyValueCache for B rows."""
        return self._plain.new_cache(batch, padding, capacity)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._plain.logits(tokens, cache)

    def hidden_and_logits(
        self, tokens: np.ndarray, cache: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As of ModelLM."""
        return self._plain.hidden_and_logits(tokens, cache)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        tokens = check_tokens(tokens, self, cache)
        if type(cache) is not KeyValueCache or tokens.shape[1] > 1:
            return self._prompts.next_logits(tokens, cache)
        return self.step(tokens[:, 0], cache)

    def step(self, tokens: np.ndarray, cache: Any) -> np.ndarray:
        """Read one token of each row, whose ids and room were checked: (B,) -> (B, V).

        cache   KeyValueCache or SharedPrefixCache
        """
        model, c, t = self.model, self.config, cache.length
        if len(tokens) != self._rows:
            self._prepare(len(tokens))
        positions, mask = padded(1, cache)
        if positions is None:
            positions = np.full((len(tokens), 1), t)
        prefix = [None] * c.n_layer
        if isinstance(cache, SharedPrefixCache):
            prefix = cache.prefix  # (L, 2, G, n, K)
            positions = positions + prefix.shape[3]
        x = model.tokens.weight.data[tokens]  # (B, D)
        if c.embedding_scale != 1:
            x *= x.dtype.type(c.embedding_scale)
        if model.positions:
            x += model.positions.table.weight.data[positions[:, 0]]
        turns = model.rotation(positions, x.dtype)  # cosines and sines (B, 1, 1, K/2), or None
        stored = cache.arrays(t + 1)[..., : t + 1, :]  # (L, 2, B, G, t+1, K)
        for block, products, memory, before in zip(model.blocks, self._layers, stored, prefix):
            into_qkv, out_of_heads, feed_forward = products
            qkv = into_qkv(normed(x, block.norms[0]))  # (B, (H+2G) K)
            x += out_of_heads(self._attend(qkv, turns, memory, before, mask))
            x += feed_forward(normed(x, block.norms[1]))
        cache.length = t + 1
        scores = self._head(normed(x, model.norm))  # (B, D) -> (B, V)
        if c.logit_cap is None:
            return scores.copy()  # the next step overwrites it
        return np.tanh(scores / c.logit_cap) * c.logit_cap

    def _prepare(self, B):
        """The products of every layer for B rows."""
        model, c = self.model, self.config
        table = model.tokens.weight.data
        if model.head is not None:
            table = model.head.data.T
        self._head = TableProduct(table, B, table.dtype)
        self._layers = [
            (
                _Linear(block.attention.qkv, B),
                _Linear(block.attention.out, B),
                _FeedForward(block.feed_forward, c.activation, B),
            )
            for block in model.blocks
        ]
        self._rows = B

    def _attend(self, qkv, turns, memory, before, mask):
        """Attention of one new token a row, which is written to the cache here: (B, H K).

        qkv     (B, (H+2G) K)  queries, keys and values side by side
        memory  (2, B, G, t+1, K)  keys and values of the layer, the last column for the new token
        before  (2, G, n, K) of a prefix that all rows share, or None
        mask    (B, 1, 1, t+1) False for padding, or None
        """
        c, B = self.config, len(qkv)
        H, G, K = c.n_head, c.kv_heads, c.key_width
        if turns is not None:  # eqs. 2.95, 2.96: each pair turns by its angle
            qk = qkv[:, : (H + G) * K].reshape(B, H + G, 2, K // 2)
            cos, sin = (part.reshape(B, 1, -1) for part in turns)  # (B, 1, K/2)
            first, second = qk[:, :, 0], qk[:, :, 1]
            turned = first * cos - second * sin, first * sin + second * cos
            qk[:, :, 0], qk[:, :, 1] = turned
        keys, values = memory  # (B, G, t+1, K) each
        memory[:, :, :, -1] = qkv[:, H * K :].reshape(B, 2, G, K).swapaxes(0, 1)
        queries = qkv[:, : H * K]
        if before is not None:
            q = queries.reshape(B, H, 1, K)
            return attend(q, *before, keys, values, mask, self.scale).reshape(B, H * K)
        q = queries.reshape(B, G, H // G, K) * queries.dtype.type(self.scale)
        # One query for each head and row: (B, G, H/G, K) @ (B, G, K, t+1).
        scores = q @ keys.swapaxes(2, 3)
        if mask is not None:
            np.copyto(scores, -np.inf, where=~mask)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, scores)
        mixed = scores @ values  # (B, G, H/G, K)
        mixed /= scores.sum(axis=-1, keepdims=True)
        return mixed.reshape(B, H * K)


class _Linear:
    """x W + b of B rows: (B, D) -> (B, F)."""

    def __init__(self, linear, B):
        self.product = TableProduct(linear.weight.data.T, B, linear.weight.dtype)
        self.bias = linear.bias

    def __call__(self, x):
        y = self.product(x)
        if self.bias is not None:
            y += self.bias.data
        return y


class _FeedForward:
    """A feed-forward layer of B rows, cut across its hidden units if few rows gain by it."""

    def __init__(self, forward, activation, B):
        if activation in GATES:
            rising = [forward.gate, forward.up]
        else:
            rising = [forward.hidden]
        F, dtype = forward.out.weight.shape[0], forward.out.weight.dtype
        tables = [linear.weight.data.T for linear in rising]  # (F, D) each
        pieces = all(read_in_pieces(B, table, dtype) for table in tables)
        parts = [(0, F)]
        if pieces:
            parts = shares(F)
        self.bias = forward.out.bias
        self.parts = [
            _HiddenUnits(rising, forward.out, activation, slice(*part), B, pieces) for part in parts
        ]

    def __call__(self, x):
        in_parallel([(part, x) for part in self.parts])
        y = self.parts[0].y
        for part in self.parts[1:]:
            y += part.y
        if self.bias is not None:
            y += self.bias.data
        return y


class _HiddenUnits:
    """What some of the hidden units add to a feed-forward layer's output.

    rising  the linear maps into the hidden layer: [gate, up], or one
    out     the one out of it
    units   slice of the hidden units
    pieces  whether products are read in pieces
    """

    def __init__(self, rising, out, activation, units, B, pieces):
        dtype = out.weight.dtype
        self.activation, self.before, self.after = activation_into(activation, dtype)
        n = units.stop - units.start
        # Gate above up, (2 B, n), as the activation takes them; or one of (B, n).
        self.hidden = np.empty((len(rising) * B, n), dtype)
        self.activated = np.empty((B, n), dtype)
        self.y = np.empty((B, out.weight.shape[1]), dtype)
        halves = np.split(self.hidden, len(rising))
        self.rising = []
        for linear, half in zip(rising, halves):
            bias = None
            if linear.bias is not None:
                bias = linear.bias.data[units]
            self.rising.append((_into(linear.weight.data.T[units], half, pieces), bias, half))
        self.out = _into(out.weight.data.T[:, units], self.y, pieces)

    def __call__(self, x):
        for product, bias, half in self.rising:
            product(x)  # (B, D) -> (B, n)
            if bias is not None:
                half += bias
        if self.before != 1:
            self.hidden *= self.before
        self.activation(self.hidden, self.activated)
        if self.after != 1:
            self.activated *= self.after
        self.out(self.activated)  # (B, n) -> (B, D)


def _into(table, y, pieces):
    """A function of x that writes x E^T into y, in pieces or at once."""
    if pieces and piece_length(len(y), table.shape[1]):
        return Pieces(table, y)
    return lambda x: np.matmul(x, table.T, out=y)
