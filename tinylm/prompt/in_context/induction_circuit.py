"""An induction head built by hand: two attention layers that continue "a b .. a" with "b"   (book
section 3.1.2; Elhage et al. 2021, Olsson et al. 2022).

The residual stream has three parts, all one-hot:

    which token (V) | which position (T) | which token before (V)

Layer 1 attends from position t to t - 1 and writes the token it finds there into the third part.
Layer 2 compares the present token with the third part of earlier positions, and adds the tokens it
finds there to the first part, from which the output reads. Every weight is written down; nothing is
trained. Read next: induction.py, which finds such heads in trained models.
"""

import numpy as np

from tinylm.models import GPT, GPTConfig
from tinylm.nn.attention.multi_head import SelfAttention

SHARP = 40.0  # score of a match over all others: exp(-40) is 4e-18
COPY = 4.0  # what is copied, against the token itself


def induction_circuit(vocab_size: int, context: int) -> GPT:
    """A GPT of two layers with one head each, in float64, that copies by induction.

    Its next token is the one after the earlier occurrence of the present token.
    """
    V, T = vocab_size, context
    D = 2 * V + T
    config = GPTConfig(
        V,
        context=T,
        n_layer=2,
        n_head=1,
        d_model=D,
        norm="rms",
        bias=False,
        attention_scale=1.0,
    )
    model = GPT(config, dtype=np.float64)
    token, position, before = np.split(np.eye(D), [V, V + T])  # (V, D), (T, D), (V, D)
    model.tokens.weight.assign_(token)
    model.positions.table.weight.assign_(position)
    for block in model.blocks:
        block.feed_forward.out.weight.assign_(np.zeros_like(block.feed_forward.out.weight.data))

    # An RMS norm divides by rms(x), which is sqrt(m / D) with m ones in the stream. Queries, keys
    # and values are multiplied by it again. x W maps row vectors: a.T @ b sends part a to part b.
    two, three = np.sqrt(2 / D), np.sqrt(3 / D)
    shift = position[1:].T @ position[:-1]  # position t -> t - 1
    set_attention(
        model.blocks[0].attention,
        queries=SHARP * two * shift,
        keys=two * position.T @ position,
        values=two * token.T @ before,
    )
    # Position 0 sees itself only, so its "token before" is wrong. All queries have weight 1 on
    # position[0], against which the key of position 0 has a negative one.
    everywhere = position.T @ np.broadcast_to(position[0], (T, D))
    first = np.outer(position[0], position[0])
    set_attention(
        model.blocks[1].attention,
        queries=SHARP * three * (token.T @ before + everywhere),
        keys=three * (before.T @ before - 2 * first),
        values=COPY * three * token.T @ token,
    )
    return model


def set_attention(
    attention: SelfAttention, queries: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> None:
    """Give the one head of a SelfAttention these maps, (D, D) each; its output map is I."""
    D = len(queries)
    attention.qkv.weight.assign_(np.concatenate([queries, keys, values], axis=1))  # (D, 3 D)
    attention.out.weight.assign_(np.eye(D))
