"""Steps: published times without any fit, identities, and tables priced at once."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from tinylm.parallel.plan.constants import MEASURED, UNCALIBRATED
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.layer import embedding_seconds, head_seconds, layer_seconds
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.memory import rank_parameters
from tinylm.parallel.plan.network import all_reduce_seconds, pass_seconds
from tinylm.parallel.plan.shapes import PUBLISHED, gpt_shape
from tinylm.parallel.plan.step import Step, step_cost

A100, C = MACHINES["a100"], UNCALIBRATED
FULL = {"recompute": "full", "attention": "dense", "dropout": 1}
SELECTIVE = {"recompute": "selective", "attention": "dense", "dropout": 1, "sequence": 1}
# Korthikanti et al. 2022, table 5: seconds of an iteration on A100-80.
TABLE_5 = [
    ("megatron-22b", {"tp": 8, "batch": 4, "micro_batch": 4}, 1.42, 1.10),
    ("megatron-175b", {"tp": 8, "pp": 8, "batch": 64, "chunks": 3}, 18.13, 13.75),
    ("mt-nlg-530b", {"tp": 8, "pp": 35, "batch": 280, "chunks": 3}, 49.05, 37.83),
    ("megatron-1t", {"tp": 8, "pp": 64, "batch": 512}, 94.42, 71.49),
]


def seconds(shape, layout, constants=C):
    return step_cost(shape, layout, A100, constants).seconds


@pytest.mark.parametrize("name, sizes, full, selective", TABLE_5)
def test_constants_fitted_to_other_runs_predict_published_times(name, sizes, full, selective):
    shape = PUBLISHED[name]
    for expected, kind in ((full, FULL), (selective, SELECTIVE)):
        assert seconds(shape, Layout(**sizes, **kind), MEASURED) == pytest.approx(
            expected, rel=0.09
        )


@pytest.mark.parametrize("name, sizes, full, selective", TABLE_5)
def test_published_times_come_out_within_9_percent_without_a_fit(name, sizes, full, selective):
    shape = PUBLISHED[name]
    assert seconds(shape, Layout(**sizes, **FULL)) == pytest.approx(full, rel=0.09)
    assert seconds(shape, Layout(**sizes, **SELECTIVE)) == pytest.approx(selective, rel=0.09)


@pytest.mark.parametrize("name, sizes, full, selective", TABLE_5)
def test_the_gain_of_selective_recomputation_comes_out(name, sizes, full, selective):
    # 29 to 32 % more throughput in the paper
    shape = PUBLISHED[name]
    ratio = seconds(shape, Layout(**sizes, **FULL)) / seconds(shape, Layout(**sizes, **SELECTIVE))
    assert ratio == pytest.approx(full / selective, rel=0.03)


def test_one_gpu_is_its_layers_its_ends_and_the_optimizer():
    shape = gpt_shape(24, 2048, 16, 51200, 1024)
    layout = Layout(batch=8, micro_batch=2)
    cost = step_cost(shape, layout, A100, C)
    one = layer_seconds(shape, layout, A100, C)
    layer = np.hypot(one.gpu, one.launches)  # the exponent of hiding is 2
    ends = head_seconds(shape, layout, A100, C) + embedding_seconds(shape, layout, A100, C)
    assert cost.seconds == pytest.approx(4 * (24 * layer + ends) + cost.optimizer)
    assert cost.bubble == cost.pipeline == cost.data == cost.tensor == 0


def test_launching_hides_between_adding_and_the_longer():
    shape = gpt_shape(24, 1024, 16, 51200, 1024)
    layout = Layout(batch=8)
    one = layer_seconds(shape, layout, A100, C)
    for hiding, exposed in ((1.0, one.launches), (1e6, max(one.launches - one.gpu, 0))):
        cost = step_cost(shape, layout, A100, replace(C, hiding=hiding))
        assert cost.launches == pytest.approx(8 * 24 * exposed, rel=1e-3)
    # At 2 the two are the sides of a right angle.
    cost = step_cost(shape, layout, A100, replace(C, hiding=2.0))
    both = np.hypot(one.gpu, one.launches)
    assert cost.launches == pytest.approx(8 * 24 * (both - one.gpu))


def test_gradients_of_data_ranks_are_all_reduced_once_a_step():
    shape = gpt_shape(24, 2048, 16, 51200, 1024)
    alone, four = (Layout(dp=d, batch=8 * d, micro_batch=2) for d in (1, 4))
    more = step_cost(shape, four, A100, C).seconds - step_cost(shape, alone, A100, C).seconds
    size = 2 * rank_parameters(shape, four)
    assert more == pytest.approx(all_reduce_seconds(size, 4, 1, A100, C))
    # ZeRO 1 and 2 move as much, in two halves; the optimizer's work is shared.
    sharded = step_cost(shape, replace(four, zero=1), A100, C)
    assert sharded.data == pytest.approx(more)
    plain = step_cost(shape, four, A100, C)
    launched = 200 * C.host
    assert sharded.optimizer - launched == pytest.approx((plain.optimizer - launched) / 4)


def test_gradients_of_four_bytes_are_scattered_and_parameters_of_two_gathered():
    shape = gpt_shape(24, 2048, 16, 51200, 1024)
    plain = Layout(dp=2, batch=16, micro_batch=2, gradient_bytes=4)
    size = rank_parameters(shape, plain)
    assert step_cost(shape, plain, A100, C).data == all_reduce_seconds(4 * size, 2, 1, A100, C)
    for stage in (1, 2):
        cost = step_cost(shape, replace(plain, zero=stage), A100, C)
        halves = pass_seconds(2 * size, 2, 1, A100, C) + pass_seconds(4 * size, 2, 1, A100, C)
        assert cost.data == pytest.approx(halves)
    assert step_cost(shape, replace(plain, dp=1, zero=3), A100, C).data == 0


def test_activations_between_stages_by_hand():
    shape = PUBLISHED["megatron-175b"]
    layout = Layout(tp=8, pp=8, batch=64, micro_batch=2, chunks=3)
    # 32 micro-batches and 7 to fill; forward and backward; three chunks; each of 8 tensor ranks
    # sends an eighth of 2 * 2048 * 12288 numbers of 2 bytes at an eighth of 0.8 of 200 GB/s.
    one = 2 * 2 * 2048 * 12288 / 8 / (0.8 * 200e9 / 8)
    cost = step_cost(shape, layout, A100, C)
    assert cost.pipeline == pytest.approx(2 * 3 * (32 + 7) * one)
    # The table is at both ends: its gradient of 51200 * 12288 numbers crosses, too.
    assert cost.data == pytest.approx(2 * 51200 * 12288 / 8 / (0.8 * 200e9 / 8))
    assert step_cost(replace(shape, tied=0), layout, A100, C).data == 0
    # Stages are tp dp ranks apart: with dp, on other nodes although tp does not fill one.
    near, far = (Layout(tp=2, dp=d, pp=2, batch=8, zero=1) for d in (1, 4))
    within = step_cost(shape, near, A100, C).data
    assert within == pytest.approx(2 * 51200 * 12288 / 2 / (0.77 * 300e9))
    size = 2 * rank_parameters(shape, far)
    across = step_cost(shape, far, A100, C).data - all_reduce_seconds(size, 4, 2, A100, C)
    assert across == pytest.approx(2 * 51200 * 12288 / 2 / (0.8 * 200e9 / 8))


def test_full_sharding_hides_behind_computing_until_it_is_longer():
    shape = gpt_shape(32, 4096, 32, 50368, 2048)
    large = Layout(dp=64, batch=64 * 8, micro_batch=8, zero=3)
    assert step_cost(shape, large, A100, C).data == 0
    slow = replace(A100, network=1e9)
    layout = replace(large, batch=64, micro_batch=1)
    cost = step_cost(shape, layout, slow, C)
    size = 2 * rank_parameters(shape, layout)
    computing = cost.seconds - cost.data - cost.optimizer
    # two gathers and a scatter of 2-byte numbers, layer by layer
    one = pass_seconds(size, 64, 1, slow, C, 32)
    assert one > pass_seconds(size, 64, 1, slow, C)
    assert cost.data == pytest.approx(3 * one - computing)


def test_more_micro_batches_shrink_the_share_of_the_bubble():
    shape = PUBLISHED["megatron-175b"]
    shares = []
    for batch in (8, 64, 512):
        cost = step_cost(shape, Layout(tp=8, pp=8, batch=batch, **FULL), A100, C)
        shares.append(cost.bubble / cost.seconds)
    # 7 of 15 stages' times, 7 of 71, 7 of 519, less the output layer, which only the last has
    assert shares == pytest.approx([7 / 15, 7 / 71, 7 / 519], rel=0.12)
    interleaved = step_cost(shape, Layout(tp=8, pp=8, batch=64, chunks=3, **FULL), A100, C)
    plain = step_cost(shape, Layout(tp=8, pp=8, batch=64, **FULL), A100, C)
    assert interleaved.bubble == pytest.approx(plain.bubble / 3)
    assert interleaved.pipeline == pytest.approx(3 * plain.pipeline)


def test_a_table_of_runs_is_priced_like_each_run_alone():
    shape = PUBLISHED["megatron-22b"]
    runs = [
        Layout(tp=8, dp=2, batch=8, micro_batch=2, **FULL),
        Layout(tp=2, dp=1, pp=4, batch=8, micro_batch=1, attention="tiled"),
        Layout(tp=1, dp=16, batch=16, zero=3, recompute="needed", gradient_bytes=4),
    ]
    columns = {
        field.name: np.array([getattr(run, field.name) for run in runs])
        for field in dataclasses.fields(Layout)
    }
    table = step_cost(shape, Layout(**columns), A100, C)
    for i, run in enumerate(runs):
        one = step_cost(shape, run, A100, C)
        for field in dataclasses.fields(Step):
            value = np.broadcast_to(getattr(table, field.name), len(runs))[i]
            assert value == pytest.approx(getattr(one, field.name), rel=1e-12, abs=1e-15)
