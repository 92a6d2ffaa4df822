"""The search: nothing possible is left out, the best is the best, impossible layouts are mended."""

from dataclasses import replace

import pytest

from tinylm.errors import ConfigError
from tinylm.parallel.plan.constants import UNCALIBRATED
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.layout import Layout, obstacles
from tinylm.parallel.plan.memory import memory
from tinylm.parallel.plan.search import (
    USABLE,
    checked,
    nearest,
    possible_layouts,
    price,
    search,
)
from tinylm.parallel.plan.shapes import gpt_shape, shape_of
from tinylm.parallel.plan.step import step_cost

A100 = MACHINES["a100"]
GPT3 = shape_of("gpt3-175b")


def test_every_layout_is_possible_and_none_is_twice():
    layouts = possible_layouts(GPT3, A100, 64, 128)
    assert len(layouts) == len(set(layouts)) > 100
    assert all(obstacles(GPT3, layout, A100, 64) == [] for layout in layouts)


def test_no_product_of_degrees_is_left_out():
    shape = gpt_shape(6, 512, 6, 1000, 128)
    found = {(c.tp, c.pp, c.dp) for c in possible_layouts(shape, A100, 12, 12)}
    # heads 6 and nodes of 8: t 1, 2 (3 and 6 do not fill 8 GPUs' worth of nodes)
    expected = {(t, p, 12 // t // p) for t in (1, 2) for p in (1, 2, 3, 6) if 12 % (t * p) == 0}
    assert found == expected


def test_the_best_is_the_fastest_of_those_that_fit():
    shape = shape_of("gpt2-xl")
    found = search(shape, A100, 8, 64)
    limit = USABLE * A100.memory
    layouts = possible_layouts(shape, A100, 8, 64)
    times = [
        float(step_cost(shape, layout, A100, UNCALIBRATED).seconds)
        for layout in layouts
        if memory(shape, layout).total <= limit
    ]
    assert found.tried == len(layouts) and found.fitting == len(times)
    assert [one.seconds for one in found.best] == pytest.approx(sorted(times)[:5])
    assert all(one.memory.total <= limit for one in found.best)


def test_memory_binds_where_the_fastest_does_not_fit():
    found = search(GPT3, A100, 1024, 2048)
    times = [step_cost(GPT3, c, A100).seconds for c in possible_layouts(GPT3, A100, 1024, 2048)]
    assert found.free.seconds == pytest.approx(float(min(times)))
    assert found.free.seconds < found.best[0].seconds
    assert found.free.memory.total > USABLE * A100.memory
    assert found.binding.startswith("memory: ") and found.free.layout.words() in found.binding
    gain = 100 * (found.best[0].seconds / found.free.seconds - 1)
    assert f"would be {gain:.0f} % faster" in found.binding
    roomy = search(GPT3, replace(A100, memory=1e15), 1024, 2048)
    assert not roomy.binding.startswith("memory") and roomy.fitting == roomy.tried
    assert roomy.best[0].layout == found.free.layout


@pytest.mark.parametrize(
    "changes, words",
    [({"network": 1e8}, "the network"), ({"bandwidth": 3e10}, "memory bandwidth")],
)
def test_what_is_made_slow_is_what_binds(changes, words):
    shape = gpt_shape(24, 2048, 16, 1000, 1024)
    found = search(shape, replace(A100, memory=1e15, **changes), 64, 64)
    assert found.binding.startswith(words)


def test_a_slow_host_binds_small_models():
    shape = gpt_shape(24, 256, 4, 1000, 128)
    found = search(shape, A100, 8, 8, replace(UNCALIBRATED, host=50e-6))
    assert found.binding.startswith("the host")


def test_an_impossible_layout_names_reasons_and_the_nearest():
    with pytest.raises(ConfigError) as error:
        checked(GPT3, Layout(8, 16, 7, 2048, 4, recompute="full"), A100, 1024)
    text = str(error.value)
    assert "tp * dp * pp = 896" in text and "pp=7 does not divide" in text
    assert "nearest possible layout is tp=8,dp=16,pp=8,batch=2048,micro_batch=4" in text


def test_a_layout_out_of_memory_is_impossible_too():
    layout = Layout(8, 16, 8, 2048, 16)
    with pytest.raises(ConfigError, match="it needs .* GB a GPU, of 73.6 usable; the nearest"):
        checked(GPT3, layout, A100, 1024)


def test_a_possible_layout_is_priced():
    layout = Layout(8, 16, 8, 2048, 2, zero=1, recompute="full")
    found = checked(GPT3, layout, A100, 1024)
    assert found.layout == layout
    assert found.seconds == pytest.approx(float(step_cost(GPT3, layout, A100).seconds))
    assert found == price(GPT3, layout, A100)


def test_the_nearest_of_a_possible_layout_has_its_degrees():
    layout = Layout(8, 16, 8, 2048, 2, zero=1, sequence=1, recompute="full", gradient_bytes=4)
    assert nearest(GPT3, layout, A100, 1024).layout == layout


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_the_nearest_keeps_the_stage_of_zero_and_recomputation(zero, recompute):
    shape = shape_of("gpt2-xl")
    # 7 sequences do not divide a batch of 64: 8 do.
    asked = Layout(1, 8, 1, 64, 7, zero=zero, recompute=recompute, gradient_bytes=4)
    assert nearest(shape, asked, A100, 8).layout == replace(asked, micro_batch=8)


def test_what_no_layout_can_do_is_said():
    with pytest.raises(ConfigError, match="no layout fits: the least memory is"):
        search(GPT3, A100, 8, 8)
    with pytest.raises(ConfigError, match="divides 7 GPUs and a batch of 3"):
        search(GPT3, A100, 7, 3)
    with pytest.raises(ConfigError, match="change --gpus or --batch"):
        checked(GPT3, Layout(batch=3), A100, 7)
