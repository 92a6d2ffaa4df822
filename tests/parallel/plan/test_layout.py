"""Layouts: read from words, and why one cannot be."""

import pytest

from tinylm.errors import ConfigError
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.layout import Layout, obstacles, read_layout
from tinylm.parallel.plan.shapes import shape_of

GPT3, A100 = shape_of("gpt3-175b"), MACHINES["a100"]


def test_words_become_a_layout_and_words_again():
    layout = read_layout("tp=8, pp=4,dp=2,batch=64,micro_batch=2,zero=1,recompute=full")
    assert layout == Layout(8, 2, 4, 64, 2, zero=1, recompute="full")
    assert read_layout(layout.words()) == layout
    assert layout.gpus == 64 and layout.micro_batches == 16


def test_what_the_words_leave_out_is_filled_in():
    assert read_layout("tp=8,pp=8", batch=32, gpus=1024) == Layout(8, 16, 8, 32)
    assert read_layout("tp=8,batch=4,dp=3", batch=32, gpus=1024) == Layout(8, 3, 1, 4)


@pytest.mark.parametrize(
    "words, complaint",
    [
        ("tp", "'tp' is not name=value"),
        ("width=3", "name among tp, dp, pp"),
        ("tp=2,tp=4", "tp is named twice"),
        ("tp=0", "tp must be a whole number from 1"),
        ("tp=two", "tp must be a whole number"),
        ("zero=4", "zero must be a whole number from 0 to 3"),
        ("gradient_bytes=3", "gradient_bytes must be"),
        ("recompute=some", "recompute must be one of none, selective, needed, full"),
        ("attention=sparse", "attention must be one of tiled, dense"),
    ],
)
def test_wrong_words_are_named(words, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_layout(words)


@pytest.mark.parametrize(
    "words, reason",
    [
        ("tp=8,pp=8,dp=15,batch=1920", "tp . dp . pp = 960, but there are 1024"),
        ("tp=5,dp=1,batch=8", "tp=5 does not divide the 96 heads$"),
        ("tp=12,dp=1,batch=8", "tp=12 does not fill whole nodes of 8"),
        ("pp=7,dp=1,batch=8", "pp=7 does not divide the 96 layers"),
        ("pp=8,chunks=5,dp=1,batch=8", "pp . chunks = 40 does not divide the 96 layers"),
        ("dp=3,batch=8", "dp . micro_batch = 3 does not divide the batch of 8"),
        ("dp=1,pp=8,chunks=2,batch=12", "chunks=2 needs pp above 1 that divides the 12"),
        ("tp=8,pp=8,dp=1,zero=3,batch=8", "zero=3 shards gradients at every micro-batch"),
    ],
)
def test_each_obstacle_is_named_alone(words, reason):
    import re

    layout = read_layout(words)
    gpus = 1024 if "1024" in reason else None
    (found,) = obstacles(GPT3, layout, A100, gpus)
    assert re.search(reason, found)


def test_megatron_s_layout_of_gpt3_has_no_obstacle():
    # Narayanan et al. 2021, table 1: t 8, p 12 does not divide into 96 layers x 1536 GPUs otherwise
    assert obstacles(GPT3, read_layout("tp=8,pp=12,dp=16,batch=1536"), A100, 1536) == []


def test_grouped_heads_limit_tensor_ranks():
    (found,) = obstacles(shape_of("llama2-70b"), Layout(tp=16, batch=1), A100)
    assert "tp=16 does not divide the 8 heads of keys" in found
