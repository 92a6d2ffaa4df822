"""A decoder whose ranks have parts of every sequence: attention goes round, or all tokens of some
heads come together; the rest is local.

Read first: ring.py, heads.py. Read next: ../stage.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, concatenate, rotary
from tinylm.autograd.kernels.activations import kept_scaled
from tinylm.backend import DType, to_device
from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn.attention.multi_head import SelfAttention, merge_heads, projected, with_past
from tinylm.nn.attention.sharing import SharedPairs
from tinylm.nn.module import Module
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.sequence.heads import Exchange
from tinylm.parallel.sequence.ring import own_positions, ring_attention
from tinylm.parallel.tensor.cuts import shared_heads
from tinylm.parallel.tensor.draws import PartOfDraws
from tinylm.parallel.tensor.layers import ColumnSplit, RowSplit
from tinylm.parallel.tensor.split import OwnHeads

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


class Tokens:
    """Which positions of a sequence a rank of a context group has.

    comm   Communicator of the group
    heads  False: attention goes round a ring, and positions are balanced for it. True: ranks share
           the heads while they attend, and positions are in order
    device of the arrays that positions index
    total  tokens of the whole sequence, set before each forward pass
    held   (B, total) bool, False where a row has padding that a layer of experts must not count,
           set with each micro-batch; None: all are tokens
    marks  what such a layer is told of this rank's positions (experts/routers.py), set with it
    """

    def __init__(self, comm: Communicator, heads: bool = False, device: str = "cpu") -> None:
        self.comm, self.heads, self.device = comm, heads, device
        self.total = self.held = self.marks = None

    def own(self, total: int | None = None) -> np.ndarray:
        """The positions of this rank: integers."""
        if total is None:
            total = self.total
        own = own_positions(total, self.comm.rank, self.comm.size, balanced=not self.heads)
        return to_device(own, self.device)

    def places(self) -> list[np.ndarray]:
        """The positions of every rank of the group: a list of integer arrays."""
        size, balanced = self.comm.size, not self.heads
        places = [own_positions(self.total, rank, size, balanced) for rank in range(size)]
        return [to_device(own, self.device) for own in places]

    def attended(self) -> np.ndarray:
        """The positions whose queries attention has here: integers."""
        if self.heads:
            return to_device(np.arange(self.total), self.device)
        return self.own()


class RingSelfAttention(Module):
    """A SelfAttention whose keys and values come from all ranks of a context group.

    attention  SelfAttention, of which projections and norms are used
    tokens     Tokens
    """

    def __init__(self, attention: SelfAttention, tokens: Tokens) -> None:
        self.attention, self.tokens = attention, tokens

    def __call__(
        self,
        x: np.ndarray,
        rotation: tuple[np.ndarray, np.ndarray] | None = None,
        bias: Tensor | None = None,
        window: int | None = None,
        cache: Any = None,
        layer: int = 0,
        held: np.ndarray | None = None,
    ) -> Tensor:
        """x (B, T, D) of this rank's positions -> (B, T, D).

        bias     Tensor (1|H, T, total) for this rank's queries and all keys, or None
        window   positions that a query sees, or None for all
        cache    SharedPairs, where layers share keys and values; they go round for each of them
        held     (B, total) bool, False for keys that are padding, or None
        """
        inner, tokens = self.attention, self.tokens
        q, k, v = projected(inner, x)  # (B, H, T, K), (B, G, T, K) twice
        if rotation is not None:
            q = rotary(q, cos=rotation[0], sin=rotation[1])
            if inner.kv_heads:
                k = rotary(k, cos=rotation[0], sin=rotation[1])
        k, v = with_past(cache, layer, k, v)
        dropped = None
        if inner.dropout and inner.training:
            # What the single process would draw for all queries, of which these are some.
            B, H, T, _ = q.shape
            whole = kept_scaled(
                (B, H, tokens.total, tokens.total), inner.dropout, inner.rng, q.dtype
            )
            dropped = whole[:, :, tokens.own()]
        y = ring_attention(
            q,
            k,
            v,
            tokens.comm,
            tokens.total,
            scale=inner.scale,
            dropped=dropped,
            bias=bias,
            window=window,
            held=held,
            cap=inner.cap,
        )
        return inner.out(merge_heads(y))


class GatheredTokens(ColumnSplit):
    """The map to queries, keys and values, after which a rank has all tokens of its heads.

    normed   function of the packed projections, while all heads are there; None: as they are
    """

    def __init__(
        self, split: ColumnSplit, exchange: Exchange, normed: Callable | None = None
    ) -> None:
        super().__init__(split.weight, split.bias, split.stream)
        self.exchange, self.normed = exchange, normed

    def __call__(self, x: Tensor) -> Tensor:
        x = super().__call__(x)
        if self.normed is not None:
            x = self.normed(x)
        return self.exchange.before(x)


class GatheredHeads(RowSplit):
    """The map behind attention, before which a rank gets all heads of its tokens back."""

    def __init__(self, split: RowSplit, exchange: Exchange) -> None:
        super().__init__(split.weight, split.bias, split.stream)
        self.exchange = exchange

    def __call__(self, y: Tensor) -> Tensor:
        return super().__call__(self.exchange.after(y))


def check_heads_shared(config: GPTConfig, size: int, tensor: int) -> None:
    """Raise ConfigError if `size` ranks cannot share the heads of a decoder while they attend.

    tensor  ranks that share the heads already: of the smallest share each rank needs a head
    """
    c = config
    G = c.n_kv_head or c.n_head
    least = min(shared_heads(G, c.n_head, rank, tensor)[0] for rank in range(tensor))
    if size > least:
        shared = f", of which tp={tensor} leaves a rank {least}" if tensor > 1 else ""
        raise ConfigError(
            f"layout: cp={size},heads cannot share {c.n_head} heads{shared}; cp={least},heads can, "
            f"or the ring, cp={size}"
        )


def cut_sequences(model: "GPT", tokens: Tokens, tensor: int = 1) -> None:
    """Replace the attention of every block of a GPT by one of ranks with parts of the sequences, in
    place.

    model    GPT, split by tensor/split.py among `tensor` ranks
    raises   ConfigError for a decoder that cannot be cut so
    """
    size, c = tokens.comm.size, model.config
    if size == 1:
        return
    if tokens.heads:
        check_heads_shared(c, size, tensor)
    for layer, block in enumerate(model.blocks):
        if tokens.heads:
            groups = c.n_kv_head or c.n_head
            owner = c.kv_heads_of(layer) > 0
            _share_heads(block.attention, c.n_head, tokens, groups, owner)
        else:
            block.attention = RingSelfAttention(block.attention, tokens)
    if tokens.heads and model.position_bias is not None:
        _share_bias(model, tokens)


def norms_of_packed(attention: SelfAttention) -> Callable | None:
    """A function of packed projections, (B, T, (H + 2 G) K), that norms the queries and the keys of
    all heads.
    """
    queries = attention.heads * attention.width
    keys = queries + attention.kv_heads * attention.width

    def normed(x):
        parts = [attention.q_norm(x[:, :, :queries])]
        if keys > queries:  # else they are a lower layer's
            parts.append(attention.k_norm(x[:, :, queries:keys]))
        return concatenate([*parts, x[:, :, keys:]], axis=-1)

    return normed


def _share_heads(attention, total, tokens, groups, owner=True):
    """Let an attention compute this rank's heads of all tokens.

    total, groups  heads of the whole model, and of its keys and values
    owner          whether it makes keys and values; others read those of a layer below
    """
    heads = attention.heads
    exchange = Exchange(tokens, heads, heads * groups // total, owner)
    normed = None
    if attention.qk_norm == "width":  # over all heads of a token: before they go apart
        normed, attention.qk_norm = norms_of_packed(attention), None
    attention.qkv = GatheredTokens(attention.qkv, exchange, normed)
    attention.out = GatheredHeads(attention.out, exchange)
    attention.heads, attention.kv_heads = exchange.own_heads, exchange.own_kv_heads
    rng, kept = attention.rng, np.arange(total)
    if isinstance(rng, PartOfDraws):  # this tensor share's heads of the draws
        rng, kept = rng.rng, rng.kept
    attention.rng = PartOfDraws(rng, 1, total, kept[exchange.first : exchange.last])


def _share_bias(model, tokens):
    """The same for the bias of the scores, which all layers read."""
    bias, at, heads = model.position_bias, 0, model.config.n_head
    if isinstance(bias, OwnHeads):
        bias, at, heads = bias.bias, bias.first, bias.last - bias.first
    groups = model.config.n_kv_head or model.config.n_head
    kv_heads = heads * groups // model.config.n_head
    exchange = Exchange(tokens, heads, kv_heads)
    model.position_bias = OwnHeads(bias, at + exchange.first, at + exchange.last)


def layer_options(model: "GPT", rows: int, tokens: Tokens, dtype: DType) -> list[dict[str, Any]]:
    """What each block is called with beside the stream: GPT.block_options() for the positions of
    this rank.

    model    GPT after cut_sequences();  rows  B
    tokens   Tokens, its total set
    returns  a dict for each layer of the whole model
    """
    positions, held, c = tokens.attended(), tokens.held, model.config
    if tokens.heads or tokens.comm.size == 1:  # attention is that of one process
        mask = None if held is None else held[:, None, None, :]
        found = model.block_options(rows, len(positions), positions, dtype, mask=mask)
    else:
        found = _ring_options(model, positions, tokens, dtype)
    for layer, own in enumerate(found):
        own.pop("real", None)  # of the positions that attention has
        if tokens.marks is not None and c.layer("feed_forward", layer) == "experts":
            own["real"] = tokens.marks
    return found


def _ring_options(model, positions, tokens, dtype):
    """layer_options() where keys and values go round."""
    c, bias = model.config, None
    if model.position_bias is not None:
        keys = np.arange(tokens.total, like=positions)
        bias = model.position_bias(positions, keys)  # (1|H, T, total)
    rotations = model.rotations(positions, dtype)
    cache = SharedPairs(c.kv_sharing) if c.kv_sharing > 1 else None
    found = []
    for layer in range(c.n_layer):
        own = {"rotation": rotations[layer], "bias": bias, "cache": cache, "layer": layer}
        own["held"] = tokens.held
        if c.layer("attention", layer) == "window":
            own["window"] = c.window
        found.append(own)
    return found
