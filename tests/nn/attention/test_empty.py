"""Batches, sequences, widths of nothing: empty or zero results, or a clear error."""

import numpy as np
import pytest

import tinylm as tl
from tests.nn.attention.ways import BY_TABLE, CHOSEN, MASKED, OWN
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.encoder import presets
from tinylm.nn import CrossAttention, SelfAttention
from tinylm.nn.attention import patterns
from tinylm.nn.attention.linear_attention import LinearSelfAttention
from tinylm.nn.attention.sharing import CrossLayerAttention, SharedWeightAttention
from tinylm.nn.attention.two_stream import RelativeAttention
from tinylm.nn.experts import MixtureOfExperts
from tinylm.nn.memory.segments import (
    BlockRecurrentCell,
    RecurrentMemory,
    SegmentRecurrentAttention,
    infini_attention,
)
from tinylm.nn.recurrence.recurrent import CELLS, Recurrent
from tinylm.nn.recurrence.state_space import MambaBlock

# B, H, T, S, K, J with something empty.
EMPTY = {
    "no rows": (0, 2, 3, 3, 4, 4),
    "no queries": (2, 2, 0, 3, 4, 4),
    "no keys": (2, 2, 3, 0, 4, 4),
    "no tokens": (2, 2, 0, 0, 4, 4),
    "nothing": (0, 2, 0, 0, 4, 4),
    "no width": (2, 2, 3, 3, 0, 0),
    "scores of 0": (2, 2, 3, 3, 0, 4),
    "no values": (2, 2, 3, 3, 4, 0),
}
# Packed in one array, queries, keys and values are as many and as wide as each other.
PACKED = "self_attention", "SelfAttention", "SelfAttention, capped", "MyopicAttention"
ONE_WIDTH = *PACKED, "Shaw"
NEEDS_TOKENS = ("RelativeAttention",)
ALL = {
    **{name: (way, True) for name, way in {**MASKED, **BY_TABLE}.items()},
    **{f"own {name}": (way, False) for name, way in {**OWN, **CHOSEN}.items()},
}


def attended(way, masked, B, H, T, S, K, J):
    """Output and gradients; the values are random, so that zeros are no accident."""
    rng = np.random.default_rng(0)
    shapes = (B, H, T, K), (B, H, S, K), (B, H, S, J)
    leaves = [tl.Tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    y = way(*leaves, np.ones((T, S), bool)) if masked else way(*leaves)
    assert y.shape == (B, H, T, J)
    y.backward(np.ones(y.shape))
    assert [x.grad.shape for x in leaves] == list(shapes)
    return y.data, [x.grad.data for x in leaves]


def fits(name, T, S, K, J):
    """Whether a way takes such shapes: some want as many keys as queries, or values as wide."""
    if T != S and (name in PACKED or name in NEEDS_TOKENS):
        return False
    return not (name in ONE_WIDTH and K != J) and not (name in NEEDS_TOKENS and T == 0)


@pytest.mark.parametrize("sizes", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("name", ALL)
def test_empty_arguments_give_empty_results_or_zeros(name, sizes):
    B, H, T, S, K, J = sizes
    way, masked = ALL[name]
    if T != S and not masked:
        pytest.skip("reads a sequence as it comes: as many keys as queries")
    if not fits(name, T, S, K, J):
        with pytest.raises(ShapeError):
            attended(way, masked, *sizes)
        return
    y, gradients = attended(way, masked, *sizes)
    if S == 0:
        assert not y.any()  # there is nothing to see
    assert all(np.isfinite(x).all() for x in (y, *gradients))


def test_heads_of_no_width_see_everything_alike():
    q, v = np.zeros((1, 1, 3, 0)), np.arange(6.0).reshape(1, 1, 3, 2)
    for way in (tl.attention, tl.tiled_attention):
        np.testing.assert_allclose(
            way(tl.Tensor(q), tl.Tensor(q), tl.Tensor(v)).data[0, 0], [[2, 3]] * 3
        )


@pytest.mark.parametrize("name", ALL)
def test_no_head_at_all_is_named(name):
    if name == "its twin" or name.startswith("own linear"):
        pytest.skip("has no heads to share")
    with pytest.raises((ShapeError, ConfigError), match="at least one|for 0 heads"):
        attended(*ALL[name], 2, 0, 3, 3, 4, 4)


def test_modules_want_a_head():
    for kind in (
        SelfAttention,
        CrossAttention,
        RelativeAttention,
        LinearSelfAttention,
        CrossLayerAttention,
    ):
        with pytest.raises(ConfigError, match="at least one"):
            kind(4, 0, Random(0))
    for kind in (SelfAttention, CrossLayerAttention):
        with pytest.raises(ConfigError, match="at least one"):
            kind(4, 2, Random(0), kv_heads=0)
    with pytest.raises(ShapeError, match=r"a gate of shape \(1,\) for 2 heads"):
        x = tl.Tensor(np.ones((1, 2, 3, 4)))
        infini_attention(x, x, x, tl.Tensor(np.ones(1)))


def other(x, S):
    """Another sequence of S tokens, of x's batch and width."""
    return tl.Tensor(np.ones((len(x), S, x.shape[2]), np.float32))


R = Random(0)
MODULES = {
    "SelfAttention": SelfAttention(4, 2, R),
    "dropped": SelfAttention(4, 2, R, dropout=0.5),
    "masked": lambda x: SelfAttention(4, 2, R)(x, mask=np.ones((x.shape[1],) * 2, bool)),
    "linear": lambda x: LinearSelfAttention(4, 2, R)(x)[0],
    "cross-layer": lambda x: CrossLayerAttention(4, 2, R)(x)[0],
    "shared weights": lambda x: SharedWeightAttention(4, 2, R)(x)[0],
    "cross": lambda x: CrossAttention(4, 2, R)(x, other(x, 3)),
    "cross, no memory": lambda x: CrossAttention(4, 2, R)(x, other(x, 0)),
    "segments": lambda x: SegmentRecurrentAttention(4, 2, R, 3)(x)[0],
    "block recurrence": lambda x: BlockRecurrentCell(4, 2, 2, R)(x)[0],
    "memory tokens": lambda x: RecurrentMemory(SelfAttention(4, 2, R), 2, 4, R)(x)[0],
    "experts": MixtureOfExperts(4, 8, R),
}


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 4)], ids=str)
@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_modules_pass_empty_batches_and_sequences_on(module, shape):
    x = tl.Tensor(np.ones(shape, np.float32), requires_grad=True)
    y = module(x)
    y.backward(np.ones(y.shape, np.float32))
    assert y.shape == shape and x.grad.shape == shape


@pytest.mark.parametrize(
    "made",
    [*(lambda c=c: Recurrent(CELLS[c](4, 4, R)) for c in CELLS), lambda: MambaBlock(4, R)],
    ids=[*CELLS, "mamba"],
)
def test_recurrence_passes_empty_batches_on_and_names_empty_sequences(made):
    x = tl.Tensor(np.ones((0, 3, 4), np.float32), requires_grad=True)
    y, _ = made()(x)
    y.backward(np.ones(y.shape, np.float32))
    assert y.shape == x.grad.shape == (0, 3, 4)
    with pytest.raises(ShapeError, match="T >= 1"):
        made()(tl.Tensor(np.ones((2, 0, 4), np.float32)))


PATTERNS = {
    "window": lambda q, k: patterns.window(q, k, width=2),
    "dilated": lambda q, k: patterns.dilated(q, k, width=2, step=2),
    "strided": lambda q, k: patterns.strided(q, k, stride=2),
    "fixed": lambda q, k: patterns.fixed(q, k, stride=2),
    "blocks": lambda q, k: patterns.blocks(q, k, size=2),
    "first tokens": lambda q, k: patterns.first_tokens(q, k, count=2),
    "random": lambda q, k: patterns.random_keys(q, k, count=2, rng=Random(0)),
    "all three": lambda q, k: patterns.global_local_random(
        q, k, first=1, width=2, count=1, rng=Random(0)
    ),
}


@pytest.mark.parametrize("queries, keys", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_patterns_of_nothing_are_empty(pattern, queries, keys):
    mask = pattern(queries, keys)
    assert mask.shape == (queries, keys) and mask.dtype == bool
    index, visible = patterns.index_sets(mask)
    assert index.shape == visible.shape == (queries, 0)


KINDS = "learned", "rope", "alibi", "t5", "fire", "kerple_log", "sandwich", "offset", "sinusoidal"


@pytest.mark.parametrize("rows, tokens", [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize(
    "kind", [*KINDS, "bert-base-uncased", "roberta-base", "t5-small", "bart-base"]
)
def test_models_pass_empty_batches_and_sequences_on(kind, rows, tokens):
    ids, mask = np.zeros((rows, tokens), int), np.ones((rows, tokens), bool)
    if kind in KINDS:
        model = GPT(
            GPTConfig(vocab_size=5, context=8, n_layer=1, n_head=2, d_model=4, positions=kind)
        )
        y = model(ids, mask=mask[:, None, None, :])
    else:
        model = presets.build(presets.tiny(kind))
        y = model(ids, ids, mask, mask) if kind in presets.SEQ2SEQS else model(ids, mask=mask)
    y.backward(np.ones(y.shape, np.float32))
    assert y.shape[:2] == (rows, tokens)
    assert all(np.isfinite(p.grad.data).all() for p in model.parameters() if p.grad is not None)
