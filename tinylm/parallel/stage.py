"""The layers of a decoder that one rank has: a stage, or a chunk of one, of its tensor shares.

    first stage   tokens -> vectors, positions, the first blocks
    later ones    blocks
    last stage    blocks, the last norm, logits of this rank's share of the vocabulary

Each of these parts is run by `units`, which may gather its parameters first and reduce its
gradients when they are there (zero/units.py).

Read next: pipeline/schedules.py, step.py.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Array, Tensor
from tinylm.backend import Random
from tinylm.nn.module import Module
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.sequence.layers import Tokens, layer_options
from tinylm.parallel.tensor.layers import Stream
from tinylm.parallel.tensor.split import own_tokens
from tinylm.parallel.zero.units import Units

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


class Stage(Module):
    """Blocks first .. last-1 of a split decoder, and what stands before or behind them.

    model    GPT, split by tensor/split.py; only what this stage needs is kept of it
    stream   the Stream it was split with;  tokens  the Tokens
    """

    def __init__(self, model: "GPT", first: int, last: int, stream: Stream, tokens: Tokens) -> None:
        c = model.config
        self.model, self.first, self.last = model, first, last
        self.stream, self.tokens = stream, tokens
        self.begins, self.ends = first == 0, last == c.n_layer
        self.rng = stream_of(model)
        self.units = Units()  # what is done around its parts, see zero/units.py
        model.blocks = model.blocks[first:last]
        if not self.begins:
            model.positions = model.embedding_norm = None
            if not (self.ends and c.tied):
                model.tokens = None
        if not self.ends:
            model.norm = model.head = None

    @property
    def dtype(self) -> np.dtype:
        """Of the stream."""
        return next(iter(self.whole_names().values())).dtype

    def stream_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape of what a stage receives and sends, for a batch (B, T) of whole sequences."""
        B, T = shape[0], len(self.tokens.own(shape[1]))
        stream = self.stream
        if stream.axis is not None:
            start, stop = share_rows(T, stream.comm.rank, stream.comm.size)
            T = stop - start
        return B, T, self.model.config.d_model

    def whole_names(self) -> dict[str, Tensor]:
        """{name in the whole model: parameter} of what this stage has."""
        found = {}
        for name, parameter in self.model.named_parameters().items():
            name = name.replace("position_bias.bias.", "position_bias.")
            name = name.replace(".attention.attention.", ".attention.")
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                name = f"blocks.{int(layer) + self.first}.{rest}"
            found[name] = parameter
        return found

    def __call__(self, x: Array, shape: tuple[int, ...]) -> Array:
        """The stream after this stage's blocks, or of the last stage the logits.

        x        of the first stage (B, T) ids; of others the stream as a Tensor, stream_shape()
        shape    (B, T) of whole sequences
        returns  the stream for the next stage; of the last one logits of this rank's words, and of
                 the positions of its context rank, (B, own T, own V)
        """
        model, stream, tokens = self.model, self.stream, self.tokens
        tokens.total = shape[1]
        positions = tokens.own()
        stream.total = len(positions)
        run = self.units.run
        if self.begins:
            x = run("begin", self._begin, x[:, positions])
        options = layer_options(model, shape[0], tokens, x.dtype)
        share = model.config.kv_sharing  # layers with the same keys and values run as one part
        for first in range(self.first, self.last, share):
            last = min(first + share, self.last)
            blocks = model.blocks[first - self.first : last - self.first]
            given = options[first:last]
            x = run(unit_of(first, share), _in_turn(blocks, given), x, given[0]["bias"])
        if not self.ends:
            return x
        return run("end", self._end, x)

    def _begin(self, ids):
        """The stream before the first block, of this rank's ids."""
        x = self.model.tokens(ids)
        return self.model.add_positions(x, own_tokens(self.stream, self.tokens))

    def _end(self, x):
        """Logits of the stream after the last block."""
        if self.model.norm is not None:
            x = self.model.norm(x)
        return self.model.logits(self.stream.enter(x))


def _in_turn(blocks, options):
    """The blocks one after another, as a function of the Tensors that they read alone."""

    def run(x, bias):
        for block, given in zip(blocks, options):
            x = block(x, **{**given, "bias": bias})
        return x

    return run


def unit_of(layer: int, share: int) -> str:
    """The name of the part of a stage that a layer belongs to; `share` layers make one."""
    return f"blocks.{layer // share * share}"


def stream_of(model: "GPT") -> Random:
    """The stream of random numbers from which a model drops, also where ranks draw parts of it."""
    return getattr(model.rng, "rng", model.rng)


def layers_of(stage: int, stages: int, layers: int, group: int = 1) -> tuple[int, int]:
    """(first, last) of the layers of a virtual stage: shares as equal as they can be.

    group  layers that stay together, because they share keys and values
    """
    first, last = share_rows(-(-layers // group), stage, stages)
    return first * group, min(last * group, layers)
