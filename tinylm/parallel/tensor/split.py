"""A whole decoder cut among the ranks of a tensor group.

The model is made as for one process, by every rank with the same weights; then its linear maps,
its heads and its table of tokens are replaced by this rank's share. What computes in between, such
as attention, activations and norms, is the code of the single process, with fewer heads and
features. Read next: ../stage.py.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn.experts import MixtureOfExperts
from tinylm.nn.module import Module
from tinylm.nn.position.bias import T5Bias
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.experts.layer import split_experts
from tinylm.parallel.tensor.cuts import Along, ByHead, Whole, share_of, shared_heads
from tinylm.parallel.tensor.draws import PartOfDraws
from tinylm.parallel.tensor.layers import ColumnSplit, RowSplit, SplitEmbedding, SplitNorm, Stream

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT
    from tinylm.parallel.experts.routers import Routers
    from tinylm.parallel.sequence.layers import Tokens


class OwnHeads(Module):
    """A bias of attention scores, of which this rank has the heads `first` .. `last` - 1."""

    def __init__(self, bias: T5Bias, first: int, last: int) -> None:
        self.bias, self.first, self.last = bias, first, last

    def __call__(self, queries: np.ndarray, keys: np.ndarray) -> Tensor:
        bias = self.bias(queries, keys)  # (1|H, T, S)
        if bias.shape[0] == 1:
            return bias
        return bias[self.first : self.last]


def check_splits(config: GPTConfig, size: int) -> None:
    """Raise ConfigError, with the nearest possible size, if a decoder cannot be cut in `size`."""
    c = config
    groups = c.n_kv_head or c.n_head
    if size > groups:
        raise ConfigError(
            f"layout: tp={size} cannot share {groups} heads of keys and values; tp={groups} can"
        )
    if size > c.vocab_size:
        raise ConfigError(
            f"layout: tp={size} cannot share a vocabulary of {c.vocab_size}; tp={c.vocab_size} can"
        )


def split_decoder(
    model: "GPT", stream: Stream, tokens: "Tokens", routers: "Routers"
) -> dict[str, Any]:
    """Replace the parts of a GPT by this rank's shares, in place.

    model    GPT, with the same weights on every rank
    stream   Stream of the tensor group
    tokens   Tokens of the context group
    routers  Routers of the layers of experts
    returns  {parameter: Cut}, by the parameters' names in the whole model
    raises   ConfigError for a decoder that cannot be cut so
    """
    comm, c = stream.comm, model.config
    check_splits(c, comm.size)
    by_token = stream.axis is not None
    cuts = {name: Whole(summed=by_token) for name in model.named_parameters().keys()}
    G = c.n_kv_head or c.n_head
    own = share_rows(G, comm.rank, comm.size)
    heads = own[0] * (c.n_head // G), own[1] * (c.n_head // G)
    rng = model.rng
    if comm.size > 1:
        if model.position_bias is not None:
            for name in model.position_bias.named_parameters().keys():
                cuts[f"position_bias.{name}"] = Whole(summed=True)
            model.position_bias = OwnHeads(model.position_bias, *heads)
    if by_token or tokens.comm.size > 1:
        model.rng = PartOfDraws(rng, 1, lambda: tokens.total, lambda: own_tokens(stream, tokens))
    for layer, block in enumerate(model.blocks):
        block.rng = model.rng
        for name, cut in _split_block(block, c, layer, stream, heads, rng, routers).items():
            cuts[f"blocks.{layer}.{name}"] = cut
    cuts["tokens.weight"] = Along(0)
    model.tokens = SplitEmbedding(
        share_of(model.tokens.weight, Along(0), comm), c.vocab_size, stream
    )
    if model.head is not None:
        cuts["head"] = Along(1)
        model.head = share_of(model.head, Along(1), comm)
    return cuts


def own_tokens(stream: Stream, tokens: "Tokens") -> np.ndarray:
    """The positions whose stream this rank has: its share of those of its context rank."""
    positions = tokens.own()
    if stream.axis is None:
        return positions
    return positions[slice(*share_rows(len(positions), stream.comm.rank, stream.comm.size))]


def _split_block(block, config, layer, stream, heads, rng, routers):
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
    if isinstance(forward, MixtureOfExperts):
        block.feed_forward, found = split_experts(forward, layer, stream, routers)
        return cuts | {f"feed_forward.{name}": cut for name, cut in found.items()}
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
            own = share_of(norm.gain, cut, comm)
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
            parameter = share_of(parameter, cuts[part], stream.comm)
        shares[part] = parameter
    setattr(owner, name, kind(shares["weight"], shares["bias"], stream))
    return found
