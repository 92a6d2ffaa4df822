"""Decoding a batch fast: one token of every row through a GPT, on arrays.

A step that decodes B rows reads every weight once, as for a single row, and multiplies each number
by B others. The model itself does the same work through its modules, one product after another.
Here the steps are written out on arrays, and where few rows gain by it
(autograd/kernels/few_rows.py) the feed-forward layer is cut across its hidden units, as tensor
parallelism cuts it between devices (Shoeybi et al. 2019, Megatron-LM):

    y = sum over the parts p of act(x G_p) * (x U_p)  W_p      G_p, U_p (D, F/n), W_p (F/n, D)

Each thread computes its part of the hidden units, from the first product to the last, and only the
sums (B, D) meet. SmolLM2-135M gets three hand-overs a layer instead of five. Results equal the
model's up to rounding. Weights are read in place, so a new decoder costs nothing. Read first:
direct.py, the same for one row. Read next: autograd/kernels/few_rows.py.
"""

import numpy as np

from tinylm.autograd.kernels.few_rows import (
    in_parallel,
    in_pieces,
    read_in_pieces,
    shares,
    times_table,
)
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.cache.shared_prefix import SharedPrefixCache, attend
from tinylm.generate.fast.folded import supports
from tinylm.generate.protocol.language_model import ModelLM, check_tokens, padded
from tinylm.nn import ACTIVATIONS, GATES, LayerNorm


class BatchDecoder:
    """A GPT as a language model whose steps of one token a row are written out on arrays.

    model   a GPT that `supports` of folded.py accepts; its weights are read in place
    raises  ConfigError for another model

    Follows the protocol of protocol/language_model.py. Whatever is no such step (prompts, caches of
    other kinds) is left to the model itself, with the same cache.
    """

    def __init__(self, model):
        if not supports(model):
            raise ConfigError(
                "BatchDecoder: only a pre-norm GPT of plain parts on the CPU; "
                "use ModelLM for this model"
            )
        self._plain = ModelLM(model)
        c = self.config = model.config
        self.model, self.vocab_size, self.context = model, c.vocab_size, c.context
        self.scale = c.attention_scale or c.key_width**-0.5

    def new_cache(self, batch, padding=None, capacity=0):
        """An empty KeyValueCache for B rows."""
        return self._plain.new_cache(batch, padding, capacity)

    def logits(self, tokens, cache=None):
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._plain.logits(tokens, cache)

    def hidden_and_logits(self, tokens, cache=None):
        """As of ModelLM."""
        return self._plain.hidden_and_logits(tokens, cache)

    def next_logits(self, tokens, cache=None):
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        if type(cache) is not KeyValueCache or np.shape(tokens)[1:] != (1,):
            return self._plain.next_logits(tokens, cache)
        return self.step(check_tokens(tokens, self, cache)[:, 0], cache)

    def step(self, tokens, cache):
        """Read one token of each row, whose ids and room were checked: (B,) -> (B, V).

        cache   KeyValueCache or SharedPrefixCache
        """
        model, c, t = self.model, self.config, cache.length
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
        for block, memory, before in zip(model.blocks, stored, prefix):
            attention, forward = block.attention, block.feed_forward
            qkv = _linear(_normed(x, block.norms[0]), attention.qkv)  # (B, (H+2G) K)
            attended = self._attend(qkv, turns, memory, before, mask)  # (B, H K)
            x += _linear(attended, attention.out)
            x += self._feed_forward(_normed(x, block.norms[1]), forward)
        cache.length = t + 1
        last = _normed(x, model.norm)
        if model.head is None:
            scores = times_table(last, model.tokens.weight.data)  # (B, D), (V, D) -> (B, V)
        else:
            scores = times_table(last, model.head.data.T)
        if c.logit_cap is None:
            return scores
        return np.tanh(scores / c.logit_cap) * c.logit_cap

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

    def _feed_forward(self, x, forward):
        """x (B, D) -> (B, D), cut across the hidden units where few rows gain by it."""
        gated = self.config.activation in GATES
        rising = [forward.gate, forward.up] if gated else [forward.hidden]
        activation = (GATES if gated else ACTIVATIONS)[self.config.activation]
        tables = [one.weight.data.T for one in (*rising, forward.out)]  # (F, D), .. and (D, F)
        parts = shares(len(tables[0]))
        if len(parts) == 1 or not all(read_in_pieces(x, table) for table in tables[:-1]):
            hidden = activation(*(_linear(x, one) for one in rising)).data  # (B, F)
            return _linear(hidden, forward.out)
        found = [None] * len(parts)

        def compute(number, start, stop):
            inner = []
            for one, table in zip(rising, tables):
                y = np.empty((len(x), stop - start), x.dtype)
                in_pieces(x, table[start:stop], y)
                if one.bias is not None:
                    y += one.bias.data[start:stop]
                inner.append(y)
            y = np.empty_like(x)
            in_pieces(activation(*inner).data, tables[-1][:, start:stop], y)
            found[number] = y

        in_parallel([(compute, i, start, stop) for i, (start, stop) in enumerate(parts)])
        total = sum(found[1:], found[0])
        if forward.out.bias is not None:
            total += forward.out.bias.data
        return total


def _linear(x, linear):
    """x W + b of arrays: (B, D) -> (B, F)."""
    y = times_table(x, linear.weight.data.T)
    if linear.bias is not None:
        y += linear.bias.data
    return y


def _normed(x, norm):
    """Layer norm or RMS norm of arrays: (B, D) -> (B, D)."""
    bias = getattr(norm, "bias", None)
    if isinstance(norm, LayerNorm):
        x = x - x.mean(axis=1, keepdims=True)
    size = np.einsum("bd,bd->b", x, x)[:, None] / x.shape[1]  # (B, 1) mean square
    y = x * ((size + norm.eps) ** -0.5).astype(x.dtype)
    y *= norm.gain.data
    if bias is not None:
        y += bias.data
    return y
