"""GPT: a decoder-only transformer   (book section 2.1.1, Fig. 2.1; Radford et al. 2019).

Embeddings, L blocks of attention and feed-forward around a residual stream, a softmax over the
vocabulary. Special here: the parts are picked by name, so that norm placement, norm, activation,
positions, grouped heads, windows and experts are each one word of the configuration; the tied head
shares the embedding table. With the defaults it is GPT-2; with rms, swiglu, rope and no bias it is
the LLaMA shape. The class stands first, the functions that build its parts after it. Read next:
presets.py, the published families.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm import backend, nn
from tinylm.autograd import Tensor, dropout, linear, tanh, unembedding
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.decoder.columns import (
    cached_length,
    narrowed,
    real_tokens,
    with_resting_pairs,
)
from tinylm.models.decoder.config import NORMS_PER_BLOCK, GPTConfig
from tinylm.nn import NORMS, PLACEMENTS, Module, normal_parameter, rotary_angles
from tinylm.nn.attention.multi_head import SelfAttention
from tinylm.nn.attention.sharing import SharedPairs
from tinylm.nn.experts import MixtureOfExperts
from tinylm.nn.memory.segments import SegmentStates
from tinylm.nn.position.bias import POSITION_BIASES, AlibiBias, FireBias, alibi_slopes
from tinylm.nn.position.rotary_scaling import scaled_rotary_angles
from tinylm.nn.position.sinusoidal import SinusoidalPositions

__all__ = ["GPT", "GPTConfig"]


class GPT(Module):
    """A language model: token ids in, logits of the next token out at every position.

    config  GPTConfig
    seed    of the initial weights and of dropout; None: nothing is drawn and matrices are
            placeholders that take no memory, to be replaced by published weights
            (published/load.py)
    dtype   of the parameters: np.float32, or np.float64 for checks
    """

    def __init__(self, config: GPTConfig, seed: int | None = 0, dtype: DType = np.float32) -> None:
        c = self.config = config
        rng = None if seed is None else Random(seed, "init")
        self.rng = Random(seed or 0, "dropout")
        self.tokens = nn.Embedding(c.vocab_size, c.d_model, rng, dtype=dtype)
        self.positions, self.position_bias = make_positions(c, rng, dtype)
        self.embedding_norm = make_norm(c, dtype) if c.embedding_norm else None
        self.blocks = [make_block(c, rng, dtype, layer) for layer in range(c.n_layer)]
        # A post-norm block ends in a norm; after every other kind the stream is normed once more.
        self.norm = None if c.norm_placement == "post" else make_norm(c, dtype)
        self.head = None
        if not c.tied:
            self.head = normal_parameter((c.d_model, c.vocab_size), rng, nn.INIT_STD, dtype)
        # The parts drew their weights from `rng`; dropout has a stream of its own, so that it does
        # not depend on how many weights there are.
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng

    def __call__(
        self,
        ids: np.ndarray,
        cache: Any = None,
        positions: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Tensor:
        """Logits of every next token   (book eq. 2.12).

        ids        (B, T) integers
        cache      keys and values of earlier tokens (generate/cache/key_value.py); T counts the new
                   tokens only
        positions  (T,) or (B, T) integers; by default they continue from the cache, or from 0
        mask       bool, broadcasts to (B, H, T, S), True = visible, on top of the causal mask. A
                   column that it hides from every query is padding: experts do not count it
        returns    (B, T, V)
        raises     ShapeError if ids are not (B, T), or reach beyond the context where positions are
                   not given; DataError for an id, or a position given, that has no row in its table
        """
        h = self.hidden(ids, cache, positions, mask)  # (B, T) -> (B, T, D)
        return self.logits(h)  # (B, T, D) -> (B, T, V)

    def hidden(
        self,
        ids: np.ndarray,
        cache: Any = None,
        positions: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Tensor:
        """The residual stream after the last block and norm, (B, T, D); arguments of __call__."""
        if isinstance(ids, Tensor):
            ids = ids.data
        elif isinstance(ids, list):
            ids = np.asarray(ids)
        if ids.ndim != 2:
            raise ShapeError(
                f"GPT: ids of shape {ids.shape}, needs (B, T): "
                "one sequence is a batch of one, ids[None]"
            )
        if positions is None:
            positions = self._next_positions(ids, cache)  # (T,)
        x = self.tokens(ids)  # (B, T) -> (B, T, D)
        x = self.add_positions(x, positions)
        return self.transform(x, positions, cache, mask)

    def _next_positions(self, ids, cache):
        """Positions that continue from the cache, or from SegmentStates, (T,)."""
        past = cached_length(cache)
        total = past + ids.shape[1]
        self.check_length(total)
        return np.arange(past, total, like=ids)

    def check_length(self, total: int) -> None:
        """Raise ShapeError if so many tokens do not fit the context."""
        if total > self.config.context:
            raise ShapeError(
                f"GPT: {total} tokens do not fit the context of {self.config.context}: "
                "shorten the input"
            )

    def read(
        self, ids: np.ndarray, memory: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of a segment, after the segments before it   (Transformer-XL; Dai et al. 2019).

        Layer l attends to [SG(m_l), h_l]: the M = segment_memory inputs that it read last, without
        a gradient (SG), and those of this segment. Through L layers a token reaches back L M
        positions   (book section 2.3.3).

        ids      (B, T) integers, the next T of each text
        memory   what the call for the segment before returned; None at the beginning
        returns  (logits (B, T, V), memory: for each layer a Tensor (B, m, D), m <= M)
        raises   ConfigError for a model without segment_memory; ShapeError for a memory of another
                 batch or depth, or if m + T is longer than the context
        """
        c = self.config
        if not c.segment_memory:
            raise ConfigError("GPT.read: this model keeps no segments: set segment_memory")
        if memory is not None and [len(m) for m in memory] != [len(ids)] * c.n_layer:
            raise ShapeError(
                f"GPT.read: a memory of {len(memory)} layers and {len(memory[0])} rows for "
                f"{c.n_layer} layers and {len(ids)} rows: pass None to begin a text"
            )
        segments = SegmentStates(c.segment_memory, memory)
        # Positions count from the oldest state that is kept: only differences matter.
        positions = self._next_positions(ids, segments)  # (T,)
        x = self.add_positions(self.tokens(ids), positions)  # (B, T) -> (B, T, D)
        x = self.transform(x, positions, segments=segments)
        return self.logits(x), segments.kept

    def add_positions(self, x: Tensor, positions: np.ndarray | None) -> Tensor:
        """The input of the first block, from the vectors of tokens or from learned ones (soft
        prompts).

        x          (B, T, D) Tensor;  positions (T,) or (B, T) integers
        returns    (B, T, D): scaled, with positions, normed, dropped out, as configured
        """
        c = self.config
        if c.embedding_scale != 1:
            x = x * c.embedding_scale
        # Only learned and sinusoidal positions are vectors; rotary ones turn queries and keys, and
        # the others are biases of the scores.
        if self.positions is not None:
            x = self.positions(x, positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return dropout(x, c.dropout if self.training else 0.0, self.rng)

    def transform(
        self,
        x: Tensor,
        positions: np.ndarray,
        cache: Any = None,
        mask: np.ndarray | None = None,
        segments: SegmentStates | None = None,
    ) -> Tensor:
        """The blocks and the last norm.

        x          (B, T, D) Tensor, from add_positions()
        positions  (T,) or (B, T) integers, as for add_positions();  cache, mask as in __call__
        segments   SegmentStates, of read(); then without a cache
        returns    (B, T, D)
        """
        B, T = x.shape[:2]
        options = self.block_options(B, T, positions, x.dtype, cache, mask, segments)
        for block, own in zip(self.blocks, options):
            x = block(x, **own)
        if self.norm is None:
            return x
        return self.norm(x)

    def block_options(
        self,
        B: int,
        T: int,
        positions: np.ndarray | None,
        dtype: DType,
        cache: Any = None,
        mask: np.ndarray | None = None,
        segments: SegmentStates | None = None,
    ) -> list[dict[str, Any]]:
        """What each block is called with beside the stream, a dict for each layer.

        B, T      of the batch;  others as in transform()
        returns   list of dicts: rotation, mask, bias, cache, layer; real for experts, segments
        """
        c = self.config
        past = cached_length(cache if segments is None else segments)
        # Windows and biases measure the distance between columns, not between positions: padding
        # and packing do not change it. S = past + T.
        queries = np.arange(past, past + T, like=positions)  # (T,)
        keys = np.arange(past + T, like=positions)  # (S,)
        masks = {"full": mask}
        if "window" in c.attention:
            masks["window"] = narrowed(mask, queries, keys, c.window)
        bias = self._score_bias(queries, keys, positions)  # (1|H, T, S) or None
        # Keys of earlier segments are made, and turned, anew; those in a cache have been turned.
        turned = positions if segments is None else keys
        rotations = self.rotations(turned, dtype)  # L times (cos, sin) or None
        real = real_tokens(mask, B, T) if "experts" in c.feed_forward else None  # (B, T) or None
        if c.kv_sharing > 1:
            cache = SharedPairs(c.kv_sharing, cache)
        found = []
        for layer in range(c.n_layer):
            own = {"rotation": rotations[layer], "mask": masks[c.layer("attention", layer)]}
            own |= {"bias": bias, "cache": cache, "layer": layer}
            if real is not None and c.layer("feed_forward", layer) == "experts":
                own["real"] = real
            if segments is not None:
                own["segments"] = segments
            found.append(own)
        return found

    def logits(self, x: Tensor) -> Tensor:
        """The output layer: (B, T, D) -> (B, T, V)."""
        if self.head is None:
            x = unembedding(x, self.tokens.weight)  # x E^T, with E (V, D) the embedding table
        else:
            x = linear(x, self.head)
        cap = self.config.logit_cap
        if cap is None:
            return x
        return tanh(x / cap) * cap  # within (-cap, cap): Gemma 2

    def _score_bias(self, queries, keys, positions):
        """The bias of all layers' scores: (1|H, T, S), with FIRE also (B, H, T, S); or None."""
        if self.position_bias is None:
            return None
        # FIRE divides a distance by how far the query is from the start of its own text, which
        # with padding is its position and not its column.
        if isinstance(self.position_bias, FireBias):
            return self.position_bias(queries, keys, positions)
        return self.position_bias(queries, keys)

    def rotation(self, positions: np.ndarray | None, dtype: DType) -> tuple[np.ndarray, ...] | None:
        """Cosines and sines that turn queries and keys at these positions, or None without RoPE.

        Each is (T, K/2) or (B, 1, T, K/2). Where only the first R/2 pairs of a head turn (GPT-NeoX;
        Black et al. 2022), the angle of the others is 0, so that no caller has to treat them apart.
        """
        c = self.config
        if c.positions != "rope":
            return None
        R = c.turned_width
        if c.rope_scaling is None:
            angles = rotary_angles(positions, R, c.rope_base, dtype)
        else:
            settings = dict(c.rope_scaling)
            name = settings.pop("name")
            angles = scaled_rotary_angles(positions, R, name, c.rope_base, dtype, **settings)
        if R == c.key_width:
            return angles
        return with_resting_pairs(*angles, (c.key_width - R) // 2)

    def rotations(
        self, positions: np.ndarray | None, dtype: DType
    ) -> list[tuple[np.ndarray, np.ndarray] | None]:
        """rotation() for each layer: None for those that do not turn (NoPE; Kazemnejad et al. 2023,
        SmolLM 3).
        """
        c = self.config
        by_word = {"rope": self.rotation(positions, dtype), "none": None}
        return [by_word[c.layer("rotation", layer)] for layer in range(c.n_layer)]

    def to(self, device: str) -> Module:
        """Move parameters and the dropout stream to a device. Returns the model."""
        backend.backend(device)  # raises before anything has moved
        self.rng.device = device
        return super().to(device)


def make_positions(
    config: GPTConfig, rng: Random | None, dtype: DType
) -> tuple[Module | None, Module | None]:
    """The two places where positions enter.

    returns  (what is added to the embeddings or None, what is added to the scores or None)
    """
    c = config
    if c.positions == "learned":
        return nn.LearnedPositions(c.context, c.d_model, rng, dtype=dtype), None
    if c.positions == "sinusoidal":
        return SinusoidalPositions(c.d_model), None
    if c.positions == "alibi_in_root":
        # The book's form, eq. 2.83: the bias stands beside q k^T, and 1/sqrt(K) multiplies both.
        slopes = alibi_slopes(c.n_head) * c.key_width**-0.5
        return None, AlibiBias(c.n_head, slopes=slopes, dtype=dtype)
    if c.positions in POSITION_BIASES:
        return None, POSITION_BIASES[c.positions](c.n_head, rng, dtype=dtype)
    return None, None


def make_block(config: GPTConfig, rng: Random | None, dtype: DType, layer: int = 0) -> Module:
    """Block `layer` of a configuration, freshly initialized; with rng None its matrices are only
    placeholders.
    """
    c = config
    # The stream is a sum of 2 L branches; with this spread at each of their outputs, its variance
    # does not grow with depth (GPT-2).
    out_std = nn.INIT_STD / (2 * c.n_layer) ** 0.5
    attention = make_attention(c, rng, layer, out_std, dtype)
    hidden = make_feed_forward(c, rng, layer, out_std, dtype)
    if c.norm_placement in ("parallel", "parallel_pair"):
        norms = [make_norm(c, dtype) for _ in range(NORMS_PER_BLOCK[c.norm_placement])]
        return nn.ParallelBlock(attention, hidden, norms, rng, c.dropout)
    if c.norm_placement == "sandwich":
        # A pair (inner, outer) for each branch.
        norms = [[make_norm(c, dtype), make_norm(c, dtype)] for _ in range(2)]
        return nn.Block(attention, hidden, norms, nn.sandwich_norm, rng, c.dropout)
    norms = [make_norm(c, dtype) for _ in range(2)]
    return nn.Block(attention, hidden, norms, PLACEMENTS[c.norm_placement], rng, c.dropout)


def make_attention(
    config: GPTConfig, rng: Random | None, layer: int, out_std: float, dtype: DType
) -> SelfAttention:
    """The self-attention of a layer."""
    c = config
    scale = c.attention_scale  # None: 1/sqrt(K)
    if c.scale_by_layer:
        scale = (scale or c.key_width**-0.5) / (layer + 1)
    return nn.SelfAttention(
        c.d_model,
        c.n_head,
        rng,
        c.n_kv_head,
        width=c.head_width,
        bias=c.has_bias("qkv"),
        out_bias=c.bias,
        scale=scale,
        cap=c.attention_cap,
        out_std=out_std,
        dropout=c.dropout,
        dtype=dtype,
        qk_norm=c.qk_norm,
        qk_eps=c.norm_eps or 1e-6,
        owner=c.kv_heads_of(layer) > 0,
    )


def make_feed_forward(
    config: GPTConfig, rng: Random | None, layer: int, out_std: float, dtype: DType
) -> Module:
    """The feed-forward of a layer, or its experts."""
    c = config
    parts = c.d_model, c.hidden_width, rng, c.activation, c.has_bias("mlp"), out_std, dtype
    if c.layer("feed_forward", layer) == "experts":
        return MixtureOfExperts(
            *parts,
            experts=c.experts,
            k=c.experts_per_token,
            capacity_factor=c.capacity_factor,
            gates=c.gates,
            by_sequence=True,
        )
    return nn.feed_forward(c.activation)(*parts)


def make_norm(config: GPTConfig, dtype: DType) -> Module:
    """One normalization of a configuration."""
    c = config
    options = {"bias": c.has_bias("norm"), "dtype": dtype}
    if c.norm_eps is not None:
        options["eps"] = c.norm_eps
    return NORMS[c.norm](c.d_model, **options)
