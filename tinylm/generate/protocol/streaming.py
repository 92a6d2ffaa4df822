"""Streams of any length through a GPT with rotary positions and a cache of fixed size   (book eq.
2.53).

Read next: cache/window.py, the cache itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad, rotary
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.window import WindowCache
from tinylm.generate.protocol.language_model import check_tokens
from tinylm.nn import evaluating, rotary_angles

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


def rotary_turn(head_width: int, base: float = 10000.0) -> Callable:
    """The `turn` of WindowCache for a model with RoPE: keys moved on by n positions.

    Rotations compose, R_n R_p = R_(p+n): rotating a key of position p by n more gives exactly the
    key at p + n.

    returns  function (keys (B, G, S, K), n) -> keys
    """

    def turn(keys, n):
        cos, sin = (
            backend.to_device(part, backend.device_of(keys))
            for part in rotary_angles(np.array([n]), head_width, base, keys.dtype)
        )
        with no_grad():
            return rotary(Tensor(keys), cos=cos, sin=sin).data

    return turn


class StreamingLM:
    """A GPT with RoPE as a language model without a longest context (language_model.py).

    model    a GPT whose positions are "rope", with full attention in all layers
    window   n_c;  sinks as in WindowCache
    shift    True: positions count inside the cache, so that no distance is longer than window +
             sinks
    """

    context = None  # no limit: old tokens leave the cache

    def __init__(self, model: "GPT", window: int, sinks: int = 0, shift: bool = False) -> None:
        c = model.config
        if c.positions != "rope" or any(kind != "full" for kind in c.attention) or c.rope_scaling:
            raise ConfigError(
                "StreamingLM: it needs a model with plain RoPE and full attention; positions "
                "added to embeddings or scores do not travel with the keys"
            )
        if shift and (c.rotary_width is not None or "none" in c.rotation):
            raise ConfigError(
                "StreamingLM: with shift every pair of every layer must turn, not rotary_width "
                f"{c.rotary_width} and rotation {', '.join(c.rotation)}: keys are turned in "
                "the cache"
            )
        self.model, self.config, self.vocab_size = model, c, c.vocab_size
        self.window, self.sinks, self.shift = window, sinks, shift

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> WindowCache:
        """An empty WindowCache for B rows, without padding."""
        if padding is not None:
            raise ShapeError("StreamingLM: rows of a batch must be equally long; it has no padding")
        c, weight = self.config, self.model.parameters()[0]
        turn = None
        if self.shift:
            turn = rotary_turn(c.key_width, c.rope_base)
        return WindowCache(
            c.cache_layers,
            batch,
            c.n_kv_head or c.n_head,
            c.key_width,
            self.window,
            self.sinks,
            weight.dtype,
            weight.device,
            turn,
        )

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores after each of `tokens`, which are read one by one: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        device = self.model.parameters()[0].device
        ids, columns = backend.to_device(tokens, device), []
        with evaluating(self.model), no_grad():
            for t in range(tokens.shape[1]):
                # The position in the stream, which may be far beyond the trained context.
                position = backend.to_device(np.array([cache.length]), device)
                column = ids[:, t : t + 1]  # (B, 1)
                scores = self.model(column, cache=cache, positions=position)  # (B, 1, V)
                columns.append(scores.data)
        return np.concatenate(columns, axis=1)  # (B, T, V)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]
