"""GPT: a decoder-only transformer   (book section 2.1.1, Fig. 2.1; Radford et al. 2019).

Embeddings, L blocks of attention and feed-forward around a residual stream, a softmax over the vocabulary.
Special here: the parts are picked by name, so that norm placement, norm, activation, positions and grouped
heads are each one word of the configuration; the tied head shares the embedding table. With the defaults
it is GPT-2; with rms, swiglu, rope and no bias it is the LLaMA shape.
"""
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import dropout, linear, unembedding
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn import (
    ACTIVATIONS,
    GATES,
    INIT_STD,
    NORMS,
    PLACEMENTS,
    Block,
    Embedding,
    LearnedPositions,
    Module,
    SelfAttention,
    feed_forward,
    normal_parameter,
    rotary_angles,
)


@dataclass(frozen=True)
class GPTConfig:
    """What a GPT is made of; sizes in the book's symbols."""

    vocab_size: int                       # V
    context: int = 1024                   # longest sequence, in tokens
    n_layer: int = 12                     # L
    n_head: int = 12                      # H
    d_model: int = 768                    # D
    n_kv_head: int | None = None          # G; H if None
    d_hidden: int | None = None           # F; 4 D if None
    norm: str = "layer"                   # layer | rms
    norm_placement: str = "pre"           # pre: x + F(norm(x)) | post: norm(x + F(x)) | branch: x + norm(F(x))
    activation: str = "gelu_tanh"         # gelu_tanh | gelu | relu | silu | swiglu | geglu | glu
    positions: str = "learned"            # learned | rope
    rope_base: float = 10000.0
    bias: bool = True                     # in linear maps and layer norms
    tied: bool = True                     # output weights are the embedding table
    dropout: float = 0.0

    def __post_init__(self):
        choices = {"norm": NORMS, "norm_placement": PLACEMENTS, "activation": {**ACTIVATIONS, **GATES},
                   "positions": ("learned", "rope")}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(f"GPTConfig: {field} = {getattr(self, field)!r} is not one of {', '.join(allowed)}")
        for field in ("vocab_size", "context", "n_layer", "n_head", "d_model"):
            if getattr(self, field) < 1:
                raise ConfigError(f"GPTConfig: {field} = {getattr(self, field)} must be at least 1")
        if self.positions == "rope" and self.d_model // self.n_head % 2:
            raise ConfigError(f"GPTConfig: rope turns pairs, so the head width {self.d_model // self.n_head} must be even")


def make_block(config, rng, dtype):
    """One Block of a configuration, freshly initialized."""
    c, bias = config, config.bias
    out_std = INIT_STD / (2 * c.n_layer) ** 0.5                                         # 2 L branches add up
    attention = SelfAttention(c.d_model, c.n_head, rng, c.n_kv_head, bias=bias, out_std=out_std, dropout=c.dropout, dtype=dtype)
    hidden = feed_forward(c.activation)(c.d_model, c.d_hidden or 4 * c.d_model, rng, c.activation, bias, out_std, dtype)
    norms = [NORMS[c.norm](c.d_model, bias=bias, dtype=dtype) for _ in range(2)]
    return Block(attention, hidden, norms, PLACEMENTS[c.norm_placement], rng, c.dropout)


class GPT(Module):
    """A language model: token ids in, logits of the next token out at every position.

    config  GPTConfig
    seed    of the initial weights and of dropout
    dtype   of the parameters: np.float32, or np.float64 for checks
    """

    def __init__(self, config, seed=0, dtype=np.float32):
        c = self.config = config
        rng = Random(seed, "init")
        self.rng = Random(seed, "dropout")
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, dtype=dtype)
        self.positions = LearnedPositions(c.context, c.d_model, rng, dtype=dtype) if c.positions == "learned" else None
        self.blocks = [make_block(c, rng, dtype) for _ in range(c.n_layer)]
        self.norm = NORMS[c.norm](c.d_model, bias=c.bias, dtype=dtype) if c.norm_placement != "post" else None
        self.head = None if c.tied else normal_parameter((c.d_model, c.vocab_size), rng, INIT_STD, dtype)
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng                                                   # drawn from after initialization: dropout

    def __call__(self, ids, cache=None, positions=None, mask=None):
        """Logits of every next token   (book eq. 2.12).

        ids        (B, T) integers
        cache      keys and values of earlier tokens (generate/cache.py); T counts the new tokens only
        positions  (T,) or (B, T) integers; by default they continue from the cache, or from 0
        mask       bool, broadcasts to (B, H, T, S), True = visible, on top of the causal mask
        returns    (B, T, V)
        raises     ShapeError if the sequence is longer than the context, DataError for an id outside the vocabulary
        """
        return self.logits(self.hidden(ids, cache, positions, mask))

    def hidden(self, ids, cache=None, positions=None, mask=None):
        """The residual stream after the last block and norm, (B, T, D); arguments as in __call__."""
        ids = getattr(ids, "data", ids) if not isinstance(ids, np.ndarray) else ids
        T, past = ids.shape[-1], cache.length if cache is not None else 0
        if positions is None:
            positions = np.arange(past, past + T, like=ids)
            if past + T > self.config.context:
                raise ShapeError(f"GPT: {past + T} tokens do not fit the context of {self.config.context}: shorten the input")
        x = self.tokens(ids)                                                            # (B, T) -> (B, T, D)
        rotation = None
        if self.positions is not None:
            x = self.positions(x, positions)
        else:
            rotation = rotary_angles(positions, self.config.d_model // self.config.n_head, self.config.rope_base, x.dtype)
        x = dropout(x, self.config.dropout if self.training else 0.0, self.rng)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation=rotation, mask=mask, cache=cache, layer=layer)
        return x if self.norm is None else self.norm(x)

    def logits(self, x):
        """The output layer: (B, T, D) -> (B, T, V)."""
        return unembedding(x, self.tokens.weight) if self.head is None else linear(x, self.head)

    def to(self, device):
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.rng.device = device
        return super().to(device)
