"""A transformer block: attention and feed-forward around the residual stream (book eqs. 2.4, 2.5).

The parts of a block are arguments, and so is their arrangement, a placement function of norm.py.
Each half of a block of the usual parts runs as one operation, with the same result: sublayers.py.
Read next: models/decoder/gpt.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, dropout
from tinylm.backend import Random
from tinylm.nn.attention.multi_head import CrossAttention
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN, own_stream
from tinylm.nn.recompute import recomputed, recomputes
from tinylm.nn.sublayers import attended, fed


class Block(Module):
    """Attention, cross-attention if there is one, and feed-forward.

    attention, feed_forward  modules
    norms                    one norm per sub-layer (a pair of them where the placement takes two)
    placement                function (x, branch, norm) -> x, one of PLACEMENTS
    dropout                  of each branch while training, drawn from rng; unless given, from a
                             stream of its own (own_stream.py)
    cross                    CrossAttention, or None; its norm stands between the other two

    recompute                True: intermediate results are computed again, see recompute.py
    """

    recompute = False

    def __init__(
        self,
        attention: Callable[..., Tensor],
        feed_forward: Callable[..., Tensor],
        norms: Sequence,
        placement: Callable[..., Tensor],
        rng: Random | None = OWN,
        dropout: float = 0.0,
        cross: CrossAttention | None = None,
    ) -> None:
        self.attention = attention
        self.cross = cross
        self.feed_forward = feed_forward
        self.norms = list(norms)
        self.placement = placement
        self.dropout = dropout
        self.rng = own_stream(rng)

    def __call__(
        self,
        x: Tensor,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        memory_mask: np.ndarray | None = None,
        real: Any = None,
        **options: Any,
    ) -> Tensor:
        """x (B, T, D), memory (B, S, D) for cross-attention -> (B, T, D).

        real     (B, T) bool for a layer of experts, True for tokens; None for other feed-forwards
        options  of the attention: rotation, mask, bias, cache, layer, segments
        """
        if recomputes(self, options):
            return recomputed(lambda x: self._run(x, memory, memory_mask, real, options), x)
        return self._run(x, memory, memory_mask, real, options)

    def _run(self, x, memory, memory_mask, real, options):
        p = self.dropout if self.training else 0.0
        norms = iter(self.norms)

        # Each branch F maps (B, T, D) -> (B, T, D). With pre-norm, placement(x, F, norm) is
        # x + F(norm(x)): every sub-layer adds to the residual stream x and never replaces it.
        def attend(h):
            return dropout(self.attention(h, **options), p, self.rng)

        def attend_memory(h):
            return dropout(self.cross(h, memory, memory_mask), p, self.rng)

        def feed(h):
            if real is None:
                return dropout(self.feed_forward(h), p, self.rng)
            return dropout(self.feed_forward(h, real), p, self.rng)

        x = self._half(x, attend, next(norms), attended, self.attention, p, options)
        if self.cross is not None:
            x = self.placement(x, attend_memory, next(norms))
        if real is not None:
            return self.placement(x, feed, next(norms))
        return self._half(x, feed, next(norms), fed, self.feed_forward, p, {})

    def _half(self, x, branch, norm, fused, module, p, options):
        """The sublayer in one operation where it consists of the usual parts, else part by part."""
        y = None
        if p == 0:
            y = fused(x, module, norm, self.placement, **options)
        if y is None:
            y = self.placement(x, branch, norm)
        return y


class ParallelBlock(Module):
    """x + attention(norm(x)) + feed_forward(norm(x))   (Wang & Komatsuzaki 2021; PaLM, Falcon).

    Both branches read the same stream, so they can run at the same time.

    norms    one for both branches (PaLM, Falcon 7B), or one each (GPT-NeoX, Falcon 40B)
    others   as in Block
    """

    recompute = False

    def __init__(
        self,
        attention: Callable[..., Tensor],
        feed_forward: Callable[..., Tensor],
        norms: Sequence,
        rng: Random = OWN,
        dropout: float = 0.0,
    ) -> None:
        self.attention = attention
        self.feed_forward = feed_forward
        self.norms = list(norms)
        self.dropout = dropout
        self.rng = own_stream(rng)

    def __call__(self, x: Tensor, real: np.ndarray | None = None, **options: Any) -> Tensor:
        """x (B, T, D) -> (B, T, D); real as in Block; options go to the attention."""
        if recomputes(self, options):
            return recomputed(lambda x: self._run(x, real, options), x)
        return self._run(x, real, options)

    def _run(self, x, real, options):
        p = self.dropout if self.training else 0.0
        first = self.norms[0](x)  # read by the attention
        second = first  # read by the feed-forward
        if len(self.norms) > 1:
            second = self.norms[1](x)
        if real is None:
            forward = self.feed_forward(second)
        else:
            forward = self.feed_forward(second, real)
        attended = self.attention(first, **options)
        return x + dropout(attended, p, self.rng) + dropout(forward, p, self.rng)
