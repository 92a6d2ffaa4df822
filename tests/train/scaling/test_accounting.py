"""Formulas equal what the engine counts: operations in products and bytes held, to the last one."""

import dataclasses
import gc
import tracemalloc

import numpy as np
import pytest

from tinylm.autograd import first_order_only
from tinylm.autograd.engine.profile import count_operations
from tinylm.errors import ConfigError
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.presets import preset
from tinylm.models.decoder.sizes import count_parameters
from tinylm.optim import AdamW
from tinylm.pretrain import CausalLM
from tinylm.train.scaling.accounting import (
    memory,
    multiplied_parameters,
    non_embedding_parameters,
    product_flops,
    step_flops,
    training_days,
    training_flops,
    training_memory,
)

B, T = 3, 7
GPT2_LIKE = GPTConfig(53, T, 2, 4, 24, d_hidden=40)
LLAMA_LIKE = GPTConfig(
    53, T, 3, 4, 24, 2, 40, "rms", activation="swiglu", positions="rope", bias=False, tied=False
)
CONFIGS = [
    GPT2_LIKE,
    LLAMA_LIKE,
    dataclasses.replace(GPT2_LIKE, positions="rope", activation="silu", n_kv_head=1),
    dataclasses.replace(
        LLAMA_LIKE, head_width=10, positions="learned", tied=True, activation="gelu"
    ),
]


def loss_of(config, dtype=np.float32):
    model, objective = GPT(config, dtype=dtype), CausalLM()
    batch = objective.make_batch(
        np.random.default_rng(0).integers(0, config.vocab_size, (B, T + 1))
    )
    return model, lambda: objective.loss(model, batch)[0]


@pytest.mark.parametrize("config", CONFIGS)
def test_operations_of_a_step_are_those_counted_forward_and_backward(config):
    model, loss = loss_of(config)
    with count_operations() as counts:
        loss().backward()
    parts = product_flops(config, B, T)
    assert counts.matmul_flops() == sum(parts.values())
    assert counts.flops["self_attention"] == parts["scores"] + parts["mixture"]
    assert counts.flops["unembedding" if config.tied else "linear"] >= parts["logits"]
    assert counts.backward_flops() == 2 * counts.matmul_flops()
    assert counts.matmul_flops() + counts.backward_flops() == step_flops(config, B, T)


def test_six_n_d_is_the_count_without_scores_for_the_parameters_that_multiply():
    for config in CONFIGS:
        parts = product_flops(config, B, T)
        exact = step_flops(config, B, T) - 3 * (parts["scores"] + parts["mixture"])
        assert exact == training_flops(multiplied_parameters(config), B * T)


def test_the_rule_is_right_within_a_tenth_for_gpt3_and_far_off_for_a_tiny_model():
    large = dataclasses.replace(
        preset("gpt3-175b"), attention=("full",)
    )  # its banded layers counted in full
    n = large.context
    assert step_flops(large, 1, n) / training_flops(count_parameters(large), n) == pytest.approx(
        1 + 2048 / (6 * 12288), abs=5e-3
    )  # scores take 4 T D where the rest takes 24 D^2
    # scores take 2 T / (12 D) of what the blocks take: for T = 10 D that is more than everything
    # else
    tiny = GPTConfig(53, 80, 2, 2, 8)
    assert step_flops(tiny, 1, 80) / training_flops(count_parameters(tiny), 80) > 1.5


def test_kaplans_count_leaves_tables_out():
    assert non_embedding_parameters(preset("gpt2")) == 124_439_808 - (50257 + 1024) * 768
    assert non_embedding_parameters(LLAMA_LIKE) == count_parameters(LLAMA_LIKE) - 2 * 53 * 24


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_are_those_that_numpy_holds(config, dtype):
    model, loss = loss_of(config, dtype)
    optimizer = AdamW(model.named_parameters())
    loss()  # what is made once, and kept, is made now
    gc.collect()
    only_arrays = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot().filter_traces(only_arrays)
        with count_operations() as counts, first_order_only():
            held = loss()
        after = tracemalloc.take_snapshot().filter_traces(only_arrays)
    finally:
        tracemalloc.stop()
    formula = memory(config, B, T, dtype)
    assert counts.live_bytes == formula.results
    assert (
        sum(difference.size_diff for difference in after.compare_to(before, "filename"))
        == formula.activations
    )
    flat = optimizer.flat
    assert (flat.data.nbytes, flat.grad.nbytes) == (formula.parameters, formula.gradients)
    assert optimizer.m.nbytes + optimizer.v.nbytes == formula.moments
    assert formula.total == formula.activations + 4 * flat.data.nbytes
    held.backward()


def test_activations_grow_with_the_batch_and_the_square_of_the_length():
    one, two, long = (memory(GPT2_LIKE, b, t) for b, t in ((1, T), (2, T), (1, 2 * T)))
    assert two.parameters == one.parameters and two.activations == pytest.approx(
        2 * one.activations, rel=0.01
    )
    assert (
        long.saved - 2 * one.saved == 4 * 2 * 4 * 2 * T * T
    )  # 4 bytes x 2 layers x 4 heads x ((2T)^2 - 2 T^2)


def test_what_is_not_written_down_is_refused():
    with pytest.raises(ConfigError, match="experts and windows"):
        product_flops(dataclasses.replace(GPT2_LIKE, feed_forward="experts", experts=4), B, T)
    with pytest.raises(ConfigError, match="count_operations"):
        memory(dataclasses.replace(GPT2_LIKE, dropout=0.1), B, T)
    for parts in (
        {"qk_norm": "head"},
        {"positions": "rope", "rotary_width": 2},
        {"positions": "rope", "rotation": "none"},
    ):
        with pytest.raises(ConfigError, match="count_operations"):
            memory(dataclasses.replace(GPT2_LIKE, **parts), B, T)
    with pytest.raises(ConfigError, match="not one of float32, mixed"):
        training_memory(1e9, "int8")


def test_the_bill_of_a_large_model():
    assert training_flops(175e9, 300e9) == 3.15e23
    assert (
        training_memory(175e9) == training_memory(175e9, "float32") == 16 * 175e9
    )  # 2.8 TB: no single device holds it
    # 3.15e23 / (1000 x 312e12 x 0.3) = 3.365e6 s
    assert training_days(175e9, 300e9, 1000, 312e12, 0.3) == pytest.approx(38.95, abs=0.01)
