"""Prefix tuning: learnt states in front of the text in every layer   (Li & Liang 2021; book eqs.
3.19-3.22, Fig. 3.5)

In the book every layer l reads n learnt states p^l_0, p^l_1, ... in front of the text's states, and
its outputs for them are cut off:

    H^l     = [p^l ; h^l]                            (3.20)    L n D numbers to learn
    h^(l+1) = Layer(H^l) without its first n rows    (3.21)

The text sees nothing of p^l but its keys and values, norm(p) W_K and norm(p) W_V, so
implementations learn those directly: 2 L n G K numbers, and the prefix is a cache like that of n
tokens read before. In both forms the output of a head is a mixture, lambda attention(x, prefix) +
(1 - lambda) attention(x, text), and the text's tokens have positions n, n + 1, ... as behind a
cache. Read next: prompt_cache.py; soft_prompts.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor, broadcast_to, concatenate, no_grad, rotary, tanh
from tinylm.backend import DType, Random, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.wrap import unwrap
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn import (
    Linear,
    Module,
    ParallelBlock,
    normal_parameter,
    pre_norm,
    projected,
    sandwich_norm,
)
from tinylm.nn.block import Block


class KeysValues(Module):
    """Learnt keys and values of n prefixes; called, returns them, (L, 2, G, n, K).

    start  array of that shape, copied
    """

    def __init__(self, start: np.ndarray) -> None:
        self.keys_values = Tensor(np.array(start), requires_grad=True)

    def __call__(self) -> Tensor:
        return self.keys_values


class Reparametrized(Module):
    """Keys and values computed from n vectors u: tanh(u W + b) W' + b'.

    Training is more stable than with free keys and values (Li & Liang 2021, section 4.3). After
    training only the result is kept.

    shape     (L, 2, G, n, K) of the result
    width     of the vectors u;  d_hidden of the network
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        d_hidden: int,
        rng: Random,
        dtype: DType = np.float32,
    ) -> None:
        self.shape = L, _, G, n, K = shape
        self.vectors = normal_parameter((n, width), rng, 1.0, dtype)
        self.hidden = Linear(width, d_hidden, rng, std=width**-0.5, dtype=dtype)
        self.out = Linear(d_hidden, L * 2 * G * K, rng, std=d_hidden**-0.5, dtype=dtype)

    def __call__(self) -> Tensor:
        L, two, G, n, K = self.shape
        made = self.out(tanh(self.hidden(self.vectors)))  # (n, L 2 G K)
        return made.reshape(n, L, two, G, K).transpose(1, 2, 3, 0, 4)  # -> (L, 2, G, n, K)


class LearntCache:
    """A prefix in place of a cache: in front of each layer's keys and values; stores nothing.

    keys_values  Tensor (L, 2, G, n, K)
    """

    def __init__(self, keys_values: Tensor) -> None:
        self.keys_values, self.length = keys_values, keys_values.shape[3]

    def joined(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k, v (B, G, T, K) of the text -> (B, G, n + T, K) each, the prefix in front."""
        B, G, _, K = k.shape
        shape = (B, G, self.length, K)
        prefix_k = broadcast_to(self.keys_values[layer, 0], shape)  # (G, n, K) -> (B, G, n, K)
        prefix_v = broadcast_to(self.keys_values[layer, 1], shape)
        return concatenate([prefix_k, k], axis=2), concatenate([prefix_v, v], axis=2)


class PrefixTuned(Module):
    """A GPT behind a prefix of keys and values; called like the GPT.

    source  module that returns (L, 2, G, n, K): KeysValues or Reparametrized
    """

    def __init__(self, model: Module, source: Module) -> None:
        self.model, self.source, self.training = model, source, model.training

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return self.model.config

    def hidden(
        self, ids: np.ndarray, positions: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """Last hidden states, (B, T) -> (B, T, D); as GPT.hidden, with positions from n on."""
        keys_values = self.source()
        n = keys_values.shape[3]
        if n == 0:  # a prefix of nothing is the model itself
            return self.model.hidden(ids, None, positions, mask)
        if mask is not None:
            mask = _in_front(mask, n)
        # the model continues a cache of n tokens: the text has positions n, n + 1, ...
        return self.model.hidden(ids, LearntCache(keys_values), positions, mask)

    def __call__(
        self, ids: np.ndarray, positions: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        return self.logits(self.hidden(ids, positions, mask))

    def logits(self, h: Tensor) -> Tensor:
        """Logits of hidden states, by the output layer of the model."""
        return self.model.logits(h)

    def exported(self) -> np.ndarray:
        """The prefix as an array (L, 2, G, n, K), for prompt_cache.PrefixedLM or KeysValues."""
        with no_grad():
            return np.array(self.source().numpy())


def _in_front(mask, n, rows=0):
    """A mask with n more keys in front, visible to all, and `rows` more queries.

    (..., T, S) -> (..., rows + T, n + S); a query axis of 1 stands for all queries and stays 1
    """
    if mask.shape[-2] == 1:
        rows = 0
    widths = [(0, 0)] * (mask.ndim - 2) + [(rows, 0), (n, 0)]
    return np.pad(mask, widths, constant_values=True)


def _check_start(name, n, start):
    """Raise ConfigError if neither n nor start is given."""
    if n is None and start is None:
        raise ConfigError(f"{name}: give n, how many to draw, or start, an array to start from")


def key_value_prefix(
    model: Module,
    n: int | None = None,
    start: np.ndarray | None = None,
    d_hidden: int | None = None,
    seed: int = 0,
) -> PrefixTuned:
    """Freeze a GPT and learn keys and values in front of every layer's: 2 L n G K numbers.

    n         number of prefixes, drawn at random
    start     (L, 2, G, n, K) array in place of n, such as prompt_cache.prompt_keys_values of a text
    d_hidden  width of the network that computes them in training (Reparametrized); None: they are
              parameters themselves
    returns   PrefixTuned
    raises    ConfigError without n and start
    """
    _check_start("key_value_prefix", n, start)
    c, weight = model.config, model.tokens.weight
    rng = Random(seed, "prefix")
    shape = (c.cache_layers, 2, c.kv_heads, n, c.key_width)
    if start is not None and d_hidden is not None:
        raise ConfigError(
            "key_value_prefix: a network makes its own start: give n and d_hidden, or start"
        )
    freeze(model)
    if start is not None:
        source = KeysValues(start)
    elif d_hidden is not None:
        source = Reparametrized(shape, c.d_model, d_hidden, rng, weight.dtype)
    else:
        source = KeysValues(rng.normal(shape, np.float64).astype(weight.dtype))
    return PrefixTuned(model, source.to(weight.device))


class PrefixedBlock(Module):
    """A block that reads learnt states in front of the text's, and returns the text's alone   (book
    eqs. 3.20, 3.21)

    states    (n, D) Tensor
    rotation  (cos, sin) of positions 0 .. n-1, or None
    """

    def __init__(
        self, base: Block, states: Tensor, rotation: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        self.base, self.states, self.own_rotation = base, states, rotation

    def __call__(
        self,
        x: Tensor,
        rotation: tuple[np.ndarray, np.ndarray] | None = None,
        mask: np.ndarray | None = None,
        bias: Tensor | None = None,
        cache: Any = None,
        layer: int = 0,
    ) -> Tensor:
        if cache is not None:
            raise ConfigError(
                "prefix: states in front of every layer are not kept in caches: "
                "use as_key_values() to generate"
            )
        (B, _, D), n = x.shape, self.states.shape[0]
        if rotation is not None:
            rotation = self._joined_rotation(rotation)
        if mask is not None:
            mask = _in_front(mask, n, n)
        # H^l = [p^l ; h^l], (B, n + T, D), and then the layer's output without its first n rows
        h = concatenate([broadcast_to(self.states, (B, n, D)), x], axis=1)
        return self.base(h, rotation=rotation, mask=mask)[:, n:]  # (B, T, D)

    def keys_values(self) -> np.ndarray:
        """norm(P) W_K, rotated to positions 0 .. n-1, and norm(P) W_V: (2, G, n, K) array."""
        # Attention reads normalized states if the norm is in front of it, plain ones in post-norm.
        block, h = self.base, self.states
        if isinstance(block, ParallelBlock) or block.placement is pre_norm:
            h = block.norms[0](h)
        elif block.placement is sandwich_norm:
            h = block.norms[0][0](h)
        _, k, v = projected(block.attention, h[None])  # (1, G, n, K)
        if self.own_rotation is not None:
            cos, sin = self._turns()
            k = rotary(k, cos=cos, sin=sin)
        return np.stack([k.numpy()[0], v.numpy()[0]])

    def _joined_rotation(self, rotation):
        """(cos, sin) of prefix and text, joined: (..., T, K) -> (..., n + T, K)."""
        joined = []
        for own, text in zip(self._turns(), rotation):
            own = np.broadcast_to(own, (*text.shape[:-2], *own.shape))
            joined.append(np.concatenate([own, text], axis=-2))
        return tuple(joined)

    def _turns(self):
        """The prefix's (cos, sin), on the device of the states: Module.to() leaves them."""
        self.own_rotation = tuple(to_device(turn, self.states.device) for turn in self.own_rotation)
        return self.own_rotation


class HiddenPrefixTuned(Module):
    """A GPT or Encoder of which every block reads a prefix of states; called like the model.

    n   states a layer. The text of a GPT has positions n, n + 1, ...; an Encoder's keeps its own
    """

    def __init__(self, model: Module, n: int) -> None:
        self.model, self.n, self.training = model, n, model.training

    @property
    def config(self) -> GPTConfig:
        """The configuration of the model."""
        return self.model.config

    def hidden(self, ids: np.ndarray, *args: Any, **options: Any) -> Tensor:
        """Last hidden states of the text, (B, T) -> (B, T, D); arguments as the model's."""
        if hasattr(self.model, "transform") and options.get("positions") is None:  # a GPT
            c, stop = self.config, self.n + ids.shape[1]
            if stop > c.context:
                raise ConfigError(
                    f"prefix: {self.n} states and {ids.shape[1]} tokens do not fit "
                    f"the context of {c.context}"
                )
            options["positions"] = np.arange(self.n, stop, like=ids)
        return self.model.hidden(ids, *args, **options)

    def __call__(self, ids: np.ndarray, *args: Any, **options: Any) -> Tensor:
        return self.logits(self.hidden(ids, *args, **options))

    def logits(self, h: Tensor) -> Tensor:
        """Logits of hidden states, by the output layer of the model."""
        return self.model.logits(h)


def hidden_prefix(
    model: Module, n: int | None = None, start: np.ndarray | None = None, seed: int = 0
) -> HiddenPrefixTuned:
    """Freeze a GPT or Encoder and learn n states in front of every layer, in place: L n D numbers
    (book eqs. 3.19-3.22)

    n        number of states, drawn with the standard deviation of the token embeddings
    start    (L, n, D) array in place of n, such as prompt_cache.hidden_states_of_prompt
    returns  HiddenPrefixTuned
    raises   ConfigError without n and start; for a model whose layers share weights; and for one
             with score biases or windows, which depend on a distance that a state does not have
    """
    _check_start("hidden_prefix", n, start)
    c, weight = model.config, model.tokens.weight
    if len({id(block) for block in model.blocks}) < len(model.blocks):
        raise ConfigError(
            "hidden_prefix: layers of this model share their weights, "
            "and with them they would share prefixes"
        )
    if getattr(model, "position_bias", None) is not None or "window" in getattr(c, "attention", ()):
        raise ConfigError(
            "hidden_prefix: score biases and windows depend on a distance, "
            "which a learnt state does not have: "
            "use key_value_prefix"
        )
    if isinstance(model, Encoder) and c.positions == "rope":
        raise ConfigError(
            "hidden_prefix: an encoder with rope counts from its first token, so that a learnt "
            "state has no place: use key_value_prefix"
        )
    if getattr(c, "kv_sharing", 1) > 1:
        raise ConfigError(
            "hidden_prefix: layers of this model share keys and values, which prefixes of all "
            "layers would make differ: use key_value_prefix"
        )
    if start is None:
        std = float(np.std(weight.data))
        drawn = Random(seed, "prefix").normal((c.n_layer, n, c.d_model), np.float64)
        start = (drawn * std).astype(weight.dtype)
    n = start.shape[1]
    # of positions 0 .. n - 1, one for each layer; None without rotary positions
    rotations = [None] * len(model.blocks)
    if hasattr(model, "rotations"):
        rotations = model.rotations(to_device(np.arange(n), weight.device), weight.dtype)
    freeze(model)
    blocks = []
    for block, states, rotation in zip(model.blocks, start, rotations):
        states = Tensor(to_device(np.array(states), weight.device), requires_grad=True)  # (n, D)
        blocks.append(PrefixedBlock(block, states, rotation))
    model.blocks = blocks
    return HiddenPrefixTuned(model, n)


def as_key_values(tuned: HiddenPrefixTuned) -> PrefixTuned:
    """A GPT behind a hidden prefix as one behind keys and values, which can generate.

    Its outputs are the same.

    tuned    HiddenPrefixTuned; its model gets its own blocks back
    returns  PrefixTuned
    """
    with no_grad():
        layers = [block.keys_values() for block in tuned.model.blocks]
    keys_values = np.stack(layers)  # (L, 2, G, n, K)
    unwrap(tuned.model, PrefixedBlock)  # the model's own blocks again
    return key_value_prefix(tuned.model, start=keys_values)
