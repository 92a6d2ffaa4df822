"""The layers of a decoder that one rank has: a stage, or a chunk of one, of its tensor shares.

    first stage   tokens -> vectors, positions, the first blocks
    later ones    blocks
    last stage    blocks, the last norm, logits of this rank's share of the vocabulary

Read next: pipeline/schedules.py, step.py.
"""

from tinylm.nn.module import Module
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.sequence.layers import layer_options
from tinylm.parallel.tensor.split import own_tokens


class Stage(Module):
    """Blocks first .. last-1 of a split decoder, and what stands before or behind them.

    model    GPT, split by tensor/split.py; only what this stage needs is kept of it
    stream   the Stream it was split with;  tokens  the Tokens
    """

    def __init__(self, model, first, last, stream, tokens):
        c = model.config
        self.model, self.first, self.last = model, first, last
        self.stream, self.tokens = stream, tokens
        self.begins, self.ends = first == 0, last == c.n_layer
        self.rng = stream_of(model)
        model.blocks = model.blocks[first:last]
        if not self.begins:
            model.positions = model.embedding_norm = None
            if not (self.ends and c.tied):
                model.tokens = None
        if not self.ends:
            model.norm = model.head = None

    @property
    def dtype(self):
        """Of the stream."""
        return next(iter(self.whole_names().values())).dtype

    def stream_shape(self, shape):
        """Shape of what a stage receives and sends, for a batch (B, T) of whole sequences."""
        B, T = shape[0], len(self.tokens.own(shape[1]))
        stream = self.stream
        if stream.axis is not None:
            start, stop = share_rows(T, stream.comm.rank, stream.comm.size)
            T = stop - start
        return B, T, self.model.config.d_model

    def whole_names(self):
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

    def __call__(self, x, shape):
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
        if self.begins:
            x = model.tokens(x[:, positions])
            x = model.add_positions(x, own_tokens(stream, tokens))
        options = layer_options(model, shape[0], tokens, x.dtype)[self.first : self.last]
        for block, given in zip(model.blocks, options):
            x = block(x, **given)
        if not self.ends:
            return x
        if model.norm is not None:
            x = model.norm(x)
        return model.logits(stream.enter(x))


def stream_of(model):
    """The stream of random numbers from which a model drops, also where ranks draw parts of it."""
    return getattr(model.rng, "rng", model.rng)


def layers_of(stage, stages, layers, group=1):
    """(first, last) of the layers of a virtual stage: shares as equal as they can be.

    group  layers that stay together, because they share keys and values
    """
    first, last = share_rows(-(-layers // group), stage, stages)
    return first * group, min(last * group, layers)
