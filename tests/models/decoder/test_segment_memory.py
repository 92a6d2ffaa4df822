"""A GPT that reads a text segment by segment and keeps the states of the last M positions."""

import dataclasses
import json

import numpy as np
import pytest

import tinylm as tl
from tinylm.errors import ConfigError, ShapeError
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.published.save import save_pretrained
from tinylm.nn.memory.segments import SegmentRecurrentAttention, SegmentStates
from tinylm.optim import AdamW

T = 4
TINY = dict(vocab_size=11, context=16, n_layer=2, n_head=2, d_model=8, positions="rope")
EXACT = 1e-12  # float64, a few roundings of numbers near 1


def make(**options):
    """A GPT in float64 with weights large enough for attention that is not even."""
    model = GPT(GPTConfig(**TINY | dict(segment_memory=T) | options), dtype=np.float64)
    for p in model.parameters():
        if p.ndim == 2:
            p.data[...] *= 20  # standard deviation 0.4
    return model


def segments_of(model, ids, memory=None):
    """Logits of all segments of T tokens, (B, T) each."""
    parts = []
    for start in range(0, ids.shape[1], T):
        logits, memory = model.read(ids[:, start : start + T], memory)
        parts.append(logits.numpy())
    return np.concatenate(parts, axis=1)


@pytest.fixture
def ids(rng):
    return rng.integers(0, 11, (2, 3 * T))


VARIANTS = {
    "rope": {},
    "a quarter turns, windows": dict(rotary_width=2, attention=("full", "window"), window=3),
    "alibi, post-norm": dict(positions="alibi", norm_placement="post"),
    "t5, cap": dict(positions="t5", attention_cap=5.0),
    "normed queries, one key head": dict(qk_norm="head", n_kv_head=1, norm_placement="parallel"),
    "fire": dict(positions="fire"),
    "no positions": dict(positions="none"),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_with_the_whole_past_kept_segments_are_one_text(options, ids):
    model = make(segment_memory=2 * T, **options)
    expected = model(ids).numpy()
    np.testing.assert_allclose(segments_of(model, ids), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_future_does_not_change_the_past(options, ids):
    model = make(**options)
    other = ids.copy()
    other[:, 6:] = (other[:, 6:] + 1) % 11  # from the middle of the second segment
    a, b = segments_of(model, ids), segments_of(model, other)
    assert (a[:, :6] == b[:, :6]).all() and (a[:, 6:] != b[:, 6:]).any()


@pytest.mark.parametrize(
    "layers, memory, place, reached",
    [
        (1, 2, 6, True),
        (1, 2, 5, False),
        (2, T, 4, True),
        (2, T, 0, True),
        (2, 2, 2, True),
        (2, 2, 1, False),
    ],
)
def test_a_token_reaches_back_one_memory_a_layer(layers, memory, place, reached, ids):
    # The last token is position 11, of the segment 8 .. 11. With memory 2 its layer reads from 6
    # on, and the states at 6 and 7 read from 2 on: below them those of the segment 4 .. 7 and 2, 3.
    model = make(n_layer=layers, segment_memory=memory)
    other = ids.copy()
    other[:, place] = (other[:, place] + 1) % 11
    change = segments_of(model, ids)[:, -1] - segments_of(model, other)[:, -1]
    assert (np.abs(change).max() > 1e-9) == reached


def test_one_layer_is_segment_recurrent_attention(rng):
    model = make(positions="none", n_layer=1, segment_memory=3)
    mine = model.blocks[0].attention
    plain = SegmentRecurrentAttention(8, 2, tl.Random(0), 3, dtype=np.float64)
    W, b = mine.qkv.weight.data, mine.qkv.bias.data
    plain.q.weight.data[...], plain.q.bias.data[...] = W[:, :8], b[:8]
    plain.kv.weight.data[...], plain.kv.bias.data[...] = W[:, 8:], b[8:]
    plain.out = mine.out
    past = None
    for _ in range(3):
        x = tl.Tensor(rng.normal(size=(2, T, 8)))
        states = SegmentStates(3, None if past is None else [past])
        y = mine(x, segments=states)
        expected, past = plain(x, past)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=0, atol=EXACT)
        assert (states.kept[0].numpy() == past.numpy()).all() and past.shape == (2, 3, 8)


def test_no_gradient_enters_the_segment_before():
    model = make(tied=False)
    first, second = np.array([[0, 1, 2, 3]]), np.array([[4, 5, 6, 7]])
    _, memory = model.read(first)
    assert all(not m.requires_grad and m.shape == (1, T, 8) for m in memory)
    logits, _ = model.read(second, memory)
    tl.cross_entropy(logits, first).backward()
    gradient = np.abs(model.tokens.weight.grad.numpy()).max(axis=1)  # one number an id
    assert (gradient[:4] == 0).all() and (gradient[4:8] > 0).all()


def recall_loss(carry, rng):
    """Loss on the second of two segments that repeats the first, after training; log 8 by guessing.

    carry  whether the second segment gets the memory of the first
    """
    config = GPTConfig(8, 8, 2, 2, 16, positions="rope", segment_memory=T)
    model = GPT(config, seed=1)
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(250):
        ids = rng.integers(0, 8, (32, T))
        _, memory = model.read(ids)
        inputs = np.concatenate([np.zeros((32, 1), np.int64), ids[:, :-1]], axis=1)
        logits, _ = model.read(inputs, memory if carry else None)
        loss = tl.cross_entropy(logits, ids)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.numpy()))
    return np.mean(losses[-10:])


def test_what_lies_in_the_segment_before_is_learned_through_the_memory_alone(rng):
    guess = np.log(8)  # 2.08: each of 8 ids is as likely
    assert recall_loss(True, rng) < 0.5 * guess
    assert recall_loss(False, rng) > 0.95 * guess


def test_it_has_no_parameters_and_comes_back(ids):
    model = make()
    assert count_parameters(model.config) == model.count_parameters()
    assert model.count_parameters() == make(segment_memory=0).count_parameters()
    config = GPTConfig(**json.loads(json.dumps(dataclasses.asdict(model.config))))
    again = GPT(config, seed=5, dtype=np.float64)
    again.load_state_dict(model.state_dict())
    assert (segments_of(again, ids) == segments_of(model, ids)).all()


def test_what_does_not_go_together_is_named(tmp_path, ids):
    for positions in ("learned", "sinusoidal"):
        with pytest.raises(ConfigError, match="needs relative positions"):
            GPTConfig(**TINY | dict(positions=positions, segment_memory=2))
    with pytest.raises(ConfigError, match="below 0"):
        GPTConfig(**TINY, segment_memory=-1)
    with pytest.raises(ConfigError, match="kv_sharing = 2"):
        GPTConfig(**TINY, segment_memory=2, kv_sharing=2)
    with pytest.raises(ConfigError, match="segment_memory = 4"):
        save_pretrained(make(), tmp_path / "out")
    with pytest.raises(ConfigError, match="set segment_memory"):
        make(segment_memory=0).read(ids)
    model = make()
    _, memory = model.read(ids[:, :T])
    with pytest.raises(ShapeError, match="2 layers and 2 rows for 2 layers and 1 rows"):
        model.read(ids[:1, :T], memory)
    with pytest.raises(ShapeError, match="do not fit the context of 16"):
        model.read(np.zeros((2, 13), int), memory)  # 4 + 13
