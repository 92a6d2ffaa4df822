"""Length-adaptive inference: from layer to layer, go on with the tokens that matter   (book section
1.3.3)

A token matters as much as the others attend to it: its significance in a layer is the attention it
receives, summed over heads and queries. Between attention and feed-forward the least significant
are dropped (PoWER-BERT; Goyal et al. 2020); [CLS] stays. Trained with random lengths (Kim & Cho
2021), one model serves every budget: the lengths are chosen when it is used. With nothing dropped
it is the encoder, bit for bit. Read next: models/encoder/encoder.py.
"""

import numpy as np

from tinylm.autograd import dropout
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import bool_mask, seen_mix, seen_scores, visible_softmax
from tinylm.backend import device_of, to_cpu, to_device
from tinylm.errors import ConfigError
from tinylm.nn import Module
from tinylm.nn.attention.multi_head import merge_heads, projected


def attend_and_weigh(attention, x, mask=None):
    """Self-attention that also tells how much attention each token received.

    attention  SelfAttention;  x (B, T, D);  mask (B, T) bool: which positions hold a token
    returns    (B, T, D) Tensor, and (B, T) array of significances: each sums to H times the queries
               that hold a token
    """
    mask = bool_mask(mask, "attend_and_weigh", bias=None, shape=x.shape[:2])
    q, k, v = projected(attention, x)  # (B, H, T, K), (B, G, T, K) twice
    (B, H, T, K), G = q.shape, attention.kv_heads
    grouped = q.reshape(B, G, H // G, T, K)  # queries that share a key
    keys = None if mask is None else mask[:, None, None, None, :]
    score = seen_scores(grouped, k.reshape(B, G, 1, T, K), keys)
    score = score * score_scale(K, attention.scale)
    weights, _ = visible_softmax(score, keys)  # (B, G, R, T, T)
    counted = weights.data
    if mask is not None:
        counted = np.where(mask[:, None, None, :, None], counted, 0)  # of queries that hold a token
    received = counted.sum(axis=(1, 2, 3))  # -> (B, T)
    weights = dropout(weights, attention.dropout if attention.training else 0.0, attention.rng)
    y = seen_mix(weights, v.reshape(B, G, 1, T, K), keys).reshape(B, H, T, K)
    return attention.out(merge_heads(y)), received


def most_significant(received, keep, mask=None):
    """Where the tokens that go on stand, in their order; the first always goes on, padding only if
    nothing else is left.

    received  (B, T) array;  keep how many;  returns (B, keep) integers
    """
    mask = bool_mask(mask, "most_significant", bias=None)
    rank = received if mask is None else np.where(mask, received, -1)
    rank = np.concatenate([np.full_like(rank[:, :1], np.inf), rank[:, 1:]], axis=1)
    return np.sort(np.argsort(-rank, axis=-1)[:, :keep], axis=-1)


def shortened_block(block, x, keep, mask=None, choose=most_significant):
    """One block, whose feed-forward and successors read `keep` tokens.

    block    Block of an encoder;  x (B, T, D);  mask (B, T) bool or None
    keep     how many; or (B,) integers, a number for each row: then shorter rows end in what the
             mask hides
    choose   which tokens, with the arguments and the result of most_significant()
    returns  x (B, keep, D), mask (B, keep) or None, places (B, keep) of the tokens kept, or None if
             all are
    """
    if np.min(keep) >= x.shape[1]:
        return block(x, mask=None if mask is None else mask[:, None, None, :]), mask, None
    received, p = [], block.dropout if block.training else 0.0

    def branch(h):
        y, weights = attend_and_weigh(block.attention, h, mask)
        received.append(weights)
        return dropout(y, p, block.rng)

    x = block.place(x, branch, block.norms[0])
    places, held = _choose_by_rows(
        choose, received[0], np.minimum(keep, received[0].shape[1]), mask
    )
    rows = np.arange(len(places), like=places)[:, None]
    mask = None if mask is None else mask[rows, places]
    x = x[rows, places]
    # (B, T, D) -> (B, keep, D)
    if held is not None:
        mask = held if mask is None else mask & held
    return (
        block.place(x, lambda h: dropout(block.feed_forward(h), p, block.rng), block.norms[1]),
        mask,
        places,
    )


def _choose_by_rows(choose, received, keep, mask):
    """choose() with a number for each row: places (B, most), and (B, most) bool where a row's own
    are; None: everywhere.
    """
    if np.ndim(keep) == 0:
        return choose(received, int(keep), mask), None
    places = np.zeros_like(received, shape=(len(keep), int(keep.max())), dtype=np.int64)
    for k in np.unique(keep).tolist():
        rows = to_device(np.flatnonzero(keep == k), device_of(received))
        places[rows, :k] = choose(received[rows], k, None if mask is None else mask[rows])
    return places, to_device(np.arange(places.shape[1]) < keep[:, None], device_of(received))


def shortened(encoder, ids, lengths, mask=None, segments=None, choose=most_significant):
    """The hidden states of the tokens that are left after the last layer.

    lengths  (L,) how many tokens leave each layer, or (L, B), those of each row; as many as there
             are keeps all. Between 1 and what came in
    returns  h (B, T', D), mask (B, T') or None, places (B, T') in the sequence
    raises   ConfigError if there are not L lengths of at least 1
    """
    if len(lengths) != len(encoder.blocks) or np.min(lengths) < 1:
        raise ConfigError(
            f"shortened: lengths {list(lengths)}; give one of at least 1 to each of {len(encoder.blocks)} layers"
        )
    x = encoder.embed(ids, segments, mask)
    places = np.broadcast_to(np.arange(ids.shape[1], like=ids), ids.shape)
    for block, keep in zip(encoder.blocks, lengths):
        x, mask, chosen = shortened_block(block, x, keep, mask, choose)
        if chosen is not None:
            places = places[np.arange(len(chosen), like=chosen)[:, None], chosen]
    return x if encoder.norm is None else encoder.norm(x), mask, places


def constant_ratio(T, layers, ratio):
    """Lengths that shrink by a ratio from layer to layer: ceil(T r), ceil(T r^2), ..."""
    return [max(1, int(np.ceil(T * ratio ** (layer + 1) - 1e-9))) for layer in range(layers)]


def random_lengths(T, layers, rng, drop=0.2):
    """Lengths for training: each uniform between (1 - drop) and all of what came in   (LengthDrop;
    Kim & Cho 2021)

    T    how many tokens come in; or (B,) integers, then so is each length
    rng  tinylm Random; one draw for a whole batch, on every worker alike
    """
    with rng.rows(0, layers):
        u, lengths = rng.uniform((layers,), np.float64).tolist(), []
    for share in u:
        T = np.maximum(np.ceil(T * (1 - drop * share)), 1).astype(np.int64)
        lengths.append(T)
    return lengths


def flops(config, T, lengths=None):
    """Multiplications and additions in the matrix products of the blocks, for one sequence of T
    tokens.

    2 (4 D^2) a token for the maps of attention, 4 T D a token for its products, 2 (2 D F) a token
    that is kept for the feed-forward (3 D F if it is gated).
    """
    D, F, total = config.d_model, config.d_hidden or 4 * config.d_model, 0
    matrices = 3 if config.activation.endswith("glu") else 2
    for keep in lengths or [T] * config.n_layer:
        keep = min(keep, T)
        total += T * 8 * D * D + 4 * T * T * D + keep * 2 * matrices * D * F
        T = keep
    return total


class LengthAdaptive(Module):
    """An encoder that drops tokens, in the place of an encoder: under a heads.Classifier that reads
    the first state.

    encoder  Encoder, not copied
    drop     in training, lengths are drawn by random_lengths(); 0: all tokens
    lengths  when used, free to be changed: function of T -> (L,) lengths; None: all tokens
    choose   which tokens stay, see shortened_block()

    T is what a row holds without its padding, so that its answer does not depend on what shares its
    batch.
    """

    def __init__(self, encoder, drop=0.2, lengths=None, choose=most_significant):
        self.encoder, self.drop, self.lengths, self.choose = encoder, drop, lengths, choose
        self.rng, self.config = encoder.rng, encoder.config

    def settings(self):
        """What tells functions of lengths apart: the lengths of a whole and of half a context."""
        if self.lengths is None:
            return {}
        whole = self.config.context
        return {"lengths": np.array([self.lengths(T) for T in (whole, max(whole // 2, 1))])}

    @property
    def tokens(self):
        """The encoder's embeddings."""
        return self.encoder.tokens

    def hidden(self, ids, mask=None, segments=None):
        """The last states of the tokens that are left, (B, T', D); arguments as Encoder.hidden()."""
        L, T = len(self.encoder.blocks), ids.shape[1]
        held = T if mask is None else to_cpu(mask).sum(axis=1)  # (B,): tokens of each row
        # nothing is padded
        if np.min(held) == T:
            held = T
        if self.training:
            lengths = random_lengths(held, L, self.rng, self.drop)
        elif self.lengths is None:
            lengths = [T] * L
        else:
            lengths = (
                self.lengths(T)
                if held is T
                else np.array([self.lengths(n) for n in held.tolist()]).T
            )  # (L, B)
        return shortened(self.encoder, ids, lengths, mask, segments, self.choose)[0]
