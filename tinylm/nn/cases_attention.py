"""How to check the attentions that are long, cheap or remember: everything here is composed of recorded operations.

Modules get weights of size one, so that no derivative is too small to be seen. Read next: cases_recurrent.py.
"""
import numpy as np

from tinylm.autograd.kernels.cases import qkv
from tinylm.autograd.primitives.cases import nearest, normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.nn import knn_attention, linear_attention, memories, patterns, segment_memory, shared_attention, sparse_attention
from tinylm.nn.cases_recurrent import module
from tinylm.nn.position_bias import OffsetBias
from tinylm.nn.recurrent import GRUCell


def table(queries, keys=None, **sizes):
    """Index lists of a window with its first token."""
    return patterns.window_index(queries, keys, **sizes)


register("gather_rows", sparse_attention.gather_rows, lambda rng: [
    call(normal(rng, 4, 2), index=np.array([[0, 2], [2, 2], [3, 0]])), call(normal(rng, 3, 1), index=np.array([1])),
    call(normal(rng, 2, 3), index=np.zeros((2, 1, 2), int))])
HOLES = np.array([[True, False, False], [False, False, False], [True, False, True]])      # the second query sees nothing
register("nn.sparse_attention", sparse_attention.sparse_attention, lambda rng: [
    call(*qkv(rng, H=4), *table(3, width=1, first=1)),
    call(*qkv(rng, H=2, G=1, T=2, S=4, J=3), *table(2, 4, width=2), scale=0.6), call(*one(rng, 3), *patterns.index_sets(HOLES)),
    call(*qkv(rng, B=2), *patterns.index_sets(rng.random((2, 2, 3, 3)) < 0.6))], covers=(), source="book eq. 2.48")
register("nn.window_attention", sparse_attention.window_attention, lambda rng: [
    call(*one(rng, 5), 2), call(*qkv(rng, H=2, G=1, T=2, S=2), 1), call(*one(rng, 2), 7)], covers=(),
    source="book eq. 2.53; Parmar et al. 2018")


def _between_keys(q, k, v, count):
    """How near two scores of a query are: where they cross, another key is chosen."""
    return np.min(np.diff(np.sort(q @ np.repeat(k, q.shape[1] // k.shape[1], 1).swapaxes(-1, -2), axis=-1)))


register("nn.topk_attention", sparse_attention.topk_attention, lambda rng: [call(*qkv(rng), 2), call(*qkv(rng, G=1), 1)],
         avoid=_between_keys, covers=(), source="book section 2.3.3; Gupta et al. 2021")

for _name in ("elu", "exp", "taylor"):
    register(f"nn.{_name}_features", linear_attention.FEATURES[_name], lambda rng: [call(normal(rng, 2, 3))],
             avoid=lambda x: nearest(x, 0.0), covers=(), source="book section 2.3.2")
register("nn.random_features", linear_attention.random_features, lambda rng: [
    call(normal(rng, 2, 3), np.random.default_rng(0).normal(size=(4, 3)))], covers=(), source="Choromanski et al. 2021")


def features(rng, B=1, H=1, T=3, F=2, J=2):
    """Positive queries and keys, and values."""
    return uniform(rng, 0.2, 1.5, B, H, T, F), uniform(rng, 0.2, 1.5, B, H, T, F), normal(rng, B, H, T, J)


def state(rng, B=1, H=1, F=2, J=2):
    """A positive state of linear attention, (B, H, F, J + 1)."""
    return uniform(rng, 0.2, 1.5, B, H, F, J + 1)


register("nn.linear_attention_matrix", linear_attention.linear_attention_matrix, lambda rng: [
    call(*features(rng)), call(*features(rng, B=2, H=2, T=1))], covers=(), source="book eq. 2.49")
register("nn.linear_attention_recurrent", linear_attention.linear_attention_recurrent, lambda rng: [
    call(*features(rng)), call(*features(rng, T=1), state(rng))], covers=(), source="book eqs. 2.49-2.51")
register("nn.linear_attention_chunked", linear_attention.linear_attention_chunked, lambda rng: [
    call(*features(rng), chunk=2), call(*features(rng, T=3), state(rng), chunk=2), call(*features(rng, T=2), chunk=5)],
    covers=(), source="book eqs. 2.49-2.51")
register("nn.LinearSelfAttention", lambda layer, x, *state: layer(x, *state), lambda rng: [
    call(module(linear_attention.LinearSelfAttention, 4, 2, chunk=2), normal(rng, 1, 3, 4)),
    call(module(linear_attention.LinearSelfAttention, 2, 1), normal(rng, 1, 2, 2), state(rng, H=1, F=2, J=2))],
    covers=(), source="Katharopoulos et al. 2020")


def read(memory, q, k, v, segment=1):
    """A sequence through a memory."""
    return memories.stream(memory, q, k, v, segment)[0]


def one(rng, T):
    """One head's queries, keys and values of T tokens, two channels wide."""
    return qkv(rng, H=1, G=1, T=T, S=T)


def _between_neighbors(q, k, v):
    """How far apart the entries are of which max_pool(2) takes the larger: pairs that fall out together."""
    return min(np.min(np.abs(x[:, :, 0::2] - x[:, :, 1::2])) for x in (k, v))


MEMORIES = {
    "fifo": (memories.fifo(2), 1), "segments": (memories.fifo(4), 2), "first_and_window": (memories.first_and_window(1, 2), 1),
    "moving_average": (memories.moving_average(2), 1), "cumulative_average": (memories.cumulative_average(), 1),
    "exponential_average": (memories.exponential_average(0.7, 0.9), 1),
    "compressive": (segment_memory.compressive(2, 1, segment_memory.mean_pool(2)), 2),
    "max_pool": (segment_memory.compressive(2, 1, segment_memory.max_pool(2)), 2),
}
for _name, (_memory, _segment) in MEMORIES.items():
    register(f"nn.memories.{_name}", lambda q, k, v, memory=_memory, n=_segment: read(memory, q, k, v, n), lambda rng: [
        call(*one(rng, 4))], avoid=_between_neighbors if _name == "max_pool" else None, covers=(), source="book eqs. 2.52-2.63")
register("nn.memories.weighted_average", lambda weights, q, k, v: read(memories.weighted_average(weights), q, k, v), lambda rng: [
    call(uniform(rng, 0.3, 2, 2), *one(rng, 3))], covers=(), source="book eq. 2.55")
register("nn.memories.recurrent", lambda cell, q, k, v: read(memories.recurrent(cell), q, k, v), lambda rng: [
    call(module(GRUCell, 4, 4), *one(rng, 2))], covers=(), source="book eq. 2.59")
register("nn.memories.ConvolutionPool", lambda pool, q, k, v: read(segment_memory.compressive(2, 1, pool), q, k, v, 2),
         lambda rng: [call(module(segment_memory.ConvolutionPool, 2, 2), *one(rng, 6))], covers=(), source="book eqs. 2.61-2.63")
register("nn.attend_rotated", memories.attend_rotated, lambda rng: [call(*qkv(rng, T=2, S=4))], covers=(),
         source="Xiao et al. 2024")
register("nn.reconstruction_loss", lambda q, k, v, a, b: segment_memory.reconstruction_loss(q, (k, v), (a, b)), lambda rng: [
    call(*qkv(rng), normal(rng, 1, 2, 2, 2), normal(rng, 1, 2, 2, 2))], covers=(), source="Rae et al. 2019")


def segments(layer, *xs):
    """Segments through a layer that hands on a state; the gradient goes back through all of them."""
    outputs, state = [], None
    for x in xs:
        y, state = layer(x, state)
        outputs.append(y)
    return outputs


def _recurrent_memory():
    inside = module(shared_attention.CrossLayerAttention, 2, 1)
    made = module(lambda rng, dtype: segment_memory.RecurrentMemory(lambda x: x + inside(x)[0], 1, 2, rng, dtype))
    made.inside = inside                                    # its parameters are found, and so checked, too
    return made


def _recurrent_attention(bias=False):
    layer = module(segment_memory.SegmentRecurrentAttention, 2, 1, memory=3)
    layer.bias = OffsetBias(1, Random(0), max_offset=6, std=1.0, dtype=np.float64) if bias else None
    return layer


def _unstopped(layer, *xs):
    return segments(lambda x, past: layer(x, past, detach=False), *xs)


register("nn.SegmentRecurrentAttention", _unstopped, lambda rng: [
    call(_recurrent_attention(bias), *(normal(rng, 1, 2, 2) for _ in range(3))) for bias in (False, True)], covers=(),
    source="Dai et al. 2019")
register("nn.BlockRecurrentCell", segments, lambda rng: [
    call(module(segment_memory.BlockRecurrentCell, 2, 1, 2), normal(rng, 1, 2, 2), normal(rng, 1, 2, 2))], covers=(),
    source="Hutchins et al. 2022")
register("nn.RecurrentMemory", segments, lambda rng: [call(_recurrent_memory(), *(normal(rng, 1, 2, 2) for _ in range(3)))],
         covers=(), source="Bulatov et al. 2022")
register("nn.infini_attention", lambda q, k, v, gate, *state: segment_memory.infini_attention(q, k, v, gate, *state), lambda rng: [
    call(*one(rng, 2), normal(rng, 1)), call(*qkv(rng, T=2, S=2), normal(rng, 2), state(rng, H=2))],
    avoid=lambda q, k, v, gate, *state: nearest(np.concatenate([q, k]), 0.0), covers=(), source="Munkhdalai et al. 2024")


def far(rng, N=1, T=2, n=2, K=2, J=2, B=1):
    """Keys and values retrieved for each query."""
    return normal(rng, B, N, T, n, K), normal(rng, B, N, T, n, J)


SEEN = np.array([[True, False], [True, True]])[None, None]
PART = np.array([[True, False, False], [False, False, True]])
register("nn.joint_attention", knn_attention.joint_attention, lambda rng: [
    call(*one(rng, 2), *far(rng)), call(*qkv(rng, G=1, T=2), *far(rng, N=2), far_visible=SEEN, causal=False),
    call(*qkv(rng, H=1, G=1, T=2), *far(rng), mask=PART, scale=0.5)], covers=(), source="book section 2.3.3")
register("nn.gated_attention", knn_attention.gated_attention, lambda rng: [
    call(*qkv(rng, T=2), *far(rng, N=2), uniform(rng, 0.2, 0.8, 2, 1, 1)), call(*one(rng, 2), *far(rng), 0.3, far_visible=SEEN)],
    covers=(), source="book eqs. 2.64-2.66; Wu et al. 2021")
register("nn.local_share", knn_attention.local_share, lambda rng: [
    call(normal(rng, 1, 2, 3, 1), normal(rng, 1, 2, 3, 1))], covers=())
register("nn.HeadGate", lambda gate, q, k, v, a, b: knn_attention.gated_attention(q, k, v, a, b, gate()), lambda rng: [
    call(knn_attention.HeadGate(2, dtype=np.float64), *qkv(rng, G=1, T=1, S=1), *far(rng, N=2, T=1))],
    covers=(), source="Wu et al. 2021")

for _name, _kind in (("CrossLayerAttention", shared_attention.CrossLayerAttention),
                     ("SharedWeightAttention", shared_attention.SharedWeightAttention)):
    register(f"nn.{_name}", lambda below, above, x: shared_attention.through([below, above], x), lambda rng, kind=_kind: [
        call(module(kind, 4, 2), module(kind, 4, 2, owner=False), normal(rng, 1, 3, 4))], covers=(), source="book section 2.3.4")
