"""Length-adaptive inference: each layer passes on only the most significant tokens   (book section
1.3.3)

    significance of token j = sum over heads h and queries i of A^h_{i, j}        A the attention

A token is significant if the others attend to it. Between attention and feed-forward the least
significant ones are dropped (PoWER-BERT; Goyal et al. 2020); [CLS] stays. Trained with random
lengths (Kim & Cho 2021), one model serves every budget: the lengths are chosen at inference. With
nothing dropped it equals the encoder, bit for bit. Read next: models/encoder/encoder.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor, dropout
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import bool_mask, seen_mix, seen_scores, visible_softmax
from tinylm.backend import Random, device_of, to_cpu, to_device
from tinylm.errors import ConfigError
from tinylm.nn import Module
from tinylm.nn.attention.multi_head import SelfAttention, merge_heads, projected
from tinylm.nn.block import Block

if TYPE_CHECKING:
    from tinylm.models.encoder.encoder import Encoder, EncoderConfig


def attend_and_weigh(
    attention: SelfAttention, x: Tensor, mask: np.ndarray | None = None
) -> tuple[Tensor, np.ndarray]:
    """Self-attention that also returns the attention that each token received.

    attention  SelfAttention;  x (B, T, D);  mask (B, T) bool: which positions hold a token
    returns    (B, T, D) Tensor, and (B, T) array of significances: each sums to H times the queries
               that hold a token
    """
    mask = bool_mask(mask, "attend_and_weigh", bias=None, shape=x.shape[:2])
    q, k, v = projected(attention, x)  # (B, H, T, K), (B, G, T, K) twice
    (B, H, T, K), G = q.shape, attention.kv_heads
    grouped = q.reshape(B, G, H // G, T, K)  # queries that share a key
    keys = None
    if mask is not None:
        keys = mask[:, None, None, None, :]  # (B, 1, 1, 1, T)
    score = seen_scores(grouped, k.reshape(B, G, 1, T, K), keys)  # (B, G, H / G, T, T)
    score = score * score_scale(K, attention.scale)
    weights, _ = visible_softmax(score, keys)
    counted = weights.data
    if mask is not None:  # padding's queries do not count
        counted = np.where(mask[:, None, None, :, None], counted, 0)
    received = counted.sum(axis=(1, 2, 3))  # over heads and queries -> (B, T)
    if attention.training:
        weights = dropout(weights, attention.dropout, attention.rng)
    y = seen_mix(weights, v.reshape(B, G, 1, T, K), keys)  # (B, G, H / G, T, K)
    y = merge_heads(y.reshape(B, H, T, K))  # -> (B, T, H K)
    return attention.out(y), received


def most_significant(received: np.ndarray, keep: int, mask: np.ndarray | None = None) -> np.ndarray:
    """The positions of the tokens that are kept, in order.

    The first token is always kept, padding only if nothing else is left.

    received  (B, T) array of significances;  keep  number of tokens
    returns   (B, keep) integers
    """
    mask = bool_mask(mask, "most_significant", bias=None)
    rank = received
    if mask is not None:
        rank = np.where(mask, received, -1)  # below every significance, which is at least 0
    first = np.full_like(rank[:, :1], np.inf)
    rank = np.concatenate([first, rank[:, 1:]], axis=1)
    chosen = np.argsort(-rank, axis=-1)[:, :keep]
    return np.sort(chosen, axis=-1)


def shortened_block(
    block: Block,
    x: Tensor,
    keep: int,
    mask: np.ndarray | None = None,
    choose: Callable = most_significant,
) -> tuple[Tensor, np.ndarray | None, np.ndarray | None]:
    """One block, whose feed-forward and successors read `keep` tokens.

    block    Block of an encoder;  x (B, T, D);  mask (B, T) bool or None
    keep     number of tokens; or (B,) integers, one for each row: then shorter rows end in masked
             positions
    choose   function that picks the tokens, with arguments and result of most_significant()
    returns  x (B, keep, D), mask (B, keep) or None, positions (B, keep) of the tokens kept, or None
             if all are
    """
    if np.min(keep) >= x.shape[1]:
        visible = None
        if mask is not None:
            visible = mask[:, None, None, :]
        return block(x, mask=visible), mask, None
    received, p = [], 0.0
    if block.training:
        p = block.dropout

    def attend(h):
        y, weights = attend_and_weigh(block.attention, h, mask)
        received.append(weights)
        return dropout(y, p, block.rng)

    def feed_forward(h):
        return dropout(block.feed_forward(h), p, block.rng)

    x = block.placement(x, attend, block.norms[0])  # norm and residual: (B, T, D)
    keep = np.minimum(keep, x.shape[1])
    positions, held = _choose_by_rows(choose, received[0], keep, mask)
    rows = np.arange(len(positions), like=positions)[:, None]
    x = x[rows, positions]  # (B, T, D) -> (B, keep, D)
    if mask is not None:
        mask = mask[rows, positions]
    if mask is None:
        mask = held
    elif held is not None:
        mask = mask & held
    return block.placement(x, feed_forward, block.norms[1]), mask, positions


def _choose_by_rows(choose, received, keep, mask):
    """choose() with one number, or one for each row.

    returns  positions (B, n), n the largest number, and (B, n) bool, True for a row's own ones;
             None if all are
    """
    if np.ndim(keep) == 0:
        return choose(received, int(keep), mask), None
    device = device_of(received)
    positions = np.zeros_like(received, shape=(len(keep), int(keep.max())), dtype=np.int64)
    for k in np.unique(keep).tolist():  # rows with the same number together
        rows = to_device(np.flatnonzero(keep == k), device)
        mask_of_rows = None
        if mask is not None:
            mask_of_rows = mask[rows]
        positions[rows, :k] = choose(received[rows], k, mask_of_rows)
    held = np.arange(positions.shape[1]) < keep[:, None]
    return positions, to_device(held, device)


def shortened(
    encoder: "Encoder",
    ids: np.ndarray,
    lengths: Sequence[int] | None,
    mask: np.ndarray | None = None,
    segments: np.ndarray | None = None,
    choose: Callable = most_significant,
) -> tuple[Tensor, np.ndarray | None, np.ndarray | None]:
    """The hidden states of the tokens that are left after the last layer.

    lengths  (L,) tokens that leave each layer, at least 1, or (L, B), those of each row; a length
             of T or more keeps all
    returns  h (B, T', D), mask (B, T') or None, positions (B, T') in the sequence
    raises   ConfigError if there are not L lengths of at least 1, or for rotary positions, which
             would have to follow the tokens that are left
    """
    L = len(encoder.blocks)
    if encoder.rotation(ids, mask) is not None:
        raise ConfigError(
            "shortened: tokens are dropped with learned positions only, not with rope"
        )
    if len(lengths) != L or np.min(lengths) < 1:
        raise ConfigError(
            f"shortened: lengths {list(lengths)}; give one of at least 1 to each of {L} layers"
        )
    x = encoder.embed(ids, segments, mask)
    positions = np.broadcast_to(np.arange(ids.shape[1], like=ids), ids.shape)
    for block, keep in zip(encoder.blocks, lengths):
        x, mask, kept = shortened_block(block, x, keep, mask, choose)
        if kept is not None:  # positions among what came in -> positions in the sequence
            positions = positions[np.arange(len(kept), like=kept)[:, None], kept]
    if encoder.norm is not None:
        x = encoder.norm(x)
    return x, mask, positions


def constant_ratio(T: int, layers: int, ratio: float) -> list[int]:
    """Lengths that shrink by a ratio from layer to layer: ceil(T r), ceil(T r^2), ..."""
    lengths = []
    for layer in range(1, layers + 1):
        length = T * ratio**layer
        # 1e-9: a product that is whole but for rounding is not rounded up
        lengths.append(max(1, int(np.ceil(length - 1e-9))))
    return lengths


def random_lengths(T: int, layers: int, rng: Random, drop: float = 0.2) -> list[int]:
    """Lengths for training, in each layer uniform between (1 - drop) T and T   (LengthDrop; Kim &
    Cho 2021)

    T    tokens that come in, or (B,) integers, those of each row; each length is of the same kind
    rng  tinylm Random; one draw for a whole batch, the same on every worker
    """
    lengths = []
    with rng.rows(0, layers):
        u = rng.uniform((layers,), np.float64)
    for share in u.tolist():
        T = np.maximum(np.ceil(T * (1 - drop * share)), 1).astype(np.int64)
        lengths.append(T)
    return lengths


def flops(config: "EncoderConfig", T: int, lengths: Sequence[int] | None = None) -> int:
    """Multiplications and additions in the matrix products of the blocks, for one sequence of T
    tokens.

    2 (4 D^2) a token for the maps of attention, 4 T D a token for its products, 2 (2 D F) a token
    that is kept for the feed-forward (3 D F if it is gated).
    """
    D, F = config.d_model, config.d_hidden or 4 * config.d_model
    total, matrices = 0, 2
    if config.activation.endswith("glu"):
        matrices = 3
    for keep in lengths or [T] * config.n_layer:
        keep = min(keep, T)
        maps, products = T * 8 * D * D, 4 * T * T * D
        total += maps + products + keep * 2 * matrices * D * F
        T = keep
    return total


class LengthAdaptive(Module):
    """An encoder that drops tokens, for a heads.Classifier that reads the first state.

    encoder  Encoder, not copied
    drop     in training, lengths are drawn by random_lengths(); 0: all tokens
    lengths  at inference: function of T -> (L,) lengths, may be replaced; None: all tokens
    choose   function that picks the tokens, see shortened_block()

    T is the length of a row without its padding, so that its answer does not depend on the other
    rows of its batch.
    """

    def __init__(
        self,
        encoder: "Encoder",
        drop: float = 0.2,
        lengths: Callable | Sequence[int] | None = None,
        choose: Callable = most_significant,
    ) -> None:
        self.encoder, self.drop = encoder, drop
        self.lengths, self.choose = lengths, choose
        self.rng, self.config = encoder.rng, encoder.config

    def settings(self) -> dict[str, np.ndarray]:
        """A fingerprint of the function of lengths: its values for a whole and half a context."""
        if self.lengths is None:
            return {}
        whole = self.config.context
        half = max(whole // 2, 1)
        return {"lengths": np.array([self.lengths(whole), self.lengths(half)])}

    @property
    def tokens(self) -> Module:
        """The encoder's embeddings."""
        return self.encoder.tokens

    def hidden(
        self, ids: np.ndarray, mask: np.ndarray | None = None, segments: np.ndarray | None = None
    ) -> Tensor:
        """Last states of the tokens that are left, (B, T', D); arguments as Encoder.hidden()."""
        lengths = self._lengths(mask, ids.shape[1])
        return shortened(self.encoder, ids, lengths, mask, segments, self.choose)[0]

    def _lengths(self, mask, T):
        """The lengths of a batch: (L,), or (L, B) if rows differ."""
        L, tokens = len(self.encoder.blocks), T
        padded = mask is not None and not mask.all()
        if padded:
            tokens = to_cpu(mask).sum(axis=1)  # (B,): of each row
        if self.training:
            return random_lengths(tokens, L, self.rng, self.drop)
        if self.lengths is None:
            return [T] * L
        if padded:
            return np.array([self.lengths(n) for n in tokens.tolist()]).T  # (B, L) -> (L, B)
        return self.lengths(T)
