"""Decoding one sequence fast: one token through a GPT, on vectors, with as few NumPy calls as
possible.

One token through a small model is some hundred tiny operations, so the time goes into calling them,
not into arithmetic. `FastDecoder` copies the weights once and folds into them everything that does
not depend on the token; a step is then about twenty calls a layer. Results equal the model's up to
rounding. What is folded:

  gain, bias   norm(x) W + b = n (gain W) + (bias W + b), n the normalized x without gain and bias
  mean         a layer norm first subtracts the mean of the residual stream. All terms added to the
               stream (embeddings, positions, outputs of attention and feed-forward) have their mean
               removed from the weights that produce them, so the stream always has mean 0 and layer
               norm is the shorter RMS norm
  scale        1/sqrt(K) of attention goes into the query weights
  bias again   every vector carries a 1 at its end and every matrix its bias as the last row: one
               product does both
  constants    those of the tanh GELU go into the matrices around it; the others are 0-d arrays,
               which NumPy takes in half the time it needs for a Python number

Pre-norm only: in the other placements of norms, sublayers read the stream itself. A model too large
for the caches gains nothing from this and would be held twice: see direct.py. Read next:
autograd/kernels/attention.py, the full attention.
"""

import math
from typing import Any

import numpy as np

from tinylm import nn
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.fast.parts import activation_into
from tinylm.generate.fast.prompt import PromptReader
from tinylm.generate.protocol.language_model import ModelLM, check_tokens
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import GATES
from tinylm.nn.module import Module
from tinylm.nn.position.rotary_scaling import BY_LENGTH

# The parts whose computation `step` and the folding below reproduce.
PLAIN = {
    GPT,
    nn.Block,
    nn.SelfAttention,
    nn.FeedForward,
    nn.GatedFeedForward,
    nn.Embedding,
    nn.LearnedPositions,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Linear,
}

# Attention weights are exp(score) without subtracting the maximum while their sums stay in this
# range, far from overflow and underflow in float32 (3e38, 1e-38); otherwise the maximum is
# subtracted as usual.
LEAST_SUM, LARGEST_SUM = 1e-26, 1e26
# exp() of this is above LARGEST_SUM and far from overflow.
LARGEST_SCORE = 60.0
# From this many new tokens on, the model reads them together faster than the decoder one by one.
TOGETHER = 5


def supports(model: Module) -> bool:
    """True for a plain pre-norm GPT on the CPU; False if parts were replaced, as by adapters."""
    if type(model) is not GPT or model.tokens.weight.device != "cpu":
        return False
    c = model.config
    return (
        model.embedding_norm is None
        and c.positions in ("learned", "rope")
        and set(c.attention) == {"full"}
        # Rotations that change with the length of the text cannot be tabulated once.
        and (c.rope_scaling or {}).get("name") not in BY_LENGTH
        and not c.scale_by_layer
        and c.kv_sharing == 1
        and c.qk_norm is None
        and "none" not in c.rotation
        and all(type(part) in PLAIN for part in model.modules())
        and all(_plain_block(block, model.norm) for block in model.blocks)
    )


def _plain_block(block, last_norm):
    return (
        block.placement is nn.pre_norm
        and block.attention.causal
        and block.attention.cap is None
        and all(norm.eps == last_norm.eps for norm in block.norms)  # `_normalize` has one eps
    )


class FastDecoder:
    """A GPT as a language model for one sequence at a time, on the CPU; see the file's header.

    model    a GPT that `supports` accepts. Its weights are copied: after training, make a new one
    raises   ConfigError for another model

    Follows the protocol of protocol/language_model.py for batch 1. Long inputs are read by
    prompt.py, into the same cache.
    """

    def __init__(self, model: GPT) -> None:
        c, dtype = self._begin(model), model.tokens.weight.dtype
        H, G, K = self.heads, self.groups, self.width
        # Factors that go into the matrices before and after the activation, see activation_into.
        self.activation, before, after = activation_into(c.activation, dtype)
        query_scale = np.ones((H + 2 * G) * K)  # a factor for each column of the qkv matrix
        query_scale[: H * K] = self.scale
        centered = c.norm == "layer"

        # (V, D) -> (V + 1, D): the row of the missing bias is not used. Positions likewise.
        self.embeddings = _into_stream(model.tokens.weight, None, centered, c.embedding_scale)
        self.positions = None
        if model.positions:
            self.positions = _into_stream(model.positions.table.weight, None, centered)
        self.layers = []
        for block in model.blocks:
            attention_norm, forward_norm = block.norms
            qkv, out, forward = block.attention.qkv, block.attention.out, block.feed_forward
            into_qkv = _from_stream(attention_norm, qkv.weight, qkv.bias, query_scale)
            out_of_heads = _into_stream(out.weight, out.bias, centered)
            rising = [forward.gate, forward.up] if c.activation in GATES else [forward.hidden]
            into_hidden = [
                _from_stream(forward_norm, linear.weight, linear.bias, before) for linear in rising
            ]
            out_of_hidden = _into_stream(forward.out.weight, forward.out.bias, centered, after)
            self.layers.append(
                (
                    into_qkv,  # (D+1, (H+2G) K)
                    out_of_heads,  # (H K + 1, D)
                    np.hstack(into_hidden),  # (D+1, F) or (D+1, 2F)
                    out_of_hidden,  # (F+1, D)
                )
            )
        head = model.tokens.weight.T if model.head is None else model.head
        self.head = _from_stream(model.norm, head)  # (D+1, V)

        self._end(self.layers[0][2].shape[1], self.layers[0][3].shape[0] - 1)

    def _begin(self, model):
        """Sizes, scale of the scores and rotations; returns the configuration."""
        if not supports(model):
            raise ConfigError(
                "FastDecoder: only a pre-norm GPT of plain parts on the CPU; "
                "use ModelLM for this model"
            )
        self.model, c = ModelLM(model), model.config
        self._prompts = PromptReader(self.model)
        self.vocab_size, self.context, self.config = c.vocab_size, c.context, c
        self.heads, self.groups, self.width = c.n_head, c.kv_heads, c.key_width
        self.scale = c.attention_scale or 1 / math.sqrt(self.width)
        self.dtype = model.tokens.weight.dtype
        self.eps = model.norm.eps
        self.inverse_width = 1 / c.d_model
        self._make_room(min(c.context, 1024))
        return c

    def _make_room(self, tokens):
        """Tables for the first `tokens` positions; they grow, as the context may be far longer."""
        self.rotation = self.model.model.rotation(np.arange(tokens), self.dtype)
        self.ones = np.ones(tokens, self.dtype)

    def _end(self, rising, F):
        """Allocate the vectors that every step overwrites, and views into them.

        rising   width of the matrix into the hidden layer: F, or 2 F if gated
        """
        D, H, G, K, dtype = self.config.d_model, self.heads, self.groups, self.width, self.dtype
        self.inverse, self.ceiling = np.empty((), dtype), np.array(LARGEST_SCORE, dtype)
        self.stream, self.change, self.hidden = (np.empty(n, dtype) for n in (D, D, rising))
        # Inputs of products end in a 1 that is never overwritten: it picks up the bias row.
        self.normed, self.attended, self.activated = (np.ones(n + 1, dtype) for n in (D, H * K, F))
        # One vector [queries | keys | values], and views of its parts.
        self.qkv = np.empty((H + 2 * G) * K, dtype)
        self.queries = self.qkv[: H * K].reshape(G, H // G, K)  # heads of a group together
        self.new = self.qkv[H * K :].reshape(2, G, K)  # key and value of this token
        self.turned = None
        if K % 2 == 0:  # queries and keys in the two halves that rotary turns: (H + G, 2, K/2)
            self.turned = self.qkv[: (H + G) * K].reshape(H + G, 2, -1)
        self.mixed = self.attended[:-1].reshape(G, H // G, K)
        self.mixed_rows = self.attended[:-1].reshape(H, K)

    def new_cache(self, batch: int = 1, padding: np.ndarray | None = None) -> KeyValueCache:
        """An empty cache. Raises ShapeError for a batch other than 1."""
        if batch != 1 or padding is not None:
            raise ShapeError(
                f"FastDecoder: one sequence, without padding, not {batch}; use ModelLM for batches"
            )
        # Not the whole context: the system hands out memory in pages of 2 MB, so unused room costs
        # memory too. A longer text makes the cache double.
        return self.model.new_cache(1, capacity=min(self.context, 1024))

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (1, T) -> (1, T, V)."""
        if np.shape(tokens) == (1, 1):
            return self.next_logits(tokens, cache)[:, None]
        return self.model.logits(tokens, cache)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (1, T) -> (1, V)."""
        tokens = np.asarray(tokens)
        past = 0 if cache is None else cache.length
        few = (
            tokens.ndim == 2
            and len(tokens) == 1
            and tokens.size < TOGETHER
            and tokens.dtype.kind in "iu"
        )
        ids = tokens[0].tolist() if few else ()
        if not ids or past + len(ids) > self.context or min(ids) < 0 or max(ids) >= self.vocab_size:
            return self._prompts.next_logits(check_tokens(tokens, self, cache), cache)
        if cache is None:
            cache = self.new_cache()
        with np.errstate(over="ignore"):  # e^-gate of swiglu: 0 is right
            for token in ids:
                last = self.step(token, cache)
        return self._scores(last)[None]

    def _scores(self, last):
        """The output layer: (D+1,) -> (V,)."""
        scores, cap = last.dot(self.head), self.config.logit_cap
        if cap is None:
            return scores
        return np.tanh(scores / cap) * cap

    def step(self, token: int, cache: Any) -> np.ndarray:
        """Read one token; returns the normalized stream after the last block, (D + 1,)."""
        x = self.stream
        change = self.change
        hidden = self.hidden
        normed = self.normed
        activated = self.activated
        t = cache.length
        stored = cache.arrays(t + 1)[:, :, 0]  # (L, 2, G, capacity, K)
        # Slice for all layers at once: a slice in each layer would cost as much as the arithmetic.
        stored = (
            stored[..., t, :],  # (L, 2, G, K) where this token goes
            stored[:, 0, :, : t + 1].swapaxes(2, 3),  # (L, G, K, t+1) keys
            stored[:, 1, :, : t + 1],  # (L, G, t+1, K) values
        )
        if t >= len(self.ones):
            self._make_room(min(self.context, 2 * t))
        self._embed(token, t)
        for matrices, *memory in zip(self.layers, *stored):
            into_qkv, out_of_heads, into_hidden, out_of_hidden = matrices
            # x += attention(norm(x))
            self._normalize(x)
            normed.dot(into_qkv, self.qkv)  # (D+1,) -> ((H+2G) K,)
            self._attend(t, *memory)
            np.add(x, self.attended.dot(out_of_heads, change), x)  # (H K + 1,) -> (D,)
            # x += feed_forward(norm(x))
            self._normalize(x)
            normed.dot(into_hidden, hidden)  # (D+1,) -> (F,); (2F,) if gated
            self.activation(hidden, activated[:-1])
            np.add(x, activated.dot(out_of_hidden, change), x)  # (F+1,) -> (D,)
        cache.length = t + 1
        self._normalize(x)
        return normed

    def _embed(self, token, t):
        if self.positions is None:
            np.copyto(self.stream, self.embeddings[token])
        else:
            np.add(self.embeddings[token], self.positions[t], self.stream)

    def _normalize(self, x):
        # normed = x / sqrt(mean(x^2) + eps): gain and bias are in the matrix that follows.
        self.inverse.fill(1 / math.sqrt(float(x.dot(x)) * self.inverse_width + self.eps))
        np.multiply(x, self.inverse, self.normed[:-1])

    def _attend(self, t, new, keys, values):
        """Attention of the token at position t, from self.qkv to self.attended.

        new     (2, G, K)    its slot in the cache, filled here with its key and value
        keys    (G, K, t+1)  of all tokens so far, a view that includes `new`
        values  (G, t+1, K)  likewise
        """
        if self.rotation is not None:  # eqs. 2.95, 2.96: each pair turns by its angle at position t
            cos, sin = self.rotation[0][t], self.rotation[1][t]
            first, second = self.turned[:, 0], self.turned[:, 1]  # (H+G, K/2)
            turned = first * cos - second * sin, first * sin + second * cos
            self.turned[:, 0], self.turned[:, 1] = turned
        np.copyto(new, self.new)
        # With R = H / G queries for each key head. No mask: the cache ends with this token.
        scores = np.matmul(self.queries, keys)  # (G, R, t+1)
        # Scores are cut off at the ceiling, whose exp alone makes a sum too large below. An inf
        # must not enter the product: with AVX-512, BLAS set the invalid flag, and NumPy warned
        # although the sums were right.
        weights = np.minimum(scores, self.ceiling)
        np.exp(weights, weights)
        total = weights.reshape(self.heads, -1).dot(self.ones[: t + 1])  # (H,)
        sums = total.tolist()
        if not (min(sums) > LEAST_SUM and max(sums) < LARGEST_SUM):  # also if a sum is nan
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            total = weights.sum(axis=-1).reshape(-1)
        np.matmul(weights, values, self.mixed)  # (G, R, K), which is (H, K)
        np.divide(self.mixed_rows, total[:, None], self.mixed_rows)


def _into_stream(weight, bias, centered, factor=1.0):
    """A matrix that writes to the residual stream, with its bias as the last row.

    weight (n, D), bias (D,) or None -> (n + 1, D); centered: every row then has mean 0
    """
    last = np.zeros(weight.shape[1])
    if bias is not None:
        last = bias.data
    full = np.vstack([weight.data * factor, last], dtype=np.float64)
    # The output is a sum of rows, so its mean over D is 0 if every row's is.
    return (full - full.mean(axis=1, keepdims=True) * centered).astype(weight.dtype)


def _from_stream(norm, weight, bias=None, factor=1.0):
    """A norm's gain and bias and the linear map after it as one matrix, times `factor`.

    weight (D, n), bias (n,) or None -> (D + 1, n)
    """
    # (n gain + shift) W + bias = n (gain W) + (shift W + bias), the bracket in the last row.
    W = weight.data.astype(np.float64)
    last = np.zeros(W.shape[1])
    if bias is not None:
        last = last + bias.data
    shift = getattr(norm, "bias", None)
    if shift is not None:
        last = last + shift.data @ W
    return (np.vstack([norm.gain.data[:, None] * W, last]) * factor).astype(weight.dtype)
