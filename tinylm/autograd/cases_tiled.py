"""How to check tiled attention: tiles that divide the sequence and that do not, rows that see nothing, shared heads;
and the errors of an online softmax. Read next: mutants.py, which plants them.
"""
import numpy as np

from tinylm import autograd as ad
from tinylm.autograd import known_errors
from tinylm.autograd.cases_fused import BLIND, SOME, qkv
from tinylm.autograd.registry import call, register


def one(rng, **sizes):
    """Queries, keys and values of one head unless sizes say more."""
    return qkv(rng, **{"H": 1, "G": 1, **sizes})


register("tiled_attention", ad.tiled_attention, lambda rng: [
    call(*one(rng), block_q=1, block_k=1), call(*one(rng, H=2, T=2), block_q=1, block_k=2, causal=True, scale=0.7),
    call(*one(rng, T=2, S=4, J=3), block_q=2, block_k=3, causal=True), call(*one(rng), mask=BLIND, block_k=2),
    call(*one(rng, B=2), mask=np.stack([SOME, SOME[::-1]])[:, None], block_q=2, block_k=2),
    call(*qkv(rng, T=2, S=2), mask=np.stack([SOME, SOME.T])[None, :, :2, 1:], block_q=2, block_k=1),
    call(*one(rng, T=1), mask=np.array([True, False, True]), block_q=2, block_k=2)],    # padding: one row for all queries
    source="book section 2.3.1; Dao et al. 2022")


def _like_attention(argument, **forgotten):
    """One of attention's known errors, of the operation in tiles."""
    wrong = known_errors._attention(argument, **forgotten)
    return lambda g, out, right, q, k, v, *, mask, causal, scale, blocks: wrong(
        g, out, right, q, k, v, mask=mask, causal=causal, scale=scale, dropped=None)


def _last_tile(g, out, right, q, k, v, *, mask, causal, scale, blocks):
    """A gradient by keys or values in which only the tile of the last keys was written."""
    S = k.shape[2]
    return right * (np.arange(S) >= (S - 1) // blocks[1] * blocks[1])[:, None]


known_errors.FUSED["tiled_attention"] = [
    *((i, "the row sum forgotten", _like_attention(i, row_sum=False)) for i in (0, 1)),
    *((i, "the scale forgotten", _like_attention(i, scaled=False)) for i in (0, 1)),
    *((i, "the causal mask one too wide", _like_attention(i, shift=1)) for i in (0, 1, 2)),
    *((i, "the mask forgotten", _like_attention(i, masked=False)) for i in (0, 1, 2)),
    *((i, "of grouped heads only the first", _like_attention(i, groups="first")) for i in (1, 2)),
    *((i, "only the last tile of keys", _last_tile) for i in (1, 2))]
