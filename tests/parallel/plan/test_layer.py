"""One layer: its operations add up to the model's, and tensor ranks share them."""

from dataclasses import replace

import pytest

from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.layer import (
    BACKWARD_LAUNCHES,
    FORWARD_LAUNCHES,
    UNFUSED_LAUNCHES,
    embedding_seconds,
    fused,
    head_seconds,
    layer_seconds,
    maps,
    pass_bytes,
)
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.network import all_reduce_seconds
from tinylm.parallel.plan.shapes import PUBLISHED, gpt_shape, shape_of

A100 = MACHINES["a100"]
C = Constants()
GPT3 = PUBLISHED["megatron-175b"]
DENSE = Layout(attention="dense", dropout=1)


@pytest.mark.parametrize("name", ["megatron-175b", "llama2-70b"])
@pytest.mark.parametrize("t", [1, 8])
def test_the_maps_hold_the_model_s_operations(name, t):
    shape = PUBLISHED.get(name) or shape_of(name)
    layout = Layout(tp=t, micro_batch=2)
    ours = sum(2 * M * N * K for M, N, K in maps(shape, layout)) * t * shape.layers
    tokens = 2 * shape.context
    attention = 4 * shape.context * shape.heads * shape.head_width * shape.layers
    logits = 2 * shape.width * shape.vocab
    assert ours / tokens == pytest.approx(shape.forward_operations - attention - logits)


def test_recomputation_adds_what_it_computes_again():
    seconds = {
        word: layer_seconds(GPT3, replace(DENSE, recompute=word), A100, C)
        for word in ("none", "selective", "needed", "full")
    }
    none = seconds["none"]
    # Products: forward is a third of forward and backward; the last map is 4 of 12 parts of it.
    assert seconds["full"].products == pytest.approx(4 / 3 * none.products, rel=0.01)
    assert seconds["needed"].products == pytest.approx((1 + 8 / 36) * none.products, rel=0.01)
    assert seconds["selective"].products == none.products
    # Scores are made again by all of them, and only by them.
    assert seconds["selective"].attention > none.attention
    for word in ("needed", "full"):
        assert seconds[word].attention == seconds["selective"].attention
        assert seconds[word].passes > none.passes
    assert seconds["selective"].passes == none.passes


def test_tiled_attention_by_hand():
    # 4 T^2 K H / 2 operations forward and 2.5 times as many backward, at 35 % of the peak
    forward = 4 * 2048**2 * 12288 / 2
    seconds = layer_seconds(GPT3, Layout(), A100, C).attention
    assert seconds == pytest.approx(3.5 * forward / (312e12 * 0.35))
    hopper = layer_seconds(GPT3, Layout(), MACHINES["h100"], C).attention
    assert hopper == pytest.approx(3.5 * forward / (989.4e12 * 0.629 * 0.35))


def test_bytes_of_a_layer_by_hand():
    shape = gpt_shape(1, 64, 4, 100, 16)
    forward, backward = pass_bytes(shape, replace(DENSE, micro_batch=2))
    # of each of 32 tokens: 22 D, and split over ranks 2 (4 D + 4 D) + 4 * 3 D
    assert forward == 32 * 64 * (22 + 16 + 12)
    # 34 D, and 2 (8 D + 4 D) + 4 * 3 D + 4 D
    assert backward == 32 * 64 * (34 + 24 + 12 + 4)
    half = pass_bytes(shape, replace(DENSE, micro_batch=2, tp=2))
    assert half[0] == 32 * 64 * (22 + 28 / 2)
    whole_split = pass_bytes(shape, replace(DENSE, micro_batch=2, tp=2, sequence=1))
    assert whole_split[0] == forward / 2 and whole_split[1] == backward / 2


@pytest.mark.parametrize(
    "changes, reduces", [({}, 4), ({"recompute": "full"}, 6), ({"sequence": 1}, 5)]
)
def test_collectives_of_a_layer_are_counted(changes, reduces):
    layout = replace(DENSE, tp=8, micro_batch=2, **changes)
    one = all_reduce_seconds(2 * 2 * 2048 * 12288, 8, 1, A100, C)
    assert layer_seconds(GPT3, layout, A100, C).tensor == pytest.approx(reduces * one)
    assert layer_seconds(GPT3, replace(layout, tp=1), A100, C).tensor == 0


def test_launches_are_counted():
    def count(**changes):
        return layer_seconds(GPT3, replace(DENSE, **changes), A100, C).launches / C.host

    assert count() == pytest.approx(FORWARD_LAUNCHES + BACKWARD_LAUNCHES)
    assert count(recompute="full") == pytest.approx(2 * FORWARD_LAUNCHES + BACKWARD_LAUNCHES)
    assert count(tp=8) == pytest.approx(FORWARD_LAUNCHES + BACKWARD_LAUNCHES + 2 * 4)
    # 96 heads on 32 ranks are 3, no multiple of 4: scores are not normalized in one operation
    assert not fused(GPT3, replace(DENSE, tp=32)) and fused(GPT3, replace(DENSE, tp=24))
    assert count(tp=32) == pytest.approx(count(tp=24) + 2 * UNFUSED_LAUNCHES)
    assert count(tp=32, attention="tiled") == pytest.approx(count(tp=24))


def test_eight_bits_double_the_rate_of_the_maps_alone():
    h100 = MACHINES["h100"]
    one, two = (layer_seconds(GPT3, Layout(eight_bit=e), h100, C) for e in (0, 1))
    assert two.products == pytest.approx(one.products / 2, rel=1e-6)
    assert two.attention == one.attention and two.passes == one.passes


def test_bytes_of_the_embedding_by_hand():
    # eight passes of 3 * 2048 * 12288 numbers of 2 bytes; a quarter of the table zeroed (2) and
    # added (6); at 0.8 of the bandwidth
    traffic = 8 * 2 * 3 * 2048 * 12288 + 8 * 51200 * 12288 / 4
    layout = Layout(tp=4, batch=3, micro_batch=3)
    assert embedding_seconds(GPT3, layout, A100, C) == pytest.approx(traffic / (0.8 * 2.039e12))


def test_the_loss_passes_52_bytes_a_logit():
    # Products as wide as GPT-3's do not depend on the bandwidth, so halving it costs the passes.
    whole, half = (head_seconds(GPT3, Layout(tp=4), A100, Constants(memory=m)) for m in (1, 0.5))
    logits, weights = 2048 * 51200 / 4, 51200 * 12288 / 4
    # 6 bytes a weight add its gradient to the sum
    assert half - whole == pytest.approx((52 * logits + 6 * weights) / 2.039e12)
