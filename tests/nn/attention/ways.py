"""Every way to attend, in one table: name -> function (q, k, v, mask) -> (B, H, T, J).

mask is (T, S) bool. Ways that know no masks but their own (windows, causality) are in OWN.
"""

import numpy as np

import tinylm as tl
from tinylm.autograd import concatenate
from tinylm.autograd.kernels import composed
from tinylm.backend import Random
from tinylm.generate.measure.foresight import MyopicAttention
from tinylm.nn import CrossAttention, SelfAttention, capped_attention, merge_heads
from tinylm.nn.attention import linear_attention as linear
from tinylm.nn.attention import sparse
from tinylm.nn.attention.patterns import index_sets
from tinylm.nn.attention.two_stream import RelativeAttention, relative_waves
from tinylm.nn.memory import fixed_size, retrieved, segments
from tinylm.nn.position.relative import relative_index, shaw_attention


def shaw(q, k, v, mask):
    tables = (tl.Tensor(np.ones((7, q.shape[3])) * x) for x in (0.3, 0.0))
    index = relative_index(np.arange(q.shape[2]), np.arange(k.shape[2]), 3)
    return shaw_attention(q, k, v, *(t[index] for t in tables), mask=mask)


def far(k, v, T):
    """Keys and values as if each of T queries had retrieved them all: (B, H, T, S, .)."""
    return (x.reshape(*x.shape[:2], 1, *x.shape[2:]) * np.ones((T, 1, 1)) for x in (k, v))


def all_far(q, k, v, mask):
    some = np.zeros_like(mask)  # of the local keys nothing is seen
    return retrieved.joint_attention(q, k, v, *far(k, v, q.shape[2]), far_visible=mask, mask=some)


def half_far(q, k, v, mask):
    y = retrieved.gated_attention(
        q, k, v, *far(k, v, q.shape[2]), 0.5, far_visible=mask, mask=mask, causal=False
    )
    return y


def in_a_module(q, k, v, mask, **options):
    """SelfAttention's own arithmetic, its projections taken out: what it would do with q, k, v."""
    H, width = q.shape[1], q.shape[3]
    module = SelfAttention(
        H * width, H, Random(0), bias=False, causal=False, dtype=np.float64, **options
    )
    module.qkv, module.out = (lambda x: x), (lambda x: x)
    return unmerged(module(packed(q, k, v), mask=mask), H)


def crossed(q, k, v, mask):
    H, width = q.shape[1], q.shape[3]
    module = CrossAttention(H * width, H, Random(0), bias=False, dtype=np.float64)
    module.q, module.out = (lambda x: x), (lambda x: x)
    return unmerged(module(merge_heads(q), (k, v), mask=mask), H)


def relative(q, k, v, mask):
    """Two streams' attention, without its output map."""
    H, width = q.shape[1], q.shape[3]
    module = RelativeAttention(H * width, H, Random(0), segments=False, dtype=np.float64)
    module.out = lambda x: x
    waves = tl.Tensor(relative_waves(q.shape[2], H * width, q.data, np.float64))
    return unmerged(module(q, k, v, waves, visible=mask), H)


def myopic(q, k, v, mask):
    H, width = q.shape[1], q.shape[3]
    made = MyopicAttention(SelfAttention(H * width, H, Random(0), dtype=np.float64))
    made.qkv, made.out = (lambda x: x), (lambda x: x)
    return unmerged(made(packed(q, k, v), mask=mask), H)


def packed(q, k, v):
    """(B, T, 3 H K) of queries, keys and values side by side."""
    return concatenate([merge_heads(x) for x in (q, k, v)], axis=-1)


def unmerged(y, H):
    """(B, T, H K) -> (B, H, T, K)"""
    return y.reshape(*y.shape[:2], H, y.shape[2] // max(H, 1)).transpose(0, 2, 1, 3)


def packed_attention(q, k, v, mask):
    H = q.shape[1]
    return unmerged(tl.self_attention(packed(q, k, v), H, mask=mask, causal=False), H)


ZERO_BIAS = tl.Tensor(np.zeros((1, 1)))
MASKED = {
    "attention": lambda q, k, v, mask: tl.attention(q, k, v, mask=mask),
    "attention, causal": lambda q, k, v, mask: tl.attention(q, k, v, mask=mask, causal=True),
    "attention, grouped": lambda q, k, v, mask: tl.attention(q, k[:, :1], v[:, :1], mask=mask),
    "attention, biased": lambda q, k, v, mask: tl.attention(q, k, v, bias=ZERO_BIAS, mask=mask),
    "its twin": lambda q, k, v, mask: composed.attention(q, k, v, mask=mask),
    "self_attention": packed_attention,
    "tiled": lambda q, k, v, mask: tl.tiled_attention(q, k, v, mask=mask, block_q=2, block_k=2),
    "tiled, causal": lambda q, k, v, mask: tl.tiled_attention(
        q, k, v, mask=mask, causal=True, block_k=3
    ),
    "tiled, grouped": lambda q, k, v, mask: tl.tiled_attention(q, k[:, :1], v[:, :1], mask=mask),
    "capped": lambda q, k, v, mask: capped_attention(q, k, v, 5.0, mask=mask),
    "capped, grouped": lambda q, k, v, mask: capped_attention(
        q, k[:, :1], v[:, :1], 5.0, mask=mask
    ),
    "by heads": lambda q, k, v, mask: capped_attention(
        q, k, v, 5.0, mask=np.stack([mask] * max(q.shape[1], 1))
    ),
    "Shaw": shaw,
    "retrieved": all_far,
    "gated": half_far,
    "SelfAttention": in_a_module,
    "SelfAttention, capped": lambda *a: in_a_module(*a, cap=3.0),
    "CrossAttention": crossed,
    "RelativeAttention": relative,
    "MyopicAttention": myopic,
}
# Those that take no mask: the table of keys is made from it.
BY_TABLE = {"sparse": lambda q, k, v, mask: sparse.sparse_attention(q, k, v, *index_sets(mask))}
# Those whose own rule hides the future: (q, k, v) -> y, with as many keys as queries.
OWN = {
    "attention": lambda q, k, v: tl.attention(q, k, v, causal=True),
    "tiled": lambda q, k, v: tl.tiled_attention(q, k, v, causal=True, block_q=2, block_k=2),
    "capped": lambda q, k, v: capped_attention(q, k, v, 5.0, causal=True),
    "window": lambda q, k, v: sparse.window_attention(q, k, v, 2),
    "wide window": lambda q, k, v: sparse.window_attention(q, k, v, 9),
    "sparse": lambda q, k, v: sparse.sparse_attention(
        q, k, v, *index_sets(np.tri(q.shape[2], dtype=bool))
    ),
    "linear, matrix": lambda q, k, v: linear.linear_attention_matrix(q * q, k * k, v),
    "linear, recurrent": lambda q, k, v: linear.linear_attention_recurrent(q * q, k * k, v)[0],
    "linear, chunks": lambda q, k, v: linear.linear_attention_chunked(q * q, k * k, v, chunk=2)[0],
    "memory": lambda q, k, v: fixed_size.stream(fixed_size.fifo(3), q, k, v)[0],
    "rotated memory": lambda q, k, v: fixed_size.stream(
        fixed_size.fifo(3), q, k, v, attend=fixed_size.attend_rotated
    )[0],
    "first and window": lambda q, k, v: fixed_size.stream(
        fixed_size.first_and_window(1, 2), q, k, v
    )[0],
    "compressive": lambda q, k, v: fixed_size.stream(
        segments.compressive(2, 2, segments.pool_by_mean(1)), q, k, v, segment=2
    )[0],
    "infini": lambda q, k, v: segments.infini_attention(q, k, v, tl.Tensor(np.zeros(2)))[0],
}
# Those that choose keys by their scores: a nan may take another key's place.
CHOSEN = {"top-k": lambda q, k, v: sparse.topk_attention(q, k, v, 2)}
