"""GPT: a decoder-only transformer   (book section 2.1.1, Fig. 2.1; Radford et al. 2019).

Embeddings, L blocks of attention and feed-forward around a residual stream, a softmax over the
vocabulary. Special here: the parts are picked by name, so that norm placement, norm, activation,
positions, grouped heads, windows and experts are each one word of the configuration; the tied head
shares the embedding table. With the defaults it is GPT-2; with rms, swiglu, rope and no bias it is
the LLaMA shape. Read next: presets.py, the published families.
"""

import numpy as np

from tinylm import backend, nn
from tinylm.autograd import Tensor, dropout, linear, tanh, unembedding
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import Random
from tinylm.errors import ShapeError
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn import NORMS, PLACEMENTS, Module, normal_parameter, rotary_angles
from tinylm.nn.experts import MixtureOfExperts
from tinylm.nn.position.bias import POSITION_BIASES, AlibiBias, FireBias, alibi_slopes
from tinylm.nn.position.rotary_scaling import scaled_rotary_angles
from tinylm.nn.position.sinusoidal import SinusoidalPositions

__all__ = ["GPT", "GPTConfig"]


def make_norm(config, dtype):
    """One normalization of a configuration."""
    c = config
    eps = {} if c.norm_eps is None else {"eps": c.norm_eps}
    return NORMS[c.norm](
        c.d_model, bias=c.bias if c.norm_bias is None else c.norm_bias, dtype=dtype, **eps
    )


def make_feed_forward(config, rng, layer, out_std, dtype):
    """The feed-forward of a layer, or its experts."""
    c = config
    bias = c.bias if c.mlp_bias is None else c.mlp_bias
    parts = c.d_model, c.hidden_width, rng, c.activation, bias, out_std, dtype
    if c.layer("feed_forward", layer) == "experts":
        return MixtureOfExperts(*parts, experts=c.experts, k=c.experts_per_token, gates=c.gates)
    return nn.feed_forward(c.activation)(*parts)


def make_block(config, rng, dtype, layer=0):
    """Block `layer` of a configuration, freshly initialized; with rng None its matrices are only
    placeholders.
    """
    c = config
    out_std = nn.INIT_STD / (2 * c.n_layer) ** 0.5  # 2 L branches add up
    scale = c.attention_scale
    if c.scale_by_layer:
        scale = (scale or c.key_width**-0.5) / (layer + 1)
    attention = nn.SelfAttention(
        c.d_model,
        c.n_head,
        rng,
        c.n_kv_head,
        width=c.head_width,
        bias=c.bias if c.qkv_bias is None else c.qkv_bias,
        out_bias=c.bias,
        scale=scale,
        cap=c.attention_cap,
        out_std=out_std,
        dropout=c.dropout,
        dtype=dtype,
        qk_norm=c.qk_norm,
        qk_eps=c.norm_eps or 1e-6,
    )
    hidden = make_feed_forward(c, rng, layer, out_std, dtype)
    if c.norm_placement in ("parallel", "parallel_pair"):
        norms = [
            make_norm(c, dtype) for _ in range(2 if c.norm_placement == "parallel_pair" else 1)
        ]
        return nn.ParallelBlock(attention, hidden, norms, rng, c.dropout)
    if c.norm_placement == "sandwich":
        norms = [[make_norm(c, dtype), make_norm(c, dtype)] for _ in range(2)]
        return nn.Block(attention, hidden, norms, nn.sandwich_norm, rng, c.dropout)
    norms = [make_norm(c, dtype) for _ in range(2)]
    return nn.Block(attention, hidden, norms, PLACEMENTS[c.norm_placement], rng, c.dropout)


def make_positions(config, rng, dtype):
    """(what is added to the embeddings or None, what is added to the scores or None)."""
    c = config
    if c.positions == "learned":
        return nn.LearnedPositions(c.context, c.d_model, rng, dtype=dtype), None
    if c.positions == "sinusoidal":
        return SinusoidalPositions(c.d_model), None
    if c.positions == "alibi_in_root":  # the book's, eq. 2.83: beside q k^T, under its root
        return None, AlibiBias(
            c.n_head, slopes=alibi_slopes(c.n_head) * c.key_width**-0.5, dtype=dtype
        )
    return None, POSITION_BIASES[c.positions](
        c.n_head, rng, dtype=dtype
    ) if c.positions in POSITION_BIASES else None


class GPT(Module):
    """A language model: token ids in, logits of the next token out at every position.

    config  GPTConfig
    seed    of the initial weights and of dropout; None: nothing is drawn and matrices are
            placeholders that take no memory, to be replaced by published weights
            (published/load.py)
    dtype   of the parameters: np.float32, or np.float64 for checks
    """

    def __init__(self, config, seed=0, dtype=np.float32):
        c = self.config = config
        rng = None if seed is None else Random(seed, "init")
        self.rng = Random(seed or 0, "dropout")
        self.tokens = nn.Embedding(c.vocab_size, c.d_model, rng, dtype=dtype)
        self.positions, self.position_bias = make_positions(c, rng, dtype)
        self.embedding_norm = make_norm(c, dtype) if c.embedding_norm else None
        self.blocks = [make_block(c, rng, dtype, layer) for layer in range(c.n_layer)]
        self.norm = make_norm(c, dtype) if c.norm_placement != "post" else None
        self.head = (
            None if c.tied else normal_parameter((c.d_model, c.vocab_size), rng, nn.INIT_STD, dtype)
        )
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng  # drawn from after initialization: dropout

    def __call__(self, ids, cache=None, positions=None, mask=None):
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
        return self.logits(self.hidden(ids, cache, positions, mask))

    def hidden(self, ids, cache=None, positions=None, mask=None):
        """The residual stream after the last block and norm, (B, T, D); arguments as in __call__."""
        c = self.config
        ids = (
            ids.data
            if isinstance(ids, Tensor)
            else np.asarray(ids)
            if isinstance(ids, list)
            else ids
        )
        if ids.ndim != 2:
            raise ShapeError(
                f"GPT: ids of shape {ids.shape}, needs (B, T): one sequence is a batch of one, ids[None]"
            )
        if positions is None:
            past = cache.length if cache is not None else 0
            positions = np.arange(past, past + ids.shape[1], like=ids)
            if past + ids.shape[1] > c.context:
                raise ShapeError(
                    f"GPT: {past + ids.shape[1]} tokens do not fit the context of {c.context}: shorten the input"
                )
        return self.transform(self.place(self.tokens(ids), positions), positions, cache, mask)

    def transform(self, x, positions, cache=None, mask=None):
        """The blocks and the last norm.

        x          (B, T, D) Tensor, of place()
        positions  (T,) or (B, T) integers, as place() was given;  cache, mask as in __call__
        returns    (B, T, D)
        """
        c, T, past = self.config, x.shape[1], cache.length if cache is not None else 0
        # Distances, for windows and biases, are those between columns: padding and packing do not
        # change them.
        queries, keys = (np.arange(start, past + T, like=x.data) for start in (past, 0))
        masks = {
            kind: mask if kind == "full" else narrowed(mask, queries, keys, c.window)
            for kind in c.attention
        }
        bias = (
            None if self.position_bias is None else self.position_bias(queries, keys)
        )  # (1|H, T, S)
        if isinstance(
            self.position_bias, FireBias
        ):  # the one bias that also asks how far a query is from its start
            bias = self.position_bias(queries, keys, positions)  # (H, T, S), (B, H, T, S)
        rotations = self.rotations(positions, x.dtype)
        real = real_tokens(mask, *x.shape[:2]) if "experts" in c.feed_forward else None
        for layer, block in enumerate(self.blocks):
            if real is not None and c.layer("feed_forward", layer) == "experts":
                options = {"real": real}
            else:
                options = {}
            x = block(
                x,
                rotation=rotations[layer],
                mask=masks[c.layer("attention", layer)],
                bias=bias,
                cache=cache,
                layer=layer,
                **options,
            )
        if self.norm is None:
            return x
        return self.norm(x)

    def place(self, x, positions):
        """What the first block reads, from vectors in place of tokens: rows of the table, or learnt
        ones (soft prompts).

        x          (B, T, D) Tensor;  positions (T,) or (B, T) integers
        returns    (B, T, D): scaled, with positions, normed, dropped out, as the configuration says
        """
        c = self.config
        if c.embedding_scale != 1:
            x = x * c.embedding_scale
        if self.positions is not None:
            x = self.positions(x, positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return dropout(x, c.dropout if self.training else 0.0, self.rng)

    def rotation(self, positions, dtype):
        """Cosines and sines that turn queries and keys at these positions, or None without RoPE.

        Each is (T, K/2) or (B, 1, T, K/2). Where only the first R/2 pairs of a head turn (GPT-NeoX;
        Black et al. 2022), the angle of the others is 0: whatever turns a head then knows about it.
        """
        c = self.config
        if c.positions != "rope":
            return None
        R, rest = c.turned_width, (c.key_width - c.turned_width) // 2
        if c.rope_scaling is None:
            angles = rotary_angles(positions, R, c.rope_base, dtype)
        else:
            settings = {name: value for name, value in c.rope_scaling.items() if name != "name"}
            name = c.rope_scaling["name"]
            angles = scaled_rotary_angles(positions, R, name, c.rope_base, dtype, **settings)
        if rest:
            return with_resting_pairs(*angles, rest)
        return angles

    def rotations(self, positions, dtype):
        """rotation() for each layer: None for those that do not turn (NoPE; Kazemnejad et al. 2023,
        SmolLM 3).
        """
        c, turned = self.config, self.rotation(positions, dtype)
        return [turned if c.layer("rotation", i) == "rope" else None for i in range(c.n_layer)]

    def logits(self, x):
        """The output layer: (B, T, D) -> (B, T, V)."""
        x = unembedding(x, self.tokens.weight) if self.head is None else linear(x, self.head)
        cap = self.config.logit_cap
        # Gemma 2
        if cap is None:
            return x
        return tanh(x / cap) * cap

    def to(self, device):
        """Move parameters and the dropout stream to a device. Returns the model."""
        backend.backend(device)
        self.rng.device = device
        return super().to(device)


def with_resting_pairs(cos, sin, rest):
    """Cosines and sines with `rest` further pairs at angle 0: (..., R/2) -> (..., R/2 + rest)."""
    still = np.zeros_like(sin, shape=(*sin.shape[:-1], rest))
    return np.concatenate([cos, still + 1], axis=-1), np.concatenate([sin, still], axis=-1)


def real_tokens(mask, B, T):
    """Which of the last T columns are tokens: those that some query of their row sees.

    mask     bool that broadcasts to (B, H, T, S), or None
    returns  (B, T) bool; None where all are
    """
    mask = bool_mask(mask, "GPT")
    if mask is None:
        return None
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    seen = mask.any(axis=(1, 2))[:, -T:]  # (B|1, T|1)
    if seen.all():
        return None
    return seen | np.zeros_like(seen, shape=(B, T))


def narrowed(mask, queries, keys, window):
    """A mask and a sliding window   (book section 2.3.2; Mistral, and GPT-3's banded layers)

    mask     bool that broadcasts to (B, H, T, S), or None
    queries, keys  (T,) and (S,) integers: columns of the sequence
    window   tokens a query sees, itself among them
    returns  bool (T, S), or what it and `mask` broadcast to; None where the window hides nothing
    """
    mask = bool_mask(mask, "GPT", shape=(*np.shape(mask)[:-2], len(queries), len(keys)))
    if len(keys) <= window:
        return mask
    near = queries[:, None] - keys[None, :] < window  # (T, S)
    if mask is None:
        return near
    return mask & near
