"""Encoder-decoders: T5, BART, mBART, MASS   (book section 1.2.3; Vaswani et al. 2017).

The encoder reads the whole source, every position seeing every other; the decoder writes the target
from left to right, each token seeing the tokens before it and, by cross-attention, all of the
source. T5 and BART share this and differ in their parts: where norms stand, how positions enter,
what is scaled. Read next: presets.py; generate/protocol/conditional.py, which decodes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, dropout, linear, unembedding
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn import (
    ACTIVATIONS,
    GATES,
    INIT_STD,
    NORMS,
    PLACEMENTS,
    Block,
    CrossAttention,
    Embedding,
    LearnedPositions,
    Module,
    SelfAttention,
    feed_forward,
    normal_parameter,
)
from tinylm.nn.position.bias import T5Bias
from tinylm.nn.position.learned import columns_of_tokens


@dataclass(frozen=True)
class Seq2SeqConfig:
    """What an encoder-decoder is made of; the defaults are BART-base."""

    vocab_size: int = 50265  # V
    # Longest source and longest target, in tokens; None: any length, with t5 positions.
    context: int | None = 1024
    n_layer: int = 6  # L of the encoder
    n_decoder_layer: int | None = None  # L of the decoder; as the encoder if None
    n_head: int = 12  # H
    d_model: int = 768  # D
    d_hidden: int | None = None  # F; 4 D if None
    head_width: int | None = None  # K; D / H if None
    norm: str = "layer"  # layer | rms
    # post: norm(x + F(x)) | pre: x + F(norm(x)), and the output is normed
    norm_placement: str = "post"
    norm_eps: float = 1e-5
    embedding_norm: bool = True
    activation: str = "gelu"
    positions: str = "learned"  # learned | t5: a bias of the scores, shared by all layers of a side
    first_position: int = 0  # row of the first token in the table of positions
    buckets: int = 32  # of the t5 bias
    max_distance: int = 128
    bias: bool = True  # in linear maps and layer norms
    attention_scale: float | None = None  # of the scores; 1/sqrt(K) if None, T5 1
    embedding_scale: float = 1.0  # times the token embeddings, not the tied output weights
    logit_scale: float = 1.0  # times the hidden states before the output weights
    embedding_std: float = INIT_STD  # of the initial token embeddings
    tied: bool = True  # output weights are the embedding table
    start: int = 0  # the token that every target begins with
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for field, allowed in {
            "norm": NORMS,
            "norm_placement": ("post", "pre"),
            "activation": (*ACTIVATIONS, *GATES),
            "positions": ("learned", "t5"),
        }.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(
                    f"Seq2SeqConfig: {field} = {getattr(self, field)!r} is not one of "
                    f"{', '.join(allowed)}"
                )
        for field in ("vocab_size", "n_layer", "n_head", "d_model"):
            if getattr(self, field) < 1:
                raise ConfigError(
                    f"Seq2SeqConfig: {field} = {getattr(self, field)} must be at least 1"
                )
        if self.positions == "learned" and not self.context:
            raise ConfigError("Seq2SeqConfig: learned positions need a context: how many there are")

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return self.n_decoder_layer or self.n_layer

    @property
    def key_width(self) -> int:
        """K, the width of a head."""
        return self.head_width or self.d_model // self.n_head

    def new_norm(self, dtype: DType) -> Module:
        """One normalization of this configuration."""
        return NORMS[self.norm](self.d_model, bias=self.bias, eps=self.norm_eps, dtype=dtype)


class Seq2Seq(Module):
    """Pr(target | source): source and target so far in, logits of every next target token out.

    config, seed, dtype  as in Encoder; config is a Seq2SeqConfig
    """

    def __init__(
        self, config: Seq2SeqConfig, seed: int | None = 0, dtype: DType = np.float32
    ) -> None:
        c = self.config = config
        rng = None if seed is None else Random(seed, "init")
        self.rng = Random(seed or 0, "dropout")
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, c.embedding_std, dtype)
        self.encoder, self.decoder = (Stack(c, rng, dtype, decoder) for decoder in (False, True))
        self.head = None
        if not c.tied:
            self.head = normal_parameter((c.d_model, c.vocab_size), rng, INIT_STD, dtype)
        # The parts drew their weights from `rng`; dropout has a stream of its own.
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng

    def __call__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        source_mask: np.ndarray | None = None,
        target_mask: np.ndarray | None = None,
    ) -> Tensor:
        """Logits of every next token of the target   (book eq. 1.15)

        source       (B, S) integers;  source_mask (B, S) bool, True for tokens, None if all are
        target       (B, T) integers, beginning with config.start;  target_mask (B, T) bool
        returns      (B, T, V): row t scores the token after target[:, t]
        """
        memory = self.encode(source, source_mask)  # H = Encode(x), (B, S, D)
        positions = padded_positions(target, target_mask)
        h = self.decode(
            target, memory, source_mask, positions=positions, mask=key_mask(target_mask)
        )
        return self.logits(h)  # (B, T, D) -> (B, T, V)

    def encode(self, source: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """The memory of a source, (B, S) -> (B, S, D); mask (B, S) bool, True for tokens."""
        positions = padded_positions(source, mask)
        return self.encoder(self.embed(source), self.rng, positions=positions, mask=key_mask(mask))

    def memory_pairs(self, memory: Any) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the memory for every decoder layer, which a decoding computes once.

        memory   (B, S, D)
        returns  list of L pairs, each (B, H, S, K)
        """
        return [block.cross.keys_values(memory) for block in self.decoder.blocks]

    def decode(
        self,
        target: np.ndarray,
        memory: Any,
        memory_mask: np.ndarray | None = None,
        cache: Any = None,
        positions: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Tensor:
        """Hidden states of the target.

        target       (B, T) integers; with a cache only the new ones
        memory       of encode(), or memory_pairs() of it
        memory_mask  (B, S) bool, True for tokens
        cache        keys and values of earlier target tokens (generate/cache/key_value.py); these
                     are appended
        positions    (T,) or (B, T)
        mask         bool, broadcasts to (B, H, T, past + T), on top of the causal mask
        returns      (B, T, D)
        """
        past = 0 if cache is None else cache.length
        x = self.embed(target)  # (B, T) -> (B, T, D)
        memory_mask = key_mask(memory_mask)
        return self.decoder(x, self.rng, past, positions, mask, memory, memory_mask, cache)

    def embed(self, ids: np.ndarray) -> Tensor:
        """Token embeddings, scaled: (B, T) -> (B, T, D)."""
        x = self.tokens(ids)
        if self.config.embedding_scale == 1:
            return x
        return x * self.config.embedding_scale

    def logits(self, h: Tensor) -> Tensor:
        """The output layer: (B, T, D) -> (B, T, V)."""
        if self.config.logit_scale != 1:
            h = h * self.config.logit_scale
        if self.head is None:
            return unembedding(h, self.tokens.weight)
        return linear(h, self.head)

    def to(self, device: str) -> Module:
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.rng.device = device
        return super().to(device)


class Stack(Module):
    """One side of a Seq2Seq: positions, blocks, and the norms before and after.

    decoder  True: causal, with cross-attention in every block
    """

    def __init__(
        self, config: Seq2SeqConfig, rng: Random | None, dtype: DType, decoder: bool
    ) -> None:
        c = self.config = config
        self.positions = self.bias = None
        if c.positions == "learned":
            rows = c.first_position + c.context
            self.positions = LearnedPositions(rows, c.d_model, rng, dtype=dtype)
        else:
            # One table of biases for all layers; the encoder's has buckets for both directions.
            both = not decoder
            self.bias = T5Bias(c.n_head, rng, c.buckets, c.max_distance, both, dtype=dtype)
        self.embedding_norm = c.new_norm(dtype) if c.embedding_norm else None
        layers = c.decoder_layers if decoder else c.n_layer
        self.blocks = [self._block(rng, dtype, decoder) for _ in range(layers)]
        self.norm = c.new_norm(dtype) if c.norm_placement == "pre" else None

    def _block(self, rng, dtype, decoder):
        c = self.config
        shared = {
            "width": c.head_width,
            "bias": c.bias,
            "scale": c.attention_scale,
            "dropout": c.dropout,
            "dtype": dtype,
        }
        attention = SelfAttention(c.d_model, c.n_head, rng, causal=decoder, **shared)
        cross = None
        if decoder:
            cross = CrossAttention(c.d_model, c.n_head, rng, **shared)
        hidden = feed_forward(c.activation)(
            c.d_model, c.d_hidden or 4 * c.d_model, rng, c.activation, c.bias, dtype=dtype
        )
        count = 3 if decoder else 2  # one for each sub-layer
        norms = [c.new_norm(dtype) for _ in range(count)]
        return Block(attention, hidden, norms, PLACEMENTS[c.norm_placement], rng, c.dropout, cross)

    def __call__(
        self,
        x: Tensor,
        rng: Random,
        past: int = 0,
        positions: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        memory: Any = None,
        memory_mask: np.ndarray | None = None,
        cache: Any = None,
    ) -> Tensor:
        """Run the blocks.

        x          (B, T, D) token embeddings; rng of dropout
        past       tokens in the cache
        positions  (T,) or (B, T) integers, counted on from `past` if None
        mask       bool, broadcasts to (B, H, T, past + T), or None
        memory     (B, S, D), or one pair of keys and values for each layer
        returns    (B, T, D)
        """
        c, T = self.config, x.shape[1]
        columns = np.arange(past + T, like=x.data).astype(np.int64)
        if self.positions is not None:
            if positions is None:
                if past + T > c.context:
                    raise ShapeError(
                        f"Seq2Seq: {past + T} tokens do not fit the context of {c.context}: "
                        "shorten the input"
                    )
                positions = columns[past:]  # (T,)
            x = self.positions(x, positions + c.first_position)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = dropout(x, c.dropout if self.training else 0.0, rng)
        bias = None
        if self.bias is not None:
            # Distances are those between columns: padding in front does not change them.
            bias = self.bias(columns[past:], columns)  # (T,), (past + T,) -> (H, T, past + T)
        for layer, block in enumerate(self.blocks):
            source = memory[layer] if isinstance(memory, list) else memory
            x = block(x, source, memory_mask, mask=mask, bias=bias, cache=cache, layer=layer)
        if self.norm is None:
            return x
        return self.norm(x)


def padded_positions(ids: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
    """Positions of (B, T) ids counted from each row's first token, (B, T).

    None where no row has padding in front: then the position is the column.
    """
    positions = columns_of_tokens(ids, bool_mask(mask, "Seq2Seq", bias=None, shape=ids.shape))
    if positions.ndim == 2:
        return positions
    return None


def key_mask(mask: np.ndarray | None) -> np.ndarray | None:
    """A mask of tokens for every head and query: (B, S) -> (B, 1, 1, S); None stays None."""
    mask = bool_mask(mask, "Seq2Seq", bias=None)
    if mask is not None and mask.ndim != 2:
        raise ShapeError(f"Seq2Seq: a mask of shape {mask.shape}: give (B, S), True for tokens")
    if mask is None:
        return None
    return mask[:, None, None, :]
