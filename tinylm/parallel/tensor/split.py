"""A whole decoder cut among the ranks of a tensor group.

The model is made as for one process, by every rank with the same weights; then its linear maps,
its heads and its table of tokens are replaced by this rank's share. What computes in between, such
as attention, activations and norms, is the code of the single process, with fewer heads and
features. Read next: ../stage.py.
"""

import numpy as np

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.nn.promised import Promised
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.tensor.cuts import Along, ByHead, Whole, shared_heads
from tinylm.parallel.tensor.draws import PartOfDraws
from tinylm.parallel.tensor.layers import ColumnSplit, RowSplit, SplitEmbedding, SplitNorm


class OwnHeads(Module):
    """A bias of attention scores, of which this rank has the heads `first` .. `last` - 1."""

    def __init__(self, bias, first, last):
        self.bias, self.first, self.last = bias, first, last

    def __call__(self, queries, keys):
        bias = self.bias(queries, keys)  # (1|H, T, S)
        if bias.shape[0] == 1:
            return bias
        return bias[self.first : self.last]


def check_splits(config, size):
    """Raise ConfigError, with the nearest possible size, if a decoder cannot be cut in `size`."""
    c = config
    groups = c.n_kv_head or c.n_head
    if size > groups:
        raise ConfigError(
            f"layout: tp={size} cannot share {groups} heads of keys and values; tp={groups} can"
        )
    if "experts" in c.feed_forward:
        raise ConfigError(
            "layout: a decoder with experts cannot be held by several ranks yet; tinylm.train "
            "trains it, with workers that share batches too"
        )


def split_decoder(model, stream, tokens):
    """Replace the parts of a GPT by this rank's shares, in place.

    model    GPT, with the same weights on every rank
    stream   Stream of the tensor group
    tokens   Tokens of the context group
    returns  {parameter: Cut}, by the parameters' names in the whole model
    raises   ConfigError for a decoder that cannot be cut so
    """
    comm, c = stream.comm, model.config
    check_splits(c, comm.size)
    by_token = stream.axis is not None
    cuts = {name: Whole(summed=by_token) for name in model.named_parameters()}
    G = c.n_kv_head or c.n_head
    own = share_rows(G, comm.rank, comm.size)
    heads = own[0] * (c.n_head // G), own[1] * (c.n_head // G)
    rng = model.rng
    if comm.size > 1:
        if model.position_bias is not None:
            for name in model.position_bias.named_parameters():
                cuts[f"position_bias.{name}"] = Whole(summed=True)
            model.position_bias = OwnHeads(model.position_bias, *heads)
    if by_token or tokens.comm.size > 1:
        model.rng = PartOfDraws(rng, 1, lambda: tokens.total, lambda: own_tokens(stream, tokens))
    for layer, block in enumerate(model.blocks):
        block.rng = model.rng
        for name, cut in _split_block(block, c, layer, stream, heads, rng).items():
            cuts[f"blocks.{layer}.{name}"] = cut
    cuts["tokens.weight"] = Along(0)
    model.tokens = SplitEmbedding(_share(model.tokens.weight, Along(0), comm), c.vocab_size, stream)
    if model.head is not None:
        cuts["head"] = Along(1)
        model.head = _share(model.head, Along(1), comm)
    return cuts


def own_tokens(stream, tokens):
    """The positions whose stream this rank has: its share of those of its context rank."""
    positions = tokens.own()
    if stream.axis is None:
        return positions
    return positions[slice(*share_rows(len(positions), stream.comm.rank, stream.comm.size))]


def _split_block(block, config, layer, stream, heads, rng):
    """Cut attention and feed-forward of a block; returns {name: Cut} of what is not Whole."""
    comm, attention, forward = stream.comm, block.attention, block.feed_forward
    H, G = config.n_head, config.n_kv_head or config.n_head
    cuts = _split_query_norms(attention, H, G, comm)
    owner = config.kv_heads_of(layer) > 0  # others have queries only
    packed = {"weight": ByHead(1, H, G, owner), "bias": ByHead(0, H, G, owner)}
    cuts |= _replace(attention, "attention", "qkv", ColumnSplit, packed, stream)
    cuts |= _replace(
        attention, "attention", "out", RowSplit, {"weight": ByHead(0, H, G, False)}, stream
    )
    attention.heads, kv_heads = shared_heads(G, H, comm.rank, comm.size)
    attention.kv_heads = kv_heads * owner
    if comm.size > 1:
        attention.rng = PartOfDraws(rng, 1, H, np.arange(*heads))
    columns = {"weight": Along(1), "bias": Along(0)}
    for name in ("hidden", "gate", "up"):
        if hasattr(forward, name):
            cuts |= _replace(forward, "feed_forward", name, ColumnSplit, columns, stream)
    return cuts | _replace(forward, "feed_forward", "out", RowSplit, {"weight": Along(0)}, stream)


def _split_query_norms(attention, H, G, comm):
    """Cut the norms of H heads of queries and G of keys; returns {name: Cut}.

    A gain for each head serves the heads of all ranks. Where the norm is over all heads at once,
    its gains are cut with the heads, and the sum of squares is over ranks.
    """
    cuts = {}
    for name, heads in (("q_norm", H), ("k_norm", G)):
        norm = getattr(attention, name)
        if norm is None:
            continue
        cut = Whole(summed=True)
        if attention.qk_norm == "width":
            cut = ByHead(0, heads, G, False)
            own = _share(norm.gain, cut, comm)
            setattr(attention, name, SplitNorm(own, norm.eps, len(norm.gain.data), comm))
        cuts[f"attention.{name}.gain"] = cut
    return cuts


def _replace(owner, prefix, name, kind, cuts, stream):
    """Put a cut map in the place of a Linear; returns {name: Cut} of its parameters."""
    whole = getattr(owner, name)
    found, shares = {}, {}
    for part in ("weight", "bias"):
        parameter = getattr(whole, part)
        if parameter is not None and part in cuts:
            found[f"{prefix}.{name}.{part}"] = cuts[part]
            parameter = _share(parameter, cuts[part], stream.comm)
        shares[part] = parameter
    setattr(owner, name, kind(shares["weight"], shares["bias"], stream))
    return found


def _share(parameter, cut, comm):
    """This rank's share of a parameter, as a parameter; a promise of it if that is one."""
    data, place = parameter.data, (comm.rank, comm.size)
    found = cut.take(data, *place)
    if isinstance(data, Promised):
        found = np.broadcast_to(np.zeros((), data.dtype), found.shape).view(Promised)
        found.draw = lambda: cut.take(data.draw(), *place)
    else:
        found = found.copy()
    share = Tensor(np.zeros((), data.dtype), requires_grad=True)
    share.data = found
    if hasattr(parameter, "decays"):
        share.decays = parameter.decays
    return share
