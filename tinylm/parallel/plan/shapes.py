"""The shape of a transformer, as far as its training costs anything.

Parameters, products and activations follow from depth, width, heads, hidden width, vocabulary and
context. `shape_of` reads them off a configuration (`tinylm models`) or off PUBLISHED, models that
papers on training at scale timed and whose weights nobody published. Read next: layout.py.
"""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Shape:
    """A dense decoder; fields are numbers, or arrays (n,) for a table of n runs.

    layers, width, heads   L, D, H;  kv_heads is G, head_width K, hidden F
    vocab, context         V, and T: tokens of a sequence
    gated                  1 if the feed-forward has three maps (SwiGLU), 0 if two
    tied                   1 if the output weights are the embedding table
    learned_positions      1 if positions are a table of T rows
    bias                   1 if maps and norms have biases
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    vocab: int
    context: int
    gated: int = 0
    tied: int = 1
    learned_positions: int = 1
    bias: int = 1

    @property
    def inner(self) -> np.ndarray | int:
        """Columns of the first map of the feed-forward: F, 2 F if gated."""
        return self.hidden * (1 + self.gated)

    @property
    def layer_parameters(self) -> np.ndarray | int:
        """Of one layer: attention, feed-forward, two norms."""
        D, K = self.width, self.head_width
        qkv = (self.heads + 2 * self.kv_heads) * K
        maps = D * qkv + self.heads * K * D + D * self.inner + self.hidden * D
        biases = qkv + D + self.inner + D
        return maps + 2 * D + self.bias * (biases + 2 * D)

    @property
    def embedding_parameters(self) -> np.ndarray | int:
        """Tables of tokens and positions, output weights, and the last norm."""
        tables = self.vocab * self.width * (2 - self.tied)
        return (
            tables
            + self.learned_positions * self.context * self.width
            + self.width * (1 + self.bias)
        )

    @property
    def parameters(self) -> int | np.ndarray:
        return self.layers * self.layer_parameters + self.embedding_parameters

    @property
    def forward_operations(self) -> np.ndarray | float:
        """Multiplications and additions of a forward pass for one token, attention to all T tokens.

        2 for each parameter of the maps, 4 T H K a layer for scores and weighted values, and
        2 D V for the logits: with F = 4 D this is 24 L D^2 (1 + T / 6 D + V / 12 L D)   (Narayanan
        et al. 2021, eq. 3, without recomputation).
        """
        D, K = self.width, self.head_width
        maps = D * (self.heads + 2 * self.kv_heads) * K + self.heads * K * D
        maps = maps + D * self.inner + self.hidden * D
        return self.layers * (2 * maps + 4 * self.context * self.heads * K) + 2 * D * self.vocab


def gpt_shape(
    layers: ArrayLike, width: ArrayLike, heads: int, vocab: int, context: int, **others: Any
) -> Shape:
    """A GPT: G = H, K = D / H, F = 4 D. Arguments are numbers or arrays (n,)."""
    return Shape(layers, width, heads, heads, width / heads, 4 * width, vocab, context, **others)


# Megatron-LM pads the vocabulary of GPT-2 to 51,200. Sizes: Korthikanti et al. 2022, table 3 (22B,
# 175B, 530B, 1T); Smith et al. 2022 (MT-NLG is the 530B).
PUBLISHED = {
    "megatron-22b": gpt_shape(48, 6144, 64, 51200, 2048),
    "megatron-175b": gpt_shape(96, 12288, 96, 51200, 2048),
    "mt-nlg-530b": gpt_shape(105, 20480, 128, 51200, 2048),
    "megatron-1t": gpt_shape(128, 25600, 160, 51200, 2048),
}


def shape_of(name: str, context: int | None = None) -> Shape:
    """The shape of a model by name.

    name     of PUBLISHED or of a preset (`tinylm models`)
    context  T; the model's own if None
    returns  Shape
    raises   ConfigError for an unknown name, and for a mixture of experts, whose all-to-all is not
             priced here
    """
    from dataclasses import replace

    from tinylm.models.decoder.presets import DECODERS, preset

    if name in PUBLISHED:
        shape = PUBLISHED[name]
    elif name in DECODERS:
        shape = _of_config(name, preset(name))
    else:
        near = difflib.get_close_matches(name, [*PUBLISHED, *DECODERS], n=3)
        hint = "see `tinylm models`"
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise ConfigError(f"no model {name!r}: {hint}")
    if context is not None:
        shape = replace(shape, context=context)
    return shape


def _of_config(name, config):
    from tinylm.nn import GATES

    if config.experts:
        raise ConfigError(f"{name} is a mixture of experts: the planner prices dense decoders only")
    return Shape(
        config.n_layer,
        config.d_model,
        config.n_head,
        config.kv_heads,
        config.key_width,
        config.hidden_width,
        config.vocab_size,
        config.context,
        gated=int(config.activation in GATES),
        tied=int(config.tied),
        learned_positions=int(config.positions == "learned"),
        bias=int(config.bias),
    )
