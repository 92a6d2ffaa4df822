"""Memory: published formulas, and numbers worked by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.memory import (
    in_flight,
    layer_activations,
    memory,
    rank_parameters,
    state_bytes,
)
from tinylm.parallel.plan.shapes import PUBLISHED, gpt_shape

GPT3 = PUBLISHED["megatron-175b"]
DENSE = Layout(attention="dense", dropout=1)


@given(
    st.integers(1, 8),
    st.integers(1, 64).map(lambda k: 128 * k),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([16, 32, 64]),
)
def test_activations_are_korthikanti_s_equations(b, s, t, a):
    h = 64 * a
    shape = gpt_shape(4, h, a, 1000, s)
    layout = replace(DENSE, micro_batch=b, tp=t)
    sbh, scores = s * b * h, 5 * a * s / h
    split = replace(layout, sequence=1)

    def kept(layout, **changes):
        return layer_activations(shape, replace(layout, **changes))

    # eqs. 1 and 2, 4, and table 2 of Korthikanti et al. 2022
    assert kept(layout) == pytest.approx(sbh * (10 + 24 / t + scores / t), rel=1e-12)
    assert kept(layout, tp=1) == pytest.approx(sbh * (34 + scores), rel=1e-12)
    assert kept(split) == pytest.approx(sbh / t * (34 + scores), rel=1e-12)
    assert kept(layout, recompute="selective") == pytest.approx(sbh * (10 + 24 / t), rel=1e-12)
    assert kept(split, recompute="selective") == pytest.approx(34 * sbh / t, rel=1e-12)
    assert kept(layout, recompute="full") == 2 * sbh
    # Tiled attention keeps no scores either; without dropout no masks of one byte.
    assert kept(layout, attention="tiled") == kept(layout, recompute="selective")
    assert kept(layout, attention="tiled", dropout=0, tp=1) == 32 * sbh


def test_selective_recomputation_saves_what_the_paper_says():
    # Section 5: 70 % of GPT-3's activations and 65 % of MT-NLG's, 5 a s / h being 80 and 64.
    for name, saved in (("megatron-175b", 0.70), ("mt-nlg-530b", 0.65)):
        whole = layer_activations(PUBLISHED[name], DENSE)
        less = layer_activations(PUBLISHED[name], replace(DENSE, recompute="selective"))
        assert 1 - less / whole == pytest.approx(saved, abs=0.005)


def test_activations_of_gpt3_by_hand():
    # 2048 * 12288 * 34 = 855,638,016 bytes, and scores 5 * 96 * 2048^2 = 2,013,265,920
    assert layer_activations(GPT3, DENSE) == 855_638_016 + 2_013_265_920


def test_stages_of_zero_are_the_formulas_of_the_paper():
    # Rajbhandari et al. 2020, figure 1: 7.5B parameters on 64 GPUs, 120, 31.4, 16.6 and 1.9 GB
    for stage, gigabytes in ((0, 120), (1, 31.4), (2, 16.6), (3, 1.9)):
        total = sum(state_bytes(7.5e9, Layout(dp=64, zero=stage)))
        assert total / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_gradients_of_four_bytes_cost_two_more():
    two, four = (sum(state_bytes(1e9, Layout(gradient_bytes=size))) for size in (2, 4))
    assert (two, four) == (16e9, 18e9)


def test_a_rank_has_its_layers_and_the_tables_of_an_end():
    layout = Layout(tp=8, pp=8)
    expected = (12 * GPT3.layer_parameters + GPT3.embedding_parameters) / 8
    assert rank_parameters(GPT3, layout) == expected


@pytest.mark.parametrize(
    "layout, micro_batches",
    [
        (Layout(batch=64), 1),  # one stage holds one micro-batch
        (Layout(pp=8, batch=64), 8),  # 1F1B: as many as stages
        (Layout(pp=8, batch=4), 4),  # or all, if there are fewer
        (Layout(pp=8, batch=64, chunks=3), 8 * (1 + 7 / 24)),  # interleaved: 1 + (p - 1) / (p v)
    ],
)
def test_micro_batches_in_flight(layout, micro_batches):
    assert in_flight(layout) == micro_batches


def test_the_first_stage_of_a_pipeline_holds_what_one_stage_would():
    # p micro-batches of L / p layers are one of L layers.
    one = memory(GPT3, replace(DENSE, batch=64)).activations
    eight = memory(GPT3, replace(DENSE, batch=64, pp=8)).activations
    assert eight == one


def test_logits_are_in_float32_and_split_over_the_vocabulary():
    shape = gpt_shape(2, 64, 4, 1000, 128)
    layout = Layout(batch=3, micro_batch=3, tp=2)
    # inputs of the last norm and map 2 + 2 bytes of 64 numbers, logits 4 bytes of 1000
    assert memory(shape, layout).logits == 3 * 128 * (4 * 64 + 4 * 1000) / 2


def test_recomputation_holds_one_layer_whole_meanwhile():
    full = memory(GPT3, replace(DENSE, recompute="full")).activations
    one = layer_activations(GPT3, DENSE)
    assert full == 96 * 2 * 2048 * 12288 + one


def test_stage_three_gathers_two_layers():
    sharded = memory(GPT3, Layout(dp=1024, batch=1024, zero=3)).parameters
    expected = 2 * GPT3.parameters / 1024 + 2 * 2 * GPT3.layer_parameters
    assert sharded == pytest.approx(expected, rel=1e-12)
